// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// boundStream is a stream that ends with its token. A timer raises a flag, so that a
// message costs a look at the flag and not at the clock.
type boundStream struct {
	grpc.ServerStream

	ctx      context.Context //nolint:containedctx // a ServerStream has one
	call     *callContext
	over     atomic.Pointer[Error] // why nothing passes any more; nil while all does
	ended    atomic.Bool           // a message was refused, so the call's result is
	released atomic.Bool

	timer  *time.Timer
	waived bool // the token's end was only reported; of the timer's goroutine
}

// bind returns the stream as long as its caller's token is good.
func (a *Authorizer) bind(ctx context.Context, ss grpc.ServerStream, call *callContext) *boundStream {
	s := &boundStream{ServerStream: ss, ctx: ctx, call: call}
	armed := make(chan struct{})
	s.timer = time.AfterFunc(s.untilNextLook(), func() { //nolint:contextcheck // the stream has its own
		<-armed // for s.timer
		s.look()
	})
	close(armed)
	return s
}

// clockCheck is how often a stream looks at the clock at least: its timer does not
// notice when the clock is set or the machine was suspended.
const clockCheck = time.Minute

// untilNextLook is the end of the token's time, or earlier.
func (s *boundStream) untilNextLook() time.Duration {
	a := s.call.auth
	next := clockCheck
	if a.recheckStreams > 0 {
		next = min(next, a.recheckStreams)
	}
	if !s.waived {
		next = min(next, time.Duration(s.call.who.validUntil-a.now().UnixNano()))
	}
	return max(next, 0)
}

// look is what the timer does.
func (s *boundStream) look() {
	if s.released.Load() || s.over.Load() != nil {
		return
	}
	a := s.call.auth
	refusal := s.reasonToEnd()
	if refusal != nil && a.waives(s.call.method, refusal) {
		s.waived = true
		a.wouldDeny(s.ctx, s.call, refusal.of(s.call.method), time.Time{})
		refusal = nil
	}
	if refusal == nil {
		s.timer.Reset(s.untilNextLook())
		return
	}
	s.over.Store(refusal.of(s.call.method))
	if s.call.cut == nil {
		return
	}
	// gRPC itself writes the status of a call whose context has ended: CANCELED. The
	// trailer tells the caller why.
	s.ended.Store(true)
	s.SetTrailer(metadata.Pairs(endedKey, string(refusal.wireReason())))
	s.call.cut(refusal)
}

// endedKey is the trailer that says why a stream was cut.
const endedKey = "scopeauth-reason"

// recheckTimeout bounds the functions of the user's that a look asks.
const recheckTimeout = 5 * time.Second

// reasonToEnd is why the stream must end, or nil. What is not waived comes first.
func (s *boundStream) reasonToEnd() *Error {
	a, who := s.call.auth, s.call.who
	if a.recheckStreams > 0 {
		if refusal := a.barred(who, s.call.method); refusal != nil {
			return refusal
		}
		if refusal := s.checkRevoked(); refusal != nil {
			return refusal
		}
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
	if refusal, same := who.recheck(now); same {
		return refusal
	}
	return who.disowned()
}

func (s *boundStream) checkRevoked() *Error {
	a := s.call.auth
	if a.revoked == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, recheckTimeout)
	defer cancel()
	return a.checkRevoked(ctx, s.call.who.principal)
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

// release ends the watch over the stream. A look that runs at the moment does no harm.
func (s *boundStream) release() {
	s.released.Store(true)
	s.timer.Stop()
}

// Context implements [grpc.ServerStream].
func (s *boundStream) Context() context.Context { return s.ctx }

// RecvMsg implements [grpc.ServerStream]. What came in after the end is not delivered,
// the client's own end of the stream neither.
func (s *boundStream) RecvMsg(m any) error {
	if s.over.Load() != nil {
		return s.refuse()
	}
	err := s.ServerStream.RecvMsg(m)
	if s.over.Load() != nil {
		return s.refuse()
	}
	return err
}

// SendMsg implements [grpc.ServerStream].
func (s *boundStream) SendMsg(m any) error {
	if s.over.Load() != nil {
		return s.refuse()
	}
	return s.ServerStream.SendMsg(m)
}

func (s *boundStream) refuse() error {
	s.ended.Store(true)
	return s.over.Load()
}

// result is what the call ends with: the handler's own result, or the refusal if a
// message was refused, whatever the handler made of it.
func (s *boundStream) result(handlers error) error {
	if !s.ended.Load() {
		return handlers
	}
	refusal := s.over.Load()
	s.call.auth.deniedStream(s.ctx, s.call, refusal)
	return s.call.auth.refuse(s.ctx, s.call.method, refusal)
}

// withCut makes the context of a stream one that can be ended. Unary calls need none.
func (a *Authorizer) withCut(ctx context.Context, method string) context.Context {
	if a.unary(method) {
		return ctx
	}
	ctx, cut := context.WithCancelCause(ctx)
	call, ok := ctx.Value(principalKey{}).(*callContext)
	if ok && call.auth == a && call.method == method {
		decided := *call
		decided.Context, decided.cut = ctx, cut
		return &decided
	}
	return &callContext{Context: ctx, auth: a, method: method, cut: cut}
}
