// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
)

// TestUnknownKid walks through the rule: a start-up fetch is not final, a fetch for
// a kid is, for ten seconds.
func TestUnknownKid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1)), `ETag: "1"`))
		wantFetches(t, s, e, 1, 0)
		wantError(t, s, "b", ErrUnknownKey, 0)
		wantFetches(t, s, e, 2, 1)
		e.set(serve(document(key("a", 1), key("b", 2))))
		sleep(minRefetch - time.Nanosecond)
		wantError(t, s, "b", ErrUnknownKey, 0)
		wantError(t, s, "c", ErrUnknownKey, 0)
		wantFetches(t, s, e, 2, 1)
		sleep(time.Nanosecond)
		wantKey(t, s, "b")
		wantKey(t, s, "a")
		wantFetches(t, s, e, 3, 2)

		for i, r := range e.requests() {
			want := ""
			if i > 0 {
				want = "no-cache"
			}
			if got := r.header.Get("Cache-Control"); got != want {
				t.Errorf("request %d: got Cache-Control %q, want %q", i, got, want)
			}
			if got := r.header.Get("If-None-Match"); got != "" {
				t.Errorf("request %d: got If-None-Match %q, want none: it was forced", i, got)
			}
		}
	})
}

// TestTimerFetchIsNotFinal: also a timer's fetch a moment ago makes no kid unknown.
func TestTimerFetchIsNotFinal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1)), "Cache-Control: max-age=60"))
		for e.count() < 2 {
			sleep(time.Second)
		}
		wantFetches(t, s, e, 2, 0)
		e.set(serve(document(key("a", 1), key("b", 2))))
		wantKey(t, s, "b")
		wantFetches(t, s, e, 3, 1)
	})
}

func TestB15ImpossibleKid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1), key(strings.Repeat("k", 256), 2))))
		for _, kid := range []string{"", strings.Repeat("k", 257), strings.Repeat("k", 64<<10)} {
			wantError(t, s, kid, ErrUnknownKey, 0)
		}
		wantKey(t, s, strings.Repeat("k", 256))
		wantFetches(t, s, e, 1, 0)
		for _, kid := range []string{"../../x", "\x00", "https://evil.test/", "\u0430"} { // the last is a Cyrillic a
			wantError(t, s, kid, ErrUnknownKey, 0)
		}
		wantFetches(t, s, e, 2, 1)
	})
}

// TestWait: a caller waits two seconds at most, or as long as its context.
func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		e.set(hang)
		var callers sync.WaitGroup
		callers.Go(func() { wantError(t, s, "b", ErrUnavailable, maxWait) })
		callers.Go(func() { wantError(t, s, "c", errTooSlow, maxWait) })
		callers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			before := time.Now()
			if _, err := s.Key(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnknownKey) {
				t.Errorf("got %v, want the context's error", err)
			}
			if d := time.Since(before); d != time.Second {
				t.Errorf("waited %v, want a second", d)
			}
		})
		callers.Wait()
		wantFetches(t, s, e, 2, 1)
		if n := s.Stats().Waiters; n != 0 {
			t.Errorf("got %d waiters, want none", n)
		}
	})
}

// TestD18KnownKid: whoever has a known kid causes no request.
func TestD18KnownKid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		for range 10_000 {
			wantKey(t, s, "a")
		}
		sleep(time.Minute)
		wantFetches(t, s, e, 1, 0)
	})
}

func TestD20FirstWaiterLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		e.set(slow(time.Second, serve(document(key("a", 1), key("b", 2)))))
		ctx, leave := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := s.Key(ctx, "b"); !errors.Is(err, context.Canceled) {
				t.Errorf("the first: got %v, want its context's error", err)
			}
		})
		settle()
		callers.Go(func() {
			if _, err := s.Key(t.Context(), "b"); err != nil {
				t.Errorf("the second: got %v, want the key", err)
			}
		})
		settle()
		leave()
		callers.Wait()
		wantFetches(t, s, e, 2, 1)
		wantKey(t, s, "b")
	})
}

