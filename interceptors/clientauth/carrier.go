// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// carrier puts one connection's token into the metadata of calls.
type carrier struct {
	source   TokenSource
	policy   *policy.Policy
	selected selected
	key      string
	insecure bool

	// header is the metadata for the token that was sent last: the same map serves
	// every call until the token changes, since gRPC only reads it.
	header atomic.Pointer[header]
	// rejected is a token that a server refused on a stream, for the next call.
	rejected atomic.Pointer[Token]
}

type header struct {
	token    Token
	metadata map[string]string
}

func newCarrier(source TokenSource, scopes Selection, opts []Option) (*carrier, error) {
	cfg, err := newConfig(forConnection, opts)
	if err != nil {
		return nil, err
	}
	if source == nil {
		return nil, usageError("clientauth: the token source is nil")
	}
	if scopes.compile == nil {
		return nil, usageError("clientauth: no scopes are selected: use ForMethods, FixedScopes or AllClientScopes")
	}
	if cfg.policy == nil {
		if cfg.policy, err = policy.New(); err != nil {
			return nil, err
		}
	}
	chosen, err := scopes.compile(cfg.policy)
	if err != nil {
		return nil, err
	}
	if cfg.insecureReason != "" {
		cfg.log().LogAttrs(context.Background(), slog.LevelWarn, "clientauth: tokens of this connection may travel in plaintext",
			slog.String("why", cfg.insecureReason))
	}
	return &carrier{
		source: source, policy: cfg.policy, selected: chosen,
		key: cfg.metadataKey, insecure: cfg.insecureReason != "",
	}, nil
}

// token returns the token for a call. rejected is the one that the server refused
// in this call's first attempt, if any.
func (c *carrier) token(ctx context.Context, rejected Token) (Token, error) {
	req := Request{Scopes: c.selected.scopes, Rejected: rejected}
	if rejected.IsZero() {
		if told := c.rejected.Swap(nil); told != nil {
			req.Rejected = *told
			token, err := c.source.Token(ctx, req)
			if err == nil || ctx.Err() != nil {
				return token, sourceError(ctx, err)
			}
			// There is no other; the old one may do for this call.
			req.Rejected = Token{}
		}
	}
	token, err := c.source.Token(ctx, req)
	return token, sourceError(ctx, err)
}

// metadata returns the metadata that carries token.
func (c *carrier) metadata(token Token) (map[string]string, error) {
	if h := c.header.Load(); h != nil && h.token == token {
		return h.metadata, nil
	}
	value := token.Value()
	if err := checkToken(value); err != nil {
		return nil, &Error{reason: ReasonSource, code: codes.Unavailable, text: "the token source gave an unusable token: " + err.Error(), cause: err}
	}
	h := &header{token: token, metadata: map[string]string{c.key: "Bearer " + value}}
	c.header.Store(h)
	return h.metadata, nil
}

// ownValue reports whether the caller set the metadata. gRPC adds and never
// replaces, and a server refuses two values.
func (c *carrier) ownValue(ctx context.Context) bool {
	md, ok := metadata.FromOutgoingContext(ctx)
	return ok && len(md[c.key]) > 0
}

// sourceError makes sure that gRPC keeps the code of a source's error: it makes
// INTERNAL of errors without a status and of codes that are the server's alone
// (gRFC A54), and UNAUTHENTICATED or INTERNAL of a bare context error.
func sourceError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if cause := ctx.Err(); cause != nil {
		return contextError(cause)
	}
	if st, ok := status.FromError(err); ok && legal(st.Code()) {
		return err
	}
	return &Error{reason: ReasonSource, code: codes.Unavailable, text: "the token source failed: " + err.Error(), cause: err}
}

func legal(code codes.Code) bool {
	switch code {
	case codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition,
		codes.Aborted, codes.OutOfRange, codes.DataLoss:
		return false
	default:
		return true
	}
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (c *carrier) RequireTransportSecurity() bool { return !c.insecure }

// GetRequestMetadata implements credentials.PerRPCCredentials for connections
// without the interceptors.
func (c *carrier) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	info, ok := credentials.RequestInfoFromContext(ctx)
	if !ok {
		return nil, &Error{reason: ReasonMethod, code: codes.Internal, text: "gRPC does not say which method is called"}
	}
	needed, err := c.selected.needsToken(c.policy, info.Method)
	if err != nil || !needed || c.ownValue(ctx) {
		return nil, err
	}
	token, err := c.token(ctx, Token{})
	if err != nil {
		return nil, err
	}
	return c.metadata(token)
}

// callCarrier carries the token of one call and remembers it.
type callCarrier struct {
	*carrier

	// rejected is the token that the call's first attempt was refused with, or zero.
	rejected Token
	// sent is the token of the last attempt; nil if that had none.
	sent atomic.Pointer[Token]
}

// GetRequestMetadata implements credentials.PerRPCCredentials. It runs for each
// attempt that gRPC makes.
func (c *callCarrier) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	c.sent.Store(nil)
	if c.ownValue(ctx) {
		return map[string]string{}, nil
	}
	token, err := c.token(ctx, c.rejected)
	if err != nil {
		return nil, err
	}
	md, err := c.metadata(token)
	if err != nil {
		return nil, err
	}
	c.sent.Store(&token)
	return md, nil
}
