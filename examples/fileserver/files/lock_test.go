// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestLockIsExclusive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l locks
		release, err := l.acquire(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		got := false
		go func() {
			release, err := l.acquire(t.Context(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			got = true
			release()
		}()
		synctest.Wait()
		if got {
			t.Error("a second caller got a lock that is held")
		}
		release()
		synctest.Wait()
		if !got {
			t.Error("the waiting caller did not get the lock that was given back")
		}
		if len(l.held) != 0 {
			t.Errorf("%d locks are kept that nobody uses, want 0", len(l.held))
		}
	})
}

func TestLocksOfOtherKeysAreFree(t *testing.T) {
	t.Parallel()
	var l locks
	for _, key := range []string{"a", "b", ""} {
		release, err := l.acquire(t.Context(), key)
		if err != nil {
			t.Fatalf("acquire %q: %v", key, err)
		}
		defer release()
	}
}

func TestWaiterLeavesWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l locks
		release, err := l.acquire(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			_, err := l.acquire(ctx, "a")
			result <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		release()
		if len(l.held) != 0 {
			t.Errorf("%d locks are kept that nobody uses, want 0", len(l.held))
		}
	})
}
