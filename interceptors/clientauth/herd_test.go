// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestTenThousandCallers: cold, while the token is stale, and at its end: one fetch for
// all. The first caller gives up, and a tenth have deadlines of their own.
func TestTenThousandCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, _ request) reply { r := ok(n, 3600); r.after = 100 * time.Millisecond; return r }}
		c := newSource(t, endpoint)
		for round := range 2 {
			tenThousand(t, c, opaque(2*round), 100*time.Millisecond)
			wantCount(t, endpoint, 2*round+1)

			time.Sleep(3100 * time.Second) // stale
			tenThousand(t, c, opaque(2*round), 0)
			wantCount(t, endpoint, 2*round+2)
			time.Sleep(time.Hour) // the end of what came then
		}
	})
}

// tenThousand callers ask at once. They get the token after wait, or the end of their
// own time before.
func tenThousand(t *testing.T, c *ClientCredentials, token string, wait time.Duration) {
	t.Helper()
	var wg sync.WaitGroup
	if wait > 0 {
		first, giveUp := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := c.Token(first, Request{}); status.Code(err) != codes.Canceled {
				t.Errorf("first caller: got %v, want Canceled", err)
			}
		})
		synctest.Wait()
		giveUp()
	}
	var tokens, deadlines atomic.Int64
	for i := range 10_000 {
		wg.Go(func() {
			ctx, patience, start := t.Context(), wait, time.Now()
			if i%10 == 0 {
				patience = min(wait, 20*time.Millisecond)
				short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
				defer cancel()
				ctx = short
			}
			got, err := c.Token(ctx, Request{})
			switch {
			case err == nil && got.Value() == token:
				tokens.Add(1)
			case status.Code(err) == codes.DeadlineExceeded:
				deadlines.Add(1)
			default:
				t.Errorf("got %q, %v, want %q", got.Value(), err, token)
			}
			if d := time.Since(start); d != patience {
				t.Errorf("took %v, want %v", d, patience)
			}
		})
	}
	wg.Wait()
	want := int64(0)
	if wait > 0 {
		want = 1000
	}
	if tokens.Load() != 10_000-want || deadlines.Load() != want {
		t.Errorf("got %d tokens and %d deadlines, want %d and %d", tokens.Load(), deadlines.Load(), 10_000-want, want)
	}
}

// TestCallersAtAFailingEndpoint: a failure is shared as a token is. x/oauth2 makes a
// request for each caller, one after the other.
func TestCallersAtAFailingEndpoint(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		reply    reply
		requests int
		longest  time.Duration
	}{
		"refused":     {reply: oauthError("invalid_client"), requests: 1, longest: 50 * time.Millisecond},
		"throttled":   {reply: reply{status: 429}, requests: 1, longest: 50 * time.Millisecond},
		"unavailable": {reply: page(503), requests: 3, longest: 750 * time.Millisecond}, // with the gaps
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := test.reply
				r.after = 50 * time.Millisecond
				endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
					if n == 0 {
						return ok(n, 60)
					}
					return r
				}}
				c := newSource(t, endpoint)
				value(t, c)
				time.Sleep(time.Minute)
				start := time.Now()
				var wg sync.WaitGroup
				for range 10_000 {
					wg.Go(func() {
						_, err := c.Token(t.Context(), Request{})
						if err == nil {
							t.Error("got no error")
						}
					})
				}
				wg.Wait()
				if d := time.Since(start); d > test.longest {
					t.Errorf("took %v, want at most %v", d, test.longest)
				}
				wantCount(t, endpoint, 1+test.requests)
				if got := c.Stats().Fetches; got != 2 {
					t.Errorf("got %d fetches, want 2", got)
				}
			})
		})
	}
}

// TestReadersDuringRenewals reads from many goroutines while tokens change, for the
// race detector.
func TestReadersDuringRenewals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, _ request) reply { return ok(n, 2) }}
		c := newSource(t, endpoint)
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for range 500 {
					req := Request{Scopes: []string{"a", "b", "c"}[:i%3]}
					token, err := c.Token(t.Context(), req)
					if err != nil || !strings.HasPrefix(token.Value(), "opaque-") {
						t.Errorf("got %q, %v", token.Value(), err)
						return
					}
					time.Sleep(7 * time.Millisecond)
				}
			})
		}
		wg.Wait()
	})
}

