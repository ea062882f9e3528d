// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// value asks for the token of all scopes.
func value(t *testing.T, c *ClientCredentials) string {
	t.Helper()
	token, err := c.Token(t.Context(), Request{})
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	return token.Value()
}

func wantReason(t *testing.T, err error, reason Reason, code codes.Code) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Reason() != reason || status.Code(err) != code {
		t.Fatalf("got %v (%s), want reason %s and code %s", err, status.Code(err), reason, code)
	}
}

func wantCount(t *testing.T, f *fakeEndpoint, want int) {
	t.Helper()
	synctest.Wait()
	if got := f.count(); got != want {
		t.Fatalf("token requests: got %d, want %d", got, want)
	}
}

func TestFreshStaleExpired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
			r := ok(n, 1000)
			r.after = 2 * time.Second
			return r
		}}
		c := newSource(t, endpoint)
		start := time.Now()
		token, err := c.Token(t.Context(), Request{})
		if err != nil || token.Value() != opaque(0) {
			t.Fatalf("got %q, %v, want token 0", token.Value(), err)
		}
		if got, want := token.Expiry(), start.Add(1000*time.Second); !got.Equal(want) {
			t.Errorf("expiry: got %v, want %v, counted from before the request", got, want)
		}
		time.Sleep(747 * time.Second) // 749 s after the request: before 75 %
		if got := value(t, c); got != opaque(0) {
			t.Errorf("fresh: got %q", got)
		}
		wantCount(t, endpoint, 1)
		time.Sleep(102 * time.Second) // 851 s: after 85 %
		before := time.Now()
		if got := value(t, c); got != opaque(0) || time.Since(before) != 0 {
			t.Errorf("stale: got %q after %v, want the old token at once", got, time.Since(before))
		}
		if got := value(t, c); got != opaque(0) {
			t.Errorf("stale: got %q, want the old token while the new one is fetched", got)
		}
		wantCount(t, endpoint, 2)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := value(t, c); got != opaque(1) {
			t.Errorf("renewed: got %q, want token 1", got)
		}
		wantCount(t, endpoint, 2)
	})
}

func TestRefreshPointIsSpread(t *testing.T) {
	t.Parallel()
	const life = 1000 * time.Second
	low, high := time.Duration(1<<62), time.Duration(0)
	for range 2000 {
		e := new(clock).newEntry(response{token: "t", life: life}, 0, 0)
		low, high = min(low, e.refreshAt), max(high, e.refreshAt)
	}
	if low < 750*time.Second || low > 760*time.Second || high > 850*time.Second || high < 840*time.Second {
		t.Errorf("refresh between %v and %v, want from 750 s to 850 s", low, high)
	}
}

// TestSlack: between the beginning of a renewal and the token's last moment there is
// time for the repetitions.
func TestSlack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ life, slack, spread, latest time.Duration }{
		{time.Hour, 20 * time.Second, 6 * time.Minute, 51 * time.Minute},
		{5 * time.Minute, 20 * time.Second, 30 * time.Second, 250 * time.Second},
		{time.Minute, 12 * time.Second, 6 * time.Second, 42 * time.Second},
		{10 * time.Second, 2 * time.Second, time.Second, 7 * time.Second},
		{time.Second, 200 * time.Millisecond, 100 * time.Millisecond, 700 * time.Millisecond},
	} {
		low, high := time.Duration(1<<62), time.Duration(0)
		for range 2000 {
			e := new(clock).newEntry(response{token: "t", life: test.life}, 0, 0)
			low, high = min(low, e.refreshAt), max(high, e.refreshAt)
			if e.hardAt-e.refreshAt < test.slack || e.refreshAt <= test.life/2 {
				t.Fatalf("life %v: refresh at %v of %v, want %v before and after half of the life", test.life, e.refreshAt, e.hardAt, test.slack)
			}
		}
		if high-low < test.spread*9/10 || high-low > test.spread {
			t.Errorf("life %v: refreshes within %v, want nearly %v", test.life, high-low, test.spread)
		}
		if high < test.latest-test.spread/10 || high > test.latest {
			t.Errorf("life %v: the last refresh is at %v, want nearly %v", test.life, high, test.latest)
		}
	}
}

// TestNeverSentAtTheEnd: exp - skew is the first moment without the token.
func TestNeverSentAtTheEnd(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ life, want time.Duration }{
		{24 * time.Hour, 24*time.Hour - 30*time.Second},
		{time.Hour, time.Hour - 30*time.Second},
		{5 * time.Minute, 270 * time.Second},
		{100 * time.Second, 90 * time.Second},
		{5 * time.Second, 4500 * time.Millisecond},
	} {
		t.Run(test.life.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var down atomic.Bool
				endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
					if down.Load() {
						return page(500)
					}
					return ok(n, int(test.life/time.Second))
				}}
				c := newSource(t, endpoint)
				value(t, c)
				down.Store(true)
				time.Sleep(test.want - 1)
				if got := value(t, c); got != opaque(0) {
					t.Errorf("1 ns before: got %q", got)
				}
				time.Sleep(time.Nanosecond)
				_, err := c.Token(t.Context(), Request{})
				wantReason(t, err, ReasonHTTPStatus, codes.Unavailable)
			})
		})
	}
}

