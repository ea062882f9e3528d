// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/accesslist"
)

// What a server can check beyond tokens and scopes: a list of denied and allowed
// callers, revocation, a function of its own, and that a token was made for it.

// RevokedFunc says whether a verified caller's token is revoked. It is asked for every
// call, cached tokens included, so it must be fast, and by many goroutines at once. ctx
// is the call's and carries the caller; for an open stream it ends after 5 s. An error
// refuses the call, and so does a panic, which is logged: open streams are asked about
// where nobody else could catch it.
type RevokedFunc func(ctx context.Context, p *Principal) (bool, error)

// CheckCallFunc is a check of the server's own, after scopes and [CheckRevoked]. ctx is
// the call's and carries the caller. req is the message of a unary call and nil for a
// stream. It is called by many goroutines at once. An error refuses the call: one made by
// [NewError] as it says, any other with PERMISSION_DENIED, CALL_REFUSED. Neither its text
// nor its status reaches the caller. [ReportOnly] takes either for a matter of
// authorization. A panic is not caught; the handler does not run.
type CheckCallFunc func(ctx context.Context, fullMethod string, p *Principal, req any) error

// untracked makes a caller of a principal of unknown origin: it has no key to watch,
// and its time is over when it says.
func untracked(p *Principal) *verified {
	who := &verified{principal: p, validFrom: math.MinInt64, validUntil: math.MaxInt64}
	switch at := p.expiresAt; {
	case at.IsZero(), at.After(time.Unix(0, math.MaxInt64)): // UnixNano would overflow
	case at.Before(time.Unix(0, 0)):
		who.validUntil = 0
	default:
		who.validUntil = at.UnixNano()
	}
	return who
}

// barred asks the access file.
func (a *Authorizer) barred(who *verified, method string) *Error {
	if a.access == nil {
		return nil
	}
	return a.barredByFile(who, method)
}

func (a *Authorizer) barredByFile(who *verified, method string) *Error {
	p := who.principal
	decision := a.access.Decide(accesslist.Caller{Issuer: p.issuer, ClientID: p.clientID, TokenID: p.tokenID}, method)
	var (
		refusal *Error
		hint    = "the access file says so"
	)
	switch decision.Verdict {
	case accesslist.Permitted:
		return nil
	case accesslist.MethodDenied:
		refusal = provenError(ReasonClientNotAllowed, p)
	case accesslist.TokenDenied:
		refusal = provenError(ReasonTokenRevoked, p)
	default:
		if _, known := a.policy.Rule(method); !known {
			return nil // permit refuses it, and says what is wrong
		}
		refusal = provenError(ReasonRevocationUnavailable, p)
		hint = "the access file cannot be asked about this call"
	}
	refusal.firm = true
	refusal.details = append(refusal.details,
		detail{"access_file", decision.Entry}, detail{"why", clip(decision.Reason)}, detail{"hint", hint})
	return refusal
}

// consult asks what must be asked late: the functions that the user gave, since they may
// take time, and for a call that was decided on its header frame the access file again,
// since the caller chooses when its message follows. soFar is what was decided before. A
// call that is only reported on is still refused if its caller is known and barred.
func (a *Authorizer) consult(ctx context.Context, call *callContext, req any, soFar *Error, early bool) *Error {
	if soFar != nil && !a.waives(call.method, soFar) {
		return soFar
	}
	who := call.who
	if who == nil && soFar != nil && soFar.principal != nil {
		who = untracked(soFar.principal) // proven, but let pass as nobody
	}
	if who == nil {
		return soFar
	}
	if call.who == nil || early {
		if refusal := a.barred(who, call.method); refusal != nil {
			return refusal
		}
	}
	p := who.principal
	if a.revoked != nil {
		if refusal := a.checkRevoked(ctx, p); refusal != nil {
			return refusal
		}
	}
	if soFar != nil || a.checkCall == nil {
		return soFar
	}
	err := a.checkCall(ctx, call.method, p, req)
	if err == nil {
		return nil
	}
	refusal, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		refusal = contextError(ctx, ReasonCallRefused, err)
	case refusal == nil: // in an error that is not nil
		refusal = contextError(ctx, ReasonCallRefused, nil)
	}
	refusal = refusal.proving(p) // a copy: the function may return one error for many calls
	refusal.cause = &checkCallError{refusal.cause}
	return refusal
}

// checkCallError is the cause of a refusal that the function of [CheckCall] made,
// whatever reason it chose.
type checkCallError struct{ cause error }

// Error implements error.
func (e *checkCallError) Error() string {
	if e.cause == nil {
		return "CheckCall refused the call"
	}
	return "CheckCall: " + e.cause.Error()
}

// Unwrap returns what the function said, or nil.
func (e *checkCallError) Unwrap() error { return e.cause }

func (a *Authorizer) checkRevoked(ctx context.Context, p *Principal) *Error {
	revoked, err := a.askRevoked(ctx, p)
	switch {
	case err != nil:
		return contextError(ctx, ReasonRevocationUnavailable, fmt.Errorf("CheckRevoked: %w", err)).proving(p)
	case revoked:
		return provenError(ReasonTokenRevoked, p)
	default:
		return nil
	}
}

var errPanicked = errors.New("it panicked")

// askRevoked makes an error of a panic: the timer of a stream asks too, and there a
// panic would end the process.
func (a *Authorizer) askRevoked(ctx context.Context, p *Principal) (revoked bool, err error) {
	defer func() {
		if value := recover(); value != nil {
			a.log.panicked(ctx, "CheckRevoked", value)
			revoked, err = true, errPanicked
		}
	}()
	return a.revoked(ctx, p)
}

// proving returns the refusal with the caller that the signature has proven.
func (e *Error) proving(p *Principal) *Error {
	known := provenError(e.reason, p)
	proven := *e
	proven.principal = p
	proven.details = append(slices.Clone(e.details), known.details...)
	return &proven
}

// ownScopes is the check of [OwnScopesOnly].
type ownScopes struct {
	// servers are the resource servers of this server; nil until they are known.
	servers atomic.Pointer[[]string]
}

var errOwnScopesUnknown = errors.New("OwnScopesOnly does not know the server's resource servers: start it with Authorizer.Serve, call CheckServer before, or name them")

func (o *ownScopes) check(p *Principal) *Error {
	servers := o.servers.Load()
	if servers == nil {
		refusal := provenError(ReasonForeignScope, p)
		refusal.cause = errOwnScopesUnknown
		return refusal
	}
	for _, scope := range p.tokenScopes {
		if mayGrant(*servers, scope) {
			continue
		}
		refusal := provenError(ReasonForeignScope, p)
		refusal.details = append(refusal.details, detail{"foreign_scope", clip(scope)}, detail{"own", strings.Join(*servers, " ")})
		return refusal
	}
	return nil
}
