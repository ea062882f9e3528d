// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"

	"google.golang.org/grpc"
)

// unary is the interceptor of unary calls.
func (c *carrier) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx, slot, err := c.begin(ctx, method, opts)
	if err != nil {
		return err
	}
	if slot == nil {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	first := &callCarrier{carrier: c, slot: slot, method: method}
	err = first.outcome(invoke(ctx, method, req, reply, cc, first.option(opts, grpc.Trailer(&first.trailer))...))
	rejected := first.rejection(err)
	if rejected.IsZero() || ctx.Err() != nil {
		return first.explain(err, opts)
	}
	// Another token is fetched by the second attempt's own credentials, so that gRPC
	// asks for it only when it can send it.
	second := first.again(rejected)
	again := second.outcome(invoke(ctx, method, req, reply, cc, second.option(opts, grpc.Trailer(&second.trailer))...))
	second.received(again)
	if again != nil && second.sent.Load() == nil {
		// It was not sent: there is no other token, or no time. What the server said
		// stands.
		return err
	}
	return again
}

// begin decides about a call; a nil slot means that it needs no token.
func (c *carrier) begin(ctx context.Context, method string, opts []grpc.CallOption) (context.Context, *slot, error) {
	slot, err := c.selected.slot(c.policy, method)
	if err != nil {
		return nil, nil, err
	}
	if slot == nil && c.existing == ExistingRespect {
		return ctx, nil, nil
	}
	ctx, err = c.prepare(ctx, opts)
	return ctx, slot, err
}

// stream is the interceptor of streams.
func (c *carrier) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, slot, err := c.begin(ctx, method, opts)
	if err != nil {
		return nil, err
	}
	if slot == nil {
		return open(ctx, desc, cc, method, opts...)
	}
	call := &callCarrier{carrier: c, slot: slot, method: method, replayed: c.replayed[method]}
	opened, err := open(ctx, desc, cc, method, call.option(opts)...)
	if err != nil {
		call.report(err)
		call.received(err)
		return nil, call.explain(err, opts)
	}
	if desc.ClientStreams {
		return &clientStream{ClientStream: opened, call: call}, nil
	}
	return &serverStream{call: call, current: opened, over: ctx.Done(), open: func(second *callCarrier) (grpc.ClientStream, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return open(ctx, desc, cc, method, second.option(opts)...)
	}}, nil
}
