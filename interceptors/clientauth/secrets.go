// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lookGap is the least time between two looks for a changed secret.
	lookGap = time.Second
	// lookPatience is how long a call waits for such a look. A file takes much less.
	// Those who find a slow store fail at once with what is known, and a later call
	// has the outcome.
	lookPatience = 100 * time.Millisecond
	// maxUseless bounds the time between two changes that end a refusal: 2^maxUseless
	// times lookGap.
	maxUseless = 5
)

// secrets are the secrets of a source, one or two, with what was last read of each.
type secrets struct {
	funcs []SecretFunc
	// calls counts the looks that call a function now.
	calls atomic.Int32

	mu   sync.Mutex // guards the rest; never held across I/O
	last [2]knownSecret
	// look is the look for a changed secret that runs, or nil.
	look *look
	// nextLook is when the next may begin, on the source's clock.
	nextLook time.Duration
	notes    []note
}

// knownSecret is what was last read of a secret.
type knownSecret struct {
	secret Secret
	// generation counts the different secrets that were read; it is 0 before the
	// first.
	generation uint64
}

// usedSecrets are the generations of the secrets that a flight used. One that could
// not be read counts as used.
type usedSecrets [2]struct {
	used       bool
	generation uint64
}

// read calls the function of a secret. The generation is right also if it fails.
func (s *secrets) read(ctx context.Context, index int) (knownSecret, *Error) {
	secret, err := readSecret(context.WithValue(ctx, warnKey{}, s.warn), s.funcs[index])
	s.mu.Lock()
	defer s.mu.Unlock()
	last := &s.last[index]
	if err == nil && (last.generation == 0 || secret.reveal() != last.secret.reveal()) {
		*last = knownSecret{secret: secret, generation: last.generation + 1}
	}
	return knownSecret{secret: secret, generation: last.generation}, err
}

// generation returns that of a secret whose function did not return.
func (s *secrets) generation(index int) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[index].generation
}

// changed reports whether one of the secrets that were used is known to be another by
// now. The others say nothing: a flight uses the second only where it may help.
func (s *secrets) changed(used usedSecrets) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, u := range used {
		if u.used && u.generation != s.last[i].generation {
			return true
		}
	}
	return false
}

// look is a look for a changed secret.
type look struct {
	done chan struct{}
	// giveUp is when nobody waits for it any more, on the source's clock.
	giveUp time.Duration
}

// looked waits shortly for a look for a changed secret, and begins one if it is time.
// It reports whether there may be something new.
func (c *ClientCredentials) looked(ctx context.Context) bool {
	l := c.startLook() //nolint:contextcheck // a look has no context of a caller
	if l == nil {
		return false
	}
	left := l.giveUp - c.clock.mono()
	if left <= 0 {
		// Also for the race detector of Go 1.26: in a synctest bubble, goroutines that
		// meet timers that are over already can crash it.
		return l.over()
	}
	patience := time.NewTimer(left)
	defer patience.Stop()
	select {
	case <-l.done:
		return true
	case <-patience.C:
	case <-ctx.Done():
	}
	return false
}

// over reports whether the look has ended.
func (l *look) over() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// startLook begins to read the secrets anew, unless that runs or it is too early. It
// returns the look that runs, or nil.
func (c *ClientCredentials) startLook() *look {
	s := &c.secrets
	s.mu.Lock()
	defer s.mu.Unlock()
	now := c.clock.mono()
	if s.look != nil || now < s.nextLook {
		return s.look
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), attemptTimeout)
	// It is no flight, but Close ends it as one.
	f := &flight{cancel: cancel, done: make(chan struct{}), over: make(chan struct{})}
	f.running.Store(1)
	c.flights[f] = struct{}{}
	l := &look{done: f.done, giveUp: now + lookPatience}
	s.look = l
	go func() {
		defer c.leave(f)
		defer cancel()
		for i := range s.funcs {
			// What fails changes nothing.
			_, _ = supervise(ctx, c, f, work{what: "the secret function", reason: ReasonSecret, running: &s.calls}, func() (knownSecret, *Error) { return s.read(ctx, i) })
		}
		s.mu.Lock()
		s.look, s.nextLook = nil, c.clock.mono()+lookGap
		s.mu.Unlock()
		close(l.done)
		c.writeNotes(f) //nolint:contextcheck // the look's own has ended
	}()
	return l
}

// warnKey is the context's key for the function that takes a [SecretFunc]'s warnings.
type warnKey struct{}

// warn writes a warning of a secret function: to the log of the source that called it,
// after those who wait for a token have it.
func warn(ctx context.Context, text string, attrs ...slog.Attr) {
	if note, ok := ctx.Value(warnKey{}).(func(string, []slog.Attr)); ok {
		note(text, attrs)
		return
	}
	slog.Default().LogAttrs(ctx, slog.LevelWarn, text, attrs...)
}

func (s *secrets) warn(text string, attrs []slog.Attr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, note{level: slog.LevelWarn, text: text, attrs: attrs})
}

// takeNotes returns the warnings since the last time.
func (s *secrets) takeNotes() []note {
	s.mu.Lock()
	defer s.mu.Unlock()
	notes := s.notes
	s.notes = nil
	return notes
}
