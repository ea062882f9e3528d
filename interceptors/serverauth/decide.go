// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// callContext is the context of a call together with its caller. It is made for each
// call, so it is small.
type callContext struct {
	context.Context //nolint:containedctx // it is one
	*target

	who *verified // nil if nobody was verified: the method is public, or only reported on
}

// target is a method of an authorizer's server. Where a token was permitted to call it,
// all such calls share one.
type target struct {
	auth   *Authorizer
	method string
}

// Value implements [context.Context].
func (c *callContext) Value(key any) any {
	if _, ok := key.(principalKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// course is how a decision went, for reports.
type course struct {
	begin  time.Time // zero if nobody is told
	cached bool      // the token was remembered
}

func (a *Authorizer) started() (how course) {
	if len(a.reporters) > 0 {
		how.begin = time.Now()
	}
	return how
}

// stillGood reports whether a token that was found good before is so now.
func (e *verified) stillGood() bool {
	refusal, same := e.isGood(e.issuer.clock)
	return refusal == nil && same
}

// authorize decides about one call. On success the context carries the caller, or
// none if the method is public. On refusal the error is an *Error.
//
// Most calls need the first lines only, so the rest stands apart: gRPC runs each call in
// a new goroutine, whose stack would grow for it.
func (a *Authorizer) authorize(ctx context.Context, told string, req any) (context.Context, *callContext, course, error) {
	if a.swift {
		if call := a.permittedBefore(ctx, told); call != nil {
			return call, call, course{cached: true}, nil
		}
	}
	return a.authorizeInFull(ctx, told, req)
}

// isSwift reports whether a call of a caller that was permitted before is allowed
// without asking or telling anybody.
func (a *Authorizer) isSwift() bool {
	return !a.tapped() && a.access == nil && a.revoked == nil && a.checkCall == nil && len(a.reporters) == 0
}

//go:noinline
func (a *Authorizer) authorizeInFull(ctx context.Context, told string, req any) (context.Context, *callContext, course, error) {
	var (
		how     = a.started()
		method  = calledMethod(ctx, told)
		call    *callContext
		public  bool
		refusal *Error
	)
	early := a.noticed(ctx, method)
	if early != nil && early.decided && early.who.stillGood() {
		call, how.cached = &early.callContext, early.cached
	} else {
		early = nil
		call, public, how.cached, refusal = a.decide(ctx, method)
		ctx = call
	}
	if !public {
		refusal = a.consult(ctx, call, req, refusal, early != nil)
	}
	if refusal == nil {
		a.allowed(ctx, call, how)
		return ctx, call, how, nil
	}
	if a.waives(method, refusal) {
		a.wouldDeny(ctx, call, refusal, StageCall, how)
		return ctx, call, how, nil
	}
	a.denied(ctx, call, refusal, StageCall, how)
	return nil, nil, how, a.refuse(ctx, method, refusal)
}

// permittedBefore returns the context of a call whose token was permitted to call this
// method before: then the rule, which is not public, permits it again. Else it returns
// nil, and nothing is decided.
func (a *Authorizer) permittedBefore(ctx context.Context, told string) *callContext {
	who, called := a.rememberedWith(metadata.ValueFromIncomingContext(ctx, a.metadataKey), calledMethod(ctx, told))
	if called == nil || !a.allowInsecure && !transportIsSafe(ctx) {
		return nil
	}
	return &callContext{ctx, called, who}
}

// rememberedWith returns the caller of a token that is remembered and still good, with
// the method if the token was permitted to call it before, and else nil.
func (a *Authorizer) rememberedWith(values []string, method string) (*verified, *target) {
	if a.own == nil || len(values) != 1 {
		return nil, nil
	}
	if who, called := a.own.cache.recall(values[0]); who != nil {
		if called.auth == a && called.method == method {
			return who, called
		}
		return who, who.mayCall(a, method)
	}
	token, usual := strings.CutPrefix(values[0], usualScheme+" ")
	if !usual {
		return nil, nil
	}
	who := a.own.cache.get(token)
	if who == nil || !who.stillGood() {
		return nil, nil
	}
	called := who.mayCall(a, method)
	if called != nil {
		a.own.cache.noteRepeat(token, who, called)
	}
	return who, called
}

// decide is the part of a decision that reads the call's own context only. The context
// that it returns hides whoever was put into ctx before.
//
// A stranger gets the same answer for a method without a rule as for any other that is
// registered. Of others gRPC itself says UNIMPLEMENTED, before any interceptor.
func (a *Authorizer) decide(ctx context.Context, method string) (call *callContext, public, cached bool, refusal *Error) {
	if call = a.permittedBefore(ctx, method); call != nil {
		return call, false, true, a.barred(call.who, method)
	}
	call = &callContext{Context: ctx, target: &target{a, method}}
	rule, known := a.policy.Rule(method)
	if rule.Kind() == policy.KindPublic {
		return call, true, false, nil
	}
	if !a.allowInsecure && !transportIsSafe(ctx) {
		return call, false, false, NewError(ReasonTransportInsecure, nil)
	}
	token, refusal := bearerToken(metadata.ValueFromIncomingContext(ctx, a.metadataKey), a.maxTokenBytes)
	if refusal != nil {
		return call, false, false, refusal
	}
	if call.who, cached, refusal = a.authenticate(ctx, token); refusal != nil {
		return call, false, cached, refusal
	}
	if refusal := a.barred(call.who, method); refusal != nil {
		return call, false, cached, refusal
	}
	return call, false, cached, a.permit(rule, known, call.who, method)
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

// permit compares the rule of the method with the verified caller.
func (a *Authorizer) permit(rule policy.Rule, known bool, who *verified, method string) *Error {
	p := who.principal
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
	who.notePermitted(a, method)
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
