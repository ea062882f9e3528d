// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

// unary is the interceptor of unary calls.
func (c *carrier) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	needed, err := c.selected.needsToken(c.policy, method)
	if err != nil {
		return err
	}
	if !needed {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	first := &callCarrier{carrier: c}
	err = invoke(ctx, method, req, reply, cc, first.option(opts)...)
	rejected := first.rejection(err)
	if rejected.IsZero() || ctx.Err() != nil {
		return err
	}
	// Another token is fetched by the second attempt's own credentials, so that gRPC
	// asks for it only when it can send it.
	second := &callCarrier{carrier: c, rejected: rejected}
	again := invoke(ctx, method, req, reply, cc, second.option(opts)...)
	if again != nil && second.sent.Load() == nil && ctx.Err() == nil {
		// It was not sent: there is no other token. What the server said stands.
		return err
	}
	return again
}

// stream is the interceptor of streams.
func (c *carrier) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	needed, err := c.selected.needsToken(c.policy, method)
	if err != nil {
		return nil, err
	}
	if !needed {
		return open(ctx, desc, cc, method, opts...)
	}
	call := &callCarrier{carrier: c}
	opened, err := open(ctx, desc, cc, method, call.option(opts)...)
	if err != nil {
		call.report(err)
		return nil, err
	}
	return &clientStream{ClientStream: opened, call: call}, nil
}

// clientStream notes that the server refused the token. Messages may have been sent
// by then, so the stream is not opened again; the next call gets another token.
type clientStream struct {
	grpc.ClientStream

	call *callCarrier
}

// RecvMsg implements grpc.ClientStream.
func (s *clientStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil {
		s.call.report(err)
	}
	return err
}

// option puts the carrier before the caller's options: gRPC uses the last
// credentials among them, so the caller's own win.
func (c *callCarrier) option(opts []grpc.CallOption) []grpc.CallOption {
	return append([]grpc.CallOption{grpc.PerRPCCredentials(c)}, opts...)
}

// report keeps the rejected token for the connection's next call.
func (c *callCarrier) report(err error) {
	if rejected := c.rejection(err); !rejected.IsZero() {
		c.carrier.rejected.Store(&rejected)
	}
}

// rejection returns the token that was sent if err is the server's word that another
// one may do. UNAUTHENTICATED alone is not: a handler can return it too, after it
// has done something.
func (c *callCarrier) rejection(err error) Token {
	sent := c.sent.Load()
	if sent == nil || status.Code(err) != codes.Unauthenticated {
		return Token{}
	}
	if _, local := errors.AsType[*Error](err); local {
		return Token{}
	}
	for _, detail := range status.Convert(err).Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if ok && info.GetDomain() == reason.Domain && reason.Reason(info.GetReason()).Renewable() {
			return *sent
		}
	}
	return Token{}
}
