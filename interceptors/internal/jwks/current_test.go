// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestCurrent: what was verified holds while the same keys serve.
func TestCurrent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		k, generation, ok := s.LookupWithGeneration("a")
		if found, _ := s.Lookup("a"); !ok || k != found || generation != s.Generation() {
			t.Errorf("got %v, %d, %v, want what Lookup and Generation say", k, generation, ok)
		}
		if k, g, ok := s.LookupWithGeneration("b"); ok || k != nil || g != generation {
			t.Errorf("unknown kid: got %v, %d, %v, want the generation and no key", k, g, ok)
		}
		want := func(generation uint64, want bool) {
			t.Helper()
			if got := s.Current(generation); got != want {
				t.Errorf("Current(%d) is %v, want %v", generation, got, want)
			}
		}
		want(generation, true)
		want(generation-1, false)
		want(generation+1, false)
		e.set(serve(document(key("a", 1), key("b", 2))))
		sleep(17 * time.Minute)
		want(generation, false)
		want(generation+1, true)
		e.set(down)
		sleep(maxStale)
		wantState(t, s, StateDead)
		want(generation+1, false)
		if k, g, ok := s.LookupWithGeneration("a"); ok || k != nil || g != generation+1 {
			t.Errorf("dead: got %v, %d, %v, want the generation and no key", k, g, ok)
		}
		e.set(serve(document(key("a", 1), key("b", 2))))
		sleep(maxBackoff)
		want(generation+1, true) // the same keys are back
		s.Close()
		want(generation+1, false)
	})
}
