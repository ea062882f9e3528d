// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// What a remembered token does and does not do for the calls of a server: raw frames
// to a real one, with each way of deciding about a call.

// cacheLab is a lab that keeps what the reporter was told last.
type cacheLab struct {
	*lab

	mu   sync.Mutex
	last serverauth.Decision
}

// Report implements serverauth.Reporter.
func (l *cacheLab) Report(_ context.Context, d serverauth.Decision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = d
}

// inEachMode runs f with interceptors alone, and with a decision on the header frame.
func inEachMode(t *testing.T, f func(t *testing.T, start func(t *testing.T, s setup) *cacheLab)) {
	t.Helper()
	for name, options := range map[string][]serverauth.Option{
		"interceptors": nil,
		"header frame": {serverauth.RefuseBeforeDecoding()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, func(t *testing.T, s setup) *cacheLab {
				t.Helper()
				l := &cacheLab{}
				s.options = append(append([]serverauth.Option{serverauth.WithReporter(l)}, options...), s.options...)
				l.lab = newLab(t, s)
				return l
			})
		})
	}
}

// told is a call of WhoAmI and what the reporter was told about it.
func (l *cacheLab) told(t *testing.T, token string) (answer, serverauth.Decision) {
	t.Helper()
	ran := l.files.ran.Load()
	got := l.call(t, whoAmI, bearer(token))
	if passed := l.files.ran.Load() != ran; passed != (got.code == ok) {
		t.Errorf("the answer is %v, and the handler ran: %v", got.code, passed)
	}
	d := l.decision()
	if d.Code != got.code {
		t.Errorf("the reporter was told %v, the caller %v", d.Code, got.code)
	}
	return got, d
}

func (l *cacheLab) decision() serverauth.Decision {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// passes expects a call that passes, its token remembered or verified anew.
func (l *cacheLab) passes(t *testing.T, token string, remembered bool) serverauth.Decision {
	t.Helper()
	got, d := l.told(t, token)
	if got.code != ok || d.Cached != remembered {
		t.Errorf("got %v %s, remembered %v, want OK, remembered %v", got.code, got.reason, d.Cached, remembered)
	}
	return d
}

// refuses expects a call that is refused with both reasons.
func (l *cacheLab) refuses(t *testing.T, token string, code codes.Code, fine, wire serverauth.Reason) {
	t.Helper()
	got, d := l.told(t, token)
	if got.code != code || got.reason != wire || d.Reason != fine {
		t.Errorf("got %v %s (%s), want %v %s (%s)", got.code, got.reason, d.Reason, code, wire, fine)
	}
}

func (l *cacheLab) stats() serverauth.CacheStats { return l.verifier.Stats().Cache }

// numbered is a good token that differs from others by its jti.
func (l *cacheLab) numbered(n string) string {
	return l.issuer.token(goodHeader, with("jti", `"`+n+`"`))
}

func TestCacheRemembersAToken(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		l := start(t, setup{})
		token, fetched := l.issuer.good(), l.issuer.fetches.Load()
		first := l.passes(t, token, false)
		caller := l.files.caller.Load()
		for range 3 {
			if d := l.passes(t, token, true); d.ClientID != clientID || d.Issuer != first.Issuer {
				t.Errorf("the caller of a remembered token: got %+v", d)
			}
			if l.files.caller.Load() != caller {
				t.Error("the handler saw another principal")
			}
		}
		l.passes(t, l.numbered("another"), false)
		if n := l.issuer.fetches.Load() - fetched; n != 0 {
			t.Errorf("%d fetches of keys, want none", n)
		}
		s := l.stats()
		if s.Bytes < 2*int64(2*len(token)) {
			t.Errorf("two tokens of %d bytes are said to take %d", len(token), s.Bytes)
		}
		if s.Bytes = 0; s != (serverauth.CacheStats{Misses: 2, Entries: 2, Clients: 1}) {
			t.Errorf("got %+v, want two misses and two entries of one client", s)
		}
		c := l.dial(t) // a stream is a call like others
		defer c.close()
		c.open(t, readFile, bearer(token))
		c.send(t, nil)
		c.closeSend(t)
		if got := c.finish(t); got.code != ok || !l.decision().Cached {
			t.Errorf("a stream: got %v, remembered %v, want OK, remembered", got.code, l.decision().Cached)
		}
	})
}

