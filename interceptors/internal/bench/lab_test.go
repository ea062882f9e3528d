// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/clientauth"
	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// lab is an embedded Cognito with what both sides need from it.
type lab struct {
	cognito  *cognitotest.Server
	verifier *serverauth.Verifier
	auth     *serverauth.Authorizer
	tokens   *clientauth.ClientCredentials
	token    string
}

func newLab(b *testing.B) *lab {
	b.Helper()
	cognito, err := cognitotest.NewServer()
	must(b, err)
	b.Cleanup(func() { must(b, cognito.Close()) })
	app := cognito.Pool("s2s-test").Client("sts-test-app-client")
	verifier, err := serverauth.NewVerifier(b.Context(), []serverauth.Issuer{{
		URL: cognito.Issuer(), JWKSURL: cognito.JWKSURL(), Clients: serverauth.Clients(app.ID),
	}}, serverauth.WithLogger(nil))
	must(b, err)
	b.Cleanup(func() { must(b, verifier.Close()) })
	rules, err := policy.New()
	must(b, err)
	auth, err := serverauth.New(verifier, rules, serverauth.WithLogger(nil))
	must(b, err)
	tokens, err := clientauth.NewClientCredentials(clientauth.Config{
		TokenURL: cognito.TokenURL(), ClientID: app.ID, Secret: clientauth.StaticSecret(app.Secret),
	})
	must(b, err)
	b.Cleanup(func() { must(b, tokens.Close()) })
	token, err := tokens.Token(b.Context(), clientauth.Request{})
	must(b, err)
	return &lab{cognito, verifier, auth, tokens, token.Value()}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// publicKey returns the pool's key that signs access tokens, the second of its JWKS.
func (l *lab) publicKey(b *testing.B) *rsa.PublicKey {
	b.Helper()
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(l.cognito.JWKSURL())
	must(b, err)
	defer resp.Body.Close()
	var set struct{ Keys []struct{ N string } }
	must(b, json.NewDecoder(resp.Body).Decode(&set))
	n, err := base64.RawURLEncoding.DecodeString(set.Keys[1].N)
	must(b, err)
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}
}

// files answers WhoAmI with nothing, so that only the way there costs.
type files struct {
	filesv1.UnimplementedFileReadServiceServer
}

func (files) WhoAmI(context.Context, *filesv1.WhoAmIRequest) (*filesv1.WhoAmIResponse, error) {
	return &filesv1.WhoAmIResponse{}, nil
}

// connect starts a server over TLS with the options and connects a client to it.
func connect(b *testing.B, server []grpc.ServerOption, client []grpc.DialOption) filesv1.FileReadServiceClient {
	b.Helper()
	web := httptest.NewTLSServer(nil) // lends its certificate
	defer web.Close()
	roots := web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	srv := grpc.NewServer(append(server, grpc.Creds(credentials.NewServerTLSFromCert(&web.TLS.Certificates[0])))...)
	filesv1.RegisterFileReadServiceServer(srv, files{})
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	b.Cleanup(func() { srv.Stop(); <-done })
	conn, err := grpc.NewClient(lis.Addr().String(), append(client,
		grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(roots, "example.com")))...)
	must(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	return filesv1.NewFileReadServiceClient(conn)
}
