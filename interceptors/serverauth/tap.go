// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/tap"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// earlyRefusal answers calls on their header frame, before a byte of the message is
// read. gRPC runs a tap handle on the connection's reader, under the transport's lock:
// whatever happens here delays all calls of that connection. So there is no waiting, no
// fetching of keys, no function of the user's that may do either, and no TokenVerifier
// but our own.
type earlyRefusal struct {
	then []tap.ServerInHandle // the user's own
	held deadlines
}

// tapped says whether the server needs a tap handle.
func (a *Authorizer) tapped() bool { return a.early != nil || a.cutIdle }

// onHeader is the tap handle. A call that it does not refuse goes on to the
// interceptors, with the decision in its context if there was one.
func (a *Authorizer) onHeader(ctx context.Context, info *tap.Info) (context.Context, error) {
	if a.early != nil {
		var refusal *Error
		if ctx, refusal = a.decideEarly(ctx, info); refusal != nil {
			return ctx, refusal
		}
		for _, handle := range a.early.then {
			var err error
			if ctx, err = handle(ctx, info); err != nil {
				return ctx, err
			}
		}
	}
	if a.cutIdle {
		ctx = a.withCut(ctx, info.FullMethodName)
	}
	return ctx, nil
}

// tappedCall is the context of a call with what the tap handle leaves for the
// interceptors.
type tappedCall struct {
	callContext

	// cut ends the stream's context, if it is one that can be ended.
	cut     context.CancelCauseFunc
	decided bool // all but what may take time
	cached  bool
}

type tappedKey struct{}

// Value implements [context.Context].
func (c *tappedCall) Value(key any) any {
	if _, ok := key.(tappedKey); ok {
		return c
	}
	return c.callContext.Value(key)
}

// noticed returns what the tap handle left for the interceptors of the same call.
func (a *Authorizer) noticed(ctx context.Context, method string) *tappedCall {
	if !a.tapped() {
		return nil
	}
	c, ok := ctx.Value(tappedKey{}).(*tappedCall)
	if !ok || c.auth != a || c.method != method {
		return nil
	}
	return c
}

// decideEarly decides what can be decided at once. It refuses only what the
// interceptors would refuse as well: undecided calls pass.
func (a *Authorizer) decideEarly(ctx context.Context, info *tap.Info) (context.Context, *Error) {
	who, called := a.rememberedWith(info.Header[a.metadataKey], info.FullMethodName)
	if called != nil && (a.allowInsecure || transportIsSafe(ctx)) && a.barred(who, called.method) == nil {
		return &tappedCall{callContext: callContext{ctx, called, who}, decided: true, cached: true}, nil
	}
	rule, _ := a.policy.Rule(info.FullMethodName) // of an unknown method it is KindNone
	if rule.Kind() == policy.KindPublic {
		return ctx, nil
	}
	how := a.started()
	call := &tappedCall{callContext: callContext{Context: ctx, target: &target{a, info.FullMethodName}}}
	undecided, refusal := a.decideAtOnce(call, info, rule)
	if refusal != nil {
		if a.waives(info.FullMethodName, refusal) || !a.early.held.hold(ctx) {
			return ctx, nil // the interceptors decide
		}
		refusal = refusal.of(info.FullMethodName)
		a.log.refusedEarly(ctx, info.FullMethodName, refusal)
		how.cached = call.cached
		a.denied(ctx, &call.callContext, refusal, StageHeader, how)
		return ctx, refusal
	}
	if undecided {
		return ctx, nil
	}
	call.decided = true
	return call, nil
}

// decideAtOnce is [Authorizer.decide] without waiting. Of a caller whose token is good,
// gRPC itself says UNIMPLEMENTED to a method that is not registered, and the
// interceptors refuse one without a rule: such calls are undecided here.
func (a *Authorizer) decideAtOnce(call *tappedCall, info *tap.Info, rule policy.Rule) (undecided bool, refusal *Error) {
	if !a.allowInsecure && !transportIsSafe(call.Context) {
		return false, NewError(ReasonTransportInsecure, nil)
	}
	token, refusal := bearerToken(info.Header[a.metadataKey], a.maxTokenBytes)
	if refusal != nil {
		return false, refusal
	}
	if a.own == nil {
		return true, checkAlphabet(token)
	}
	call.who, call.cached, undecided, refusal = a.own.verifyAtOnce(token)
	if undecided || refusal != nil {
		return undecided, refusal
	}
	if rule.Kind() == policy.KindNone || !a.registered(call.method) {
		return true, nil
	}
	if refusal := a.barred(call.who, call.method); refusal != nil {
		return false, refusal
	}
	return false, a.permit(rule, true, call.who, call.method)
}

// maxHeld bounds how many refusals at once may leave something behind: gRPC (as of
// 1.85) does not end the context of a call that a tap handle refused, so about 300
// bytes of each stay until the deadline that the caller chose.
const maxHeld = 65_536

// deadlines counts refused calls whose deadline has not passed. The zero value is empty.
type deadlines struct {
	mu    sync.Mutex
	since time.Time    // what the entries count from, on the monotonic clock
	left  durationHeap // the deadlines
}

// hold counts the call, and reports false if there are too many: then the interceptors
// must refuse it, who leave nothing behind.
func (d *deadlines) hold(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	if !ok {
		// What is left of it can be collected at once, or when the connection ends if a
		// stats handler made that one's context one that can be ended.
		return true
	}
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since.IsZero() {
		d.since = now
	}
	d.drop(now)
	if len(d.left) >= maxHeld {
		return false
	}
	heap.Push(&d.left, deadline.Sub(d.since))
	return true
}

// dropAtOnce bounds what one call does for those before it, since others wait for it.
const dropAtOnce = 16

// drop forgets calls whose deadline has passed, and reports whether there may be more. It
// is called with the lock held.
func (d *deadlines) drop(now time.Time) (more bool) {
	for range dropAtOnce {
		if len(d.left) == 0 || d.left[0] > now.Sub(d.since) {
			return false
		}
		heap.Pop(&d.left)
	}
	return true
}

// count returns how many calls are held now.
func (d *deadlines) count() int {
	for {
		d.mu.Lock()
		more := d.drop(time.Now())
		held := len(d.left)
		d.mu.Unlock()
		if !more {
			return held
		}
	}
}

// durationHeap has the shortest first.
//
//nolint:recvcheck // as container/heap has it
type durationHeap []time.Duration

func (h durationHeap) Len() int           { return len(h) }
func (h durationHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h durationHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements [heap.Interface].
func (h *durationHeap) Push(x any) {
	d, _ := x.(time.Duration) // only durations are pushed
	*h = append(*h, d)
}

// Pop implements [heap.Interface].
func (h *durationHeap) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	*h = (*h)[:last]
	return d
}
