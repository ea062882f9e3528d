// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// Warm gets tokens before the first call, so that it does not wait for one. With scopes it
// gets the token for them: they must be those that a connection selects, since each other
// set of scopes is a token that is paid for and not used. Without scopes it gets the tokens
// of all connections that were made with this source before, one after the other; if there
// are none, the one with all scopes that the client has.
//
// It returns the error that the first call would have got, of several the first. It may be
// called again: it asks for a token as a call does, so it also renews one. See
// [SpreadWarm] for programs that start in great numbers.
func (c *ClientCredentials) Warm(ctx context.Context, scopes ...string) error {
	if len(scopes) > 0 {
		return c.warm(ctx, scopes)
	}
	var first error
	for _, selected := range c.selected() {
		if err := c.warm(ctx, selected); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// selected returns the sets of scopes that connections selected, or all scopes.
func (c *ClientCredentials) selected() [][]string {
	var sets [][]string
	for _, set := range *c.sets.Load() {
		if set.selected.Load() {
			sets = append(sets, set.scopes)
		}
	}
	if len(sets) == 0 {
		return [][]string{nil}
	}
	slices.SortFunc(sets, slices.Compare)
	return sets
}

func (c *ClientCredentials) warm(ctx context.Context, scopes []string) error {
	set, err := c.set(scopes)
	if err != nil {
		return err
	}
	if err := c.refuse(ctx); err != nil {
		return err
	}
	if c.cfg.spreadWarm > 0 && set.current.Load() == nil {
		timer := time.NewTimer(rand.N(c.cfg.spreadWarm)) //nolint:gosec // spreads load
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.closing:
			return closedError()
		case <-ctx.Done():
			return contextError(ctx.Err())
		}
	}
	_, err = c.obtain(ctx, set, want{warm: true})
	return err
}

// SpreadWarm makes [ClientCredentials.Warm] wait a random time up to longest before it
// asks for a first token. Cognito allows 150 token requests in a second for all pools
// of an account and region, which the start of a large fleet would use up; 5 s are
// enough for 750 processes. Calls do not wait for it. The default is not to wait.
func SpreadWarm(longest time.Duration) Option {
	return option("SpreadWarm", forSource, func(cfg *config) error {
		if longest <= 0 {
			return usageErrorf("%v is no time to wait", longest)
		}
		cfg.spreadWarm = longest
		return nil
	})
}

// KeepWarm makes a source renew tokens by a timer, when 75 to 85 % of their life are
// over, so that a call finds a fresh one also after a pause. Without it the first call
// after that time starts the renewal, and one that comes after the token's end waits.
// A token that was not used since it was fetched is not renewed: tokens cost money. So a
// program that calls no more pays for one token more.
func KeepWarm() Option {
	return option("KeepWarm", forSource, func(cfg *config) error {
		cfg.keepWarm = true
		return nil
	})
}

// setAlarm makes KeepWarm look at the set again. The caller holds set.mu.
func (c *ClientCredentials) setAlarm(set *tokenSet, after time.Duration) {
	switch {
	case !c.cfg.keepWarm || c.closed.Load() || set.current.Load() == nil:
	case set.alarm == nil:
		set.alarm = time.AfterFunc(after, func() { c.alarmed(set) })
	default:
		set.alarm.Reset(after)
	}
}

// silence ends what setAlarm began.
func (set *tokenSet) silence() {
	set.mu.Lock()
	defer set.mu.Unlock()
	if set.alarm != nil {
		set.alarm.Stop()
	}
}

// alarmed renews the token if it is time and the token is in use. The end of a flight
// sets the next alarm.
func (c *ClientCredentials) alarmed(set *tokenSet) {
	set.mu.Lock()
	defer set.mu.Unlock()
	now, held := c.clock.mono(), set.current.Load()
	switch {
	case set.flight != nil || now >= held.hardAt:
		return // from the end on it is as without KeepWarm
	case now < held.refreshAt:
		c.setAlarm(set, held.refreshAt-now)
		return
	case !held.used.Load():
		c.counts.idle.Add(1)
		return
	}
	if turn := c.turn(set, now); now < turn {
		c.setAlarm(set, turn-now)
		return
	}
	_, _ = c.start(set, CauseWarm, 0) // a closed source starts nothing
}

// WaitInBackoff makes calls without a token wait for the next try after a failure, and
// share its outcome, where they would get the last failure at once. That is up to 10 s
// away, or up to 33 s if the token endpoint asks for it. A refusal, which another try
// would meet again, still comes at once. A secret that could not be read is read again at
// that try, and not looked for before.
func WaitInBackoff() Option {
	return option("WaitInBackoff", forSource, func(cfg *config) error {
		cfg.waitInBackoff = true
		return nil
	})
}
