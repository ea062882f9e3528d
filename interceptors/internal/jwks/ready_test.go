// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// witness is a hook for OnReady. It objects to two equal calls in a row, to two calls
// at a time and to calls after Close, and remembers them.
type witness struct {
	t      *testing.T
	closed atomic.Bool // the test sets it when Close has returned
	inside atomic.Bool
	mu     sync.Mutex
	told   []bool
}

func (w *witness) hook(ready bool) {
	if w.inside.Swap(true) {
		w.t.Error("two calls at a time")
	}
	defer w.inside.Store(false)
	if w.closed.Load() {
		w.t.Errorf("told %v after Close", ready)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.told); n > 0 && w.told[n-1] == ready || n == 0 && !ready {
		w.t.Errorf("told %v after %v, want a change", ready, w.told)
	}
	w.told = append(w.told, ready)
}

func (w *witness) want(told ...bool) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.told, told) {
		w.t.Fatalf("told %v, want %v", w.told, told)
	}
}

// TestOnReady goes through all states.
func TestOnReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &witness{t: t}
		s, e := start(t, Config{OnReady: w.hook}, serve(document(key("a", 1))))
		w.want(true)
		sleep(17 * time.Minute)
		e.set(serve(document(key("b", 2))))
		sleep(17 * time.Minute)
		e.set(down)
		sleep(maxStale - 20*time.Minute)
		wantState(t, s, StateStale)
		w.want(true)
		sleep(20 * time.Minute)
		wantState(t, s, StateDead)
		w.want(true, false)
		e.set(serve(document(key("b", 2))))
		sleep(maxBackoff)
		w.want(true, false, true)
		s.Close()
		w.closed.Store(true)
		w.want(true, false, true, false)
		s.Close()
		sleep(2 * maxStale)
		w.want(true, false, true, false)
	})
}

// TestOnReadyIsPunctual: the death of the keys is told on time.
func TestOnReadyIsPunctual(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &witness{t: t}
		_, e := start(t, Config{OnReady: w.hook}, serve(document(key("a", 1))))
		e.set(down)
		sleep(maxStale - time.Nanosecond)
		w.want(true)
		sleep(time.Nanosecond)
		w.want(true, false)
	})
}

func TestOnReadyOfDeadSetIsNotToldAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &witness{t: t}
		s, e := start(t, Config{OnReady: w.hook}, serve(document(key("a", 1))))
		e.set(down)
		sleep(2 * maxStale)
		w.want(true, false)
		s.Close()
		w.want(true, false)
	})
}

func TestOnReadyOffline(t *testing.T) {
	t.Parallel()
	w := &witness{t: t}
	s, err := New(t.Context(), Config{Offline: true, Static: []byte(document(key("a", 1))), OnReady: w.hook})
	if err != nil {
		t.Fatal(err)
	}
	w.want(true)
	s.Close()
	w.want(true, false)
}

// TestOnReadyStatic: the start of static keys is told, their replacement is none.
func TestOnReadyStatic(t *testing.T) {
	t.Parallel()
	for _, lazy := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := &witness{t: t}
			cfg := Config{Static: []byte(document(key("a", 1))), Lazy: lazy, OnReady: w.hook}
			var s *Set
			var e *endpoint
			if lazy {
				s, e = start(t, cfg, down)
			} else {
				s, e = startStatic(t, cfg, down)
			}
			w.want(true)
			e.set(serve(document(key("b", 1))))
			sleep(maxBackoff)
			wantKey(t, s, "b")
			w.want(true)
			s.Close()
			w.want(true, false)
		})
	}
}

func TestOnReadyLazy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &witness{t: t}
		s, e := start(t, Config{Lazy: true, OnReady: w.hook}, down)
		sleep(2 * maxStale)
		w.want()
		e.set(serve(document(key("a", 1))))
		sleep(maxBackoff)
		w.want(true)
		s.Close()
		w.want(true, false)
	})
}

// TestOnReadyOfFailedNew: there was no change.
func TestOnReadyOfFailedNew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{handler: down}
		w := &witness{t: t}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := New(ctx, Config{URL: testURL, Client: e.client(), OnReady: w.hook}); err == nil {
			t.Error("got no error")
		}
		w.want()
	})
}

// TestOnReadyMayAsk: the hook may use the set, and finds what it is told.
func TestOnReadyMayAsk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var set atomic.Pointer[Set]
		var asked []string
		s, e := start(t, Config{Lazy: true, OnReady: func(ready bool) {
			s := set.Load()
			_, found := s.Lookup("a")
			_, err := s.Key(t.Context(), "a")
			stats := s.Stats()
			if s.Ready() != ready || found != ready || (err == nil) != ready || s.Current(stats.Generation) != ready {
				t.Errorf("told %v: got ready %v, found %v, %v", ready, s.Ready(), found, err)
			}
			asked = append(asked, fmt.Sprintf("%v %s", ready, stats.State))
		}}, slow(time.Second, serve(document(key("a", 1)))))
		set.Store(s)
		sleep(time.Second)
		e.set(down)
		sleep(maxStale + time.Hour)
		e.set(serve(document(key("a", 1))))
		sleep(maxBackoff)
		s.Close()
		if want := "[true FRESH false DEAD true FRESH false CLOSED]"; fmt.Sprint(asked) != want {
			t.Errorf("got %v, want %s", asked, want)
		}
	})
}

// TestOnReadyTellsEachChange: changes while the hook runs are told afterwards, in
// their order, and those that cancel each other out as well.
func TestOnReadyTellsEachChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &witness{t: t}
		var hold atomic.Bool
		release := make(chan struct{})
		s, e := start(t, Config{OnReady: func(ready bool) {
			if hold.Load() {
				<-release
			}
			w.hook(ready)
		}}, serve(document(key("a", 1))))
		hold.Store(true)
		e.set(down)
		sleep(maxStale)
		wantState(t, s, StateDead) // though the hook is stuck
		e.set(serve(document(key("a", 1))))
		sleep(maxBackoff)
		wantState(t, s, StateFresh)
		sleep(maxStale)
		wantState(t, s, StateDead) // the fetching goroutine is stuck, too
		w.want(true)
		close(release)
		settle()
		w.want(true, false, true, false)
		sleep(17 * time.Minute)
		w.want(true, false, true, false, true)
	})
}
