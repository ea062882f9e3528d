// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import "time"

// State names the states of the package comment.
type State string

// The states.
const (
	// StateEmpty: there were no keys so far; nobody gets one.
	StateEmpty State = "EMPTY"
	// StateFresh: the last fetch succeeded.
	StateFresh State = "FRESH"
	// StateStale: the last fetch failed, and the last good keys serve; or none has
	// succeeded yet, and the static keys do.
	StateStale State = "STALE"
	// StateStatic: the static keys serve, and nothing is ever fetched.
	StateStatic State = "STATIC"
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
	KeyAge     time.Duration // since the last success, or since New if there was none
	KeyIDs     []string      // sorted
	Ignored    int           // entries of the keys' document that are not used
	Static     bool          // the keys are those of Config.Static
	Generation uint64
	Waiters    int   // callers who wait for a fetch now
	LastError  error // the last failure, nil if a success followed
}

// Stats returns the present figures.
func (s *Set) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := s.current.Load()
	since := snap.fetchedAt
	if since.IsZero() {
		since = s.born
	}
	return Stats{
		Fetches:    s.fetches.Load(),
		KidFetches: s.kidFetches.Load(),
		Failures:   s.failures.Load(),
		Rejected:   s.rejected.Load(),
		State:      s.state(snap),
		KeyAge:     time.Since(since),
		KeyIDs:     snap.keyIDs(),
		Ignored:    snap.ignored,
		Static:     snap.static(),
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
	case snap.empty():
		return StateEmpty
	case snap.dead != nil:
		return StateDead
	case s.cfg.Offline:
		return StateStatic
	case s.fault != nil || snap.static():
		return StateStale
	default:
		return StateFresh
	}
}
