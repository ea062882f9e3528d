// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

// callCarrier carries the token of one call and remembers it.
type callCarrier struct {
	*carrier

	slot   *slot
	method string
	// replayed says that gRPC may repeat the call because of its token.
	replayed bool
	// rejected is the token that the call's first attempt was refused with, or zero.
	rejected Token
	// asked is how often gRPC has asked for the metadata: once for each attempt.
	asked atomic.Int32
	// renewed is true once the source was asked for another token because of this call,
	// which happens once, whoever repeats it.
	renewed atomic.Bool
	// repeated is true from when the call has another token until the outcome is known.
	repeated atomic.Bool
	// sent is the token of the last attempt; nil if that had none.
	sent atomic.Pointer[tokenData]

	// trailer is what a unary call's last attempt ended with.
	trailer metadata.MD
	// options is the space for the call's options if it has none of its own.
	options [2]grpc.CallOption
}

// option puts the carrier and what else is the package's own before the caller's options:
// gRPC uses the last credentials among them, so the caller's own win. Where they must
// not, it comes last.
func (c *callCarrier) option(opts []grpc.CallOption, also ...grpc.CallOption) []grpc.CallOption {
	own := append(append(c.options[:0], grpc.PerRPCCredentials(c)), also...)
	if c.existing == ExistingReplace {
		return append(slices.Clip(opts), own...)
	}
	return append(slices.Clip(own), opts...)
}

// again returns the state of the call's second attempt after rejected was refused.
func (c *callCarrier) again(rejected Token) *callCarrier {
	return &callCarrier{carrier: c.carrier, slot: c.slot, method: c.method, rejected: rejected}
}

// prepare applies what the connection does with a value or credentials that the call
// has already. It takes empty values of the metadata away: such a value is none, and
// would stand beside the token.
func (c *carrier) prepare(ctx context.Context, opts []grpc.CallOption) (context.Context, error) {
	for _, opt := range opts {
		creds, ok := opt.(grpc.PerRPCCredsCallOption)
		if !ok {
			continue
		}
		if _, ours := creds.Creds.(*callCarrier); ours {
			return nil, &Error{
				reason: ReasonTwice, code: codes.Internal,
				text: "the connection has the interceptors of this package twice, and only the first selection would count",
				hint: "give DialOptions to grpc.NewClient and not to clientauth.NewClient",
			}
		}
		if c.existing == ExistingFail {
			return nil, c.refuseExisting()
		}
	}
	values := metadata.ValueFromOutgoingContext(ctx, c.key)
	if len(values) == 0 {
		return ctx, nil
	}
	if hasValue(values) {
		switch c.existing {
		case ExistingRespect:
			return ctx, nil
		case ExistingFail:
			return nil, c.refuseExisting()
		case ExistingReplace:
		}
	}
	md, _ := metadata.FromOutgoingContext(ctx)
	md.Delete(c.key)
	return metadata.NewOutgoingContext(ctx, md), nil
}

// GetRequestMetadata implements credentials.PerRPCCredentials. It runs for each
// attempt that gRPC makes.
func (c *callCarrier) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	c.asked.Add(1)
	before := c.sent.Swap(nil)
	if c.ownValue(ctx) {
		// An interceptor inside added it, or it is respected.
		return nil, c.refuseExisting()
	}
	token, err := c.token(ctx, Token{p: before})
	if err != nil {
		return nil, err
	}
	md, err := c.slot.metadata(c.key, token)
	if err != nil {
		return nil, err
	}
	c.sent.Store(token.p)
	return md, nil
}

// token returns the token for an attempt. before is that of gRPC's attempt before it,
// or zero.
func (c *callCarrier) token(ctx context.Context, before Token) (Token, error) {
	if !c.rejected.IsZero() {
		return c.otherThanRejected(ctx)
	}
	if c.replayed && !before.IsZero() && !c.renewed.Swap(true) {
		// gRPC does not say why it repeats the call. If it was not the token, the old one
		// does; if it was, the server says so again.
		if token, err := c.slot.other(ctx, before); err == nil {
			c.repeats()
			return token, nil
		}
	}
	return c.slot.token(ctx)
}

// otherThanRejected returns the token for the attempt that an interceptor of this
// package repeats.
func (c *callCarrier) otherThanRejected(ctx context.Context) (Token, error) {
	rejected, again := c.rejected, c.renewed.Swap(true)
	if again {
		// gRPC repeats this attempt in its turn. The source knows by now.
		rejected = Token{}
	}
	token, err := c.slot.ask(ctx, rejected)
	if err != nil {
		return Token{}, err
	}
	if token.same(c.rejected) {
		// A source that does not know Request.Rejected.
		return Token{}, rejectedError("the token source gave the same token again")
	}
	if !again {
		c.repeats()
	}
	return token, nil
}

// repeats counts a call that is repeated with another token.
func (c *callCarrier) repeats() {
	c.repeated.Store(true)
	if c.slot.own != nil {
		c.slot.own.counts.retries.Add(1)
	}
}

// received takes what a call that may have been repeated received first.
func (c *callCarrier) received(err error) {
	if c.repeated.Load() && c.repeated.Swap(false) && err != nil && !errors.Is(err, io.EOF) && c.slot.own != nil {
		c.slot.own.counts.retriesFailed.Add(1)
	}
}

// report keeps the rejected token for the connection's next call.
func (c *callCarrier) report(err error) {
	if rejected := c.rejection(err); !rejected.IsZero() {
		c.slot.rejected.Store(&rejected)
	}
}

// rejection returns the token that was sent if err is the server's word that another
// one may do, and this call has not had another yet. UNAUTHENTICATED alone is not: a
// handler can return it too, after it has done something. Nor is the refusal of
// another method: a handler passes on what was said about its own token. An error of
// this package has no ErrorInfo, and its attempt sent no token.
func (c *callCarrier) rejection(err error) Token {
	sent := c.sent.Load()
	if sent == nil || c.renewed.Load() || status.Code(err) != codes.Unauthenticated {
		return Token{}
	}
	for _, detail := range status.Convert(err).Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if ok && info.GetDomain() == reason.Domain && reason.Reason(info.GetReason()).Renewable() && info.GetMetadata()[reason.MethodKey] == c.method {
			return Token{p: sent}
		}
	}
	return Token{}
}

// inPlaintext is gRPC's own text for credentials that need transport security.
const inPlaintext = "transport: cannot send secure credentials on an insecure connection"

// explain replaces the error by which gRPC refuses to ask for a token, since it does
// not say what to do. A server may send the same text, but not before gRPC has asked.
func (c *callCarrier) explain(err error, opts []grpc.CallOption) error {
	if err == nil || c.insecure || c.asked.Load() > 0 {
		return err
	}
	if st := status.Convert(err); st.Code() != codes.Unauthenticated || st.Message() != inPlaintext {
		return err
	}
	for _, opt := range opts {
		if _, own := opt.(grpc.PerRPCCredsCallOption); own && c.existing != ExistingReplace {
			return err // gRPC asked the caller's credentials, not these
		}
	}
	return &Error{
		reason: ReasonPlaintext, code: codes.Unauthenticated, cause: err,
		text: "the call was not sent: the connection is in plaintext, where anybody on the way can take a token",
		hint: "use TLS, or AllowInsecureTransport if something else protects the connection",
	}
}