// A remembered token opens nothing but what its scopes open.
func TestCacheChecksScopesOfEachCall(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		l := start(t, setup{})
		token := l.issuer.good()
		for range 2 {
			l.passes(t, token, l.stats().Entries > 0)
			if got := l.call(t, deleteFile, bearer(token)); got.code != p || got.reason != serverauth.ReasonInsufficientScope || !l.decision().Cached {
				t.Errorf("got %v %s, remembered %v, want PERMISSION_DENIED INSUFFICIENT_SCOPE", got.code, got.reason, l.decision().Cached)
			}
		}
	})
}

// Two servers with rules of their own share a verifier, and so what is remembered of
// tokens. What one permits says nothing about the other.
func TestCacheIsSharedAndRulesAreNot(t *testing.T) {
	t.Parallel()
	rules, err := policy.New(policy.WithRuleOverride(statFile, policy.AllOf("admin/everything")))
	if err != nil {
		t.Fatal(err)
	}
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		open, reports := start(t, setup{}), &cacheLab{}
		auth, err := serverauth.New(open.verifier, rules, serverauth.WithReporter(reports), serverauth.WithLogger(nil))
		if err != nil {
			t.Fatal(err)
		}
		srv := grpc.NewServer(auth.ServerOptions()...)
		filesv1.RegisterFileReadServiceServer(srv, open.files)
		lis := listen(t)
		done := make(chan error, 1)
		go func() { done <- auth.Serve(srv, lis) }()
		t.Cleanup(func() { srv.Stop(); <-done })
		closed := &lab{addr: lis.Addr().String()}
		token := open.issuer.good()
		for range 3 {
			if got := open.call(t, statFile, bearer(token)); got.code != ok {
				t.Errorf("the open server: got %v %s, want OK", got.code, got.reason)
			}
			got := closed.call(t, statFile, bearer(token))
			if d := reports.decision(); got.code != p || got.reason != serverauth.ReasonInsufficientScope || !d.Cached {
				t.Errorf("the closed server: got %v %s, remembered %v, want INSUFFICIENT_SCOPE", got.code, got.reason, d.Cached)
			}
		}
		if s := open.stats(); s.Entries != 1 || s.Misses != 1 {
			t.Errorf("got %+v, want one entry that both servers use", s)
		}
	})
}

