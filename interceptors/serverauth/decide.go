// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// callContext is the context of a call together with what was decided about it.
type callContext struct {
	context.Context //nolint:containedctx // it is one

	auth   *Authorizer
	method string
	who    *verified // nil if nobody was verified: the method is public, or only reported on
	// cut ends the stream's context, if the tap handle made it one that can be ended.
	cut    context.CancelCauseFunc
	cached bool
	early  bool // the tap handle decided, all but what may take time
}

// Value implements [context.Context].
func (c *callContext) Value(key any) any {
	if _, ok := key.(principalKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// noticed returns what the tap handle left for the interceptors of the same call.
func (a *Authorizer) noticed(ctx context.Context, method string) *callContext {
	if !a.tapped() {
		return nil
	}
	c, ok := ctx.Value(principalKey{}).(*callContext)
	if !ok || c.auth != a || c.method != method {
		return nil
	}
	return c
}

// stillGood reports whether a token that was found good on the header frame is so now:
// the caller chooses when the message follows.
func (e *verified) stillGood() bool {
	refusal, same := e.isGood(e.issuer.clock)
	return refusal == nil && same
}

// authorize decides about one call. On success the context carries the caller, or
// none if the method is public. On refusal the error is an *Error.
func (a *Authorizer) authorize(ctx context.Context, method string, req any) (context.Context, *callContext, error) {
	var begin time.Time
	if len(a.reporters) > 0 {
		begin = time.Now()
	}
	var refusal *Error
	call := a.noticed(ctx, method)
	if call == nil || !call.early || !call.who.stillGood() {
		var cut context.CancelCauseFunc
		if call != nil {
			cut = call.cut
		}
		call = &callContext{Context: ctx, auth: a, method: method, cut: cut} // hides whoever was put into ctx before
		ctx = call
		var public bool
		if public, refusal = a.decide(call); public {
			a.allowed(ctx, call, begin)
			return ctx, call, nil
		}
	}
	if refusal != nil || call.early || a.revoked != nil || a.checkCall != nil { // else there is nobody to consult
		refusal = a.consult(ctx, call, req, refusal)
	}
	if refusal == nil {
		a.allowed(ctx, call, begin)
		return ctx, call, nil
	}
	return a.conclude(ctx, call, refusal, begin)
}

// conclude ends a call that is not allowed, unless it is only reported on. It stands
// apart so that allowed calls need little stack: gRPC runs each in a new goroutine,
// whose stack would grow for it.
//
//go:noinline
func (a *Authorizer) conclude(ctx context.Context, call *callContext, refusal *Error, begin time.Time) (context.Context, *callContext, error) {
	if a.waives(call.method, refusal) {
		a.wouldDeny(ctx, call, refusal, begin)
		return ctx, call, nil
	}
	a.denied(ctx, call, refusal, StageCall, begin)
	return nil, nil, a.refuse(ctx, call.method, refusal)
}

// decide is the part of a decision that reads the call's own context only. It leaves
// the caller in call, if a caller was verified.
//
// A stranger gets the same answer for a method without a rule as for any other that is
// registered. Of others gRPC itself says UNIMPLEMENTED, before any interceptor.
func (a *Authorizer) decide(call *callContext) (public bool, refusal *Error) {
	safe := a.allowInsecure || transportIsSafe(call.Context)
	token, noToken := bearerToken(metadata.ValueFromIncomingContext(call.Context, a.metadataKey), a.maxTokenBytes)
	if safe && noToken == nil && a.permittedBefore(call, token) {
		return false, a.barred(call.who, call.method)
	}
	return a.decideByRule(call, token, safe, noToken)
}

// decideByRule is decide for a token that was not seen with this method before. It stands
// apart for the reason of [Authorizer.conclude].
//
//go:noinline
func (a *Authorizer) decideByRule(call *callContext, token string, safe bool, noToken *Error) (public bool, refusal *Error) {
	rule, known := a.policy.Rule(call.method)
	switch {
	case rule.Kind() == policy.KindPublic:
		return true, nil
	case !safe:
		return false, NewError(ReasonTransportInsecure, nil)
	case noToken != nil:
		return false, noToken
	}
	if call.who, call.cached, refusal = a.authenticate(call.Context, token); refusal != nil {
		return false, refusal
	}
	if refusal := a.barred(call.who, call.method); refusal != nil {
		return false, refusal
	}
	return false, a.permit(rule, known, call)
}

// permittedBefore finds the caller of a token that is remembered, still good, and was
// permitted to call this method before: then the rule, which is not public, permits it
// again. Most calls are such. If it finds none, nothing is decided.
func (a *Authorizer) permittedBefore(call *callContext, token string) bool {
	if a.own == nil {
		return false
	}
	e := a.own.cache.get(token)
	if e == nil || !e.mayCall(a, call.method) || !e.stillGood() {
		return false
	}
	call.who, call.cached = e, true
	return true
}

// authenticate asks the verifier, and trusts what one of the user's own says no
// further than it must.
func (a *Authorizer) authenticate(ctx context.Context, token string) (who *verified, cached bool, refusal *Error) {
	if a.own != nil {
		return a.own.verify(ctx, token)
	}
	if refusal := checkAlphabet(token); refusal != nil {
		return nil, false, refusal
	}
	principal, err := a.verifier.Verify(ctx, token)
	if err != nil {
		return nil, false, verifierError(ctx, err)
	}
	if principal == nil || principal.clientID == "" {
		return nil, false, NewError(ReasonTokenInvalid, errors.New("the TokenVerifier returned neither a principal with a client id nor an error"))
	}
	return untracked(principal), false, nil
}

// verifierError makes a refusal of whatever a TokenVerifier returned. What it does
// not know is the token's fault, so that nothing passes.
func verifierError(ctx context.Context, err error) *Error {
	if refusal, ok := errors.AsType[*Error](err); ok && refusal != nil {
		return refusal
	}
	// Nobody promised that the text of such an error does not quote the token.
	cause := fmt.Errorf("the TokenVerifier failed with an error of the type %T", err)
	if ctx.Err() != nil {
		return contextError(ctx, ReasonKeysUnavailable, cause)
	}
	return NewError(ReasonTokenInvalid, cause)
}

// permit compares the rule with the verified caller.
func (a *Authorizer) permit(rule policy.Rule, known bool, call *callContext) *Error {
	p := call.who.principal
	switch {
	case !known:
		return provenError(ReasonMethodNotAllowed, p)
	case rule.Kind() == policy.KindNone:
		return provenError(ReasonMethodNotAnnotated, p)
	case !rule.Permits(p.scopes):
		refusal := provenError(ReasonInsufficientScope, p)
		refusal.required = rule.Alternatives()
		refusal.granted = p.Scopes()
		return refusal
	}
	if a.ownScopes != nil {
		if refusal := a.ownScopes.check(p); refusal != nil {
			return refusal
		}
	}
	call.who.notePermitted(a, call.method)
	return nil
}

// refuse logs the refusal and adds the challenge of RFC 6750 section 3 to the
// trailer. A trailer that cannot be set changes nothing about the refusal; net/http,
// behind [grpc.Server.ServeHTTP], takes none of this name and would log a line for it.
func (a *Authorizer) refuse(ctx context.Context, fullMethod string, refusal *Error) *Error {
	refusal = refusal.of(fullMethod)
	a.log.refused(ctx, fullMethod, refusal)
	if c := refusal.challenge(); c != "" && ctx.Value(http.ServerContextKey) == nil {
		_ = grpc.SetTrailer(ctx, metadata.Pairs("www-authenticate", c))
	}
	return refusal
}

// of returns the refusal with the method's name; a verifier may return one error for
// many calls.
func (e *Error) of(fullMethod string) *Error {
	named := *e
	named.method = fullMethod
	return &named
}
