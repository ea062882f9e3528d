// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	// flightAttempts and flightTimeout bound the requests of one flight. One request
	// more is made if the first secret is refused and there is a second.
	flightAttempts = 3
	flightTimeout  = 12 * time.Second
	// attemptGap is the longest pause before the second attempt; it doubles.
	attemptGap = 200 * time.Millisecond
	// minFetchGap is the least time between the beginnings of two fetches.
	minFetchGap = time.Second

	// The pauses between flights.
	firstPause       = time.Second
	maxPauseNoToken  = 10 * time.Second
	maxPauseToken    = 60 * time.Second
	minPause         = 500 * time.Millisecond
	refusedPause     = 30 * time.Second
	maxRetryAfter    = 300 * time.Second // while there is a token
	maxRetryAfterOut = 30 * time.Second  // when there is none
	maxFailures      = 16                // 2^16 s is beyond every limit
)

// flight is a fetch with its repetitions. It belongs to no caller: its context has none
// of their deadlines, and it goes on when all of them have left.
type flight struct {
	cancel context.CancelFunc

	done chan struct{}
	// token or err is set before done is closed.
	token Token
	err   *Error
}

// start begins a flight whose first request waits for delay. The caller holds set.mu.
func (c *ClientCredentials) start(ctx context.Context, set *tokenSet, delay time.Duration) (*flight, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightTimeout+delay)
	f := &flight{cancel: cancel, done: make(chan struct{})}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		cancel()
		return nil, closedError()
	}
	c.flights[f] = struct{}{}
	set.flight = f
	set.quietUntil.Store(quiet)
	go func() {
		defer cancel()
		held, err := c.fly(ctx, set, delay)
		if err != nil {
			c.logFailure(ctx, set, err)
		}
		c.land(set, f, held, err)
		c.mu.Lock()
		delete(c.flights, f)
		c.mu.Unlock()
	}()
	return f, nil
}

// fly makes the attempts of a flight.
func (c *ClientCredentials) fly(ctx context.Context, set *tokenSet, delay time.Duration) (held *entry, err *Error) {
	defer func() {
		if r := recover(); r != nil {
			// The value may hold what the function had in hand.
			what := fmt.Sprintf("a secret function or transport panicked (%T)", r)
			c.cfg.log().LogAttrs(ctx, slog.LevelError, "clientauth: "+what, slog.String("stack", string(debug.Stack())))
			held, err = nil, &Error{reason: ReasonPanic, code: codes.Internal, transient: true, text: what}
		}
	}()
	if !sleep(ctx, delay) {
		return nil, c.interrupted()
	}
	use := 0
	if len(c.secrets) > 1 && c.preferNext.Load() {
		use = 1
	}
	var refused *Error // the answer to the other secret
	for attempt := 0; attempt < flightAttempts; {
		held, err = c.fetch(ctx, set, c.secrets[use])
		switch {
		case err == nil:
			c.preferNext.Store(use == 1)
			return held, nil
		case c.closed.Load():
			return nil, closedError()
		case err.oauthCode == "invalid_client" && len(c.secrets) > 1 && refused == nil:
			// The secret may have been replaced by the other one. This is no
			// repetition, so it needs no pause and counts as no attempt.
			refused, use = err, 1-use
			continue
		case !err.transient || err.retryAfter > 0 || ctx.Err() != nil:
			// An endpoint that names a time is not asked again before it.
			return nil, err
		}
		if attempt++; attempt == flightAttempts || !sleep(ctx, rand.N(attemptGap<<(attempt-1))) { //nolint:gosec // spreads load
			break
		}
	}
	return nil, err
}

func (c *ClientCredentials) fetch(ctx context.Context, set *tokenSet, secret SecretFunc) (*entry, *Error) {
	t0, wall := c.clock.mono(), time.Now()
	r, err := c.exchange.fetch(ctx, secret, set.scopes)
	if err != nil {
		return nil, err
	}
	if err := c.checkGranted(ctx, r, set.scopes); err != nil {
		return nil, err
	}
	if !r.lifeKnown {
		c.cfg.log().LogAttrs(ctx, slog.LevelWarn, "clientauth: the token endpoint does not say how long the token lives; it is kept for "+defaultLife.String(),
			slog.String("token_url", c.exchange.endpoint.shown))
	}
	return newEntry(r, t0, wall.Round(0).Add(r.life)), nil
}

// checkGranted compares what was asked for with what the token has. Cognito leaves
// out what the app client may not have (Cognito documentation, "Token endpoint").
func (c *ClientCredentials) checkGranted(ctx context.Context, r response, asked []string) *Error {
	if len(asked) == 0 || r.scopesKnown && len(r.missing) == 0 {
		return nil
	}
	hint := "add it to AllowedOAuthScopes of the app client, and to the resource server if it is not there"
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
	c.cfg.log().LogAttrs(ctx, slog.LevelWarn, "clientauth: the token lacks a scope that was asked for",
		slog.String("missing", missing), slog.String("client_id", c.exchange.clientID), slog.String("hint", hint))
	return nil
}

func (c *ClientCredentials) logFailure(ctx context.Context, set *tokenSet, err *Error) {
	if err.reason == ReasonClosed {
		return
	}
	held := set.current.Load()
	usable := held != nil && c.clock.mono() < held.hardAt
	level := slog.LevelError
	if usable {
		level = slog.LevelWarn
	}
	c.cfg.log().LogAttrs(ctx, level, "clientauth: no new token",
		slog.String("error", err.Error()),
		slog.String("reason", string(err.reason)),
		slog.String("client_id", c.exchange.clientID),
		slog.String("scopes", printable(strings.Join(set.scopes, " "), 1000)),
		slog.Bool("old_token_usable", usable))
}

// interrupted is the error of a flight that ended before its first attempt.
func (c *ClientCredentials) interrupted() *Error {
	if c.closed.Load() {
		return closedError()
	}
	return c.exchange.networkError(context.DeadlineExceeded)
}

// pause returns how long to wait after a failed flight. failures counts the ones
// before it; remaining is how long the held token is still usable.
func pause(err *Error, failures int, remaining time.Duration) time.Duration {
	if !err.transient {
		return refusedPause + rand.N(refusedPause/10) //nolint:gosec // spreads load
	}
	limit, limitAfter := maxPauseNoToken, maxRetryAfterOut
	if remaining > 0 {
		limit = min(maxPauseToken, remaining/3)
		// When the token has ended, what holds without one does.
		limitAfter = min(maxRetryAfter, remaining+maxRetryAfterOut)
	}
	// The random factor is 0.5 to 1.5 and the result within the limit: cutting it
	// there would make all processes wait the same time.
	base := min(firstPause<<failures, limit*2/3)
	result := max(base/2+rand.N(max(base, 1)), minPause) //nolint:gosec // spreads load
	if after := min(err.retryAfter, limitAfter); after > result {
		result = after + rand.N(after/10+1) //nolint:gosec // spreads load
	}
	return result
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