// TestD20AllLeave: the fetch goes on even then.
func TestD20AllLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		e.set(slow(time.Second, serve(document(key("a", 1), key("b", 2)))))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := s.Key(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		sleep(time.Second)
		wantKey(t, s, "b")
		wantFetches(t, s, e, 2, 1)
	})
}

// duringTimerFetch starts a timer fetch of one second's length that will bring doc,
// and returns while it runs. The fetch after it brings then.
func duringTimerFetch(t *testing.T, doc, then string) (*Set, *endpoint) {
	t.Helper()
	s, e := start(t, Config{}, serve(document(key("a", 1)), "Cache-Control: max-age=60"))
	n := 0
	e.set(func(r *http.Request) (*http.Response, error) {
		if n++; n == 1 {
			return slow(time.Second, serve(doc))(r)
		}
		return serve(then)(r)
	})
	for e.count() < 2 {
		sleep(100 * time.Millisecond)
	}
	return s, e
}

// TestKidDuringTimerFetch: the timer's answer was asked for before the question, so
// another fetch follows for the kid that it does not bring.
func TestKidDuringTimerFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := duringTimerFetch(t, document(key("a", 1)), document(key("a", 1), key("b", 2)))
		if k, err := s.Key(t.Context(), "b"); err != nil || k.ID() != "b" {
			t.Errorf("got %v, %v, want the key of the second fetch", k, err)
		}
		wantFetches(t, s, e, 3, 1)
	})
}

// TestKidFromTimerFetch: the timer's answer serves if it brings the key, and no
// other fetch follows.
func TestKidFromTimerFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := duringTimerFetch(t, document(key("a", 1), key("b", 2)), "never")
		if k, err := s.Key(t.Context(), "b"); err != nil || k.ID() != "b" {
			t.Errorf("got %v, %v, want the key of the timer's fetch", k, err)
		}
		settle()
		wantFetches(t, s, e, 2, 0)
	})
}

// TestAllLeaveDuringTimerFetch: the fetch that was promised goes on even if the
// timer's runs, and nobody waits any more.
func TestAllLeaveDuringTimerFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := duringTimerFetch(t, document(key("a", 1)), document(key("a", 1), key("b", 2)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := s.Key(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		sleep(time.Second)
		wantFetches(t, s, e, 3, 1) // before anybody asks again
		wantKey(t, s, "b")
	})
}

// TestOneKidFromTimerFetch: who has what it asked for does not wait for the others.
func TestOneKidFromTimerFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := duringTimerFetch(t, document(key("a", 1), key("b", 2)), "")
		asked := time.Now()
		var callers sync.WaitGroup
		callers.Go(func() { wantError(t, s, "c", errTooSlow, maxWait) })
		settle()
		e.set(hang) // the fetch that follows for c
		if k, err := s.Key(t.Context(), "b"); err != nil || k.ID() != "b" {
			t.Errorf("got %v, %v, want the key of the timer's fetch", k, err)
		}
		if d := time.Since(asked); d > time.Second {
			t.Errorf("waited %v, want no longer than the timer's fetch", d)
		}
		callers.Wait()
		wantFetches(t, s, e, 3, 1)
	})
}

// TestKidDuringFailingTimerFetch: a failure begins a back-off, so whoever waits is
// told at once.
func TestKidDuringFailingTimerFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := duringTimerFetch(t, "<html>", document(key("a", 1)))
		if _, err := s.Key(t.Context(), "b"); !errors.Is(err, ErrUnavailable) || !errors.Is(err, jose.ErrKeySet) {
			t.Errorf("got %v, want unavailable and the cause", err)
		}
		wantFetches(t, s, e, 2, 0)
		sleep(time.Second)
		wantState(t, s, StateFresh)
		wantFetches(t, s, e, 3, 0)
	})
}

// TestSuccessorKeepsTheAnswer: a timer's success within the ten seconds does not
// forget that an answer for a kid is current.
func TestSuccessorKeepsTheAnswer(t *testing.T) {
	t.Parallel()
	asked := time.Now()
	old := &snapshot{askedAt: asked}
	if next, _, _ := old.successor(nil, asked.Add(time.Second), false); !next.askedAt.Equal(asked) {
		t.Errorf("got %v, want %v", next.askedAt, asked)
	}
}

