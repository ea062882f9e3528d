// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		e.set(hang)
		var waiters sync.WaitGroup
		for range 3 {
			waiters.Go(func() { wantError(t, s, "b", errClosed, time.Second) })
		}
		sleep(time.Second)
		for range 3 {
			waiters.Go(func() { s.Close() })
		}
		waiters.Wait()
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wantState(t, s, StateClosed)
		wantError(t, s, "a", ErrUnavailable, 0)
		wantError(t, s, "b", errClosed, 0)
		sleep(2 * maxStale)
		wantState(t, s, StateClosed)
		wantFetches(t, s, e, 2, 1)
		if n := s.Stats().Failures; n != 0 {
			t.Errorf("closing counts as %d failures", n)
		}
	})
}

// TestCloseTakesNoTime: it waits for no timer, neither of the next fetch nor of the death
// of the keys, however many there have been.
func TestCloseTakesNoTime(t *testing.T) {
	t.Parallel()
	for _, fetches := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			s, e := start(t, Config{}, serve(document(key("a", 1))))
			for e.count() < fetches {
				sleep(time.Minute)
			}
			before := time.Now()
			s.Close()
			if d := time.Since(before); d != 0 {
				t.Errorf("after %d fetches: took %v, want no time", fetches, d)
			}
		})
	}
}
