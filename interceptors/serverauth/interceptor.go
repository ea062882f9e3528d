// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"
	"fmt"

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
// both interceptors and a bound of 32 KiB on a call's headers. Interceptors that are
// chained after them (grpc.ChainUnaryInterceptor, grpc.ChainStreamInterceptor) see the
// verified caller in the context; gRPC runs grpc.UnaryInterceptor and
// grpc.StreamInterceptor before all chained ones, so for refused calls too.
//
// A caller that exceeds the bound on headers loses its connection. Behind a proxy that
// puts several callers on one connection, set the proxy's own limit lower.
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
	a.handedOut.unary.Store(true)
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, err := a.authorize(ctx, calledMethod(ctx, info.FullMethod))
		if err != nil {
			return nil, err
		}
		return handler(ctx, req)
	}
}

// StreamServerInterceptor returns the interceptor for streams, health's Watch and
// reflection among them. The token is checked when the stream opens.
func (a *Authorizer) StreamServerInterceptor() grpc.StreamServerInterceptor {
	a.handedOut.stream.Store(true)
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, err := a.authorize(ss.Context(), calledMethod(ss.Context(), info.FullMethod))
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
	a.handedOut.unary.Store(true)
	a.handedOut.stream.Store(true)
	return func(ctx context.Context) (context.Context, error) {
		fullMethod, ok := grpc.Method(ctx)
		if !ok {
			return nil, a.refuse(ctx, "", NewError(ReasonMethodNotAllowed, errors.New("the context is not that of a call on a server")))
		}
		return a.authorize(ctx, fullMethod)
	}
}

// calledMethod returns the method by its name on the wire, which is the one that it is
// registered by. What generated code tells an interceptor of a unary call is the name
// in the .proto file, and a service can be registered under another one.
func calledMethod(ctx context.Context, told string) string {
	if onWire, ok := grpc.Method(ctx); ok {
		return onWire
	}
	return told
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
	// A stranger gets the same answer for a method without a rule as for any other that
	// is registered. Of others gRPC itself says UNIMPLEMENTED, before any interceptor.
	principal, refusal := a.authenticate(ctx)
	if refusal != nil {
		return nil, a.refuse(ctx, fullMethod, refusal)
	}
	if refusal := permit(rule, known, principal); refusal != nil {
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
	if principal == nil || principal.clientID == "" {
		return nil, NewError(ReasonTokenInvalid, errors.New("the TokenVerifier returned neither a principal with a client id nor an error"))
	}
	return principal, nil
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
		refusal := NewError(ReasonKeysUnavailable, cause)
		refusal.code = status.FromContextError(ctx.Err()).Code()
		return refusal
	}
	return NewError(ReasonTokenInvalid, cause)
}

// permit compares the rule with the verified caller.
func permit(rule policy.Rule, known bool, p *Principal) *Error {
	switch {
	case !known:
		return callerError(ReasonMethodNotAllowed, p)
	case rule.Kind() == policy.KindNone:
		return callerError(ReasonMethodNotAnnotated, p)
	case !rule.Permits(p.scopes):
		refusal := callerError(ReasonInsufficientScope, p)
		refusal.required = rule.Alternatives()
		refusal.granted = p.Scopes()
		return refusal
	default:
		return nil
	}
}

// callerError is a refusal of a caller whose token is in order.
func callerError(r Reason, p *Principal) *Error {
	refusal := NewError(r, nil)
	refusal.details = principalDetails(p)
	return refusal
}

// refuse logs the refusal and adds the challenge of RFC 6750 section 3 to the
// trailer. A trailer that cannot be set changes nothing about the refusal.
func (a *Authorizer) refuse(ctx context.Context, fullMethod string, refusal *Error) error {
	named := *refusal // a verifier may return one error for many calls
	named.method = fullMethod
	refusal = &named
	a.log.refused(ctx, fullMethod, refusal)
	if c := refusal.challenge(); c != "" {
		_ = grpc.SetTrailer(ctx, metadata.Pairs("www-authenticate", c))
	}
	return refusal
}
