// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// Offline: the given keys are all there is, for ever, and nothing is fetched.
func TestOfflineIssuer(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		l := newLab(t, setup{memory: true, issuers: func(base serverauth.Issuer) []serverauth.Issuer {
			base.StaticJWKS, base.Offline = keySet(goodKeyID, newMemoryIssuer().access), true
			return []serverauth.Issuer{base}
		}, verifier: []serverauth.VerifierOption{noNetwork()}})
		if got := l.call(t, whoAmI, bearer(l.issuer.good())); got.code != ok {
			t.Errorf("a token under a given key: got %v %s, want OK", got.code, got.message)
		}
		if got := l.call(t, whoAmI, bearer(l.issuer.token(`{"kid":"other","alg":"RS256"}`, goodClaims))); got.code != u {
			t.Errorf("a key that was not given: got %v, want UNAUTHENTICATED", got.code)
		}
		if refusal := l.lastRefusal(); refusal == nil || refusal.Reason() != serverauth.ReasonKeyNotFound {
			t.Errorf("a key that was not given: got %v, want KEY_NOT_FOUND", refusal)
		}
		time.Sleep(30 * 24 * time.Hour)
		if got := l.call(t, whoAmI, bearer(l.issuer.token(goodHeader, with(l.validFor(time.Minute)...)))); got.code != ok {
			t.Errorf("a month later: got %v %s, want OK", got.code, got.message)
		}
		if s := l.verifier.Stats().Issuers[0]; s.State != "STATIC" || !s.Static || s.Fetches != 0 || !s.Ready {
			t.Errorf("Stats: got %+v", s)
		}
	})
}

// Static keys as a fallback at start: they serve while the issuer is away, the first
// success replaces them all, and after 24 hours without one they are no longer used.
func TestStaticKeysAtStart(t *testing.T) {
	t.Parallel()
	for _, comesBack := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			issuer := newMemoryIssuer()
			issuer.down.Store(true)
			begin := time.Now()
			l := newLab(t, setup{memory: true, issuers: func(base serverauth.Issuer) []serverauth.Issuer {
				base.StaticJWKS = keySet(goodKeyID, issuer.access)
				return []serverauth.Issuer{base}
			}, verifier: []serverauth.VerifierOption{serverauth.WithHTTPClient(&http.Client{Transport: issuer})}})
			if waited := time.Since(begin); waited > 10*time.Second {
				t.Errorf("the start took %v", waited)
			}
			if got := l.call(t, whoAmI, bearer(l.issuer.good())); got.code != ok {
				t.Errorf("while the issuer is away: got %v %s, want OK", got.code, got.message)
			}
			if s := l.verifier.Stats().Issuers[0]; s.State != "STALE" || !s.Static || !s.Ready || s.LastError == nil {
				t.Errorf("while the issuer is away: Stats: got %+v", s)
			}
			fresh := func() string {
				return l.issuer.token(goodHeader, with(l.validFor(time.Minute)...))
			}
			if comesBack { // with other keys: the old ones go at once, for remembered tokens too
				issuer.publish("other", issuer.stranger)
				issuer.down.Store(false)
				time.Sleep(10 * time.Minute)
				if got := l.call(t, whoAmI, bearer(l.issuer.good())); got.code != u {
					t.Errorf("after the issuer came back without the key: got %v, want UNAUTHENTICATED", got.code)
				}
				if s := l.verifier.Stats().Issuers[0]; s.State != "FRESH" || s.Static || !slices.Equal(s.KeyIDs, []string{"other"}) {
					t.Errorf("after the issuer came back: Stats: got %+v", s)
				}
				return
			}
			time.Sleep(23 * time.Hour)
			if got := l.call(t, whoAmI, bearer(fresh())); got.code != ok {
				t.Errorf("after 23 h: got %v %s, want OK", got.code, got.message)
			}
			time.Sleep(2 * time.Hour)
			if got := l.call(t, whoAmI, bearer(fresh())); got.code != ua || got.reason != serverauth.ReasonKeysUnavailable {
				t.Errorf("after 25 h: got %v %s, want UNAVAILABLE KEYS_UNAVAILABLE", got.code, got.reason)
			}
		})
	}
}

