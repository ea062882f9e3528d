// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// TestKeepWarm: renewals come by themselves, no call waits, and none finds a token after
// its renewal was due.
func TestKeepWarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetches reports
		endpoint := &fakeEndpoint{answer: func(n int, _ request) reply { r := ok(n, 1000); r.after = time.Second; return r }}
		c := newSource(t, endpoint, KeepWarm(), WithReporter(&fetches))
		value(t, c)
		for range 100 {
			time.Sleep(99 * time.Second)
			start := time.Now()
			if value(t, c); time.Since(start) != 0 {
				t.Fatalf("a call waited %v", time.Since(start))
			}
		}
		// 9900 s, renewed after 750 to 851 s each.
		if got := endpoint.count(); got < 12 || got > 14 {
			t.Errorf("got %d requests, want 12 to 14", got)
		}
		for i, f := range fetches.all() {
			if want := []Cause{CauseCold, CauseWarm}[min(i, 1)]; f.Cause != want {
				t.Errorf("fetch %d: got the cause %s, want %s", i, f.Cause, want)
			}
		}
	})
}

// TestIdleWithKeepWarm: a token that nobody used is not renewed, and the next call gets
// the usual ways going again.
func TestIdleWithKeepWarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{}
		c := newSource(t, endpoint, KeepWarm())
		if err := c.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		wantCount(t, endpoint, 1)
		if got := c.Stats().SuppressedIdle; got != 1 {
			t.Errorf("suppressed: got %d, want 1", got)
		}
		value(t, c)
		wantCount(t, endpoint, 2)
		time.Sleep(3 * time.Hour)
		wantCount(t, endpoint, 3) // token 1 was used, token 2 was not
	})
}

// TestKeepWarmWhileTheEndpointIsDown: the tries go on by themselves as long as the token
// lasts, and no longer.
func TestKeepWarmWhileTheEndpointIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
			if n == 0 {
				return ok(n, 3600)
			}
			return reply{status: 429, header: map[string][]string{"Retry-After": {"60"}}}
		}}
		c := newSource(t, endpoint, KeepWarm())
		value(t, c)
		time.Sleep(3570 * time.Second)
		got := endpoint.count() - 1
		if got < 7 || got > 15 { // 510 to 870 s, one in 60 to 66 s
			t.Errorf("got %d requests while the token lasted, want one in 60 to 66 s", got)
		}
		time.Sleep(time.Hour)
		if more := endpoint.count() - 1 - got; more > 0 {
			t.Errorf("got %d requests after the token's end, want none", more)
		}
	})
}

// TestKeepWarmDoesNotHurry: the failure of a forced fetch is no reason to renew a token
// that is fresh.
func TestKeepWarmDoesNotHurry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
			if n == 1 {
				return oauthError("invalid_client")
			}
			return ok(n, 1000)
		}}
		c := newSource(t, endpoint, KeepWarm())
		old, err := c.Token(t.Context(), Request{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Token(t.Context(), Request{Rejected: old})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		time.Sleep(749 * time.Second)
		wantCount(t, endpoint, 2)
		time.Sleep(102 * time.Second)
		wantCount(t, endpoint, 3)
	})
}

// TestCloseEndsKeepWarm also while a renewal runs.
func TestCloseEndsKeepWarm(t *testing.T) {
	t.Parallel()
	for name, renewing := range map[string]bool{"resting": false, "renewing": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
					r := ok(n, 1000)
					if n > 0 {
						r.after = time.Hour
					}
					return r
				}}
				c := newSource(t, endpoint, KeepWarm())
				value(t, c)
				for renewing && endpoint.count() == 1 {
					time.Sleep(time.Second)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
				before := endpoint.count()
				set, err := c.set(nil)
				if err != nil {
					t.Fatal(err)
				}
				if set.alarm.Stop() {
					t.Error("a timer still ran, which keeps the source in memory")
				}
				time.Sleep(time.Hour)
				wantCount(t, endpoint, before)
			})
		})
	}
}

// TestWarm: what it fetches counts as unused and serves the first call.
func TestWarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetches reports
		endpoint := &fakeEndpoint{}
		c := newSource(t, endpoint, WithReporter(&fetches))
		for range 3 {
			if err := c.Warm(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		if token, err := c.Token(t.Context(), Request{Scopes: []string{"a"}}); err != nil || token.Value() != opaque(0) {
			t.Errorf("got %q, %v, want token 0", token.Value(), err)
		}
		wantCount(t, endpoint, 1)
		if got := fetches.all()[0].Cause; got != CauseWarm {
			t.Errorf("cause: got %s, want %s", got, CauseWarm)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantReason(t, c.Warm(ctx), ReasonContext, codes.Canceled)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		wantReason(t, c.Warm(t.Context(), "a"), ReasonClosed, codes.Canceled)
		wantCount(t, endpoint, 1)
	})
}

