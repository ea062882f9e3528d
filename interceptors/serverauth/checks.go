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

	"github.com/scopeauth/scopeauth/interceptors/internal/accesslist"
)

// What a server can check beyond tokens and scopes: a list of denied and allowed
// callers, revocation, a function of its own, and that a token was made for it.

// RevokedFunc says whether a verified caller's token is revoked. It is asked for every
// call, cached tokens included, so it must be fast. An error refuses the call.
type RevokedFunc func(ctx context.Context, p *Principal) (bool, error)

// CheckCallFunc is a check of the server's own, after scopes. req is the message of a
// unary call and nil for a stream. An error refuses the call: one made by [NewError] as
// it says, any other with CALL_REFUSED.
type CheckCallFunc func(ctx context.Context, fullMethod string, p *Principal, req any) error

// untracked makes a caller of a principal of unknown origin: it has no key to watch,
// and its time is over when it says.
func untracked(p *Principal) *verified {
	who := &verified{principal: p, validFrom: math.MinInt64, validUntil: math.MaxInt64}
	if !p.expiresAt.IsZero() {
		who.validUntil = p.expiresAt.UnixNano()
	}
	return who
}

// barred asks the access file.
func (a *Authorizer) barred(who *verified, method string) *Error {
	if a.access == nil {
		return nil
	}
	p := who.principal
	decision := a.access.Decide(accesslist.Caller{Issuer: p.issuer, ClientID: p.clientID, TokenID: p.tokenID}, method)
	var refusal *Error
	switch decision.Verdict {
	case accesslist.Permitted:
		return nil
	case accesslist.MethodDenied:
		refusal = provenError(ReasonClientNotAllowed, p)
	case accesslist.TokenDenied:
		refusal = provenError(ReasonTokenRevoked, p)
	default:
		refusal = provenError(ReasonRevocationUnavailable, p)
	}
	refusal.firm = true
	refusal.details = append(refusal.details, detail{"access_file", decision.Entry}, detail{"why", decision.Reason})
	return refusal
}

// consult asks the functions that the user gave: they may take time, so this is never
// done on a header frame. so far is what was decided before. A call that is only
// reported on is still refused if its token is revoked.
func (a *Authorizer) consult(ctx context.Context, call *callContext, req any, soFar *Error) *Error {
	if call.who == nil || soFar != nil && !a.waives(call.method, soFar) {
		return soFar
	}
	p := call.who.principal
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
	if refusal, ok := errors.AsType[*Error](err); ok && refusal != nil {
		return refusal.proving(p)
	}
	return contextError(ctx, ReasonCallRefused, fmt.Errorf("CheckCall: %w", err)).proving(p)
}

func (a *Authorizer) checkRevoked(ctx context.Context, p *Principal) *Error {
	revoked, err := a.revoked(ctx, p)
	switch {
	case err != nil:
		return contextError(ctx, ReasonRevocationUnavailable, fmt.Errorf("CheckRevoked: %w", err)).proving(p)
	case revoked:
		return provenError(ReasonTokenRevoked, p)
	default:
		return nil
	}
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