// A token is remembered by all its bytes: whatever differs is another token, and has
// no valid signature.
func TestCacheTakesNoOtherBytes(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		l := start(t, setup{})
		claims := func(scope string) string { return with("scope", `"`+scope+`"`) }
		token, twin := l.issuer.token(goodHeader, claims("demo/read.file")), l.issuer.token(goodHeader, claims("demo/read.fild"))
		parts, other := strings.Split(token, "."), strings.Split(twin, ".")
		signature, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		signature[len(signature)-1] ^= 1
		l.passes(t, token, false)
		l.passes(t, twin, false)
		changed := map[string]string{
			"the same signature, another payload of the same length": strings.Join([]string{parts[0], other[1], parts[2]}, "."),
			"the same payload, another signature":                    strings.Join([]string{parts[0], parts[1], other[2]}, "."),
			"the same signature, a payload of another length":        strings.Join([]string{parts[0], b64(claims("demo/read.file demo/write.file")), parts[2]}, "."),
			"the same signature, another header":                     strings.Join([]string{b64(`{"alg":"RS256","kid":"` + goodKeyID + `"}`), parts[1], parts[2]}, "."),
			"the last bit":                                           strings.Join([]string{parts[0], parts[1], base64.RawURLEncoding.EncodeToString(signature)}, "."),
			"one byte more":                                          token + "A",
			"one byte less":                                          token[:len(token)-1],
			"twice":                                                  token + "." + token,
			"the unused bits":                                        setUnusedBits(token),
			"padding":                                                token + "==",
			"without its header":                                     strings.Join([]string{"", parts[1], parts[2]}, "."),
			"the signature alone":                                    parts[2],
		}
		at := 0
		for n, part := range parts { // the first, the last and some bytes of each segment
			for i := 0; i < len(part); i += max(1, min(len(part)/5, len(part)-1-i)) {
				b := []byte(token)
				if b[at+i]++; b[at+i] == '.' || b[at+i] == '[' || b[at+i] == '{' || b[at+i] == ':' {
					b[at+i] -= 2
				}
				changed[fmt.Sprintf("segment %d changed at %d", n+1, i)] = string(b)
			}
			at += len(part) + 1
		}
		for name, token := range changed {
			if got, d := l.told(t, token); got.code != u || d.Cached {
				t.Errorf("%s: got %v, remembered %v, want UNAUTHENTICATED", name, got.code, d.Cached)
			}
		}
		if s := l.stats(); s.Entries != 2 || s.Stale != 0 {
			t.Errorf("got %+v, want the two good tokens", s)
		}
		l.passes(t, token, true)
	})
}

// C9 and C12 of a token that is remembered.
func TestCacheEndsWithTheTokensTime(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		bubble(t, func(t *testing.T) {
			l := start(t, setup{memory: true})
			token, never := l.issuer.good(), l.numbered("never seen before its time was over")
			l.passes(t, token, false)
			time.Sleep(time.Hour - time.Minute) // exp
			l.passes(t, token, true)
			time.Sleep(30*time.Second - time.Nanosecond) // the clock skew
			l.passes(t, token, true)
			if s := l.stats(); s.Stale != 0 {
				t.Errorf("got %+v, want no stale one", s)
			}
			time.Sleep(time.Nanosecond)
			// That it is the issuer's own was proven, so the caller is told what is wrong.
			l.refuses(t, token, u, serverauth.ReasonTokenExpired, serverauth.ReasonTokenExpired)
			if s := l.stats(); s.Stale != 1 || s.Entries != 0 {
				t.Errorf("got %+v, want one stale token and none left", s)
			}
			l.refuses(t, never, u, serverauth.ReasonTokenExpired, serverauth.ReasonTokenInvalid)
			l.refuses(t, token, u, serverauth.ReasonTokenExpired, serverauth.ReasonTokenInvalid) // it is forgotten by now
			if s := l.stats(); s.Stale != 1 || s.Entries != 0 {
				t.Errorf("got %+v, want nothing remembered of them", s)
			}
		})
	})
}

// C10 and C11 of a token that is remembered, when the clock is set back.
func TestCacheAndAClockSetBack(t *testing.T) {
	t.Parallel()
	for name, claims := range map[string]string{
		"nbf":                     with("iat", at(-3000), "nbf", at(0), "exp", at(600)),
		"iat":                     with("iat", at(0), "exp", at(600)),
		"iat, with an nbf before": with("iat", at(0), "nbf", at(-3000), "exp", at(600)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
				var offset atomic.Int64
				clock := func() time.Time { return testNow().Add(time.Duration(offset.Load())) }
				l := start(t, setup{verifier: []serverauth.VerifierOption{serverauth.WithClock(clock)}})
				token := l.issuer.token(goodHeader, claims)
				l.passes(t, token, false)
				offset.Store(int64(-30 * time.Second))
				l.passes(t, token, true)
				offset.Store(int64(-30*time.Second) - 1)
				l.refuses(t, token, u, serverauth.ReasonTokenNotYetValid, serverauth.ReasonTokenInvalid)
				if s := l.stats(); s.Stale != 1 || s.Entries != 0 {
					t.Errorf("got %+v, want one stale token and none left", s)
				}
				offset.Store(0)
				l.passes(t, token, false)
			})
		})
	}
}

