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
