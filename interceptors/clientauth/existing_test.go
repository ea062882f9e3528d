// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

func version(ctx context.Context, conn *grpc.ClientConn, opts ...grpc.CallOption) error {
	_, err := filesv1.NewFileReadServiceClient(conn).Version(ctx, &filesv1.VersionRequest{}, opts...)
	return err
}

// TestCallerSetAuthorization: one value on the wire, or none, as the option says.
func TestCallerSetAuthorization(t *testing.T) {
	t.Parallel()
	own, two := []string{"Bearer own"}, []string{"Bearer own", "Bearer other"}
	inMetadata := func(ctx context.Context) context.Context {
		return metadata.AppendToOutgoingContext(ctx, "Authorization", "Bearer own", "x-other", "stays")
	}
	for name, test := range map[string]struct {
		existing ExistingAuthorization
		ctx      func(ctx context.Context) context.Context
		opts     []grpc.CallOption
		want     []string // nil: the call fails before it is sent
		public   []string
		fetches  int
	}{
		"respect": {existing: ExistingRespect, ctx: inMetadata, want: own, public: own},
		"respect, twice in the metadata": {existing: ExistingRespect, ctx: func(ctx context.Context) context.Context {
			return metadata.AppendToOutgoingContext(inMetadata(ctx), "authorization", "Bearer other")
		}, want: two, public: two},
		"respect, call credentials": {existing: ExistingRespect, opts: []grpc.CallOption{grpc.PerRPCCredentials(ownCredentials{})}, want: own, public: own},
		"replace":                   {existing: ExistingReplace, ctx: inMetadata, want: bearer(0), public: []string{}, fetches: 1},
		"replace, call credentials": {existing: ExistingReplace, opts: []grpc.CallOption{grpc.PerRPCCredentials(ownCredentials{})}, want: bearer(0), public: own, fetches: 1},
		"replace, nothing there":    {existing: ExistingReplace, want: bearer(0), public: []string{}, fetches: 1},
		"fail":                      {existing: ExistingFail, ctx: inMetadata},
		"fail, call credentials":    {existing: ExistingFail, opts: []grpc.CallOption{grpc.PerRPCCredentials(ownCredentials{})}},
		"fail, nothing there":       {existing: ExistingFail, want: bearer(0), public: []string{}, fetches: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newFileServer(t, true, nil)
			endpoint := &fakeEndpoint{}
			conn := server.dial(t, newSource(t, endpoint), AllClientScopes(), WithExistingAuthorization(test.existing))
			ctx := t.Context()
			if test.ctx != nil {
				ctx = test.ctx(ctx)
			}
			calls := map[string]func(context.Context, *grpc.ClientConn, ...grpc.CallOption) error{"unary": stat, "stream": read, "public": version}
			for kind, call := range calls {
				before := len(server.sent(""))
				err := call(ctx, conn, test.opts...)
				sent := server.sent("authorization")[before:]
				want := test.want
				if kind == "public" {
					want = test.public
				}
				if want == nil {
					wantReason(t, err, ReasonExisting, codes.Internal)
					if len(sent) != 0 {
						t.Errorf("%s: it was sent", kind)
					}
					continue
				}
				if err != nil || len(sent) != 1 || strings.Join(sent[0], ", ") != strings.Join(want, ", ") {
					t.Errorf("%s: got %q on the wire and %v, want %q", kind, sent, err, want)
				}
				if other := server.sent("x-other")[before:]; test.ctx != nil && !reflect.DeepEqual(other, [][]string{{"stays"}}) {
					t.Errorf("%s: other metadata: got %q, want it to stay", kind, other)
				}
			}
			wantRequests(t, endpoint, test.fetches)
		})
	}
}

// TestAuthorizationFromAnInterceptorInside comes after the decision: it is respected,
// or fails the call, and never stands beside the token.
func TestAuthorizationFromAnInterceptorInside(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		existing ExistingAuthorization
		sent     [][]string
	}{
		"respect": {ExistingRespect, [][]string{{"Bearer inside"}}},
		"replace": {ExistingReplace, nil},
		"fail":    {ExistingFail, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newFileServer(t, true, nil)
			own, err := DialOptions(newSource(t, &fakeEndpoint{}), AllClientScopes(), WithExistingAuthorization(test.existing))
			if err != nil {
				t.Fatal(err)
			}
			conn := server.connect(t, append(own, grpc.WithChainUnaryInterceptor(
				func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
					return invoke(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer inside"), method, req, reply, cc, opts...)
				}))...)
			err = stat(t.Context(), conn)
			if test.sent == nil {
				wantReason(t, err, ReasonExisting, codes.Internal)
			} else if err != nil {
				t.Error(err)
			}
			if got := server.sent("authorization"); !reflect.DeepEqual(got, test.sent) {
				t.Errorf("authorization: got %q, want %q", got, test.sent)
			}
		})
	}
}

