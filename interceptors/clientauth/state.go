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

// entry is a token that is held. It does not change, but for used.
type entry struct {
	token Token
	// t0 is just before the request for it, on the clock's mono hand like the next two.
	t0 time.Duration
	// refreshAt is when a call starts a renewal; from hardAt on the token is not
	// given out.
	refreshAt, hardAt time.Duration
	// over is when it has ended by the wall hand.
	over time.Duration
	// used is set once the token was given out. It is written once, so that calls on
	// different cores do not take the line from each other.
	used atomic.Bool
}

// use returns the token for a call.
func (e *entry) use() Token {
	if !e.used.Load() {
		e.used.Store(true)
	}
	return e.token
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

// newEntry holds a token whose request began when the clock's hands stood at t0 and
// wall. Its life counts from there: the endpoint made it later.
func (c *clock) newEntry(r response, t0, wall time.Duration) *entry {
	life := float64(r.life)
	end := r.life - min(maxSkew, r.life/10)
	latest := min(time.Duration(life*(refreshFrom+refreshSpread)), end-min(maxSlack, r.life/5))
	return &entry{
		token:     NewToken(r.token, c.date(wall+r.life)),
		t0:        t0,
		refreshAt: t0 + latest - time.Duration(life*refreshSpread*rand.Float64()), //nolint:gosec // spreads load
		hardAt:    t0 + end,
		over:      wall + r.life,
	}
}

// tokenSet is the state for one set of scopes:
//
//	EMPTY    no token yet                 a call joins or starts the flight, and waits
//	FRESH    before refreshAt             a call takes the token
//	STALE    from then to hardAt          a call takes the token and starts a renewal
//	SUSPECT  over by the wall hand alone  a call waits 1 s for a renewal, then takes the token
//	EXPIRED  from hardAt on               as EMPTY
//	BACKOFF  no token, before nextTry     a call gets the last failure at once
//	DENIED   the same, and the failure is one that the same request would meet again
//	CLOSED   after Close                  CANCELED
type tokenSet struct {
	scopes  []string // sorted
	current atomic.Pointer[entry]
	// selected says that a connection selects these scopes.
	selected atomic.Bool

	// quietUntil is the clock's time before which a call that finds a stale token
	// has nothing to start; the maximum while a flight runs. It only saves calls the
	// lock: what it says is checked again under it.
	quietUntil atomic.Int64

	// waiters counts the calls that wait for a flight.
	waiters atomic.Int32
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
	// forcedUntil is when the next forced fetch is allowed, and suspectUntil the next
	// one because of the wall hand.
	forcedUntil, suspectUntil time.Duration
	// alarm wakes KeepWarm; nil before the first token.
	alarm *time.Timer
}

// forcedPause is the least time between two forced fetches for a set of scopes. A
// server that refuses every token would otherwise have each call pay for one.
const forcedPause = 60 * time.Second

// want is what a call asks of a set, beyond a token that is fresh.
type want struct {
	// rejected is the token that will not do, or zero.
	rejected Token
	// warm says that no call waits for it.
	warm bool
}

// await waits for a token other than w.rejected. It joins the flight that runs, starts
// one, or returns the last failure if it is too early for another try.
func (c *ClientCredentials) await(ctx context.Context, set *tokenSet, w want) (*entry, error) {
	f, held, err := c.join(set, w) //nolint:contextcheck // a flight has no context of a caller
	if e, ok := errors.AsType[*Error](err); ok && e.denial() && c.looked(ctx) {
		f, held, err = c.join(set, w) //nolint:contextcheck // as above
	}
	if f == nil {
		c.counts.suppressed(err)
		return held, err
	}
	set.waiters.Add(1)
	defer set.waiters.Add(-1)
	select {
	case <-f.done:
	case <-c.closing:
		return nil, closedError()
	case <-ctx.Done():
		return nil, contextError(ctx.Err())
	}
	if f.err != nil {
		return nil, f.err
	}
	if !w.rejected.IsZero() && f.held.token.same(w.rejected) {
		return nil, rejectedError("the token endpoint gave the same token again")
	}
	return f.held, nil
}

// join returns the flight to wait for, or no flight and the answer.
func (c *ClientCredentials) join(set *tokenSet, w want) (*flight, *entry, error) {
	set.mu.Lock()
	defer set.mu.Unlock()
	now := c.clock.mono()
	held := set.current.Load()
	usable := held != nil && now < held.hardAt
	refused := usable && !w.rejected.IsZero() && held.token.same(w.rejected)
	c.voidDenial(set, now)
	// A call that has a token, though a refused one, does not wait for the next try.
	waits := c.cfg.waitInBackoff && !refused && set.lastErr != nil && set.lastErr.transient
	switch {
	case usable && !refused:
		return nil, held, nil // it came while this caller waited for the lock
	case set.flight != nil:
		return set.flight, nil, nil
	case set.lastErr != nil && now < set.nextTry && !waits:
		return nil, nil, set.lastErr
	case refused && now < set.forcedUntil:
		return nil, nil, rejectedError(fmt.Sprintf("the next fetch for this reason may begin in %v", (set.forcedUntil - now).Round(time.Second)))
	}
	cause, delay := CauseExpired, max(set.nextTry-now, 0)
	switch {
	case refused:
		// The last fetch succeeded, and this one has its own limit.
		set.forcedUntil, cause, delay = now+forcedPause, CauseRejected, 0
	case w.warm:
		cause = CauseWarm
	case held == nil:
		cause = CauseCold
	}
	f, err := c.start(set, cause, delay)
	return f, nil, err
}

// renew starts a flight in the background for a stale token if it is time.
func (c *ClientCredentials) renew(set *tokenSet) {
	set.mu.Lock()
	defer set.mu.Unlock()
	now := c.clock.mono()
	held := set.current.Load()
	if set.flight != nil || held != nil && now < held.refreshAt {
		return
	}
	if turn := c.turn(set, now); now < turn {
		set.quietUntil.Store(int64(turn))
		return
	}
	// A closed source starts nothing, and the caller has its token.
	_, _ = c.start(set, CauseStale, 0)
}

// turn returns when there is something to do about a token that is due to be renewed.
// During a denial that is the next look for a changed secret; one begins now, and its
// outcome is for that time: this call has its token. The caller holds set.mu.
func (c *ClientCredentials) turn(set *tokenSet, now time.Duration) time.Duration {
	c.voidDenial(set, now)
	if now < set.nextTry && set.lastErr != nil && set.lastErr.denial() {
		c.startLook()
		return min(set.nextTry, now+lookGap)
	}
	return set.nextTry
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
	f.took = now - f.begun
	if err == nil {
		set.current.Store(held)
		set.lastErr, set.failures = nil, failures{}
		set.nextTry = held.t0 + minFetchGap
		set.useless = 0
		f.held = held
	} else {
		remaining := time.Duration(0)
		if old := set.current.Load(); old != nil {
			remaining = max(old.hardAt-now, 0)
		}
		f.usable = remaining > 0
		c.counts.failures.Add(1)
		set.lastErr, f.err = err, err
		set.nextTry = now + set.failures.pause(err, remaining)
	}
	set.flight, set.used = nil, f.used
	turn := set.nextTry
	if err != nil && err.denial() {
		set.nextVoid = now + lookGap<<set.useless
		turn = min(turn, now+lookGap)
	}
	set.quietUntil.Store(int64(turn))
	switch {
	case err == nil:
		c.setAlarm(set, held.refreshAt-now)
	case f.usable:
		c.setAlarm(set, turn-now)
	}
	close(f.done)
}

// quiet stands in quietUntil while a flight runs.
const quiet = math.MaxInt64
