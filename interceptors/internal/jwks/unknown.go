// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"context"
	"fmt"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
)

// unknown is the rule for a kid that was not in the snapshot.
func (s *Set) unknown(ctx context.Context, kid string) (*jose.Key, error) {
	f, k, err := s.join(kid)
	if f == nil {
		return k, err
	}
	defer s.leave(f, kid)
	return s.await(ctx, f, kid)
}

// join decides under the lock, where no fetch can end in between: the kid is there
// by now, or the answer is an error, or the caller becomes a waiter of a flight.
func (s *Set) join(kid string) (*flight, *jose.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := s.current.Load()
	if snap.dead != nil {
		return nil, nil, snap.dead
	}
	if k, ok := snap.keys[kid]; ok {
		return nil, k, nil
	}
	switch {
	case !snap.askedAt.IsZero() && time.Since(snap.askedAt) < minRefetch:
		return nil, nil, ErrUnknownKey
	case s.fault != nil:
		return nil, nil, fmt.Errorf("%w: %w", ErrUnavailable, s.fault)
	case s.flight == nil && !s.kidFetchAt.IsZero() && time.Since(s.kidFetchAt) < minRefetch:
		// It failed, else its answer were current. A success of the timer since then
		// ended the back-off, which must not let strangers cause the next fetch.
		return nil, nil, fmt.Errorf("%w: %w", ErrUnavailable, errTooSoon)
	case s.waiters >= maxWaiters:
		return nil, nil, fmt.Errorf("%w: %w", ErrUnavailable, errCrowded)
	}
	if s.flight == nil {
		s.flight = &flight{kids: map[string]int{}, done: make(chan struct{})}
		select {
		case s.kick <- struct{}{}:
		default: // a kick that no flight needs any more is still there: it serves
		}
	}
	s.flight.kids[kid]++
	s.waiters++
	return s.flight, nil, nil
}

// leave takes the caller's kid with it, so that a flight does not grow with those
// who come and go.
func (s *Set) leave(f *flight, kid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiters--
	if f.kids[kid]--; f.kids[kid] == 0 {
		delete(f.kids, kid)
	}
}

// await waits for the flight, or for another fetch that brings the key earlier.
func (s *Set) await(ctx context.Context, f *flight, kid string) (*jose.Key, error) {
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	for {
		snap := s.current.Load()
		if k, ok := snap.keys[kid]; ok && snap.dead == nil {
			return k, nil
		}
		select {
		case <-snap.replaced:
		case <-f.done:
			return s.landed(f, kid)
		case <-timer.C:
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, errTooSlow)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// landed is the flight's answer.
func (s *Set) landed(f *flight, kid string) (*jose.Key, error) {
	if f.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, f.err)
	}
	snap := s.current.Load()
	if snap.dead != nil {
		return nil, snap.dead
	}
	if k, ok := snap.keys[kid]; ok {
		return k, nil
	}
	return nil, ErrUnknownKey
}
