// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"github.com/lestrrat-go/jwx/v2/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v2/jwt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// provider is all that a server is told of Cognito.
type provider struct {
	Issuer, JWKSURL, ClientID string
	Known                     []string // good tokens, for the guard that checks none
}

// guard stands before a server's methods.
type guard struct {
	unary   grpc.UnaryServerInterceptor
	stream  grpc.StreamServerInterceptor
	options []grpc.ServerOption // both of the above and what else belongs to it
	close   func() error
}

// buildGuard makes the guard of that name. What it runs in the background ends with
// ctx or close.
func buildGuard(ctx context.Context, name string, p provider) (*guard, error) {
	switch name {
	case "none":
		return &guard{close: nothingToClose}, nil
	case "passing":
		return newPassing(), nil
	case "limit":
		return newLimit(p), nil
	case "scopeauth":
		return newScopeauth(ctx, p)
	case "golang-jwt":
		return newPeer(newGolangJWT(ctx, p))
	case "jwx":
		return newPeer(newJWX(ctx, p))
	default:
		if strings.Contains(name, "tap") {
			return newTap(ctx, p, name)
		}
		return nil, fmt.Errorf("no guard is called %q", name)
	}
}

func nothingToClose() error { return nil }

func (p provider) verifier(ctx context.Context, opts ...serverauth.VerifierOption) (*serverauth.Verifier, error) {
	return serverauth.NewVerifier(ctx, []serverauth.Issuer{{
		URL: p.Issuer, JWKSURL: p.JWKSURL, Clients: serverauth.Clients(p.ClientID),
	}}, append(slices.Clip(opts), serverauth.WithLogger(lostLines()))...)
}

// lostLines is a logger whose lines are written, as by default, and go nowhere.
func lostLines() *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Discard, nil)) //nolint:sloglint // slog.DiscardHandler makes no lines
}

func newScopeauth(ctx context.Context, p provider, opts ...serverauth.Option) (*guard, error) {
	v, err := p.verifier(ctx)
	if err != nil {
		return nil, err
	}
	return newScopeauthWith(v, opts...)
}

func newScopeauthWith(v *serverauth.Verifier, opts ...serverauth.Option) (*guard, error) {
	rules, err := policy.New()
	if err != nil {
		return nil, err
	}
	a, err := serverauth.New(v, rules, append(slices.Clip(opts), serverauth.WithLogger(lostLines()))...)
	if err != nil {
		return nil, err
	}
	return &guard{unary: a.UnaryServerInterceptor(), stream: a.StreamServerInterceptor(), options: a.ServerOptions(), close: v.Close}, nil
}

var (
	errNoToken  = status.Error(codes.Unauthenticated, "no token")
	errBadToken = status.Error(codes.Unauthenticated, "bad token")
)

// caller is what a guard that is not ours puts into the context.
type caller struct{ clientID string }

type callerKey struct{}

// newPassing makes a guard that does nothing: it shows what it costs to have interceptors at
// all.
func newPassing() *guard {
	unary := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return handler(ctx, req)
	}
	stream := func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return handler(srv, ss)
	}
	return &guard{
		unary: unary, stream: stream, close: nothingToClose,
		options: []grpc.ServerOption{grpc.ChainUnaryInterceptor(unary), grpc.ChainStreamInterceptor(stream)},
	}
}

// limit is the least that a cache of tokens can do.
type limit struct {
	callers atomic.Pointer[map[string]*caller] // copied on write; the key is the token
}

func newLimit(p provider) *guard {
	callers := make(map[string]*caller, len(p.Known))
	for _, token := range p.Known {
		callers[token] = &caller{clientID: p.ClientID}
	}
	l := &limit{}
	l.callers.Store(&callers)
	return &guard{unary: l.unary, options: []grpc.ServerOption{grpc.ChainUnaryInterceptor(l.unary)}, close: nothingToClose}
}

