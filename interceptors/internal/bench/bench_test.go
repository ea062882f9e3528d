// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/oauth"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/clientauth"
)

// BenchmarkAttach gives a call its token, which is fresh: the interceptor and the call
// credentials together. time.Now is the clock that any cache must read.
func BenchmarkAttach(b *testing.B) {
	l := newLab(b)
	b.Run("time.Now", func(b *testing.B) {
		for b.Loop() {
			_ = time.Now()
		}
	})
	b.Run("scopeauth", func(b *testing.B) {
		intercept, err := clientauth.UnaryClientInterceptor(l.credentials(b), clientauth.AllClientScopes())
		must(b, err)
		// The invoker does what gRPC does with the credentials of a call.
		invoke := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
			_, err := opts[0].(grpc.PerRPCCredsCallOption).Creds.GetRequestMetadata(ctx)
			return err
		}
		b.ReportAllocs()
		for b.Loop() {
			must(b, intercept(b.Context(), filesv1.FileReadService_WhoAmI_FullMethodName, nil, nil, nil, invoke))
		}
	})
	b.Run("x-oauth2", func(b *testing.B) {
		source := l.oauth2Source(b)
		b.ReportAllocs()
		for b.Loop() { // what grpc's oauth.TokenSource does after its check of the transport
			token, err := source.Token()
			must(b, err)
			_ = map[string]string{"authorization": token.Type() + " " + token.AccessToken}
		}
	})
}

func (l *lab) oauth2Source(b *testing.B) oauth2.TokenSource {
	b.Helper()
	app := l.pool.Client(clientID)
	config := clientcredentials.Config{ClientID: app.ID, ClientSecret: app.Secret, TokenURL: l.cognito.TokenURL(), AuthStyle: oauth2.AuthStyleInHeader}
	token, err := config.Token(context.Background())
	must(b, err)
	return oauth2.ReuseTokenSource(token, config.TokenSource(context.Background()))
}

// files answers WhoAmI with nothing, so that only the way there costs.
type files struct {
	filesv1.UnimplementedFileReadServiceServer
}

func (files) WhoAmI(context.Context, *filesv1.WhoAmIRequest) (*filesv1.WhoAmIResponse, error) {
	return &filesv1.WhoAmIResponse{}, nil
}

// BenchmarkUnary is a whole call over TLS, one after the other: without tokens, with
// both our sides, and with x/oauth2 and gRPC's own credentials against our server.
func BenchmarkUnary(b *testing.B) {
	l := newLab(b)
	ours, err := clientauth.DialOptions(l.credentials(b), clientauth.AllClientScopes())
	must(b, err)
	peers := []grpc.DialOption{grpc.WithPerRPCCredentials(oauth.TokenSource{TokenSource: l.oauth2Source(b)})}
	guarded := l.guard(b, "scopeauth").options
	for _, row := range []struct {
		name   string
		server []grpc.ServerOption
		client []grpc.DialOption
	}{
		{"no-tokens", nil, nil},
		{"scopeauth", guarded, ours},
		{"x-oauth2-client", guarded, peers},
	} {
		b.Run(row.name, func(b *testing.B) {
			conn := serve(b, func(srv *grpc.Server) { filesv1.RegisterFileReadServiceServer(srv, files{}) }, row.server, row.client)
			client := filesv1.NewFileReadServiceClient(conn)
			b.ReportAllocs()
			for b.Loop() {
				_, err := client.WhoAmI(b.Context(), &filesv1.WhoAmIRequest{})
				must(b, err)
			}
		})
	}
}