// TestSpreadWarm: a fleet that starts together does not ask together; calls do not wait.
func TestSpreadWarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{}
		start := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			c := newSource(t, endpoint, SpreadWarm(5*time.Second))
			wg.Go(func() {
				if err := c.Warm(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		var inSecond [6]int
		for _, r := range endpoint.all() {
			inSecond[int(r.at.Sub(start)/time.Second)]++
		}
		for second, n := range inSecond[:5] {
			if n < 2 || n > 45 { // chance leaves 100 of 5 s outside of this once in 20 million runs
				t.Errorf("second %d: got %d requests, want about 20", second, n)
			}
		}

		c := newSource(t, endpoint, SpreadWarm(24*time.Hour))
		wg.Go(func() { _ = c.Warm(t.Context()) })
		synctest.Wait()
		start = time.Now()
		if value(t, c); time.Since(start) != 0 {
			t.Errorf("a call waited %v", time.Since(start))
		}
		if err := c.Warm(t.Context()); err != nil || time.Since(start) != 0 {
			t.Errorf("with a token at hand: got %v after %v, want nothing to wait for", err, time.Since(start))
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if wg.Wait(); time.Since(start) != 0 {
			t.Errorf("Close ended the wait after %v, want at once", time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		wantReason(t, newSource(t, endpoint, SpreadWarm(1<<62)).Warm(ctx), ReasonContext, codes.DeadlineExceeded)
		if took := time.Since(start); took != time.Second {
			t.Errorf("a deadline of 1 s ended the wait after %v", took)
		}
	})
	if _, err := NewClientCredentials(Config{TokenURL: testURL, ClientID: testClient, Secret: StaticSecret(testSecret)}, SpreadWarm(0)); err == nil {
		t.Error("SpreadWarm(0): got no error")
	}
}

// TestWaitInBackoff: calls wait for the next try and share it, also where that is later
// than a fetch may take; a refusal comes at once.
func TestWaitInBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
			switch n {
			case 0:
				return reply{status: 429, header: map[string][]string{"Retry-After": {"20"}}}
			case 1:
				return ok(n, 100)
			default:
				return oauthError("invalid_client")
			}
		}}
		c := newSource(t, endpoint, WaitInBackoff())
		start := time.Now()
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonThrottled, codes.Unavailable)
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				ctx := t.Context()
				if i == 0 {
					short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
					defer cancel()
					_, err := c.Token(short, Request{})
					wantReason(t, err, ReasonContext, codes.DeadlineExceeded)
					return
				}
				if got := value(t, c); got != opaque(1) || time.Since(start) < 20*time.Second || time.Since(start) > 22*time.Second {
					t.Errorf("got %q after %v, want token 1 after 20 to 22 s", got, time.Since(start))
				}
			})
		}
		wg.Wait()
		wantCount(t, endpoint, 2)
		time.Sleep(95 * time.Second)
		for range 2 {
			start = time.Now()
			_, err = c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonRefused, codes.Unauthenticated)
			if time.Since(start) != 0 {
				t.Errorf("a refusal took %v, want 0", time.Since(start))
			}
		}
		wantCount(t, endpoint, 3)
	})
}

// TestWaitInBackoffIsNotForRefusedTokens: the call has an answer of the server's, and the
// endpoint has its pause.
func TestWaitInBackoffIsNotForRefusedTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
			if n == 0 {
				return ok(n, 3600)
			}
			return reply{status: 429, header: map[string][]string{"Retry-After": {"200"}}}
		}}
		c := newSource(t, endpoint, WaitInBackoff())
		old, err := c.Token(t.Context(), Request{})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			start := time.Now()
			_, err = c.Token(t.Context(), Request{Rejected: old})
			wantReason(t, err, ReasonThrottled, codes.Unavailable)
			if time.Since(start) != 0 {
				t.Errorf("took %v, want 0", time.Since(start))
			}
			time.Sleep(forcedPause + time.Second)
		}
		wantCount(t, endpoint, 2)
	})
}
