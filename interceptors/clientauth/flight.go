// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	// flightAttempts and flightTimeout bound the requests of one flight. One request
	// more is made if there is a second secret and the first does not do.
	flightAttempts = 3
	flightTimeout  = 12 * time.Second
	// attemptGap is the longest pause before the second attempt; it doubles.
	attemptGap = 200 * time.Millisecond
	// minFetchGap is the least time between the beginnings of two fetches.
	minFetchGap = time.Second
)

// flight is a fetch with its repetitions. It belongs to no caller: its context has
// none of their deadlines and values, and it goes on when all of them have left.
type flight struct {
	cancel context.CancelFunc
	cause  Cause
	// begun is when its first request may go out, on the clock.
	begun time.Duration
	// notes are what to log when the outcome is known. They are the flight's own
	// goroutine's.
	notes []note
	// attempts counts the requests, and used are the secrets that were used. They are the
	// flight's own goroutine's too.
	attempts int
	used     usedSecrets

	done chan struct{}
	// held or err is set before done is closed.
	held *entry
	err  *Error
	// took is how long it took, and usable whether there was a token when it failed.
	took   time.Duration
	usable bool

	// running counts the flight's goroutine and the calls of the user's functions
	// that it made; over is closed when all have ended.
	running atomic.Int32
	over    chan struct{}
}

// start begins a flight whose first request waits for delay. The caller holds set.mu.
func (c *ClientCredentials) start(set *tokenSet, cause Cause, delay time.Duration) (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return nil, closedError()
	}
	ctx, cancel := context.WithTimeout(context.Background(), flightTimeout+delay)
	f := &flight{
		cancel: cancel, cause: cause, begun: c.clock.mono() + delay,
		done: make(chan struct{}), over: make(chan struct{}),
	}
	f.running.Store(1)
	c.flights[f] = struct{}{}
	set.flight = f
	set.quietUntil.Store(quiet)
	c.counts.fetches.Add(1)
	go func() {
		defer c.leave(f)
		defer cancel()
		held, err := c.fly(ctx, set, f, delay)
		c.land(set, f, held, err) //nolint:contextcheck // the flight's own has ended
		// A handler of the user's may be slow, so those who wait come first.
		c.writeLog(set, f) //nolint:contextcheck // the flight's own has ended
		c.report(set, f)   //nolint:contextcheck // the flight's own has ended
	}()
	return f, nil
}

// leave notes that one of a flight's goroutines ends.
func (c *ClientCredentials) leave(f *flight) {
	if f.running.Add(-1) > 0 {
		return
	}
	c.mu.Lock()
	delete(c.flights, f)
	c.mu.Unlock()
	close(f.over)
}

// fly makes the attempts of a flight. It runs no code of the user's in its own
// goroutine, so it always returns, shortly after flightTimeout at the latest.
func (c *ClientCredentials) fly(ctx context.Context, set *tokenSet, f *flight, delay time.Duration) (*entry, *Error) {
	if !sleep(ctx, delay) {
		return nil, c.interrupted()
	}
	use := 0
	if len(c.secrets.funcs) > 1 && c.preferNext.Load() {
		use = 1
	}
	var other *Error // what came of the other secret
	for attempt := 1; ; attempt++ {
		held, err := c.fetch(ctx, set, f, use)
		if err != nil && len(c.secrets.funcs) > 1 && other == nil && err.wrongSecret() {
			// The secret may have been replaced by the other one. This is no
			// repetition, so it needs no pause and counts as no attempt.
			other, use = err, 1-use
			if held, err = c.fetch(ctx, set, f, use); err != nil && err.reason == ReasonSecret {
				// One that is not there, as between two rotations, says nothing.
				err, use = other, 1-use
			}
		}
		switch {
		case err == nil:
			c.preferNext.Store(use == 1)
			return held, nil
		case c.closed.Load():
			return nil, closedError()
		case attempt == flightAttempts, !err.transient, err.reason == ReasonThrottled, err.retryAfter > 0, err.billed, err.reason == ReasonPanic, ctx.Err() != nil:
			// An endpoint that says when, or that it has enough, is not asked again
			// before; a second token costs as much as the first; and what panicked will
			// not do better at once.
			return nil, err
		case !sleep(ctx, rand.N(attemptGap<<(attempt-1))): //nolint:gosec // spreads load
			if c.closed.Load() {
				return nil, closedError()
			}
			return nil, err
		}
	}
}

