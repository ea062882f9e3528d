// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"time"
)

// The bounds of what a token does that has ended by the wall hand alone. Either the
// machine slept, and the token has ended, or its time of day was set, and it has not.
const (
	// suspectPatience is how long calls wait for another token, from the beginning of
	// its fetch on.
	suspectPatience = time.Second
	// suspectPause is the least time between two such fetches for a set of scopes.
	suspectPause = 30 * time.Second
)

// replaceSuspect returns another token than held if there soon is one, else held, which
// may be over by then.
func (c *ClientCredentials) replaceSuspect(ctx context.Context, set *tokenSet, held *entry) (*entry, error) {
	f, patience := c.joinSuspect(set, held) //nolint:contextcheck // a flight has no context of a caller
	if f == nil || patience <= 0 {
		return set.current.Load(), nil
	}
	set.waiters.Add(1)
	defer set.waiters.Add(-1)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
	case <-c.closing:
		return nil, closedError()
	case <-ctx.Done():
		return nil, contextError(ctx.Err())
	}
	return set.current.Load(), nil
}

// joinSuspect returns the flight that gets another token and how long to wait for it.
func (c *ClientCredentials) joinSuspect(set *tokenSet, held *entry) (*flight, time.Duration) {
	set.mu.Lock()
	defer set.mu.Unlock()
	now := c.clock.mono()
	f := set.flight
	if f == nil {
		if set.current.Load() != held || now < set.suspectUntil || now < set.nextTry {
			return nil, 0
		}
		set.suspectUntil = now + suspectPause
		var err error
		if f, err = c.start(set, CauseSuspect, 0); err != nil {
			return nil, 0 // a source that is being closed
		}
	}
	return f, f.begun + suspectPatience - now
}
