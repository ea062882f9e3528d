// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// boundStream is a stream that ends with its token. A timer raises a flag, so that a
// message costs a look at the flag and not at the clock.
//
// The call's result is the refusal if a message was refused, whatever the handler makes
// of it. If none was, the handler's own result stands: a caller whose token was good
// for every message has got what it was allowed to.
type boundStream struct {
	grpc.ServerStream

	ctx   context.Context //nolint:containedctx // a ServerStream has one
	call  *callContext
	how   course                  // of the call's own decision
	cut   context.CancelCauseFunc // ends ctx, if it is one that can be ended
	over  atomic.Pointer[Error]   // why nothing passes any more; nil while all does
	state atomic.Int32

	timer  *time.Timer
	asking atomic.Bool // CheckRevoked has not answered yet
	// Of the timer's goroutine:
	waived bool      // the token's end was only reported
	asked  time.Time // when CheckRevoked was due last; the call itself has asked it
}

// The states of a boundStream. Whoever comes first, refusal or handler, decides what
// the call ends with.
const (
	streamRunning  = iota
	streamRefused  // a message was refused, or the stream was cut; over is set
	streamFinished // the handler returned before that
)

// bind returns the stream as long as its caller's token is good.
func (a *Authorizer) bind(ctx context.Context, ss grpc.ServerStream, call *callContext, how course) *boundStream {
	s := &boundStream{ServerStream: ss, ctx: ctx, call: call, how: course{cached: how.cached}, asked: time.Now()}
	if tapped := a.noticed(ctx, call.method); tapped != nil {
		s.cut = tapped.cut
	}
	s.timer = time.AfterFunc(math.MaxInt64, s.look) // not before s.timer is set
	s.timer.Reset(s.untilNextLook())
	return s
}

// clockCheck is how often a stream looks at the clock at least: its timer does not
// notice when the clock is set or the machine was suspended.
const clockCheck = time.Minute

// untilNextLook is the end of the token's time, or earlier.
func (s *boundStream) untilNextLook() time.Duration {
	next := min(clockCheck, s.untilEnd())
	if every := s.call.auth.recheckStreams; every > 0 {
		next = min(next, every-time.Since(s.asked))
	}
	if s.call.auth.access != nil {
		next = min(next, defaultRecheck) // what AccessFile promises, however seldom CheckRevoked is asked
	}
	return max(next, 0)
}

// untilEnd is how long the token is still good, by the present clock.
func (s *boundStream) untilEnd() time.Duration {
	if s.waived {
		return math.MaxInt64
	}
	return time.Duration(s.call.who.validUntil - s.call.auth.now().UnixNano())
}

// look is what the timer does. The next look is set at its end, so there is one at a
// time.
func (s *boundStream) look() {
	if s.over.Load() != nil {
		return
	}
	a := s.call.auth
	refusal := s.reasonToEnd()
	if refusal != nil && !a.waives(s.call.method, refusal) {
		s.end(refusal)
		return
	}
	s.waived = s.waived || refusal != nil
	if every := a.recheckStreams; every > 0 && time.Since(s.asked) >= every {
		s.asked = time.Now()
		if a.revoked != nil && s.asking.CompareAndSwap(false, true) {
			go s.ask()
		}
	}
	s.timer.Reset(s.untilNextLook())
	if s.state.Load() == streamFinished {
		s.timer.Stop() // the call ended during this look
	}
	if refusal != nil { // last, so that a Reporter that hangs does not end the watch
		a.wouldDeny(s.ctx, s.call, refusal, StageStream, s.how)
	}
}

// endedKey is the trailer that says why a stream was cut.
const endedKey = "scopeauth-reason"

// end lets nothing pass any more, and wakes the handler if that is possible. The first
// refusal counts.
func (s *boundStream) end(refusal *Error) {
	if !s.over.CompareAndSwap(nil, refusal) || s.cut == nil || !s.claim() {
		return
	}
	// gRPC itself writes the status of a call whose context ends in Recv or Send:
	// CANCELED. The trailer tells the caller why.
	s.SetTrailer(metadata.Pairs(endedKey, string(refusal.wireReason())))
	s.cut(refusal)
}

