// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// stubVerifier stands for a TokenVerifier of the user's own.
type stubVerifier func(ctx context.Context, token string) (*serverauth.Principal, error)

func (f stubVerifier) Verify(ctx context.Context, token string) (*serverauth.Principal, error) {
	return f(ctx, token)
}

func TestCustomVerifier(t *testing.T) {
	t.Parallel()
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, row := range []struct {
		name   string
		ctx    context.Context
		value  string
		verify stubVerifier
		code   codes.Code
		fine   serverauth.Reason
		wire   string
	}{
		{
			name: "its own refusal", value: "Bearer t", code: u, fine: serverauth.ReasonTokenRevoked, wire: "TOKEN_REVOKED",
			verify: func(context.Context, string) (*serverauth.Principal, error) {
				return nil, serverauth.NewError(serverauth.ReasonTokenRevoked, errors.New("on the list"))
			},
		},
		{
			name: "a reason that does not exist", value: "Bearer t", code: u, fine: serverauth.ReasonTokenInvalid, wire: "TOKEN_INVALID",
			verify: func(context.Context, string) (*serverauth.Principal, error) {
				return nil, serverauth.NewError("NO_SUCH_REASON", nil)
			},
		},
		{
			name: "any other error", value: "Bearer t", code: u, fine: serverauth.ReasonTokenInvalid, wire: "TOKEN_INVALID",
			verify: func(context.Context, string) (*serverauth.Principal, error) {
				return nil, status.Error(codes.OK, "an error that says OK")
			},
		},
		{
			name: "neither principal nor error", value: "Bearer t", code: u, fine: serverauth.ReasonTokenInvalid, wire: "TOKEN_INVALID",
			verify: func(context.Context, string) (*serverauth.Principal, error) { return nil, nil },
		},
		{
			name: "a principal and an error", value: "Bearer t", code: u, fine: serverauth.ReasonTokenInvalid, wire: "TOKEN_INVALID",
			verify: func(context.Context, string) (*serverauth.Principal, error) {
				return serverauth.NewPrincipal(serverauth.PrincipalSpec{ClientID: "x"}), errors.New("no")
			},
		},
		{
			name: "a principal that is nobody", value: "Bearer t", code: u, fine: serverauth.ReasonTokenInvalid, wire: "TOKEN_INVALID",
			verify: func(context.Context, string) (*serverauth.Principal, error) {
				return serverauth.NewPrincipal(serverauth.PrincipalSpec{}), nil
			},
		},
		{
			name: "a nil *Error", value: "Bearer t", code: u, fine: serverauth.ReasonTokenInvalid, wire: "TOKEN_INVALID",
			verify: func(context.Context, string) (*serverauth.Principal, error) { return nil, (*serverauth.Error)(nil) },
		},
		{
			name: "the zero Error", value: "Bearer t", code: u, fine: "", wire: "TOKEN_INVALID",
			verify: func(context.Context, string) (*serverauth.Principal, error) { return nil, &serverauth.Error{} },
		},
		{
			name: "the caller has gone", ctx: cancelled, value: "Bearer t", code: codes.Canceled, fine: serverauth.ReasonKeysUnavailable, wire: "KEYS_UNAVAILABLE",
			verify: func(ctx context.Context, _ string) (*serverauth.Principal, error) { return nil, ctx.Err() },
		},
		{name: "never sees strange bytes", value: "Bearer a\"b", code: u, fine: serverauth.ReasonTokenMalformed, wire: "TOKEN_MALFORMED", verify: noVerifier(t)},
		{name: "never sees an empty token", value: "Bearer   ", code: u, fine: serverauth.ReasonTokenMalformed, wire: "TOKEN_MALFORMED", verify: noVerifier(t)},
		{name: "never sees a long token", value: "Bearer " + strings.Repeat("a", 8193), code: u, fine: serverauth.ReasonTokenTooLarge, wire: "TOKEN_TOO_LARGE", verify: noVerifier(t)},
	} {
		a, err := serverauth.New(row.verify, rules, serverauth.AllowInsecureTransport("no connection in this test"), serverauth.WithLogger(nil))
		if err != nil {
			t.Fatal(err)
		}
		ctx := row.ctx
		if ctx == nil {
			ctx = t.Context()
		}
		ctx = metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", row.value))
		_, err = a.UnaryServerInterceptor()(ctx, nil, &grpc.UnaryServerInfo{FullMethod: whoAmI}, func(context.Context, any) (any, error) {
			t.Errorf("%s: the handler ran", row.name)
			return nil, nil
		})
		refusal, isError := errors.AsType[*serverauth.Error](err)
		if !isError || refusal.Code() != row.code || refusal.Reason() != row.fine {
			t.Errorf("%s: got %v, want %v %s", row.name, err, row.code, row.fine)
			continue
		}
		if st := refusal.GRPCStatus(); st.Code() != row.code || len(st.Details()) != 1 || !strings.Contains(fmt.Sprint(st.Details()[0]), row.wire) {
			t.Errorf("%s: status %v with %v, want the wire reason %s", row.name, st, st.Details(), row.wire)
		}
	}
}

// An error of a verifier that quotes the token does not reach the log.
func TestCustomVerifierCannotLeakTheToken(t *testing.T) {
	t.Parallel()
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	log := &lockedBuffer{}
	quotes := stubVerifier(func(_ context.Context, token string) (*serverauth.Principal, error) {
		return nil, fmt.Errorf("cannot parse %q", token)
	})
	a, err := serverauth.New(quotes, rules, serverauth.AllowInsecureTransport("no connection in this test"),
		serverauth.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	if err != nil {
		t.Fatal(err)
	}
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer quoted-token"))
	_, _ = a.UnaryServerInterceptor()(ctx, nil, &grpc.UnaryServerInfo{FullMethod: whoAmI}, nil)
	if text := log.String(); strings.Contains(text, "quoted-token") || !strings.Contains(text, "refused TOKEN_INVALID") {
		t.Errorf("got the log %q, want the refusal without the token", text)
	}
}

func noVerifier(t *testing.T) stubVerifier {
	t.Helper()
	return func(context.Context, string) (*serverauth.Principal, error) {
		t.Error("the verifier was asked")
		return nil, errors.New("no")
	}
}
