// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	// attemptTimeout bounds one request with everything in it: reading the secret,
	// connecting, and the body to its last byte.
	attemptTimeout = 5 * time.Second
	// callGrace is what a secret function or a transport has, after its context has
	// ended, to return. Then it is left behind.
	callGrace = 250 * time.Millisecond
	// maxLeftBehind is how many calls of secret functions may run for one set of
	// scopes, and how many of the transport. A hung file system would otherwise take a
	// thread with each try.
	maxLeftBehind = 4
)

// attempt makes one request. It returns within attemptTimeout and callGrace, whatever
// the secret function and the transport do.
func (c *ClientCredentials) attempt(ctx context.Context, set *tokenSet, f *flight, use int) (response, *Error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	known, err := supervise(ctx, c, f, work{what: "the secret function", reason: ReasonSecret, running: &set.secretCalls}, func() (knownSecret, *Error) { return c.secrets.read(ctx, use) })
	f.used[use].used, f.used[use].generation = true, known.generation
	if err != nil {
		if known.generation == 0 {
			f.used[use].generation = c.secrets.generation(use) // its function did not return
		}
		return response{}, err
	}
	sent := func() {
		f.attempts++
		c.counts.requests.Add(1)
	}
	return supervise(ctx, c, f, work{what: "the token request", reason: ReasonNetwork, running: &set.requests, begun: sent}, func() (response, *Error) {
		r, err := c.exchange.fetch(ctx, known.secret, set.scopes)
		if err == nil || err.billed {
			c.counts.tokens.Add(1) // also if it comes too late
		}
		return r, err
	})
}

// readSecret calls the user's function.
func readSecret(ctx context.Context, secretOf SecretFunc) (Secret, *Error) {
	secret, err := secretOf(ctx)
	if err == nil {
		err = secret.check()
	}
	if err != nil {
		return Secret{}, &Error{
			reason: ReasonSecret, code: codes.Unavailable, transient: true, cause: foreign(err),
			text: "the client secret cannot be read", hint: printable(err.Error(), 300),
		}
	}
	return secret, nil
}

// work is one of the two things that code of the user's may do.
type work struct {
	what    string
	reason  Reason
	running *atomic.Int32
	// begun is called if it is done, or nil. It is called in the flight's own goroutine.
	begun func()
}

func (w work) failed(why string) *Error {
	return &Error{reason: w.reason, code: codes.Unavailable, transient: true, text: w.what + why}
}

// panicked is the error of code that did not return. What it panicked with may hold
// what it had in hand, so only the type is told.
func (w work) panicked(how string) *Error {
	return &Error{reason: ReasonPanic, code: codes.Internal, transient: true, text: w.what + " " + how}
}

// supervise runs call in a goroutine of its own and waits until it returns, panics,
// ends its goroutine, or ignores the end of ctx. So nothing that code of the user's
// does holds the set's state.
func supervise[T any](ctx context.Context, c *ClientCredentials, f *flight, w work, call func() (T, *Error)) (T, *Error) {
	var none T
	if ctx.Err() != nil {
		return none, w.failed(" did not return in time")
	}
	if w.running.Add(1) > maxLeftBehind {
		w.running.Add(-1)
		return none, w.failed(fmt.Sprintf(" is not called: %d calls before it have not returned, since the secret function or transport ignores its context", maxLeftBehind))
	}
	if w.begun != nil {
		w.begun()
	}
	type outcome struct {
		value T
		err   *Error
		stack []byte
	}
	result := make(chan outcome, 1)
	f.running.Add(1)
	go func() {
		defer c.leave(f)
		// It stays if call neither returns nor panics.
		out := outcome{err: w.panicked("ended its goroutine (runtime.Goexit)")}
		defer func() {
			if r := recover(); r != nil {
				out = outcome{err: w.panicked(fmt.Sprintf("panicked (%T)", r)), stack: debug.Stack()}
			}
			w.running.Add(-1)
			result <- out
		}()
		out.value, out.err = call()
	}()

	var out outcome
	select {
	case out = <-result:
	case <-ctx.Done():
		grace := time.NewTimer(callGrace)
		defer grace.Stop()
		select {
		case out = <-result:
		case <-grace.C:
			return none, w.failed(" ignores its context and was left behind")
		}
	}
	if out.stack != nil {
		f.note(slog.LevelError, "clientauth: "+out.err.text, slog.String("stack", string(out.stack)))
	}
	return out.value, out.err
}
