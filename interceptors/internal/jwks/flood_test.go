// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestD17UnknownKidFlood: ten thousand invented kids a second cause a request in
// ten seconds.
func TestD17UnknownKidFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		for i := range 10_000 {
			if _, err := s.Key(t.Context(), fmt.Sprint("invented", i)); !errors.Is(err, ErrUnknownKey) {
				t.Fatalf("got %v, want unknown", err)
			}
			time.Sleep(3 * time.Millisecond) // 30 seconds in all
		}
		wantFetches(t, s, e, 4, 3)
		wantKey(t, s, "a")
	})
}

// refusesForced answers like h, and fails after a while if caches are asked to
// stand aside.
func refusesForced(after time.Duration, h handlerFunc) handlerFunc {
	return func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Cache-Control") != "" {
			return slow(after, down)(r)
		}
		return h(r)
	}
}

// TestD17ForcedFetchesFail: the timer's successes, which end the back-off, do not
// let strangers cause the next fetch.
func TestD17ForcedFetchesFail(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]time.Duration{"at once": 0, "slowly": 2 * time.Second, "by hanging": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, e := start(t, Config{}, refusesForced(after, serve(document(key("a", 1)))))
				for begin := time.Now(); time.Since(begin) < 10*time.Minute; sleep(50 * time.Millisecond) {
					if _, err := s.Key(t.Context(), fmt.Sprint("invented", time.Now())); !errors.Is(err, ErrUnavailable) {
						t.Fatalf("got %v, want unavailable", err)
					}
					wantKey(t, s, "a")
				}
				var last time.Time
				n := 0
				for _, r := range e.requests() {
					if r.header.Get("Cache-Control") == "" {
						continue
					}
					if d := r.at.Sub(last); d < minRefetch {
						t.Errorf("got a fetch for a kid %v after the one before, want %v at least", d, minRefetch)
					}
					last = r.at
					n++
				}
				if n < 50 || n > 60 {
					t.Errorf("got %d fetches for a kid in 10 minutes, want one in about %v", n, minRefetch)
				}
				if all := e.count(); all > 2*n+3 {
					t.Errorf("got %d fetches, want one retry for each of the %d that a kid caused", all, n)
				}
			})
		})
	}
}

// TestD17CallersWhoLeave: a flight does not grow with callers who come and go.
func TestD17CallersWhoLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		e.set(hang)
		var callers sync.WaitGroup
		for range 2 { // the same kid
			callers.Go(func() { wantError(t, s, "stays", errTooSlow, maxWait) })
		}
		settle()
		gone, leave := context.WithCancel(t.Context())
		leave()
		for i := range 10_000 {
			if _, err := s.Key(gone, fmt.Sprint("invented", i)); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v, want the context's error", err)
			}
			if _, err := s.Key(gone, "stays"); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v, want the context's error", err)
			}
		}
		s.mu.Lock()
		if got := s.flight.kids; len(got) != 1 || got["stays"] != 2 {
			t.Errorf("got %d kids in the flight, %d callers for the one; want 1 and 2", len(got), got["stays"])
		}
		s.mu.Unlock()
		callers.Wait()
		wantFetches(t, s, e, 2, 1)
	})
}

func TestD17Waiters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		e.set(slow(time.Second, serve(document(key("a", 1)))))
		var callers sync.WaitGroup
		for i := range maxWaiters {
			callers.Go(func() { wantError(t, s, name(int64(i)), ErrUnknownKey, time.Second) })
		}
		settle()
		if n := s.Stats().Waiters; n != maxWaiters {
			t.Errorf("got %d waiters, want %d", n, maxWaiters)
		}
		wantError(t, s, "one more", errCrowded, 0)
		wantError(t, s, "one more", ErrUnavailable, 0)
		wantKey(t, s, "a")
		callers.Wait()
		wantFetches(t, s, e, 2, 1)
		sleep(minRefetch)
		wantError(t, s, "again", ErrUnknownKey, time.Second) // the places are free
	})
}

// TestD19UnknownKidsWhileDown: the back-off rules, not the strangers.
func TestD19UnknownKidsWhileDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		e.set(down)
		wantError(t, s, "b", errStatus, 0)
		wantFetches(t, s, e, 2, 1)
		for range 600 {
			wantError(t, s, "b", ErrUnavailable, 0)
			wantKey(t, s, "a")
			time.Sleep(time.Second)
		}
		if n := s.Stats().KidFetches; n != 1 {
			t.Errorf("got %d fetches for a kid, want the first one only", n)
		}
		e.set(serve(document(key("a", 1), key("b", 2))))
		sleep(maxBackoff)
		wantKey(t, s, "b")
		if n := s.Stats().KidFetches; n != 1 {
			t.Errorf("got %d fetches for a kid, want the retry to bring the key", n)
		}
	})
}

// TestD19FinalBeforeBackoff: the current answer for a kid comes first in the rule,
// whatever happened since.
func TestD19FinalBeforeBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, Config{}, serve(document(key("a", 1))))
		wantError(t, s, "b", ErrUnknownKey, 0)
		s.mu.Lock()
		s.fault = errStatus
		s.mu.Unlock()
		wantError(t, s, "b", ErrUnknownKey, 0)
		sleep(minRefetch)
		wantError(t, s, "b", ErrUnavailable, 0)
	})
}

// TestD19SuccessAfterFailedKidFetch: a success of the timer in between ends the
// back-off, and not the ten seconds after a fetch for a kid. They do not keep a key
// from anybody that the timer brings.
func TestD19SuccessAfterFailedKidFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		e.set(refusesForced(0, serve(document(key("a", 1), key("b", 2)))))
		wantError(t, s, "b", errStatus, 0)
		wantFetches(t, s, e, 2, 1)
		sleep(firstBackoff)
		wantState(t, s, StateFresh)
		wantFetches(t, s, e, 3, 1)
		wantKey(t, s, "b")
		wantError(t, s, "c", errTooSoon, 0)
		sleep(minRefetch - firstBackoff - time.Nanosecond)
		wantError(t, s, "c", ErrUnavailable, 0)
		wantFetches(t, s, e, 3, 1)
		e.set(serve(document(key("a", 1), key("c", 3))))
		sleep(time.Nanosecond)
		wantKey(t, s, "c")
		wantFetches(t, s, e, 4, 2)
	})
}
