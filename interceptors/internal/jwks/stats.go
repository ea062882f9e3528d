// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import "time"

// State names the states of the package comment.
type State string

// The states.
const (
	// StateFresh: the last fetch succeeded.
	StateFresh State = "FRESH"
	// StateStale: the last fetch failed; the last good keys serve.
	StateStale State = "STALE"
	// StateDead: the keys are too old; nobody gets one.
	StateDead State = "DEAD"
	// StateClosed: Close was called.
	StateClosed State = "CLOSED"
)

// Stats says how a set is doing. Counters count since [New].
type Stats struct {
	Fetches    uint64 // requests sent, of all kinds
	KidFetches uint64 // those that an unknown kid caused
	Failures   uint64 // those that failed
	Rejected   uint64 // failures by a document that was not acceptable
	State      State
	KeyAge     time.Duration // since the last success
	KeyIDs     []string      // sorted
	Generation uint64
	Waiters    int   // callers who wait for a fetch now
	LastError  error // the last failure, nil if a success followed
}

// Stats returns the present figures.
func (s *Set) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := s.current.Load()
	return Stats{
		Fetches:    s.fetches.Load(),
		KidFetches: s.kidFetches.Load(),
		Failures:   s.failures.Load(),
		Rejected:   s.rejected.Load(),
		State:      s.state(snap),
		KeyAge:     time.Since(snap.fetchedAt),
		KeyIDs:     snap.keyIDs(),
		Generation: snap.generation,
		Waiters:    s.waiters,
		LastError:  s.fault,
	}
}

// state names the state of snap, the current snapshot; s.mu is held.
func (s *Set) state(snap *snapshot) State {
	switch {
	case s.closed:
		return StateClosed
	case snap.dead != nil:
		return StateDead
	case s.fault != nil:
		return StateStale
	default:
		return StateFresh
	}
}
