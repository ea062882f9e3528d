// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// wireLab is the whole way without a stand-in: an embedded Cognito, a server over TLS
// with this library's server side, and a source.
type wireLab struct {
	cognito *cognitotest.Server
	client  cognitotest.Credentials
	src     *ClientCredentials
	server  *fileServer

	mu sync.Mutex
	// tokens are the ids of the tokens that the server has seen, in their order.
	tokens []string
	// bad says whether token number n is revoked; nil revokes none.
	bad func(n int) bool
}

// wireSetup is what a test may change about its lab.
type wireSetup struct {
	memory bool     // for a bubble: call tlsPair and wireKeys before it
	scopes []string // of the app client; default: both of the demo
	source []Option
	server []serverauth.Option
}

// wireKeys is made once, and outside of bubbles.
var wireKeys = sync.OnceValues(cognitotest.GenerateKeys)

func newWireLab(tb testing.TB, s wireSetup) *wireLab {
	tb.Helper()
	keys, err := wireKeys()
	if err != nil {
		tb.Fatal(err)
	}
	if s.scopes == nil {
		s.scopes = []string{"demo/read.file", "demo/write.file"}
	}
	l := &wireLab{}
	l.cognito, err = cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithPool(cognitotest.Pool{
		Name: "s2s-test", Issuer: cognitotest.IssuerOriginal, Keys: keys,
		ResourceServers: []cognitotest.ResourceServer{{Identifier: "demo", Scopes: []cognitotest.Scope{{Name: "read.file"}, {Name: "write.file"}}}},
		Clients:         []cognitotest.Client{{Name: "billing", AllowedOAuthScopes: s.scopes}},
	}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.cognito.Close() })
	pool := l.cognito.Pool("s2s-test")
	l.client = pool.Client("billing")

	verifier, err := serverauth.NewVerifier(tb.Context(), []serverauth.Issuer{{
		URL: pool.CognitoIssuer(cognitotest.IssuerOriginal), JWKSURL: l.cognito.JWKSURL(), Clients: serverauth.Clients(l.client.ID),
	}}, serverauth.WithHTTPClient(&http.Client{Transport: l.cognito.Transport()}), serverauth.WithLogger(nil))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = verifier.Close() })
	rules, err := policy.New()
	if err != nil {
		tb.Fatal(err)
	}
	auth, err := serverauth.New(verifier, rules, append([]serverauth.Option{serverauth.WithLogger(nil), serverauth.CheckRevoked(l.revoked)}, s.server...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = auth.Close() })
	if s.memory {
		l.server = newMemoryServer(tb, nil, auth.ServerOptions()...)
	} else {
		l.server = newFileServer(tb, true, nil, auth.ServerOptions()...)
	}
	l.src, err = NewClientCredentials(Config{TokenURL: pool.CognitoTokenURL(), ClientID: l.client.ID, Secret: StaticSecret(l.client.Secret)},
		append([]Option{WithTransport(l.cognito.Transport()), WithLogger(slog.New(slog.DiscardHandler))}, s.source...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.src.Close() })
	return l
}

func (l *wireLab) revoked(_ context.Context, p *serverauth.Principal) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := slices.Index(l.tokens, p.TokenID())
	if n < 0 {
		n = len(l.tokens)
		l.tokens = append(l.tokens, p.TokenID())
	}
	return l.bad != nil && l.bad(n), nil
}

// revoke says from now on which tokens are revoked.
func (l *wireLab) revoke(bad func(n int) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bad = bad
}

// dial connects to the lab's server with its source.
func (l *wireLab) dial(tb testing.TB, scopes Selection, opts ...Option) *grpc.ClientConn {
	tb.Helper()
	return l.server.dial(tb, l.src, scopes, opts...)
}

// wantIssued fails if Cognito did not issue so many tokens, each of which costs money,
// or if the server did not get so many attempts.
func (l *wireLab) wantIssued(tb testing.TB, tokens int64, attempts int) {
	tb.Helper()
	if got := l.cognito.Counts().TokensIssued; got != tokens {
		tb.Errorf("tokens issued: got %d, want %d", got, tokens)
	}
	if got := len(l.server.sent("")); got != attempts {
		tb.Errorf("the server got %d attempts, want %d", got, attempts)
	}
}