func TestRejected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, _ request) reply { r := ok(n, 24*3600); r.after = time.Second; return r }}
		c := newSource(t, endpoint)
		old, err := c.Token(t.Context(), Request{})
		if err != nil {
			t.Fatal(err)
		}
		// Two are rejected with the same token at once: one fetch. Others keep the old
		// token meanwhile.
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				got, err := c.Token(t.Context(), Request{Rejected: NewToken(old.Value(), time.Time{})})
				if err != nil || got.Value() != opaque(1) {
					t.Errorf("got %q, %v, want token 1", got.Value(), err)
				}
			})
		}
		synctest.Wait()
		if got := value(t, c); got != opaque(0) {
			t.Errorf("others: got %q, want the old token", got)
		}
		wg.Wait()
		wantCount(t, endpoint, 2)

		// A late report of the old token fetches nothing.
		got, err := c.Token(t.Context(), Request{Rejected: old})
		if err != nil || got.Value() != opaque(1) {
			t.Errorf("late: got %q, %v, want token 1", got.Value(), err)
		}
		// Within 60 s there is no other forced fetch; the token stays usable.
		for range 1000 {
			_, err = c.Token(t.Context(), Request{Rejected: got})
			wantReason(t, err, ReasonRejected, codes.Unauthenticated)
		}
		wantCount(t, endpoint, 2)
		if got := value(t, c); got != opaque(1) {
			t.Errorf("in the pause: got %q, want token 1", got)
		}
		time.Sleep(forcedPause)
		if got, err = c.Token(t.Context(), Request{Rejected: got}); err != nil || got.Value() != opaque(2) {
			t.Errorf("after the pause: got %q, %v, want token 2", got.Value(), err)
		}
		wantCount(t, endpoint, 3)
	})
}

func TestRejectedWhileTheEndpointIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
			if n == 0 {
				return ok(n, 3600)
			}
			return page(503)
		}}
		c := newSource(t, endpoint)
		old, err := c.Token(t.Context(), Request{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Token(t.Context(), Request{Rejected: old})
		wantReason(t, err, ReasonHTTPStatus, codes.Unavailable)
		if got := value(t, c); got != opaque(0) {
			t.Errorf("others: got %q, want the old token", got)
		}
		for range 300 {
			time.Sleep(100 * time.Millisecond)
			_, _ = c.Token(t.Context(), Request{Rejected: old})
		}
		wantCount(t, endpoint, 4) // one and one forced flight of three
	})
}

func TestSameTokenAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newSource(t, &fakeEndpoint{answer: func(int, request) reply { return ok(0, 3600) }})
		old, err := c.Token(t.Context(), Request{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Token(t.Context(), Request{Rejected: old})
		wantReason(t, err, ReasonRejected, codes.Unauthenticated)
	})
}

func TestIdleFetchesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{}
		c := newSource(t, endpoint)
		value(t, c)
		time.Sleep(3 * time.Hour)
		wantCount(t, endpoint, 1)
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, r request) reply {
			if r.form.Has("scope") {
				return reply{after: time.Hour}
			}
			return ok(n, 3600)
		}}
		c := newSource(t, endpoint)
		value(t, c)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, err := c.Token(t.Context(), Request{Scopes: []string{"a"}})
				if status.Code(err) != codes.Canceled {
					t.Errorf("waiter: got %v, want Canceled", err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		for range 2 {
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		wg.Wait()
		if d := time.Since(start); d != 0 {
			t.Errorf("Close took %v, want 0: the request heeds its context", d)
		}
		// Also with a token at hand, and for a new set of scopes.
		for _, scopes := range [][]string{nil, {"a"}, {"b"}} {
			_, err := c.Token(t.Context(), Request{Scopes: scopes})
			wantReason(t, err, ReasonClosed, codes.Canceled)
		}
		wantCount(t, endpoint, 2)
	})
}

// stubborn ignores its context.
type stubborn struct{ release chan struct{} }

func (s stubborn) RoundTrip(*http.Request) (*http.Response, error) {
	<-s.release
	return nil, errReset
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := stubborn{release: make(chan struct{})}
		c := newSource(t, s)
		var wg sync.WaitGroup
		var freed time.Time
		wg.Go(func() {
			_, err := c.Token(t.Context(), Request{})
			if status.Code(err) != codes.Canceled {
				t.Errorf("waiter: got %v, want Canceled", err)
			}
			freed = time.Now()
		})
		synctest.Wait()
		start := time.Now()
		if err := c.Close(); err == nil {
			t.Error("Close: got no error for a request that does not end")
		}
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("Close took %v, want 2 s", d)
		}
		wg.Wait()
		if d := freed.Sub(start); d != 0 {
			t.Errorf("the waiter got its error %v after Close, want 0", d)
		}
		close(s.release)
	})
}

func TestPanicInASecretFunction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		logs := &logBuffer{}
		c, err := NewClientCredentials(Config{
			TokenURL: testURL, ClientID: testClient,
			Secret: func(context.Context) (Secret, error) { panic("with " + testSecret) },
		}, WithTransport(&fakeEndpoint{}), WithLogger(logs.logger()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, err = c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonPanic, codes.Internal)
		synctest.Wait()
		if all := logs.String() + err.Error(); strings.Contains(all, testSecret) || !strings.Contains(all, "panic") {
			t.Errorf("got %q, want the panic without its value", all)
		}
	})
}