// MaxTokenAge holds for remembered tokens, unless their own time ends before.
func TestCacheEndsWithTheTokensAge(t *testing.T) {
	t.Parallel()
	for age, left := range map[time.Duration]time.Duration{
		10 * time.Minute: 9*time.Minute + 30*time.Second,
		2 * time.Hour:    59*time.Minute + 30*time.Second,
	} {
		inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
			bubble(t, func(t *testing.T) {
				l := start(t, setup{memory: true, verifier: []serverauth.VerifierOption{serverauth.MaxTokenAge(age)}})
				token := l.issuer.good() // issued a minute ago
				l.passes(t, token, false)
				time.Sleep(left - time.Nanosecond)
				l.passes(t, token, true)
				time.Sleep(time.Nanosecond)
				l.refuses(t, token, u, serverauth.ReasonTokenExpired, serverauth.ReasonTokenExpired)
			})
		})
	}
}

// pastTheTimer is a time after which the keys were fetched once more.
const pastTheTimer = 17 * time.Minute

// D13: the kid of a remembered token comes back with other material.
func TestCacheD13KidReused(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		bubble(t, func(t *testing.T) {
			l := start(t, setup{memory: true})
			token := l.issuer.good()
			l.passes(t, token, false)
			l.issuer.publish(goodKeyID, l.issuer.stranger)
			l.passes(t, token, true)
			time.Sleep(pastTheTimer)
			l.refuses(t, token, u, serverauth.ReasonSignatureInvalid, serverauth.ReasonTokenInvalid)
			l.passes(t, sign(l.issuer.stranger, b64(goodHeader)+"."+b64(goodClaims)), false)
			if s := l.stats(); s.Stale != 1 || s.Entries != 1 {
				t.Errorf("got %+v, want one stale token and one entry", s)
			}
			l.issuer.publish(goodKeyID, l.issuer.access) // and back: the token was forgotten, not hidden
			time.Sleep(pastTheTimer)
			l.passes(t, token, false)
			l.passes(t, token, true)
		})
	})
}

// D14: a key is added, by the timer's fetch or by that of the first unknown kid.
// Remembered tokens stay, and their signatures are not checked again.
func TestCacheD14KeyAdded(t *testing.T) {
	t.Parallel()
	const newHeader = `{"kid":"new","alg":"RS256"}`
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		for name, unknown := range map[string]bool{"timer": false, "unknown kid": true} {
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					l := start(t, setup{memory: true})
					token := l.issuer.good()
					l.passes(t, token, false)
					l.issuer.publish(otherKeyID, l.issuer.id, goodKeyID, l.issuer.access, "new", l.issuer.stranger)
					if !unknown {
						time.Sleep(pastTheTimer)
					}
					l.passes(t, sign(l.issuer.stranger, b64(newHeader)+"."+b64(goodClaims)), false)
					if s := l.verifier.Stats().Issuers[0]; len(s.KeyIDs) != 3 || s.KIDFetches != map[bool]uint64{true: 1}[unknown] {
						t.Fatalf("keys %q, %d fetches for an unknown kid", s.KeyIDs, s.KIDFetches)
					}
					before := l.stats()
					for range 3 {
						l.passes(t, token, true)
					}
					if after := l.stats(); after != before || after.Stale != 0 {
						t.Errorf("the figures went from %+v to %+v, want no change", before, after)
					}
				})
			})
		}
	})
}

// D15: the key of a remembered token is removed. The next call is refused at the same
// instant.
func TestCacheD15KeyRemoved(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		bubble(t, func(t *testing.T) {
			rotated := make(chan time.Time, 1)
			l := start(t, setup{memory: true, verifier: []serverauth.VerifierOption{
				serverauth.OnKeysRotated(func(string, []string, []string) { rotated <- time.Now() }),
			}})
			token := l.issuer.good()
			l.passes(t, token, false)
			l.issuer.publish(otherKeyID, l.issuer.id)
			time.Sleep(time.Minute)
			l.passes(t, token, true) // nobody knows yet
			swapped := <-rotated
			l.refuses(t, token, u, serverauth.ReasonKeyNotFound, serverauth.ReasonTokenInvalid)
			if took := time.Since(swapped); took != 0 {
				t.Errorf("refused %v after the swap, want the same instant", took)
			}
			if s := l.stats(); s.Stale != 1 || s.Entries != 0 {
				t.Errorf("got %+v, want one stale token and none left", s)
			}
		})
	})
}