// TestLateExpiry: an expiry that was about to run when a fetch succeeded is void.
func TestLateExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, Config{}, serve(document(key("a", 1))))
		old := s.current.Load()
		sleep(17 * time.Minute)
		s.expire(old)
		wantKey(t, s, "a")
		wantState(t, s, StateFresh)
	})
}

// TestKeysDieBeforeTheWait: whoever saw no key, and then finds under the lock that there
// are none any more, neither waits nor gets a key that was there.
func TestKeysDieBeforeTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		want := func(kid string, want error) {
			t.Helper()
			before := time.Now()
			if k, err := s.unknown(t.Context(), kid); k != nil || !errors.Is(err, ErrUnavailable) || !errors.Is(err, want) {
				t.Errorf("%s: got %v, %v, want %v", kid, k, err, want)
			}
			if d := time.Since(before); d != 0 {
				t.Errorf("%s: waited %v, want no wait", kid, d)
			}
		}
		e.set(down)
		sleep(maxStale)
		want("a", errStatus)
		want("b", errStatus)
		e.set(serve(document(key("a", 1))))
		sleep(maxBackoff)
		wantState(t, s, StateFresh)
		s.Close()
		want("a", errClosed)
		want("b", errClosed)
	})
}

// TestKidComesBeforeTheWait: whoever saw no key, and then finds under the lock that it
// has come, gets it, and causes no fetch.
func TestKidComesBeforeTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		want := func(fetches int) {
			t.Helper()
			if k, err := s.unknown(t.Context(), "a"); err != nil || k.ID() != "a" {
				t.Errorf("got %v, %v, want the key", k, err)
			}
			settle()
			wantFetches(t, s, e, fetches+1, fetches)
		}
		want(0)
		wantError(t, s, "b", ErrUnknownKey, 0) // from now on the answer is final for ten seconds
		want(1)
	})
}

// TestKeysDieDuringTheWait: whoever waits and wakes up late, when the keys that the
// fetch brought are gone again, gets none of them.
func TestKeysDieDuringTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		e.set(serve(document(key("a", 1), key("b", 2))))
		f, _, err := s.join("b")
		if err != nil {
			t.Fatal(err)
		}
		settle() // the fetch ends
		if _, ok := s.Lookup("b"); !ok {
			t.Fatal("the fetch did not bring the key")
		}
		s.Close()
		if k, err := s.await(t.Context(), f, "b"); k != nil || !errors.Is(err, ErrUnavailable) || !errors.Is(err, errClosed) {
			t.Errorf("got %v, %v, want no key: the set is closed", k, err)
		}
		s.leave(f, "b")
	})
}

// TestD21OwnSet: a kid is looked up in its issuer's own set.
func TestD21OwnSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, _ := start(t, Config{}, serve(document(key("same", 1), key("one", 2))))
		two, _ := start(t, Config{}, serve(document(key("same", 3))))
		a, _ := one.Lookup("same")
		b, _ := two.Lookup("same")
		if a.Fingerprint() == b.Fingerprint() {
			t.Error("two issuers share a key")
		}
		wantError(t, two, "one", ErrUnknownKey, 0)
	})
}

// TestD22Monotonic: the times that decide have their monotonic reading.
func TestD22Monotonic(t *testing.T) {
	t.Parallel()
	s, _ := start(t, Config{}, serve(document(key("a", 1))))
	_, err := s.Key(t.Context(), "b")
	for errors.Is(err, errTooSlow) { // not in a bubble, where no time has a monotonic reading
		_, err = s.Key(t.Context(), "b")
	}
	if !errors.Is(err, ErrUnknownKey) {
		t.Fatal(err)
	}
	snap := s.current.Load()
	s.mu.Lock()
	kidFetchAt := s.kidFetchAt
	s.mu.Unlock()
	for name, at := range map[string]time.Time{"fetchedAt": snap.fetchedAt, "askedAt": snap.askedAt, "kidFetchAt": kidFetchAt, "born": s.born} {
		if !strings.Contains(at.String(), " m=") {
			t.Errorf("%s has no monotonic reading", name)
		}
	}
}