func TestNextSecret(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var valid atomic.Value
		valid.Store("new-secret")
		endpoint := &fakeEndpoint{answer: func(n int, r request) reply {
			_, password, _ := (&http.Request{Header: r.header}).BasicAuth()
			if password != valid.Load() {
				return oauthError("invalid_client")
			}
			return ok(n, 100)
		}}
		c, err := NewClientCredentials(Config{
			TokenURL: testURL, ClientID: testClient,
			Secret: StaticSecret("old-secret"), NextSecret: StaticSecret("new-secret"),
		}, WithTransport(endpoint), WithLogger((&logBuffer{}).logger()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		value(t, c)
		wantCount(t, endpoint, 2)
		time.Sleep(95 * time.Second)
		value(t, c)
		wantCount(t, endpoint, 3) // the one that worked is tried first
		time.Sleep(95 * time.Second)
		valid.Store("old-secret")
		value(t, c)
		wantCount(t, endpoint, 5)
		time.Sleep(95 * time.Second)
		valid.Store("a third")
		_, err = c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		wantCount(t, endpoint, 7)
	})
}

// TestShortLife: at most one fetch a second, and no call fails for it.
func TestShortLife(t *testing.T) {
	t.Parallel()
	for _, life := range []int{1, 5} {
		t.Run(strconv.Itoa(life), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				endpoint := &fakeEndpoint{answer: func(n int, _ request) reply { return ok(n, life) }}
				c := newSource(t, endpoint)
				start := time.Now()
				for time.Since(start) < time.Minute {
					value(t, c)
					time.Sleep(10 * time.Millisecond)
				}
				all := endpoint.all()
				for i := 1; i < len(all); i++ {
					if gap := all[i].at.Sub(all[i-1].at); gap < time.Second {
						t.Fatalf("fetch %d came %v after the one before, want at least 1 s", i, gap)
					}
				}
				if len(all) < 60/life/2 {
					t.Errorf("got %d fetches, want more: each token lives %d s", len(all), life)
				}
			})
		})
	}
}

