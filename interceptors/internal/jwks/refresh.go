// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
)

// The back-off after failures.
const (
	firstBackoff = time.Second
	maxBackoff   = 5 * time.Minute
	// leastBackoff keeps full jitter from an attempt at once.
	leastBackoff = 100 * time.Millisecond
)

// run fetches until ctx ends. It is the only goroutine of a Set, and the only one
// that sends requests.
func (s *Set) run(ctx context.Context) {
	defer close(s.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.kick:
			if !s.wanted() {
				continue // another fetch has answered it
			}
		}
		interval, err := s.refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			interval = backoff(failures)
			failures++
		default:
			failures = 0
		}
		timer.Reset(interval)
	}
}

func (s *Set) wanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flight != nil
}

// refresh is one fetch with all its consequences. It returns how long the answer
// is good.
func (s *Set) refresh(ctx context.Context) (time.Duration, error) {
	f := s.depart()
	answer, err := s.source.fetch(ctx, f != nil)
	if err != nil {
		s.failed(ctx, err)
		return 0, err
	}
	added, removed, first := s.publish(answer.set, f)
	s.tell()
	s.announce(ctx, answer.set, added, removed, first)
	return jitter(answer.interval), nil
}

// depart counts a fetch and returns the flight that it is, or nil if no unknown kid
// waits and the fetch is the timer's.
func (s *Set) depart() *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetches.Add(1)
	if s.flight != nil {
		s.kidFetches.Add(1)
		s.kidFetchAt = time.Now()
	}
	return s.flight
}

// publish stores the answer's keys and ends the flight f, if the fetch was one. A
// flight that was wanted while the timer's fetch ran stays, since only an answer
// that was asked for after the question is final; unless the keys are all there.
func (s *Set) publish(set *jose.KeySet, f *flight) (added, removed []string, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.current.Load()
	next, added, removed := old.successor(set, time.Now(), f != nil)
	s.swap(next)
	s.fault = nil
	s.disarm()
	s.arm(next, maxStale)
	if f != nil || s.flight.satisfiedBy(next) {
		s.land(nil)
	}
	if first = old.empty(); first {
		close(s.loaded)
	}
	return added, removed, first
}

// failed keeps the keys and ends whatever flight there is: the set backs off now,
// so it would not be served soon.
func (s *Set) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // closed, which shut tells to the waiters
	}
	s.failures.Add(1)
	s.mu.Lock()
	s.fault = err
	s.land(err)
	if snap := s.current.Load(); snap.empty() { // then this failure is why
		s.swap(snap.withoutLife(fmt.Errorf("%w: no fetch has succeeded yet: %w", ErrUnavailable, err)))
	}
	s.mu.Unlock()

	if errors.Is(err, errRejected) {
		s.rejected.Add(1)
		s.log.ErrorContext(ctx, "jwks: key set rejected, the keys stay as they are", slog.Any("error", err))
		if s.cfg.OnReject != nil {
			s.cfg.OnReject(err)
		}
		return
	}
	s.log.WarnContext(ctx, "jwks: fetch failed, the keys stay as they are", slog.Any("error", err))
}

// satisfiedBy reports whether snap has all keys that callers wait for. If all have
// gone it has not: they may ask again, and the fetch was promised.
func (f *flight) satisfiedBy(snap *snapshot) bool {
	if f == nil || len(f.kids) == 0 {
		return false
	}
	for kid := range f.kids {
		if _, ok := snap.keys[kid]; !ok {
			return false
		}
	}
	return true
}

// land ends the flight; s.mu is held.
func (s *Set) land(err error) {
	if s.flight == nil {
		return
	}
	s.flight.err = err
	close(s.flight.done)
	s.flight = nil
}

// swap makes next the current snapshot, wakes those who wait for that, and notes what
// OnReady has to be told; s.mu is held.
func (s *Set) swap(next *snapshot) {
	old := s.current.Swap(next)
	if old.replaced != nil {
		close(old.replaced)
	}
	if ready := next.dead == nil; ready != (old.dead == nil) {
		s.changes = append(s.changes, ready)
	}
}

// arm lets snap die after d, unless disarm comes first; s.mu is held.
func (s *Set) arm(snap *snapshot, d time.Duration) {
	s.expiring.Add(1)
	s.expiry = time.AfterFunc(d, func() {
		defer s.expiring.Done()
		s.expire(snap)
	})
}

// expire ends the life of snap if it is still the current one. It runs beside the
// fetching goroutine, so that keys die on time even if that is stuck in a hook.
func (s *Set) expire(snap *snapshot) {
	s.mu.Lock()
	if s.closed || s.current.Load() != snap {
		s.mu.Unlock()
		return
	}
	cause := s.fault
	if cause == nil {
		cause = errNoAnswer
	}
	s.swap(snap.withoutLife(fmt.Errorf("%w: the keys are older than %v: %w", ErrUnavailable, maxStale, cause)))
	s.mu.Unlock()
	s.log.Error("jwks: keys too old, every call is refused until a fetch succeeds", slog.Any("error", cause))
	s.tell()
}

// disarm stops the expiry, or leaves it to find that it comes too late; s.mu is held.
func (s *Set) disarm() {
	if s.expiry != nil && s.expiry.Stop() {
		s.expiring.Done()
	}
	s.expiry = nil
}

// shut takes the keys away and ends the flight, after nobody fetches any more. To do
// it again changes nothing.
func (s *Set) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.disarm()
	s.swap(s.current.Load().withoutLife(fmt.Errorf("%w: %w", ErrUnavailable, errClosed)))
	s.land(errClosed)
}

// announce tells what changed.
func (s *Set) announce(ctx context.Context, set *jose.KeySet, added, removed []string, first bool) {
	if len(added)+len(removed) == 0 {
		return
	}
	s.log.InfoContext(ctx, "jwks: new keys", slog.Any("added", added), slog.Any("removed", removed),
		slog.Int("ignored", len(set.Ignored)))
	s.logIgnored(ctx, set)
	if s.cfg.OnRotate != nil && !first {
		s.cfg.OnRotate(added, removed)
	}
}

func (s *Set) logIgnored(ctx context.Context, set *jose.KeySet) {
	for _, entry := range set.Ignored[:min(len(set.Ignored), maxIgnoredLines)] {
		s.log.WarnContext(ctx, "jwks: entry ignored", slog.String("kid", entry.KeyID), slog.String("why", entry.Why))
	}
}

// maxIgnoredLines bounds what one document can write into the log.
const maxIgnoredLines = 8

// backoff returns the wait after so many earlier failures in a row.
func backoff(failures int) time.Duration {
	ceiling := maxBackoff
	if failures < 16 { // beyond, the shift could overflow
		ceiling = min(firstBackoff<<failures, maxBackoff)
	}
	return max(leastBackoff, rand.N(ceiling)) //nolint:gosec // jitter needs no secrecy
}

// jitter returns d +-10 %, so that replicas do not ask together.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5) //nolint:gosec // jitter needs no secrecy
}