func (l *limit) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return nil, errNoToken
	}
	token, _ := strings.CutPrefix(values[0], "Bearer ")
	c, ok := (*l.callers.Load())[token]
	if !ok {
		return nil, errBadToken
	}
	return handler(context.WithValue(ctx, callerKey{}, c), req)
}

// peer is another library's way to a verified token: it checks the signature, exp, iss
// and token_use and returns the scopes.
type peer func(ctx context.Context, token string) (clientID, scopes string, err error)

// needed are the scopes that the peers' servers ask for. A server with one of them
// keeps such a table by hand.
var needed = map[string]string{
	echov1.EchoService_Echo_FullMethodName: "echo/call",
	echov1.EchoService_Chat_FullMethodName: "echo/stream",
}

// newPeer puts a peer behind the interceptors that go-grpc-middleware has for it, as
// its example shows.
func newPeer(verify peer, err error) (*guard, error) {
	if err != nil {
		return nil, err
	}
	decide := func(ctx context.Context) (context.Context, error) {
		token, err := auth.AuthFromMD(ctx, "bearer")
		if err != nil {
			return nil, err
		}
		client, scopes, err := verify(ctx, token)
		if err != nil {
			return nil, errBadToken
		}
		method, _ := grpc.Method(ctx)
		if !slices.Contains(strings.Fields(scopes), needed[method]) {
			return nil, status.Error(codes.PermissionDenied, "scope is missing")
		}
		return context.WithValue(ctx, callerKey{}, &caller{clientID: client}), nil
	}
	g := &guard{unary: auth.UnaryServerInterceptor(decide), stream: auth.StreamServerInterceptor(decide), close: nothingToClose}
	g.options = []grpc.ServerOption{grpc.ChainUnaryInterceptor(g.unary), grpc.ChainStreamInterceptor(g.stream)}
	return g, nil
}

// fetcher is the peers' HTTP client. It leaves no connection open.
func fetcher() *http.Client { return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} }

// cognitoClaims are the claims that a server looks at.
type cognitoClaims struct {
	jwt.RegisteredClaims

	TokenUse string `json:"token_use"`
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
}

// newGolangJWT is golang-jwt with the keys of MicahParks/keyfunc, as the example for
// Cognito in keyfunc's repository has it, with a parser that is made once.
func newGolangJWT(ctx context.Context, p provider) (peer, error) {
	keys, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{p.JWKSURL}, keyfunc.Override{Client: fetcher()})
	if err != nil {
		return nil, err
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(p.Issuer), jwt.WithExpirationRequired())
	return func(_ context.Context, token string) (string, string, error) {
		var claims cognitoClaims
		if _, err := parser.ParseWithClaims(token, &claims, keys.Keyfunc); err != nil {
			return "", "", err
		}
		if claims.TokenUse != "access" {
			return "", "", errBadToken
		}
		return claims.ClientID, claims.Scope, nil
	}, nil
}

// newJWX is jwt.Parse with a cached key set, as jwx's documentation has it, with options
// that are made once.
func newJWX(ctx context.Context, p provider) (peer, error) {
	cache := jwk.NewCache(ctx)
	if err := cache.Register(p.JWKSURL, jwk.WithHTTPClient(fetcher())); err != nil {
		return nil, err
	}
	if _, err := cache.Refresh(ctx, p.JWKSURL); err != nil {
		return nil, err
	}
	options := []jwxjwt.ParseOption{
		jwxjwt.WithKeySet(jwk.NewCachedSet(cache, p.JWKSURL)),
		jwxjwt.WithIssuer(p.Issuer),
		jwxjwt.WithRequiredClaim(jwxjwt.ExpirationKey),
		jwxjwt.WithClaimValue("token_use", "access"),
	}
	return func(_ context.Context, compact string) (string, string, error) {
		token, err := jwxjwt.Parse([]byte(compact), options...)
		if err != nil {
			return "", "", err
		}
		clientID, _ := token.PrivateClaims()["client_id"].(string)
		scope, _ := token.PrivateClaims()["scope"].(string)
		return clientID, scope, nil
	}, nil
}