// A client that is taken off the list ends at once, with all its remembered tokens; a
// client that stays keeps them.
func TestCacheAfterSetClients(t *testing.T) {
	t.Parallel()
	const other = "2other3456789abcdefghijklm"
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		clients := serverauth.NamedClients(map[string]string{"billing": clientID, "reports": other})
		l := start(t, setup{clients: &clients})
		set := func(s serverauth.ClientSet) {
			t.Helper()
			if err := l.verifier.SetClients(issuerURL, s); err != nil {
				t.Fatal(err)
			}
		}
		token, others := l.issuer.good(), l.issuer.token(goodHeader, with("client_id", `"`+other+`"`))
		named := func(token string, remembered bool, want string) {
			t.Helper()
			if d := l.passes(t, token, remembered); d.ClientName != want {
				t.Errorf("the client's name is %q, want %q", d.ClientName, want)
			}
		}
		named(token, false, "billing")
		named(others, false, "reports")
		named(token, true, "billing")

		set(serverauth.NamedClients(map[string]string{"billing": clientID})) // removes the other
		l.refuses(t, others, p, serverauth.ReasonClientNotAllowed, serverauth.ReasonClientNotAllowed)
		named(token, true, "billing") // kept
		named(token, true, "billing")
		if s := l.stats(); s.Stale != 1 || s.Entries != 1 {
			t.Errorf("got %+v, want one stale token and one entry", s)
		}

		set(serverauth.NamedClients(map[string]string{"invoices": clientID, "reports": other})) // renames, and lets the other in
		named(token, false, "invoices")
		named(token, true, "invoices")
		named(others, false, "reports")

		set(serverauth.AnyClient())
		named(token, false, "") // it has no name any more
		set(serverauth.Clients(other))
		l.refuses(t, token, p, serverauth.ReasonClientNotAllowed, serverauth.ReasonClientNotAllowed)
		named(others, false, "") // renamed twice meanwhile
		set(serverauth.Clients(other, clientID))
		named(others, true, "")
		named(token, false, "")

		if err := l.verifier.SetClients(issuerURL, serverauth.ClientSet{}); err == nil {
			t.Error("SetClients took no decision for one")
		}
		if err := l.verifier.SetClients(issuerURL+"x", serverauth.AnyClient()); err == nil {
			t.Error("SetClients took an unknown issuer")
		}
		named(token, true, "")
	})
}

// D2: after 24 hours without keys remembered tokens are refused as all others.
func TestCacheD2KeysTooOld(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		bubble(t, func(t *testing.T) {
			l := start(t, setup{memory: true})
			l.issuer.down.Store(true)
			const life = 24 * 3600
			token := l.issuer.token(goodHeader, with("iat", at(life-3600), "exp", at(life+3600)))
			time.Sleep((life - 1800) * time.Second)
			l.passes(t, token, false)
			time.Sleep(1799 * time.Second)
			l.passes(t, token, true)
			time.Sleep(2 * time.Second)
			l.refuses(t, token, codes.Unavailable, serverauth.ReasonKeysUnavailable, serverauth.ReasonKeysUnavailable)
			l.refuses(t, token, codes.Unavailable, serverauth.ReasonKeysUnavailable, serverauth.ReasonKeysUnavailable)
			l.issuer.down.Store(false)
			time.Sleep(6 * time.Minute) // the longest back-off, and some
			l.passes(t, token, false)
			l.passes(t, token, true)
		})
	})
}

