// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"

	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// maxHeaderListBytes bounds what a caller can make the server hold before any
// check runs; gRPC's own default is 16 MiB.
const maxHeaderListBytes = 32 << 10

// ServerOptions returns all that a server needs, so that nothing can be forgotten:
// both interceptors and a bound of 32 KiB on a call's headers. Interceptors that
// are added after them see the verified caller in the context.
func (a *Authorizer) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(a.UnaryServerInterceptor()),
		grpc.ChainStreamInterceptor(a.StreamServerInterceptor()),
		grpc.MaxHeaderListSize(maxHeaderListBytes),
	}
}

// UnaryServerInterceptor returns the interceptor for unary calls. A server needs
// the other one too: use [Authorizer.ServerOptions] where you can.
func (a *Authorizer) UnaryServerInterceptor() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, err := a.authorize(ctx, info.FullMethod)
		if err != nil {
			return nil, err
		}
		return handler(ctx, req)
	}
}

// StreamServerInterceptor returns the interceptor for streams, health's Watch and
// reflection among them. The token is checked when the stream opens.
func (a *Authorizer) StreamServerInterceptor() grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, err := a.authorize(ss.Context(), info.FullMethod)
		if err != nil {
			return err
		}
		return handler(srv, &middleware.WrappedServerStream{ServerStream: ss, WrappedContext: ctx})
	}
}

// AuthFunc returns the decision in the shape of go-grpc-middleware's auth
// interceptors. Note that a service can replace it there by implementing
// ServiceAuthFuncOverride; the interceptors of this package cannot be replaced.
func (a *Authorizer) AuthFunc() auth.AuthFunc {
	return func(ctx context.Context) (context.Context, error) {
		fullMethod, ok := grpc.Method(ctx)
		if !ok {
			return nil, a.refuse(ctx, "", NewError(ReasonMethodNotAllowed, errors.New("the context is not that of a call on a server")))
		}
		return a.authorize(ctx, fullMethod)
	}
}

// authorize decides about one call. On success the context carries the caller, or
// none if the method is public. On refusal the error is an *Error.
func (a *Authorizer) authorize(ctx context.Context, fullMethod string) (context.Context, error) {
	rule, known := a.policy.Rule(fullMethod)
	if rule.Kind() == policy.KindPublic {
		if _, ok := PrincipalFromContext(ctx); ok {
			ctx = ContextWithPrincipal(ctx, nil) // nobody verified a caller of this call
		}
		return ctx, nil
	}
	// A stranger gets the same answer for a method without a rule as for any other.
	principal, refusal := a.authenticate(ctx)
	if refusal != nil {
		return nil, a.refuse(ctx, fullMethod, refusal)
	}
	if refusal := permit(rule, known, fullMethod, principal); refusal != nil {
		return nil, a.refuse(ctx, fullMethod, refusal)
	}
	return ContextWithPrincipal(ctx, principal), nil
}

func (a *Authorizer) authenticate(ctx context.Context) (*Principal, *Error) {
	if !a.allowInsecure && !transportIsSafe(ctx) {
		return nil, NewError(ReasonTransportInsecure, nil)
	}
	md, _ := metadata.FromIncomingContext(ctx)
	token, refusal := bearerToken(md, a.maxTokenBytes)
	if refusal != nil {
		return nil, refusal
	}
	principal, err := a.verifier.Verify(ctx, token)
	if err != nil {
		return nil, verifierError(ctx, err)
	}
	if principal == nil {
		return nil, NewError(ReasonTokenInvalid, errors.New("the TokenVerifier returned neither a principal nor an error"))
	}
	return principal, nil
}

// verifierError makes a refusal of whatever a TokenVerifier returned. What it does
// not know is the token's fault, so that nothing passes.
func verifierError(ctx context.Context, err error) *Error {
	if refusal, ok := errors.AsType[*Error](err); ok {
		return refusal
	}
	if ctx.Err() != nil {
		refusal := NewError(ReasonKeysUnavailable, err)
		refusal.code = status.FromContextError(ctx.Err()).Code()
		return refusal
	}
	return NewError(ReasonTokenInvalid, err)
}

// permit compares the rule with the verified caller.
func permit(rule policy.Rule, known bool, fullMethod string, p *Principal) *Error {
	switch {
	case !known:
		return provenError(ReasonMethodNotAllowed, p)
	case rule.Kind() == policy.KindNone:
		return provenError(ReasonMethodNotAnnotated, p)
	case !rule.Permits(p.scopes):
		refusal := provenError(ReasonInsufficientScope, p)
		refusal.method = fullMethod
		refusal.required = rule.Alternatives()
		refusal.granted = p.Scopes()
		return refusal
	default:
		return nil
	}
}

// provenError is a refusal of a caller whose token is in order.
func provenError(r Reason, p *Principal) *Error {
	refusal := NewError(r, nil)
	refusal.proven = true
	refusal.details = principalDetails(p)
	return refusal
}

// refuse logs the refusal and adds the challenge of RFC 6750 section 3 to the
// trailer. A trailer that cannot be set changes nothing about the refusal.
func (a *Authorizer) refuse(ctx context.Context, fullMethod string, refusal *Error) error {
	a.log.refused(ctx, fullMethod, refusal)
	if c := refusal.challenge(); c != "" {
		_ = grpc.SetTrailer(ctx, metadata.Pairs("www-authenticate", c))
	}
	return refusal
}