func TestScopeSets(t *testing.T) {
	t.Parallel()
	endpoint := &fakeEndpoint{}
	c := newSource(t, endpoint, MaxScopeSets(3))
	for _, scopes := range [][]string{{"b", "a"}, {"a", "b"}, {"a", "b", "a"}, {"a"}, {"a", "a"}, nil, {"b", "b", "a"}} {
		if err := c.Warm(t.Context(), scopes...); err != nil {
			t.Fatalf("%v: %v", scopes, err)
		}
		clear(scopes) // they are the caller's
	}
	var sets []string
	for _, set := range c.Stats().Sets {
		sets = append(sets, fmt.Sprint(set.Scopes))
	}
	if got, want := strings.Join(sets, " "), "[] [a] [a b]"; got != want {
		t.Errorf("got the sets %s, want %s", got, want)
	}
	if got := endpoint.count(); got != 3 {
		t.Errorf("got %d fetches, want 3: the order of scopes does not matter", got)
	}
	_, err := c.Token(t.Context(), Request{Scopes: []string{"c"}})
	wantReason(t, err, ReasonScopeSets, codes.Internal)
	for _, bad := range []string{"", "a b", "a\"", `a\`, "a\n", "ä"} {
		_, err := c.Token(t.Context(), Request{Scopes: []string{bad}})
		wantReason(t, err, ReasonScopes, codes.Internal)
		wantReason(t, c.Warm(t.Context(), bad), ReasonScopes, codes.Internal)
	}
	if got := endpoint.count(); got != 3 {
		t.Errorf("got %d fetches, want 3: refused sets fetch nothing", got)
	}
}

func TestMissingLifeIsLogged(t *testing.T) {
	t.Parallel()
	logs := &logBuffer{}
	c := newSource(t, &fakeEndpoint{answer: func(int, request) reply { return okToken("opaque", "") }}, WithLogger(logs.logger()))
	value(t, c)
	if err := c.Close(); err != nil { // waits for the log
		t.Fatal(err)
	}
	if got := logs.String(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, "5m0s") {
		t.Errorf("got the log %q, want a warning that names 5m0s", got)
	}
}

// TestLargeTokenIsLogged: from 6 KiB on, which is used.
func TestLargeTokenIsLogged(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]bool{6 << 10: false, 6<<10 + 1: true} {
		logs := &logBuffer{}
		token := strings.Repeat("a", size)
		c := newSource(t, &fakeEndpoint{answer: func(int, request) reply { return okToken(token, "3600") }}, WithLogger(logs.logger()))
		if got := value(t, c); got != token {
			t.Errorf("%d bytes: got a token of %d", size, len(got))
		}
		if err := c.Close(); err != nil { // waits for the log
			t.Fatal(err)
		}
		if got := strings.Contains(logs.String(), "level=WARN msg=\"clientauth: the token is large"); got != want || strings.Contains(logs.String(), "aaa") {
			t.Errorf("%d bytes: got the log %.200q, want a warning: %v", size, logs.String(), want)
		}
	}
}

// TestAllowMissingTokenType: by the option alone.
func TestAllowMissingTokenType(t *testing.T) {
	t.Parallel()
	endpoint := &fakeEndpoint{answer: func(int, request) reply { return reply{body: `{"access_token":"abc","expires_in":3600}`} }}
	_, err := newSource(t, endpoint).Token(t.Context(), Request{})
	wantReason(t, err, ReasonResponse, codes.Unavailable)
	if !strings.Contains(err.Error(), "token_type is missing (RFC 6749, section 5.1, requires it)") {
		t.Errorf("got the text %q, want what is missing", err)
	}
	if got := value(t, newSource(t, endpoint, AllowMissingTokenType())); got != "abc" {
		t.Errorf("got %q, want the token", got)
	}
}

func TestGrantedScopes(t *testing.T) {
	t.Parallel()
	asked := []string{"demo/read.file", "demo/write.file"}
	tests := map[string]struct {
		token  string
		asked  []string
		opts   []Option
		log    string
		reason Reason
	}{
		"all granted":            {token: jwt(map[string]any{"scope": "demo/write.file demo/read.file"}), asked: asked},
		"one dropped":            {token: jwt(map[string]any{"scope": "demo/read.file"}), asked: asked, log: "AllowedOAuthScopes"},
		"one dropped, required":  {token: jwt(map[string]any{"scope": "demo/read.file"}), asked: asked, opts: []Option{RequireGrantedScopes()}, reason: ReasonScopeNotGranted},
		"all granted, required":  {token: jwt(map[string]any{"scope": "demo/write.file demo/read.file"}), asked: asked, opts: []Option{RequireGrantedScopes()}},
		"opaque":                 {token: "opaque", asked: asked},
		"opaque, required":       {token: "opaque", asked: asked, opts: []Option{RequireGrantedScopes()}, reason: ReasonScopeNotGranted},
		"nothing asked":          {token: jwt(map[string]any{"scope": ""})},
		"nothing asked, require": {token: "opaque", opts: []Option{RequireGrantedScopes()}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logs := &logBuffer{}
			c := newSource(t, &fakeEndpoint{answer: func(int, request) reply { return okToken(test.token, "3600") }}, append(test.opts, WithLogger(logs.logger()))...)
			err := c.Warm(t.Context(), test.asked...)
			_ = c.Close() // waits for the log
			if test.reason != "" {
				wantReason(t, err, test.reason, codes.Unauthenticated)
			} else if err != nil {
				t.Fatal(err)
			}
			if test.log == "" && test.reason == "" && logs.String() != "" {
				t.Errorf("got the log %q, want none", logs.String())
			}
			if got := logs.String(); test.log != "" && (!strings.Contains(got, test.log) || !strings.Contains(got, "demo/write.file") || strings.Contains(got, "demo/read.file")) {
				t.Errorf("got the log %q, want %s and the missing scope only", got, test.log)
			}
		})
	}
}

func TestCallerContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, _ request) reply { r := ok(n, 3600); r.after = time.Second; return r }}
		c := newSource(t, endpoint)

		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.Token(canceled, Request{})
		wantReason(t, err, ReasonContext, codes.Canceled)
		wantCount(t, endpoint, 0)

		start := time.Now()
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err = c.Token(short, Request{})
		wantReason(t, err, ReasonContext, codes.DeadlineExceeded)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("got %v after %v, want the caller's deadline after 100 ms", err, time.Since(start))
		}
		// The flight goes on and serves the next.
		if got := value(t, c); got != opaque(0) || time.Since(start) != time.Second {
			t.Errorf("got %q after %v, want token 0 after 1 s", got, time.Since(start))
		}
		wantCount(t, endpoint, 1)
	})
}

func TestHangEndsWithTheFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(int, request) reply { return reply{after: time.Hour} }}
		c := newSource(t, endpoint)
		start := time.Now()
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonNetwork, codes.Unavailable)
		wantCount(t, endpoint, flightAttempts)
		if second := endpoint.all()[1].at.Sub(start); second < 5*time.Second || second > 5200*time.Millisecond {
			t.Errorf("the second request came after %v, want 5 s and the gap", second)
		}
		if got := time.Since(start); got != 12*time.Second {
			t.Errorf("ended after %v, want 12 s", got)
		}
	})
}
