// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestD1LazyStart has the row D1: New returns at once, every call is unavailable
// until the first success, and strangers cause no request.
func TestD1LazyStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone, cancel := context.WithCancel(t.Context())
		cancel() // New needs it for nothing
		e := &endpoint{handler: slow(time.Second, down)}
		before := time.Now()
		s, err := New(gone, Config{
			URL: testURL, Client: e.client(), Lazy: true,
			OnRotate: func(added, removed []string) { t.Errorf("got changes %v %v", added, removed) },
		})
		if err != nil || time.Since(before) != 0 {
			t.Fatalf("got %v after %v, want no error at once", err, time.Since(before))
		}
		defer s.Close()
		settle()
		wantFetches(t, s, e, 1, 0)
		wantState(t, s, StateEmpty)
		wantError(t, s, "a", errNoAnswer, 0)
		wantError(t, s, "a", ErrUnavailable, 0)
		sleep(time.Second)
		wantError(t, s, "a", errStatus, 0) // the cause is told as soon as there is one
		for range 600 {
			wantError(t, s, name(int64(e.count())), ErrUnavailable, 0)
			time.Sleep(time.Second)
		}
		if stats := s.Stats(); stats.KidFetches != 0 || stats.Fetches > 300 || stats.KeyAge != 601*time.Second {
			t.Errorf("got %+v, want back-off, no fetch for a kid, and the age of the set", stats)
		}
		sleep(2 * maxStale)
		wantState(t, s, StateEmpty)
		wantStatic(t, s, false, 0)
		if s.Generation() != 0 || s.Current(0) {
			t.Errorf("got generation %d, current %v, want no keys", s.Generation(), s.Current(0))
		}

		e.set(serve(document(key("a", 1))))
		sleep(maxBackoff)
		wantKey(t, s, "a")
		wantState(t, s, StateFresh)
		if n := s.Stats().KidFetches; n != 0 {
			t.Errorf("got %d fetches for a kid, want none", n)
		}
	})
}

func TestLazyClosedWhileEmpty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{Lazy: true, OnReady: func(ready bool) { t.Errorf("got %v told, want no change", ready) }}, hang)
		sleep(time.Second)
		s.Close()
		wantState(t, s, StateClosed)
		wantError(t, s, "a", errClosed, 0)
		wantFetches(t, s, e, 1, 0)
	})
}

// TestLazyStatic: the static keys serve from the start, and a kid that is not among
// them gets the answer of the fetch that runs already.
func TestLazyStatic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{Lazy: true, Static: []byte(document(key("a", 1)))}, slow(time.Second, serve(document(key("b", 2)))))
		wantState(t, s, StateStale)
		wantKey(t, s, "a")
		settle()
		if k, err := s.Key(t.Context(), "b"); err != nil || k.ID() != "b" {
			t.Errorf("got %v, %v, want the key of the first fetch", k, err)
		}
		wantFetches(t, s, e, 1, 0)
		wantState(t, s, StateFresh)
		wantStatic(t, s, false, 0, "b")
	})
}