// reasonToEnd is why the stream must end, as far as that can be said at once, or nil. A
// clock that was set back is no reason: the token has been good already.
func (s *boundStream) reasonToEnd() *Error {
	a, who := s.call.auth, s.call.who
	if refusal := a.barred(who, s.call.method); refusal != nil {
		return refusal
	}
	if s.waived {
		return nil
	}
	now := a.now().UnixNano()
	if now >= who.validUntil {
		return who.untimely(now)
	}
	if a.recheckStreams == 0 {
		return nil
	}
	if refusal, same := who.recheck(max(now, who.validFrom)); same {
		return refusal
	}
	return who.disowned()
}

// recheckTimeout bounds the function of [CheckRevoked] in an open stream.
const recheckTimeout = 5 * time.Second

var errNoAnswer = fmt.Errorf("CheckRevoked did not answer within %v", recheckTimeout)

// ask asks the user's function, beside the looks, so that nothing that it does keeps the
// stream open: not even if it minds no context.
func (s *boundStream) ask() {
	a, p := s.call.auth, s.call.who.principal
	ctx, cancel := context.WithTimeout(s.ctx, recheckTimeout)
	defer cancel()
	late := func() { s.end(NewError(ReasonRevocationUnavailable, errNoAnswer).proving(p)) }
	stop := context.AfterFunc(ctx, late)
	refusal := a.checkRevoked(ctx, p)
	switch {
	case ctx.Err() != nil: // refusal is of the context's code, as if the caller's time were over
		late()
	case refusal != nil:
		s.end(refusal)
	default:
		s.asking.Store(false)
	}
	stop() // not deferred: a function that ends its goroutine has not answered
}

var errKeyGone = errors.New("the issuer no longer publishes the key of the token")

// disowned is the refusal of a caller whose key or client has gone.
func (e *verified) disowned() *Error {
	switch {
	case !e.issuer.keys.Ready():
		return NewError(ReasonKeysUnavailable, errKeyGone).proving(e.principal)
	case !e.keyStays():
		return NewError(ReasonKeyNotFound, errKeyGone).proving(e.principal)
	default:
		if _, ok := e.issuer.clients.Load().allows(e.principal.clientID); ok {
			return nil // it has another name now, no more
		}
		return provenError(ReasonClientNotAllowed, e.principal)
	}
}

// Context implements [grpc.ServerStream].
func (s *boundStream) Context() context.Context { return s.ctx }

// RecvMsg implements [grpc.ServerStream]. What came in after the end is not delivered,
// the client's own end of the stream neither.
func (s *boundStream) RecvMsg(m any) error {
	if over := s.over.Load(); over != nil {
		s.claim()
		return over
	}
	err := s.ServerStream.RecvMsg(m)
	if s.over.Load() == nil {
		return err
	}
	if !s.claim() && err != nil && !errors.Is(err, io.EOF) {
		return err // no message, but how the call ended
	}
	return s.over.Load()
}

// SendMsg implements [grpc.ServerStream].
func (s *boundStream) SendMsg(m any) error {
	if over := s.over.Load(); over != nil {
		s.claim()
		return over
	}
	return s.ServerStream.SendMsg(m)
}

// claim makes the refusal the call's result, and reports whether it is. It is not if the
// handler has returned, nor if the call has ended otherwise: its client has gone, or was
// told an error by gRPC, and is refused nothing.
func (s *boundStream) claim() bool {
	if s.ctx.Err() == nil {
		s.state.CompareAndSwap(streamRunning, streamRefused)
	}
	return s.state.Load() == streamRefused
}

// release ends the watch over the stream. It can be called often.
func (s *boundStream) release() {
	s.state.CompareAndSwap(streamRunning, streamFinished)
	s.timer.Stop()
}

// result is what the call ends with, once the handler has returned.
func (s *boundStream) result(handlers error) error {
	s.release()
	if s.state.Load() == streamFinished {
		return handlers
	}
	refusal := s.over.Load()
	s.call.auth.denied(s.ctx, s.call, refusal, StageStream, s.how)
	return s.call.auth.refuse(s.ctx, s.call.method, refusal)
}

// withCut makes the context of a stream one that can be ended. Unary calls need none.
func (a *Authorizer) withCut(ctx context.Context, method string) context.Context {
	if a.unary(method) {
		return ctx
	}
	call := &tappedCall{callContext: callContext{target: &target{a, method}}}
	if decided := a.noticed(ctx, method); decided != nil {
		*call = *decided
	}
	call.Context, call.cut = context.WithCancelCause(ctx)
	return call
}
