// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// setOfAll returns the state for the token of all scopes.
func setOfAll(t *testing.T, c *ClientCredentials) *tokenSet {
	t.Helper()
	set, err := c.set(nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestTokenThatCameMeanwhile: a caller saw no token and then waited for the lock, while
// a fetch ended. It takes that token and pays for no other.
func TestTokenThatCameMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{}
		c := newSource(t, endpoint)
		value(t, c)
		time.Sleep(minFetchGap)
		f, held, err := c.join(setOfAll(t, c), want{})
		if f != nil || err != nil || held == nil || held.token.Value() != opaque(0) {
			t.Errorf("got a flight: %v, a token: %v, the error %v, want token 0 alone", f != nil, held != nil, err)
		}
		wantCount(t, endpoint, 1)
	})
}

// TestRenewalOfAnother: callers saw a stale token and then waited for the lock, while
// another began its renewal, or ended it. They begin none.
func TestRenewalOfAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
			r := ok(n, 3600)
			r.after = time.Second
			return r
		}}
		c := newSource(t, endpoint)
		value(t, c)
		time.Sleep(52 * time.Minute)
		value(t, c)
		c.renew(setOfAll(t, c))
		c.alarmed(setOfAll(t, c)) // as the timer of KeepWarm
		wantCount(t, endpoint, 2)
		time.Sleep(minFetchGap + time.Second)
		c.renew(setOfAll(t, c))
		wantCount(t, endpoint, 2)
	})
}

// TestNothingBeginsAfterClose: callers saw an open source and then waited for the lock,
// while it was closed.
func TestNothingBeginsAfterClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{}
		c := newSource(t, endpoint)
		set := setOfAll(t, c)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		_, _, err := c.join(set, want{})
		wantReason(t, err, ReasonClosed, codes.Canceled)
		c.renew(set)
		wantCount(t, endpoint, 0)
	})
}

// TestEndedFetchesAreForgotten: a program that runs for years makes many.
func TestEndedFetchesAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newSource(t, &fakeEndpoint{})
		value(t, c)
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if got := len(c.flights); got != 0 {
			t.Errorf("Close would wait for %d fetches, want 0", got)
		}
	})
}
