// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
)

// clock is the one clock that decisions about a token's life read. Its hand cannot
// be set: a change of the machine's time of day ends no token early and keeps none.
type clock struct{ start time.Time }

// mono returns the time since the clock's start.
func (c clock) mono() time.Duration { return time.Since(c.start) }

// entry is a token that is held. It never changes. Its times are the clock's.
type entry struct {
	token Token
	// t0 is just before the request for it.
	t0 time.Duration
	// refreshAt is when a call starts a renewal; from hardAt on the token is not
	// given out.
	refreshAt, hardAt time.Duration
}

const (
	// A renewal begins after refreshFrom of the life plus a random part of
	// refreshSpread, or earlier if maxSlack asks for it, so that processes that started together do not stay together.
	// About 75 % is what the Cognito documentation, "Managing user pool token
	// expiration and caching", advises.
	refreshFrom   = 0.75
	refreshSpread = 0.10
	// maxSkew is how long before its end a token is not given out any more; of a
	// short life it is a tenth. It is the way to the server, and its clock.
	maxSkew = 30 * time.Second
	// maxSlack is the least time between the beginning of a renewal and the token's
	// last moment, for the repetitions; of a short life it is a fifth.
	maxSlack = 20 * time.Second
)

// newEntry holds a token whose request began at the clock's t0. Its life counts from
// there: the endpoint made it later.
func newEntry(r response, t0 time.Duration, expiry time.Time) *entry {
	life := float64(r.life)
	end := r.life - min(maxSkew, r.life/10)
	latest := min(time.Duration(life*(refreshFrom+refreshSpread)), end-min(maxSlack, r.life/5))
	return &entry{
		token:     NewToken(r.token, expiry),
		t0:        t0,
		refreshAt: t0 + latest - time.Duration(life*refreshSpread*rand.Float64()), //nolint:gosec // spreads load
		hardAt:    t0 + end,
	}
}

// tokenSet is the state for one set of scopes.
type tokenSet struct {
	scopes  []string // sorted
	current atomic.Pointer[entry]

	// quietUntil is the clock's time before which a call that finds a stale token
	// has nothing to start; the maximum while a flight runs. It only saves calls the
	// lock: what it says is checked again under it.
	quietUntil atomic.Int64

	// secretCalls and requests count the calls of the secret functions and of the
	// transport that run.
	secretCalls, requests atomic.Int32

	mu     sync.Mutex // guards the rest; never held across I/O
	flight *flight    // or nil
	// nextTry is when the next request may begin, on the clock.
	nextTry time.Duration
	// lastErr is the failure of the last flight, or nil after a success.
	lastErr  *Error
	failures failures
	// used are the secrets of the last flight. When one of them has changed, the failure
	// may be over.
	used usedSecrets
	// nextVoid is when a change of a secret may end a denial, on the clock, and useless
	// how many ended one in vain since the last success.
	nextVoid time.Duration
	useless  int
	// forcedUntil is when the next forced fetch is allowed, on the clock.
	forcedUntil time.Duration
}

// forcedPause is the least time between two forced fetches for a set of scopes. A
// server that refuses every token would otherwise have each call pay for one.
const forcedPause = 60 * time.Second

// await waits for a token other than rejected, which may be zero. It joins the
// flight that runs, starts one, or returns the last failure if it is too early for
// another try.
func (c *ClientCredentials) await(ctx context.Context, set *tokenSet, rejected Token) (Token, error) {
	f, token, err := c.join(set, rejected) //nolint:contextcheck // a flight has no context of a caller
	if e, ok := errors.AsType[*Error](err); ok && e.denial() && c.looked(ctx) {
		f, token, err = c.join(set, rejected) //nolint:contextcheck // as above
	}
	if f == nil {
		return token, err
	}
	select {
	case <-f.done:
	case <-c.closing:
		return Token{}, closedError()
	case <-ctx.Done():
		return Token{}, contextError(ctx.Err())
	}
	if f.err != nil {
		return Token{}, f.err
	}
	if !rejected.IsZero() && f.token.same(rejected) {
		return Token{}, rejectedError("the token endpoint gave the same token again")
	}
	return f.token, nil
}

