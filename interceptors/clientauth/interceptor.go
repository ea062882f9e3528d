// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"

	"google.golang.org/grpc"
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
	if ctx, err = c.prepare(ctx, opts); err != nil {
		return err
	}
	first := &callCarrier{carrier: c, method: method}
	err = invoke(ctx, method, req, reply, cc, first.option(opts)...)
	rejected := first.rejection(err)
	if rejected.IsZero() || ctx.Err() != nil {
		return first.explain(err, opts)
	}
	// Another token is fetched by the second attempt's own credentials, so that gRPC
	// asks for it only when it can send it.
	second := &callCarrier{carrier: c, method: method, rejected: rejected}
	again := invoke(ctx, method, req, reply, cc, second.option(opts)...)
	if again != nil && second.sent.Load() == nil {
		// It was not sent: there is no other token, or no time. What the server said
		// stands.
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
	if ctx, err = c.prepare(ctx, opts); err != nil {
		return nil, err
	}
	call := &callCarrier{carrier: c, method: method}
	opened, err := open(ctx, desc, cc, method, call.option(opts)...)
	if err != nil {
		call.report(err)
		return nil, call.explain(err, opts)
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
