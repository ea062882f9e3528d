// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

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

	// set is the state of the selected scopes in a source of this package's own,
	// looked up by the first call; else nil.
	set atomic.Pointer[tokenSet]
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

// streamPatience is how long the call after a refused stream waits for another token
// before it takes the old one.
const streamPatience = time.Second

// token returns the token for a call. rejected is the one that the server refused
// in this call's first attempt, if any.
func (c *carrier) token(ctx context.Context, rejected Token) (Token, error) {
	// One call takes the mark; the load spares the others a write.
	if mark := c.rejected.Load(); mark != nil && rejected.IsZero() && c.rejected.CompareAndSwap(mark, nil) {
		token, err := c.other(ctx, *mark)
		if err == nil {
			return token, nil
		}
		if ctx.Err() != nil {
			// This call had no time for it, so it is left to the next.
			c.rejected.CompareAndSwap(nil, mark)
			return Token{}, sourceError(ctx, err)
		}
		// There is no other yet; the old one may do for this call.
	}
	token, err := c.ask(ctx, rejected)
	return token, sourceError(ctx, err)
}

// other asks for another token than the one that a stream was refused with, in a part
// of the call's time: the call is not to blame.
func (c *carrier) other(ctx context.Context, rejected Token) (Token, error) {
	patience := streamPatience
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)/2)
	}
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.ask(short, rejected)
}

// ask asks the source.
func (c *carrier) ask(ctx context.Context, rejected Token) (Token, error) {
	own, ok := c.source.(*ClientCredentials)
	if !ok {
		return c.source.Token(ctx, Request{Scopes: c.selected.scopes, Rejected: rejected})
	}
	set := c.set.Load()
	if set == nil {
		var err error
		if set, err = own.set(c.selected.scopes); err != nil {
			return Token{}, err
		}
		c.set.Store(set)
	}
	return own.tokenOf(ctx, set, rejected)
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
	return hasValue(metadata.ValueFromOutgoingContext(ctx, c.key))
}

func hasValue(values []string) bool {
	for _, value := range values {
		if value != "" {
			return true
		}
	}
	return false
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
	return &Error{reason: ReasonSource, code: codes.Unavailable, text: "the token source failed: " + err.Error(), cause: foreign(err)}
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
