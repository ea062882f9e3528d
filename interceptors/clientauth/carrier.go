// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// carrier puts one connection's token into the metadata of calls.
type carrier struct {
	policy   *policy.Policy
	selected selected
	key      string
	insecure bool
	existing ExistingAuthorization
	// replayed are the streams that gRPC's own retry may open again.
	replayed map[string]bool
}

func newCarrier(source TokenSource, scopes Selection, opts []Option) (*carrier, error) {
	cfg, err := newConfig(forConnection, opts)
	if err != nil {
		return nil, err
	}
	if own, ok := source.(*ClientCredentials); source == nil || ok && own == nil {
		// The second is what FromEnv returns beside an error.
		return nil, usageError("clientauth: the token source is nil")
	}
	if scopes.compile == nil {
		return nil, usageError("clientauth: no scopes are selected: use ForMethods, PerMethod, FixedScopes or AllClientScopes")
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
	chosen.public = publicMethods(cfg.policy)
	replayed, err := replayedStreams(cfg.policy, cfg.calls.retryStreams)
	if err != nil {
		return nil, err
	}
	if err := chosen.bind(source); err != nil {
		return nil, err
	}
	if cfg.insecureReason != "" {
		cfg.log().LogAttrs(context.Background(), slog.LevelWarn, "clientauth: tokens of this connection may travel in plaintext",
			slog.String("why", cfg.insecureReason))
	}
	return &carrier{
		policy: cfg.policy, selected: chosen, key: cfg.metadataKey, insecure: cfg.insecureReason != "",
		existing: cfg.calls.existing, replayed: replayed,
	}, nil
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
	return &Error{reason: ReasonSource, code: codes.Unavailable, text: "the token source failed: " + printable(err.Error(), 300), cause: foreign(err)}
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
	slot, err := c.selected.slot(c.policy, info.Method)
	if err != nil {
		return nil, err
	}
	if c.ownValue(ctx) {
		return nil, c.refuseExisting()
	}
	if slot == nil {
		return nil, nil //nolint:nilnil // as gRPC takes no metadata
	}
	token, err := slot.token(ctx)
	if err != nil {
		return nil, err
	}
	return slot.metadata(c.key, token)
}