// LazyStart: the server runs before there are keys, and says so to its callers.
func TestLazyStart(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			issuer := newMemoryIssuer()
			issuer.down.Store(true)
			var options []serverauth.Option
			if early {
				options = append(options, serverauth.RefuseBeforeDecoding())
			}
			begin := time.Now()
			l := newLab(t, setup{memory: true, options: options, verifier: []serverauth.VerifierOption{
				serverauth.LazyStart(), serverauth.WithHTTPClient(&http.Client{Transport: issuer}),
			}})
			if waited := time.Since(begin); waited != 0 {
				t.Errorf("the start took %v", waited)
			}
			for range 20 {
				got := l.call(t, whoAmI, bearer(l.issuer.good()))
				if got.code != ua || got.reason != serverauth.ReasonKeysUnavailable || len(got.challenge) != 0 {
					t.Fatalf("without keys: got %v %s %q, want UNAVAILABLE KEYS_UNAVAILABLE", got.code, got.reason, got.challenge)
				}
				if got := l.call(t, version); got.code != ok {
					t.Fatalf("without keys, a public method: got %v, want OK", got.code)
				}
				if l.verifier.Ready() {
					t.Fatal("without keys: Ready: got true")
				}
				time.Sleep(time.Minute)
			}
			issuer.down.Store(false)
			time.Sleep(6 * time.Minute)
			if got := l.call(t, whoAmI, bearer(l.issuer.good())); got.code != ok || !l.verifier.Ready() {
				t.Errorf("once the keys are there: got %v %s, ready %v, want OK", got.code, got.message, l.verifier.Ready())
			}
			if err := l.verifier.Close(); err != nil {
				t.Fatal(err)
			}
			if got := l.call(t, whoAmI, bearer(l.issuer.good())); got.code != ua || l.verifier.Ready() {
				t.Errorf("after Close, a remembered token: got %v, ready %v, want UNAVAILABLE", got.code, l.verifier.Ready())
			}
		})
	}
}

// Without LazyStart and static keys a start without keys is an error, whichever of the
// issuers has none.
func TestStartNeedsTheKeysOfAllIssuers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := newPools()
		p.second.down.Store(true)
		_, err := serverauth.NewVerifier(t.Context(), []serverauth.Issuer{
			{URL: issuerURL, JWKSURL: "https://first.test/keys", Clients: serverauth.AnyClient()},
			{URL: otherIssuerURL, JWKSURL: "https://second.test/keys", Clients: serverauth.AnyClient()},
		}, serverauth.WithLogger(nil), serverauth.WithHTTPClient(&http.Client{Transport: keysByHost{"first.test": p.first, "second.test": p.second}}))
		if err == nil || !strings.Contains(err.Error(), otherIssuerURL) || strings.Contains(err.Error(), issuerURL+":") {
			t.Errorf("got %v, want an error that names the second issuer alone", err)
		}
	})
	for name, row := range map[string]struct {
		issuer serverauth.Issuer
		want   string
	}{
		"offline without keys":        {serverauth.Issuer{URL: issuerURL, Clients: serverauth.AnyClient(), Offline: true}, "Offline needs a key set"},
		"static keys that are none":   {serverauth.Issuer{URL: issuerURL, Clients: serverauth.AnyClient(), StaticJWKS: []byte(`{"keys":[]}`)}, "Static"},
		"static keys, an empty file":  {serverauth.Issuer{URL: issuerURL, Clients: serverauth.AnyClient(), StaticJWKS: []byte{}}, "Static"},
		"static keys, a private key":  {serverauth.Issuer{URL: issuerURL, Clients: serverauth.AnyClient(), StaticJWKS: []byte(`{"keys":[{"kty":"oct","k":"eA"}]}`)}, "Static"},
		"offline, keys that are none": {serverauth.Issuer{URL: issuerURL, Clients: serverauth.AnyClient(), StaticJWKS: []byte(`x`), Offline: true}, "Static"},
	} {
		if _, err := serverauth.NewVerifier(t.Context(), []serverauth.Issuer{row.issuer}, noNetwork(), serverauth.WithLogger(nil)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, row.want)
		}
	}
}

