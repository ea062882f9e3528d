// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/oauth"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/clientauth"
	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// BenchmarkVerifyCold checks a token as if it came for the first time. "rsa" is the
// least that any verifier must do.
func BenchmarkVerifyCold(b *testing.B) {
	l := newLab(b)
	key := l.publicKey(b)
	b.Run("rsa", func(b *testing.B) {
		b.ReportAllocs()
		signed := l.token[:strings.LastIndexByte(l.token, '.')]
		sig, err := base64.RawURLEncoding.DecodeString(l.token[len(signed)+1:])
		must(b, err)
		for b.Loop() {
			sum := sha256.Sum256([]byte(signed))
			must(b, rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sig))
		}
	})
	b.Run("scopeauth", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := l.verifier.Verify(b.Context(), l.token)
			must(b, err)
		}
	})
	b.Run("golang-jwt", func(b *testing.B) {
		b.ReportAllocs()
		parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(l.cognito.Issuer()), jwt.WithExpirationRequired())
		for b.Loop() {
			_, err := parser.Parse(l.token, func(*jwt.Token) (any, error) { return key, nil })
			must(b, err)
		}
	})
}

// BenchmarkPolicyLookup finds a method's rule and compares it with a token's scopes.
func BenchmarkPolicyLookup(b *testing.B) {
	rules, err := policy.New()
	must(b, err)
	granted := []string{"demo/read.file", "demo/write.file"}
	b.ReportAllocs()
	for b.Loop() {
		rule, ok := rules.Rule(filesv1.FileWriteService_AppendFile_FullMethodName)
		if !ok || !rule.Permits(granted) {
			b.Fatal("refused")
		}
	}
}

// BenchmarkAttach gives a call its token, which is fresh: the interceptor and the call
// credentials together. time.Now is the
// clock that any cache must read.
func BenchmarkAttach(b *testing.B) {
	l := newLab(b)
	b.Run("time.Now", func(b *testing.B) {
		for b.Loop() {
			_ = time.Now()
		}
	})
	b.Run("scopeauth", func(b *testing.B) {
		intercept, err := clientauth.UnaryClientInterceptor(l.tokens, clientauth.AllClientScopes())
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
	app := l.cognito.Pool("s2s-test").Client("sts-test-app-client")
	config := clientcredentials.Config{ClientID: app.ID, ClientSecret: app.Secret, TokenURL: l.cognito.TokenURL(), AuthStyle: oauth2.AuthStyleInHeader}
	token, err := config.Token(context.Background())
	must(b, err)
	return oauth2.ReuseTokenSource(token, config.TokenSource(context.Background()))
}

// BenchmarkUnary is a whole call over TLS: without tokens, with both our sides, and
// with x/oauth2 and gRPC's own credentials against our server.
func BenchmarkUnary(b *testing.B) {
	l := newLab(b)
	ours, err := clientauth.DialOptions(l.tokens, clientauth.AllClientScopes())
	must(b, err)
	peers := []grpc.DialOption{grpc.WithPerRPCCredentials(oauth.TokenSource{TokenSource: l.oauth2Source(b)})}
	for _, row := range []struct {
		name   string
		server []grpc.ServerOption
		client []grpc.DialOption
	}{
		{"no-tokens", nil, nil},
		{"scopeauth", l.auth.ServerOptions(), ours},
		{"x-oauth2-client", l.auth.ServerOptions(), peers},
	} {
		b.Run(row.name, func(b *testing.B) {
			client := connect(b, row.server, row.client)
			b.ReportAllocs()
			for b.Loop() {
				_, err := client.WhoAmI(b.Context(), &filesv1.WhoAmIRequest{})
				must(b, err)
			}
		})
	}
}
