// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Stats says how a source is doing. Counters count since [NewClientCredentials]. It
// holds no token and no secret.
type Stats struct {
	// Tokens is how many tokens the endpoint gave, also those that could not be used:
	// each costs money.
	Tokens uint64
	// Requests is how many token requests were sent.
	Requests uint64
	// Fetches is how many fetches began: up to four requests each.
	Fetches uint64
	// Failures is how many fetches failed.
	Failures uint64
	// Retries is how many calls were repeated with another token after a server refused
	// the first, and RetriesFailed how many of them failed all the same. A stream failed
	// if nothing was received on it.
	Retries, RetriesFailed uint64
	// SuppressedBackoff is how often a call got the last failure, because it was too
	// early for another try: one without a token, or with one that a server refused.
	SuppressedBackoff uint64
	// SuppressedCooldown is how often a refused token was not replaced, because the
	// fetch before for this reason was less than 60 s ago.
	SuppressedCooldown uint64
	// SuppressedIdle is how often [KeepWarm] did not renew a token, because it was not
	// used.
	SuppressedIdle uint64
	// Sets are the sets of scopes that were asked for, sorted by their scopes.
	Sets []SetStats
}

// SetStats are about the token for one set of scopes.
type SetStats struct {
	Scopes []string // sorted; none means all that the client has
	// State is EMPTY, FRESH, STALE, SUSPECT (the time of day says that the token has
	// ended, the other clock does not), EXPIRED, BACKOFF (no token, and too early for the
	// next try), DENIED (the same, and the failure would come again) or CLOSED.
	State string
	// Remaining is how long the token will be given out; 0 if there is none.
	Remaining time.Duration
	// Waiters is how many calls wait for a fetch.
	Waiters int
	// LastError is the last failure, nil if a success followed.
	LastError error
}

// counts are the counters behind Stats. None is written on the path of a call that
// finds its token.
type counts struct {
	tokens, requests, fetches, failures, retries, retriesFailed, backoff, cooldown, idle atomic.Uint64
}

// suppressed counts a call that has to do with no fetch.
func (n *counts) suppressed(err error) {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok || e.reason == ReasonClosed:
	case e.reason == ReasonRejected:
		n.cooldown.Add(1)
	default:
		n.backoff.Add(1)
	}
}

// Stats returns the present figures. It may be called at any time, also after Close.
func (c *ClientCredentials) Stats() Stats {
	stats := Stats{
		Tokens: c.counts.tokens.Load(), Requests: c.counts.requests.Load(),
		Fetches: c.counts.fetches.Load(), Failures: c.counts.failures.Load(),
		Retries: c.counts.retries.Load(), RetriesFailed: c.counts.retriesFailed.Load(),
		SuppressedBackoff: c.counts.backoff.Load(), SuppressedCooldown: c.counts.cooldown.Load(), SuppressedIdle: c.counts.idle.Load(),
	}
	for _, set := range *c.sets.Load() {
		stats.Sets = append(stats.Sets, c.statsOf(set))
	}
	slices.SortFunc(stats.Sets, func(a, b SetStats) int {
		return cmp.Compare(strings.Join(a.Scopes, " "), strings.Join(b.Scopes, " "))
	})
	return stats
}

func (c *ClientCredentials) statsOf(set *tokenSet) SetStats {
	set.mu.Lock()
	defer set.mu.Unlock()
	mono, wall := c.clock.hands()
	held := set.current.Load()
	stats := SetStats{Scopes: slices.Clone(set.scopes), Waiters: int(set.waiters.Load())}
	if set.lastErr != nil {
		stats.LastError = set.lastErr
	}
	if held != nil {
		stats.Remaining = max(held.hardAt-mono, 0)
	}
	switch {
	case c.closed.Load():
		stats.State, stats.Remaining = "CLOSED", 0
	case stats.Remaining > 0 && wall >= held.over:
		stats.State = "SUSPECT"
	case stats.Remaining > 0 && mono >= held.refreshAt:
		stats.State = "STALE"
	case stats.Remaining > 0:
		stats.State = "FRESH"
	case set.lastErr != nil && mono < set.nextTry && set.lastErr.transient:
		stats.State = "BACKOFF"
	case set.lastErr != nil && mono < set.nextTry:
		stats.State = "DENIED"
	case held != nil:
		stats.State = "EXPIRED"
	default:
		stats.State = "EMPTY"
	}
	return stats
}
