// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
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

	method string
	// rejected is the token that the call's first attempt was refused with, or zero.
	rejected Token
	// asked is true once gRPC has asked for the metadata.
	asked atomic.Bool
	// sent is the token of the last attempt; nil if that had none.
	sent atomic.Pointer[tokenData]

	// options is the space for the call's options if it has none of its own.
	options [1]grpc.CallOption
}

// option puts the carrier before the caller's options: gRPC uses the last
// credentials among them, so the caller's own win.
func (c *callCarrier) option(opts []grpc.CallOption) []grpc.CallOption {
	c.options[0] = grpc.PerRPCCredentials(c)
	return append(c.options[:], opts...)
}

// prepare returns the context for a call that needs a token, without an empty value
// of the metadata: that is none, and would stand beside the token.
func (c *carrier) prepare(ctx context.Context, opts []grpc.CallOption) (context.Context, error) {
	for _, opt := range opts {
		if creds, ok := opt.(grpc.PerRPCCredsCallOption); ok {
			if _, ours := creds.Creds.(*callCarrier); ours {
				return nil, &Error{
					reason: ReasonTwice, code: codes.Internal,
					text: "the connection has the interceptors of this package twice, and only the first selection would count",
					hint: "give DialOptions to grpc.NewClient and not to clientauth.NewClient",
				}
			}
		}
	}
	if values := metadata.ValueFromOutgoingContext(ctx, c.key); len(values) == 0 || hasValue(values) {
		return ctx, nil
	}
	md, _ := metadata.FromOutgoingContext(ctx)
	md.Delete(c.key)
	return metadata.NewOutgoingContext(ctx, md), nil
}

// GetRequestMetadata implements credentials.PerRPCCredentials. It runs for each
// attempt that gRPC makes.
func (c *callCarrier) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	c.asked.Store(true)
	c.sent.Store(nil)
	if c.ownValue(ctx) {
		return map[string]string{}, nil
	}
	token, err := c.token(ctx, c.rejected)
	if err != nil {
		return nil, err
	}
	if !c.rejected.IsZero() && token.same(c.rejected) {
		// A source that does not know Request.Rejected.
		return nil, rejectedError("the token source gave the same token again")
	}
	md, err := c.metadata(token)
	if err != nil {
		return nil, err
	}
	c.sent.Store(token.p)
	return md, nil
}

// report keeps the rejected token for the connection's next call.
func (c *callCarrier) report(err error) {
	if rejected := c.rejection(err); !rejected.IsZero() {
		c.carrier.rejected.Store(&rejected)
	}
}

// rejection returns the token that was sent if err is the server's word that another
// one may do. UNAUTHENTICATED alone is not: a handler can return it too, after it
// has done something. Nor is the refusal of another method: a handler passes on what
// was said about its own token.
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
	if err == nil || c.insecure || c.asked.Load() {
		return err
	}
	if st := status.Convert(err); st.Code() != codes.Unauthenticated || st.Message() != inPlaintext {
		return err
	}
	for _, opt := range opts {
		if _, own := opt.(grpc.PerRPCCredsCallOption); own {
			return err // gRPC asked the caller's credentials, not these
		}
	}
	return &Error{
		reason: ReasonPlaintext, code: codes.Unauthenticated, cause: err,
		text: "the call was not sent: the connection is in plaintext, where anybody on the way can take a token",
		hint: "use TLS, or AllowInsecureTransport if something else protects the connection",
	}
}