// TestExistingAuthorizationUnderAnotherKey: what is under "authorization" is not the
// connection's business then.
func TestExistingAuthorizationUnderAnotherKey(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, nil)
	conn := server.dial(t, newSource(t, &fakeEndpoint{}), AllClientScopes(), MetadataKey("x-service-auth"), WithExistingAuthorization(ExistingFail))
	if err := stat(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer own"), conn); err != nil {
		t.Fatal(err)
	}
	wantReason(t, stat(metadata.AppendToOutgoingContext(t.Context(), "X-Service-Auth", "Bearer own"), conn), ReasonExisting, codes.Internal)
	if got, want := server.sent("authorization"), [][]string{{"Bearer own"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("authorization: got %q, want %q", got, want)
	}
	if got, want := server.sent("x-service-auth"), [][]string{bearer(0)}; !reflect.DeepEqual(got, want) {
		t.Errorf("x-service-auth: got %q, want %q", got, want)
	}
}

// TestExistingAuthorizationWithCredentialsAlone: they can fail a call, not take a
// value away.
func TestExistingAuthorizationWithCredentialsAlone(t *testing.T) {
	t.Parallel()
	src := newSource(t, &fakeEndpoint{})
	if _, err := PerRPCCredentials(src, AllClientScopes(), WithExistingAuthorization(ExistingReplace)); err == nil || !strings.Contains(err.Error(), "need the interceptors") {
		t.Errorf("replace: got %v, want what it needs", err)
	}
	server := newFileServer(t, true, nil)
	for existing, want := range map[ExistingAuthorization][][]string{ExistingRespect: {{"Bearer own"}}, ExistingFail: nil} {
		creds, err := PerRPCCredentials(src, AllClientScopes(), WithExistingAuthorization(existing))
		if err != nil {
			t.Fatal(err)
		}
		conn := server.connect(t, grpc.WithPerRPCCredentials(creds))
		before := len(server.sent(""))
		err = stat(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer own"), conn)
		if want == nil {
			wantReason(t, err, ReasonExisting, codes.Internal)
		} else if err != nil {
			t.Error(err)
		}
		if got := server.sent("authorization")[before:]; len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("authorization: got %q, want %q", got, want)
		}
	}
}

// TestMetadataKeyOnBothSides: an end user's value stays beside the service's token.
func TestMetadataKeyOnBothSides(t *testing.T) {
	t.Parallel()
	l := newWireLab(t, wireSetup{server: []serverauth.Option{serverauth.MetadataKey("x-service-auth")}})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer user")
	conn := l.dial(t, PerMethod(), MetadataKey("x-service-auth"))
	for _, call := range []func(context.Context, *grpc.ClientConn, ...grpc.CallOption) error{stat, read} {
		if err := call(ctx, conn); err != nil {
			t.Error(err)
		}
	}
	if got, want := l.server.sent("authorization"), [][]string{{"Bearer user"}, {"Bearer user"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("authorization: got %q, want %q", got, want)
	}
	wantReasonOnTheWire(t, stat(t.Context(), l.dial(t, PerMethod())), codes.Unauthenticated, reason.TokenMissing)
}

// TestPlaintextUnderReplace: the error says what to do also where the call has
// credentials of its own, since they are not used.
func TestPlaintextUnderReplace(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, false, nil)
	endpoint := &fakeEndpoint{}
	conn := server.dial(t, newSource(t, endpoint), AllClientScopes(), WithExistingAuthorization(ExistingReplace))
	wantReason(t, stat(t.Context(), conn, grpc.PerRPCCredentials(ownCredentials{})), ReasonPlaintext, codes.Unauthenticated)
	wantRequests(t, endpoint, 0)
}

// TestReplaceLeavesTheCallersOptions as they are: the caller may use them again.
func TestReplaceLeavesTheCallersOptions(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, nil)
	conn := server.dial(t, newSource(t, &fakeEndpoint{}), AllClientScopes(), WithExistingAuthorization(ExistingReplace))
	opts := make([]grpc.CallOption, 0, 4)
	opts = append(opts, grpc.WaitForReady(true))
	// Generated methods pass on a copy.
	if err := conn.Invoke(t.Context(), statFile, &filesv1.StatFileRequest{}, &filesv1.StatFileResponse{}, opts...); err != nil {
		t.Fatal(err)
	}
	for _, behind := range opts[1:4] {
		if behind != nil {
			t.Error("the space behind the caller's options was written to")
		}
	}
}

// TestNoRoomBehindTheOptions: an interceptor inside that repeats a call appends to the
// same options each time.
func TestNoRoomBehindTheOptions(t *testing.T) {
	t.Parallel()
	if opts := (&callCarrier{carrier: &carrier{}}).option(nil); cap(opts) != len(opts) {
		t.Errorf("got room for %d options behind %d", cap(opts)-len(opts), len(opts))
	}
}

func TestExistingAuthorizationUnknown(t *testing.T) {
	t.Parallel()
	for _, existing := range []ExistingAuthorization{-1, ExistingFail + 1} {
		if _, err := DialOptions(newSource(t, &fakeEndpoint{}), AllClientScopes(), WithExistingAuthorization(existing)); err == nil || !strings.Contains(err.Error(), "unknown choice") {
			t.Errorf("%d: got %v, want an error", existing, err)
		}
	}
}