func (c *ClientCredentials) fetch(ctx context.Context, set *tokenSet, f *flight, use int) (*entry, *Error) {
	t0, wall := c.clock.hands()
	r, err := c.attempt(ctx, set, f, use)
	if err != nil {
		return nil, err
	}
	if err := c.checkGranted(f, r, set.scopes); err != nil {
		return nil, err
	}
	if !r.lifeKnown {
		f.note(slog.LevelWarn, "clientauth: the token endpoint does not say how long the token lives; it is kept for "+defaultLife.String(),
			slog.String("token_url", c.exchange.endpoint.shown))
	}
	if len(r.token) > largeToken {
		f.note(slog.LevelWarn, "clientauth: the token is large: servers take about 8 KiB for all headers of a call",
			slog.Int("bytes", len(r.token)), slog.String("client_id", c.exchange.clientID))
	}
	held := c.clock.newEntry(r, t0, wall)
	if c.clock.mono() >= held.hardAt {
		return nil, c.exchange.lateError()
	}
	return held, nil
}

// checkGranted compares what was asked for with what the token has. Cognito leaves
// out what the app client may not have (Cognito documentation, "Token endpoint").
func (c *ClientCredentials) checkGranted(f *flight, r response, asked []string) *Error {
	if len(asked) == 0 || r.scopesKnown && len(r.missing) == 0 {
		return nil
	}
	hint := "add it to AllowedOAuthScopes of app client " + c.exchange.clientID + " in the user pool, and to the resource server if it is not there"
	if !r.scopesKnown {
		if !c.cfg.requireScopes {
			return nil
		}
		return &Error{
			reason: ReasonScopeNotGranted, code: codes.Unauthenticated,
			text: "the token does not tell its scopes, and RequireGrantedScopes is set",
		}
	}
	missing := printable(strings.Join(r.missing, " "), 1000)
	if c.cfg.requireScopes {
		return &Error{
			reason: ReasonScopeNotGranted, code: codes.Unauthenticated,
			text: "the token lacks " + missing, hint: hint,
		}
	}
	f.note(slog.LevelWarn, "clientauth: the token lacks a scope that was asked for",
		slog.String("missing", missing), slog.String("client_id", c.exchange.clientID), slog.String("hint", hint))
	return nil
}

// interrupted is the error of a flight that ended before its first attempt.
func (c *ClientCredentials) interrupted() *Error {
	if c.closed.Load() {
		return closedError()
	}
	return c.exchange.networkError(context.DeadlineExceeded)
}

// note is a log record to come.
type note struct {
	level slog.Level
	text  string
	attrs []slog.Attr
}

func (f *flight) note(level slog.Level, text string, attrs ...slog.Attr) {
	f.notes = append(f.notes, note{level: level, text: text, attrs: attrs})
}

// writeLog writes what a flight has to say after it has landed.
func (c *ClientCredentials) writeLog(set *tokenSet, f *flight) {
	if f.err != nil && f.err.reason != ReasonClosed {
		level := slog.LevelError
		if f.usable {
			level = slog.LevelWarn
		}
		f.note(level, "clientauth: no new token",
			slog.String("error", f.err.Error()),
			slog.String("reason", string(f.err.reason)),
			slog.String("client_id", c.exchange.clientID),
			slog.String("scopes", printable(strings.Join(set.scopes, " "), 1000)),
			slog.Bool("old_token_usable", f.usable))
	}
	c.writeNotes(f)
}

// writeNotes writes what a flight noted, and the warnings of the secret functions.
func (c *ClientCredentials) writeNotes(f *flight) {
	// A handler that panics must not end the program, and there is no log to tell.
	defer func() { _ = recover() }()
	for _, n := range append(f.notes, c.secrets.takeNotes()...) {
		c.cfg.log().LogAttrs(context.Background(), n.level, n.text, n.attrs...)
	}
}

// sleep waits for d, or returns false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
