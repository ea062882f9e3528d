// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// setWall moves the wall hand against the other: the time of day was set, or the
// machine slept for d. It is not within the second after a fetch, in which there is no
// other.
func setWall(c *ClientCredentials, d time.Duration) {
	time.Sleep(minFetchGap)
	c.clock.step.Add(int64(d))
}

// slowEndpoint gives tokens of an hour after the time that after holds.
func slowEndpoint(after *atomic.Int64) *fakeEndpoint {
	return &fakeEndpoint{answer: func(n int, _ request) reply {
		r := ok(n, 3600)
		r.after = time.Duration(after.Load())
		return r
	}}
}

// TestSuspend: after a sleep of two hours calls wait for another token, which comes in
// time.
func TestSuspend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var after atomic.Int64
		endpoint := slowEndpoint(&after)
		c := newSource(t, endpoint)
		value(t, c)
		after.Store(int64(300 * time.Millisecond))
		setWall(c, 2*time.Hour)
		if got := c.Stats().Sets[0].State; got != "SUSPECT" {
			t.Errorf("state: got %s, want SUSPECT", got)
		}
		start := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if got := value(t, c); got != opaque(1) || time.Since(start) != 300*time.Millisecond {
					t.Errorf("got %q after %v, want token 1 after 300 ms", got, time.Since(start))
				}
			})
		}
		wg.Wait()
		wantCount(t, endpoint, 2)
		if got := c.Stats().Sets[0].State; got != "FRESH" {
			t.Errorf("state: got %s, want FRESH: the new token counts from the new time of day", got)
		}
		start = time.Now()
		if got := value(t, c); got != opaque(1) || time.Since(start) != 0 {
			t.Errorf("then: got %q after %v, want token 1 at once", got, time.Since(start))
		}
		wantCount(t, endpoint, 2)
	})
}

// TestSuspendWithAnEndpointThatHangs: calls wait until 1 s after the fetch began, and
// then take the old token at once.
func TestSuspendWithAnEndpointThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var after atomic.Int64
		endpoint := slowEndpoint(&after)
		c := newSource(t, endpoint)
		value(t, c)
		after.Store(int64(time.Hour))
		setWall(c, 2*time.Hour)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 200 * time.Millisecond)
				begin := time.Now()
				got := value(t, c)
				if want := max(time.Second-begin.Sub(start), 0); got != opaque(0) || time.Since(begin) != want {
					t.Errorf("call %d: got %q after %v, want the old token after %v", i, got, time.Since(begin), want)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		if got := c.Stats().Sets[0].Waiters; got != 1 {
			t.Errorf("waiters after 100 ms: got %d, want 1", got)
		}
		wg.Wait()
		if got := c.Stats().Sets[0].Waiters; got != 0 {
			t.Errorf("waiters afterwards: got %d, want 0", got)
		}
	})
}

// TestSuspectCallHasItsOwnDeadline: and Close ends its wait.
func TestSuspectCallHasItsOwnDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var after atomic.Int64
		c := newSource(t, slowEndpoint(&after))
		value(t, c)
		after.Store(int64(time.Hour))
		setWall(c, 2*time.Hour)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := c.Token(ctx, Request{})
		wantReason(t, err, ReasonContext, codes.DeadlineExceeded)
		if d := time.Since(start); d != 20*time.Millisecond {
			t.Errorf("took %v, want 20 ms", d)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonClosed, codes.Canceled)
		})
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
}

// TestClockStepForward: a time of day that was set 2 h ahead while the endpoint is down
// fails no call, and costs a fetch in 30 s.
func TestClockStepForward(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
			if n == 0 {
				return ok(n, 3600)
			}
			return oauthError("temporarily_unavailable")
		}}
		c := newSource(t, endpoint)
		value(t, c)
		setWall(c, 2*time.Hour)
		for range 6000 { // 10 min
			if got := value(t, c); got != opaque(0) {
				t.Fatalf("got %q, want the old token", got)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := endpoint.count() - 1; got > 20*flightAttempts || got < 9*flightAttempts {
			t.Errorf("got %d requests in 10 min, want about one fetch of %d in 30 s, or in 60 s once the pauses are as long", got, flightAttempts)
		}
	})
}

// TestClockStepForwardWhileTheEndpointWorks: one fetch, however often the clock is set
// within 30 s.
func TestClockStepForwardWhileTheEndpointWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{}
		c := newSource(t, endpoint)
		value(t, c)
		time.Sleep(time.Minute)
		for range 10 {
			setWall(c, 2*time.Hour)
			value(t, c)
			time.Sleep(1500 * time.Millisecond)
		}
		wantCount(t, endpoint, 2)
		time.Sleep(10 * time.Second)
		value(t, c)
		wantCount(t, endpoint, 3)
	})
}

// TestClockStepBack: no effect.
func TestClockStepBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{}
		c := newSource(t, endpoint)
		value(t, c)
		setWall(c, -2*time.Hour)
		for range 40 {
			if got := value(t, c); got != opaque(0) {
				t.Fatalf("got %q, want token 0", got)
			}
			time.Sleep(time.Minute)
		}
		wantCount(t, endpoint, 1)
		// Nor does it keep a token that has ended.
		time.Sleep(20 * time.Minute)
		if got := value(t, c); got != opaque(1) {
			t.Errorf("after an hour: got %q, want token 1", got)
		}
	})
}

// TestSuspectIsNotSentAfterItsEnd: the token ends while the call waits.
func TestSuspectIsNotSentAfterItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
			if n == 0 {
				return ok(n, 5) // to 4.5 s
			}
			r := ok(n, 5)
			r.after = 2 * time.Second
			return r
		}}
		c := newSource(t, endpoint)
		value(t, c)
		time.Sleep(3 * time.Second)
		setWall(c, time.Hour)
		start := time.Now()
		if got := value(t, c); got != opaque(1) || time.Since(start) != 2*time.Second {
			t.Errorf("got %q after %v, want token 1 after 2 s: at 4.5 s it was over", got, time.Since(start))
		}
	})
}

// TestSuspectAndRejected: a refused token is no answer, whatever the clocks say.
func TestSuspectAndRejected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{}
		c := newSource(t, endpoint)
		old, err := c.Token(t.Context(), Request{})
		if err != nil {
			t.Fatal(err)
		}
		setWall(c, 2*time.Hour)
		got, err := c.Token(t.Context(), Request{Rejected: old})
		if err != nil || got.Value() != opaque(1) {
			t.Errorf("got %q, %v, want token 1", got.Value(), err)
		}
		wantCount(t, endpoint, 2)
	})
}

// TestSuspectThatWasReplaced: a call that read the old token before another one landed
// starts nothing.
func TestSuspectThatWasReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{}
		c := newSource(t, endpoint)
		value(t, c)
		set, err := c.set(nil)
		if err != nil {
			t.Fatal(err)
		}
		old := set.current.Load()
		time.Sleep(time.Hour)
		value(t, c)
		time.Sleep(minFetchGap)
		if f, _ := c.joinSuspect(set, old); f != nil {
			t.Error("got a flight, want none")
		}
		wantCount(t, endpoint, 2)
	})
}
