// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"slices"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

const appClient = "sts-test-app-client"

func newCognito(t *testing.T) *cognitotest.Server {
	t.Helper()
	cognito, err := cognitotest.NewServer(cognitotest.WithKeys(keyPair(t, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cognito.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return cognito
}

// oauth2Token gets a token with golang.org/x/oauth2, which knows nothing of Cognito.
func oauth2Token(t *testing.T, cognito *cognitotest.Server, style oauth2.AuthStyle, scopes ...string) (*oauth2.Token, error) {
	t.Helper()
	app := cognito.Pool("s2s-test").Client(appClient)
	transport := &http.Transport{DisableKeepAlives: true}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: transport})
	config := clientcredentials.Config{ClientID: app.ID, ClientSecret: app.Secret, TokenURL: cognito.TokenURL(), Scopes: scopes, AuthStyle: style}
	return config.Token(ctx)
}

func TestOAuth2GetsToken(t *testing.T) {
	t.Parallel()
	cognito := newCognito(t)
	for name, style := range map[string]oauth2.AuthStyle{"header": oauth2.AuthStyleInHeader, "body": oauth2.AuthStyleInParams, "probing": oauth2.AuthStyleAutoDetect} {
		token, err := oauth2Token(t, cognito, style, "demo/read.file")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if token.Type() != "Bearer" || token.Extra("expires_in") != 3600.0 || token.RefreshToken != "" {
			t.Errorf("%s: got type %q, expires_in %v, a refresh token: %v", name, token.Type(), token.Extra("expires_in"), token.RefreshToken != "")
		}
	}
}

func TestOAuth2UnderstandsRefusals(t *testing.T) {
	t.Parallel()
	cognito := newCognito(t)
	_, err := oauth2Token(t, cognito, oauth2.AuthStyleInHeader, "demo/delete.file")
	refusal, isRefusal := errors.AsType[*oauth2.RetrieveError](err)
	if !isRefusal || refusal.ErrorCode != "invalid_scope" || refusal.Response.StatusCode != http.StatusBadRequest {
		t.Errorf("got %v, want 400 invalid_scope", err)
	}
}

// publicKeys reads a JWKS with nothing but the standard library.
func publicKeys(t *testing.T, url string) map[string]*rsa.PublicKey {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var set struct{ Keys []struct{ Kid, N, E string } }
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	keys := make(map[string]*rsa.PublicKey)
	for _, k := range set.Keys {
		n, err1 := base64.RawURLEncoding.DecodeString(k.N)
		e, err2 := base64.RawURLEncoding.DecodeString(k.E)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		keys[k.Kid] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	return keys
}

func TestGolangJWTVerifiesToken(t *testing.T) {
	t.Parallel()
	cognito := newCognito(t)
	token, err := oauth2Token(t, cognito, oauth2.AuthStyleInHeader)
	if err != nil {
		t.Fatal(err)
	}
	keys := publicKeys(t, cognito.JWKSURL())
	keyOf := func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		if key, ok := keys[kid]; ok {
			return key, nil
		}
		return nil, fmt.Errorf("no key %q", kid)
	}
	claims := jwt.MapClaims{}
	if _, err := jwt.ParseWithClaims(token.AccessToken, claims, keyOf,
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(cognito.Issuer()), jwt.WithExpirationRequired(), jwt.WithIssuedAt()); err != nil {
		t.Fatal(err)
	}
	if claims["scope"] != "demo/read.file demo/write.file" || claims["token_use"] != "access" || claims["client_id"] != claims["sub"] {
		t.Errorf("got claims %v", claims)
	}
	forged, err := cognito.Pool("s2s-test").Mint(cognitotest.MintSpec{Signature: cognitotest.SignatureBroken})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jwt.Parse(forged, keyOf, jwt.WithValidMethods([]string{"RS256"})); !errors.Is(err, jwt.ErrTokenSignatureInvalid) {
		t.Errorf("a broken signature: got %v", err)
	}
}

type files struct {
	filesv1.UnimplementedFileReadServiceServer
	filesv1.UnimplementedFileWriteServiceServer
}

func (files) WhoAmI(ctx context.Context, _ *filesv1.WhoAmIRequest) (*filesv1.WhoAmIResponse, error) {
	caller, err := serverauth.RequirePrincipal(ctx)
	if err != nil {
		return nil, err
	}
	return &filesv1.WhoAmIResponse{ClientId: caller.ClientID(), Scopes: caller.Scopes()}, nil
}

func (files) DeleteFile(context.Context, *filesv1.DeleteFileRequest) (*filesv1.DeleteFileResponse, error) {
	return &filesv1.DeleteFileResponse{}, nil
}

// A client that knows nothing of scopeauth: x/oauth2 for the token, raw metadata to
// send it. The server is a real one with our interceptors.
func TestClientWithoutOurLibrary(t *testing.T) {
	t.Parallel()
	cognito := newCognito(t)
	app := cognito.Pool("s2s-test").Client(appClient)
	verifier, err := serverauth.NewVerifier(t.Context(), []serverauth.Issuer{{
		URL: cognito.Issuer(), JWKSURL: cognito.JWKSURL(), Clients: serverauth.Clients(app.ID),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = verifier.Close() })
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	auth, err := serverauth.New(verifier, rules, serverauth.WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(auth.ServerOptions()...)
	filesv1.RegisterFileReadServiceServer(srv, files{})
	filesv1.RegisterFileWriteServiceServer(srv, files{})
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- auth.Serve(srv, lis) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })

	token, err := oauth2Token(t, cognito, oauth2.AuthStyleInHeader, "demo/read.file")
	if err != nil {
		t.Fatal(err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", token.Type()+" "+token.AccessToken)
	me, err := filesv1.NewFileReadServiceClient(conn).WhoAmI(ctx, &filesv1.WhoAmIRequest{})
	if err != nil || me.GetClientId() != app.ID || !slices.Equal(me.GetScopes(), []string{"demo/read.file"}) {
		t.Errorf("WhoAmI: got %v, %v", me, err)
	}
	writer := filesv1.NewFileWriteServiceClient(conn)
	if _, err := writer.DeleteFile(ctx, &filesv1.DeleteFileRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("DeleteFile with demo/read.file: got %v, want PERMISSION_DENIED", err)
	}
	if _, err := writer.DeleteFile(t.Context(), &filesv1.DeleteFileRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("DeleteFile without a token: got %v, want UNAUTHENTICATED", err)
	}
}
