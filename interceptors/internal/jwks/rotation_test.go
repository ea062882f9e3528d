// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestD14KeyAddedByTimer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var changes []string
		s, e := start(t, Config{OnRotate: func(added, removed []string) {
			changes = append(changes, fmt.Sprint(added, removed))
		}}, serve(document(key("a", 1))))
		old, _ := s.Lookup("a")
		generation := s.Generation()
		sleep(17 * time.Minute)
		if s.Generation() != generation || len(changes) != 0 {
			t.Errorf("the same document: got generation %d, changes %v", s.Generation(), changes)
		}
		e.set(serve(document(key("c", 3), key("b", 2), key("a", 1))))
		sleep(17 * time.Minute)
		wantKey(t, s, "b")
		if k, _ := s.Lookup("a"); k != old {
			t.Error("the old key has another pointer, want tokens that were verified with it to stay so")
		}
		if s.Generation() != generation+1 || fmt.Sprint(changes) != "[[b c] []]" {
			t.Errorf("got generation %d, changes %v, want one more and b, c added", s.Generation(), changes)
		}
		wantFetches(t, s, e, 3, 0)
	})
}

func TestD15KeyRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var changes []string
		s, e := start(t, Config{OnRotate: func(added, removed []string) {
			changes = append(changes, fmt.Sprint(added, removed))
		}}, serve(document(key("a", 1), key("b", 2))))
		generation := s.Generation()
		e.set(serve(document(key("b", 2))))
		wantKey(t, s, "a")
		sleep(17 * time.Minute)
		if _, ok := s.Lookup("a"); ok {
			t.Error("the removed key is still there, want the set replaced, not merged")
		}
		wantError(t, s, "a", ErrUnknownKey, 0)
		wantKey(t, s, "b")
		if s.Generation() != generation+1 || fmt.Sprint(changes) != "[[] [a]]" {
			t.Errorf("got generation %d, changes %v, want one more and a removed", s.Generation(), changes)
		}
	})
}

func TestD13KidReused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var changes []string
		s, e := start(t, Config{OnRotate: func(added, removed []string) {
			changes = append(changes, fmt.Sprint(added, removed))
		}}, serve(document(key("a", 1))))
		old, _ := s.Lookup("a")
		generation := s.Generation()
		e.set(serve(document(key("a", 2))))
		sleep(17 * time.Minute)
		if k, ok := s.Lookup("a"); !ok || k == old || k.Fingerprint() == old.Fingerprint() {
			t.Error("the old material is still there")
		}
		if s.Generation() != generation+1 || fmt.Sprint(changes) != "[[a] [a]]" {
			t.Errorf("got generation %d, changes %v, want one more and a in both lists", s.Generation(), changes)
		}
	})
}

// TestD16Rotation: many callers of a new kid share one fetch, callers of the old
// one notice nothing.
func TestD16Rotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("old", 1))))
		e.set(slow(100*time.Millisecond, serve(document(key("old", 1), key("new", 2)))))
		var callers sync.WaitGroup
		for range maxWaiters {
			callers.Go(func() {
				before := time.Now()
				if k, err := s.Key(t.Context(), "new"); err != nil || k.ID() != "new" {
					t.Errorf("got %v, %v, want the new key", k, err)
				}
				if d := time.Since(before); d != 100*time.Millisecond {
					t.Errorf("waited %v, want one fetch", d)
				}
			})
		}
		for range 1000 {
			wantKey(t, s, "old")
		}
		callers.Wait()
		wantFetches(t, s, e, 2, 1)
	})
}
