// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"crypto/rsa"
	"flag"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/scopeauth/scopeauth/interceptors/clientauth"
	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

// TestMain runs the tests and benchmarks, or one server if the binary was started as
// one (see startProcess).
func TestMain(m *testing.M) {
	if os.Getenv(processEnv) != "" {
		os.Exit(serveProcess(os.Stdin, os.Stdout))
	}
	leakcheck.Main(m)
}

// smoke reports whether each benchmark shall only show that it runs.
func smoke() bool {
	benchtime := flag.Lookup("test.benchtime")
	return benchtime != nil && benchtime.Value.String() == "1x"
}

// sized returns n, or few if each benchmark shall only show that it runs.
func sized(n, few int) int {
	if smoke() {
		return few
	}
	return n
}

const (
	poolID   = "us-east-1_Benchmark"
	clientID = "6fn8h3u2vd0c1m7k5s9q4t2b0e"
)

// signingKeys are the same for every pool of the process, as is the issuer, so that a
// token that one benchmark had signed serves the others too.
var signingKeys = sync.OnceValues(cognitotest.GenerateKeys)

func pool(keys cognitotest.KeyPair) cognitotest.Pool {
	return cognitotest.Pool{
		ID:     poolID,
		Name:   "bench",
		Issuer: cognitotest.IssuerOriginal,
		Keys:   keys,
		ResourceServers: []cognitotest.ResourceServer{
			{Identifier: "demo", Scopes: []cognitotest.Scope{{Name: "read.file"}, {Name: "write.file"}}},
			{Identifier: "echo", Scopes: []cognitotest.Scope{{Name: "call"}, {Name: "stream"}}},
		},
		Clients: []cognitotest.Client{{
			ID:                  clientID,
			Name:                "caller",
			AllowedOAuthScopes:  []string{"demo/read.file", "demo/write.file", "echo/call", "echo/stream"},
			AccessTokenValidity: 12 * time.Hour, // longer than any run
		}},
	}
}

// lab is an embedded Cognito with what both sides need from it.
type lab struct {
	cognito *cognitotest.Server
	pool    *cognitotest.UserPool
	key     *rsa.PublicKey // the one of access tokens
}

func newLab(tb testing.TB) *lab {
	tb.Helper()
	keys, err := signingKeys()
	must(tb, err)
	cognito, err := cognitotest.NewServer(cognitotest.WithPool(pool(keys)))
	must(tb, err)
	tb.Cleanup(func() { must(tb, cognito.Close()) })
	return &lab{cognito: cognito, pool: cognito.Pool(poolID), key: &keys.AccessToken.PublicKey}
}

// provider tells a server of the lab's Cognito.
func (l *lab) provider(known ...string) provider {
	return provider{Issuer: l.pool.Issuer(), JWKSURL: l.pool.JWKSURL(), ClientID: clientID, Known: known}
}

// guard makes one of the guards.
func (l *lab) guard(tb testing.TB, name string, known ...string) *guard {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)
	g, err := buildGuard(ctx, name, l.provider(known...))
	must(tb, err)
	tb.Cleanup(func() { must(tb, g.close()) })
	return g
}

// verifier makes one that has seen no token yet.
func (l *lab) verifier(tb testing.TB, opts ...serverauth.VerifierOption) *serverauth.Verifier {
	tb.Helper()
	v, err := l.provider().verifier(tb.Context(), opts...)
	must(tb, err)
	return v
}

// credentials is the client's side.
func (l *lab) credentials(tb testing.TB) *clientauth.ClientCredentials {
	tb.Helper()
	app := l.pool.Client(clientID)
	tokens, err := clientauth.NewClientCredentials(clientauth.Config{
		TokenURL: l.cognito.TokenURL(), ClientID: app.ID, Secret: clientauth.StaticSecret(app.Secret),
	})
	must(tb, err)
	tb.Cleanup(func() { must(tb, tokens.Close()) })
	return tokens
}

// minted holds the good tokens that were signed so far. A signature takes about a
// millisecond, so they are kept for the whole process.
var minted struct {
	sync.Mutex

	tokens []string
}

// mint returns n good tokens, all different.
func (l *lab) mint(tb testing.TB, n int) []string {
	tb.Helper()
	minted.Lock()
	defer minted.Unlock()
	have := len(minted.tokens)
	if have >= n {
		return minted.tokens[:n]
	}
	tokens := slices.Concat(minted.tokens, make([]string, n-have))
	workers := runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := have + w; i < n && errs[w] == nil; i += workers {
				tokens[i], errs[w] = l.pool.Mint(cognitotest.MintSpec{})
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		must(tb, err)
	}
	minted.tokens = tokens
	return tokens
}

// wrong returns one token as described.
func (l *lab) wrong(tb testing.TB, spec cognitotest.MintSpec) string {
	tb.Helper()
	token, err := l.pool.Mint(spec)
	must(tb, err)
	return token
}

// must is called in loops that are timed, so it costs nothing while all is well.
//
//nolint:thelper // Helper takes longer than some of what is measured
func must(tb testing.TB, err error) {
	if err != nil {
		tb.Helper()
		tb.Fatal(err)
	}
}

// lentTLS returns credentials for both ends from the certificate that httptest has for
// example.com. It is the same in every process.
func lentTLS() (server, client credentials.TransportCredentials) {
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	roots := web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return credentials.NewServerTLSFromCert(&web.TLS.Certificates[0]), credentials.NewClientTLSFromCert(roots, "example.com")
}

// serve starts a server in this process over TLS and returns a connection to it.
func serve(tb testing.TB, register func(*grpc.Server), server []grpc.ServerOption, client []grpc.DialOption) *grpc.ClientConn {
	tb.Helper()
	serverTLS, _ := lentTLS()
	srv := grpc.NewServer(append(slices.Clip(server), grpc.Creds(serverTLS))...)
	register(srv)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	tb.Cleanup(func() { srv.Stop(); <-done })
	return dial(tb, lis.Addr().String(), true, client...)
}

// dial connects to a server of lentTLS or in plaintext.
func dial(tb testing.TB, addr string, secure bool, opts ...grpc.DialOption) *grpc.ClientConn {
	tb.Helper()
	creds := insecure.NewCredentials()
	if secure {
		_, creds = lentTLS()
	}
	conn, err := grpc.NewClient(addr, append(slices.Clip(opts), grpc.WithTransportCredentials(creds))...)
	must(tb, err)
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}