func TestCacheOfAClosedVerifier(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		l := start(t, setup{})
		token := l.issuer.good()
		l.passes(t, token, false)
		if err := l.verifier.Close(); err != nil {
			t.Fatal(err)
		}
		for _, token := range []string{token, l.numbered("never seen")} {
			l.refuses(t, token, codes.Unavailable, serverauth.ReasonKeysUnavailable, serverauth.ReasonKeysUnavailable)
		}
	})
}

func TestWithoutCache(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		l := start(t, setup{verifier: []serverauth.VerifierOption{serverauth.WithoutCache()}})
		for range 3 {
			l.passes(t, l.issuer.good(), false)
		}
		if s := l.stats(); s != (serverauth.CacheStats{}) {
			t.Errorf("got %+v, want nothing", s)
		}
	})
}

// A token that the cache cannot hold is verified with each call.
func TestCacheAndATokenTooLargeForIt(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		small := start(t, setup{})
		small.passes(t, small.issuer.good(), false)
		limit := serverauth.CacheLimits(10, small.stats().Bytes)
		l := start(t, setup{verifier: []serverauth.VerifierOption{limit}})
		large := l.issuer.token(goodHeader, with("pad", `"`+strings.Repeat("x", 100)+`"`))
		l.passes(t, l.issuer.good(), false)
		for range 3 {
			l.passes(t, large, false)
		}
		l.passes(t, l.issuer.good(), true) // it keeps its place
		if s := l.stats(); s.Entries != 1 || s.Evicted != 0 || s.Misses != 4 {
			t.Errorf("got %+v, want one entry and four misses", s)
		}
	})
}

// A client that makes many tokens loses its own, and only because the cache is full.
func TestCacheIsFairToClients(t *testing.T) {
	t.Parallel()
	const other = "2other3456789abcdefghijklm"
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		clients := serverauth.AnyClient()
		l := start(t, setup{clients: &clients, verifier: []serverauth.VerifierOption{serverauth.CacheLimits(4, 1<<20)}})
		others := l.issuer.token(goodHeader, with("client_id", `"`+other+`"`))
		l.passes(t, others, false)
		for n := range 12 {
			l.passes(t, l.numbered(strings.Repeat("x", n)), false)
		}
		l.passes(t, others, true)
		if s := l.stats(); s.Entries != 4 || s.Evicted != 9 || s.Clients != 2 {
			t.Errorf("got %+v, want 4 entries of 2 clients and 9 evicted", s)
		}
	})
}

// D21 of remembered tokens: clients and keys of two issuers are kept apart.
func TestCacheD21SeveralIssuers(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		other := newTestIssuer(t)
		other.access, other.stranger = other.stranger, other.access // same kid, other key
		const otherURL = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Other"
		l := start(t, setup{issuers: func(base serverauth.Issuer) []serverauth.Issuer {
			return []serverauth.Issuer{base, {URL: otherURL, JWKSURL: other.server.URL, Clients: serverauth.Clients(clientID)}}
		}, verifier: []serverauth.VerifierOption{serverauth.WithHTTPClient(other.server.Client())}})
		mine, others := l.issuer.good(), other.token(goodHeader, with("iss", `"`+otherURL+`"`))
		for n := range 2 {
			if d := l.passes(t, mine, n > 0); d.Issuer != issuerURL {
				t.Errorf("issuer %s", d.Issuer)
			}
			if d := l.passes(t, others, n > 0); d.Issuer != otherURL {
				t.Errorf("issuer %s", d.Issuer)
			}
		}
		if s := l.stats(); s.Entries != 2 || s.Clients != 2 {
			t.Errorf("got %+v, want two entries of two clients", s)
		}
		if err := l.verifier.SetClients(otherURL, serverauth.Clients("nobody")); err != nil {
			t.Fatal(err)
		}
		l.passes(t, mine, true)
		l.refuses(t, others, p, serverauth.ReasonClientNotAllowed, serverauth.ReasonClientNotAllowed)
	})
}