// Both hooks of the keys say which issuer they are about.
func TestOnKeysRotatedAndRejected(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := newPools()
		var (
			mu     sync.Mutex
			events []string
		)
		note := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, fmt.Sprintf(format, args...))
		}
		take := func() []string {
			mu.Lock()
			defer mu.Unlock()
			list := events
			events = nil
			return list
		}
		l := newLab(t, p.setup(setup{verifier: []serverauth.VerifierOption{
			serverauth.OnKeysRotated(func(issuer string, added, removed []string) { note("%s +%v -%v", issuer, added, removed) }),
			serverauth.OnKeysRejected(func(issuer string, err error) { note("%s rejected: %t", issuer, err != nil) }),
		}}))
		time.Sleep(20 * time.Minute)
		if got := take(); len(got) != 0 {
			t.Errorf("the first keys and the same again: got %q", got)
		}
		p.second.publish("b", p.second.access, "a", p.second.access, goodKeyID, p.second.access)
		time.Sleep(20 * time.Minute)
		if got, want := take(), []string{otherIssuerURL + " +[a b] -[" + otherKeyID + "]"}; !slices.Equal(got, want) {
			t.Errorf("keys came and went: got %q, want %q", got, want)
		}
		text := `{"keys":[]}`
		p.first.document.Store(&text)
		time.Sleep(20 * time.Minute)
		if got := take(); len(got) == 0 || slices.ContainsFunc(got, func(e string) bool { return e != issuerURL+" rejected: true" }) {
			t.Errorf("a document without keys: got %q, want rejections of the first issuer's", got)
		}
		if s := l.verifier.Stats().Issuers[1]; s.URL != issuerURL || s.Rejected == 0 || s.Failures < s.Rejected || s.LastError == nil || s.State != "STALE" {
			t.Errorf("Stats after a rejection: got %+v", s)
		}
		if got := l.call(t, whoAmI, bearer(p.ofFirst(l.validFor(time.Minute)...))); got.code != ok {
			t.Errorf("the keys before the rejected ones: got %v %s, want OK", got.code, got.message)
		}
	})
}

// Tokens that are older than the server wants are refused, whatever their exp says:
// when they are new to it, and when it remembers them.
func TestMaxTokenAge(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			var options []serverauth.Option
			if early {
				options = append(options, serverauth.RefuseBeforeDecoding())
			}
			l := newLab(t, setup{memory: true, options: options, verifier: []serverauth.VerifierOption{
				serverauth.MaxTokenAge(10 * time.Minute), serverauth.ClockSkew(5 * time.Second),
			}})
			token := l.issuer.good() // issued a minute ago, to live for an hour
			c := l.dial(t)
			defer c.close()
			c.open(t, chat, bearer(l.echoToken()))
			time.Sleep(9*time.Minute + 4*time.Second)
			c.send(t, nil)
			if !c.recv(t) {
				t.Fatalf("a stream ended before the age: %v", c.finish(t))
			}
			if got := l.call(t, whoAmI, bearer(token)); got.code != ok {
				t.Errorf("at 10 minutes and 4 s: got %v %s, want OK", got.code, got.message)
			}
			time.Sleep(time.Second)
			synctest.Wait() // for the stream's timer, which fires at this moment
			for name, token := range map[string]string{"remembered": token, "new": l.issuer.token(goodHeader, with("jti", `"x"`))} {
				got := l.call(t, whoAmI, bearer(token))
				if got.code != u {
					t.Errorf("at 10 minutes and 5 s, %s: got %v, want UNAUTHENTICATED", name, got.code)
				}
				if refusal := l.lastRefusal(); !early && (refusal == nil || refusal.Reason() != serverauth.ReasonTokenExpired) {
					t.Errorf("at 10 minutes and 5 s, %s: got %v, want TOKEN_EXPIRED", name, refusal)
				}
			}
			c.send(t, nil)
			if got := c.lastWord(t); got.code != u || got.reason != serverauth.ReasonTokenExpired {
				t.Errorf("an open stream: got %v %s, want UNAUTHENTICATED TOKEN_EXPIRED", got.code, got.reason)
			}
			if !strings.Contains(l.log.String(), "max_token_age=10m0s") {
				t.Errorf("the log does not name the bound:\n%s", l.log.String())
			}
			if got := l.call(t, whoAmI, bearer(l.issuer.token(goodHeader, with(l.validFor(time.Hour)...)))); got.code != ok {
				t.Errorf("a token of now: got %v %s, want OK", got.code, got.message)
			}
			// exp still counts.
			if got := l.call(t, whoAmI, bearer(l.issuer.token(goodHeader, with(l.validFor(-5*time.Second)...)))); got.code != u {
				t.Errorf("an expired token of now: got %v, want UNAUTHENTICATED", got.code)
			}
		})
	}
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, age := range []time.Duration{0, -time.Second} {
		if _, err := serverauth.ForUserPool(t.Context(), poolID, serverauth.AnyClient(), noNetwork(), serverauth.WithPolicy(rules), serverauth.MaxTokenAge(age)); err == nil || !strings.Contains(err.Error(), "MaxTokenAge must be more than 0") {
			t.Errorf("%v: got %v, want an error", age, err)
		}
	}
}