// join returns the flight to wait for, or no flight and the answer.
func (c *ClientCredentials) join(set *tokenSet, rejected Token) (*flight, Token, error) {
	set.mu.Lock()
	defer set.mu.Unlock()
	now := c.clock.mono()
	held := set.current.Load()
	usable := held != nil && now < held.hardAt
	refused := usable && !rejected.IsZero() && held.token.same(rejected)
	c.voidDenial(set, now)
	switch {
	case usable && !refused:
		return nil, held.token, nil // it came while this caller waited for the lock
	case set.flight != nil:
		return set.flight, Token{}, nil
	case set.lastErr != nil && now < set.nextTry:
		return nil, Token{}, set.lastErr
	case refused && now < set.forcedUntil:
		return nil, Token{}, rejectedError(fmt.Sprintf("the next fetch for this reason may begin in %v", (set.forcedUntil - now).Round(time.Second)))
	}
	delay := max(set.nextTry-now, 0) // for lives of about a second
	if refused {
		// The last fetch succeeded, and this one has its own limit.
		set.forcedUntil, delay = now+forcedPause, 0
	}
	f, err := c.start(set, delay)
	return f, Token{}, err
}

// renew starts a flight in the background if it is time.
func (c *ClientCredentials) renew(set *tokenSet) {
	set.mu.Lock()
	defer set.mu.Unlock()
	now := c.clock.mono()
	held := set.current.Load()
	if set.flight != nil || held != nil && now < held.refreshAt {
		return
	}
	c.voidDenial(set, now)
	if now < set.nextTry {
		if set.lastErr != nil && set.lastErr.denial() {
			// The outcome is for a later call: this one has its token.
			c.startLook()
			set.quietUntil.Store(int64(min(set.nextTry, now+lookGap)))
		}
		return
	}
	// A closed source starts nothing, and the caller has its token.
	_, _ = c.start(set, 0)
}

// voidDenial ends the pause after a refusal if a secret has changed. A function that
// returns something else each time must not make a request each time, so the changes
// count from lookGap after the last refusal on, doubled with each that did not help.
func (c *ClientCredentials) voidDenial(set *tokenSet, now time.Duration) {
	if set.lastErr == nil || !set.lastErr.denial() || now >= set.nextTry || now < set.nextVoid || !c.secrets.changed(set.used) {
		return
	}
	set.useless = min(set.useless+1, maxUseless)
	set.lastErr, set.failures, set.nextTry = nil, failures{}, now
}

func rejectedError(why string) *Error {
	return &Error{
		reason: ReasonRejected, code: codes.Unauthenticated,
		text: "a server refused the token, and there is no other: " + why,
	}
}

// land takes the outcome of a flight into the set's state.
func (c *ClientCredentials) land(set *tokenSet, f *flight, held *entry, err *Error) {
	set.mu.Lock()
	defer set.mu.Unlock()
	now := c.clock.mono()
	if err == nil {
		set.current.Store(held)
		set.lastErr, set.failures = nil, failures{}
		set.nextTry = held.t0 + minFetchGap
		set.useless = 0
		f.token = held.token
	} else {
		remaining := time.Duration(0)
		if old := set.current.Load(); old != nil {
			remaining = max(old.hardAt-now, 0)
		}
		set.nextTry = now + set.failures.pause(err, remaining)
		set.lastErr = err
		f.err = err
	}
	set.flight, set.used = nil, f.used
	set.quietUntil.Store(int64(set.nextTry))
	if err != nil && err.denial() {
		set.nextVoid = now + lookGap<<set.useless
		set.quietUntil.Store(int64(min(set.nextTry, now+lookGap)))
	}
	close(f.done)
}

// quiet stands in quietUntil while a flight runs.
const quiet = math.MaxInt64
