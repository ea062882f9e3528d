// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"

	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"google.golang.org/grpc"
)

// maxHeaderListBytes bounds what a caller can make the server hold before any
// check runs; gRPC's own default is 16 MiB.
const maxHeaderListBytes = 32 << 10

// initialWindow is HTTP/2's own initial window. To name it keeps gRPC from growing the
// window to megabytes, which callers could fill before they see a refusal.
const initialWindow = 65_535

// ServerOptions returns all that a server needs, so that nothing can be forgotten:
// both interceptors, a bound of 32 KiB on a call's headers, and the tap handle if
// [RefuseBeforeDecoding] or [CutIdleStreams] was given. Interceptors that are
// chained after them (grpc.ChainUnaryInterceptor, grpc.ChainStreamInterceptor) see the
// verified caller in the context; gRPC runs grpc.UnaryInterceptor and
// grpc.StreamInterceptor before all chained ones, so for refused calls too.
//
// With [RefuseBeforeDecoding] streams have a fixed window of 64 KiB, so that a refused
// caller can send no more than that in vain. On a long way that bounds a stream to 64 KiB
// in a round trip: where uploads cross continents, give a larger
// grpc.InitialWindowSize after these options.
//
// Options of grpc that come later override these. A second grpc.InTapHandle is a panic of
// grpc.NewServer: give your own handles to [RefuseBeforeDecoding].
//
// A caller that exceeds the bound on headers loses its connection. Behind a proxy that
// puts several callers on one connection, set the proxy's own limit lower.
func (a *Authorizer) ServerOptions() []grpc.ServerOption {
	options := []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(a.UnaryServerInterceptor()),
		grpc.ChainStreamInterceptor(a.StreamServerInterceptor()),
		grpc.MaxHeaderListSize(maxHeaderListBytes),
	}
	if a.early != nil {
		options = append(options, grpc.InitialWindowSize(initialWindow))
	}
	if a.tapped() {
		options = append(options, grpc.InTapHandle(a.onHeader))
	}
	return options
}

// UnaryServerInterceptor returns the interceptor for unary calls. A server needs
// the other one too: use [Authorizer.ServerOptions] where you can.
func (a *Authorizer) UnaryServerInterceptor() grpc.UnaryServerInterceptor {
	a.handedOut.unary.Store(true)
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, _, _, err := a.authorize(ctx, info.FullMethod, req)
		if err != nil {
			return nil, err
		}
		return handler(ctx, req)
	}
}

// StreamServerInterceptor returns the interceptor for streams, health's Watch and
// reflection among them. The token is checked when the stream opens, and the stream
// ends with it: the next message after the token's time is over is not delivered, all
// later ones neither, and the call ends with TOKEN_EXPIRED whatever the handler
// returns. With [RecheckStreams] or [AccessFile] it ends for what they find, too. A stream
// on which nothing is sent any more lives on; see [CutIdleStreams].
func (a *Authorizer) StreamServerInterceptor() grpc.StreamServerInterceptor {
	a.handedOut.stream.Store(true)
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, call, how, err := a.authorize(ss.Context(), info.FullMethod, nil)
		if err != nil {
			return err
		}
		if call.who == nil { // public, or let pass without a caller
			return handler(srv, &middleware.WrappedServerStream{ServerStream: ss, WrappedContext: ctx})
		}
		s := a.bind(ctx, ss, call, how)
		defer s.release()
		return s.result(handler(srv, s))
	}
}

// AuthFunc returns the decision in the shape of go-grpc-middleware's auth
// interceptors. Note that a service can replace it there by implementing
// ServiceAuthFuncOverride; the interceptors of this package cannot be replaced. It
// knows neither a call's message nor a stream's end: streams do not end with their
// token, and the function of [CheckCall] gets no message. Decisions are reported as
// StageCall, those about streams too.
func (a *Authorizer) AuthFunc() auth.AuthFunc {
	a.handedOut.unary.Store(true)
	a.handedOut.stream.Store(true)
	return func(ctx context.Context) (context.Context, error) {
		fullMethod, ok := grpc.Method(ctx)
		if !ok {
			return nil, a.refuse(ctx, "", NewError(ReasonMethodNotAllowed, errors.New("the context is not that of a call on a server")))
		}
		ctx, _, _, err := a.authorize(ctx, fullMethod, nil)
		return ctx, err
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
