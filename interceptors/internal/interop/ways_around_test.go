// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"golang.org/x/oauth2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
	gateway "github.com/scopeauth/scopeauth/interceptors/internal/interop/gateway/demo/echo/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// The ways on which a handler is reached without our interceptors: what happens there,
// and that the handler's own check, RequirePrincipal, holds. docs/ways-around.md lists
// them.

// echoHandler counts its runs and, if it is careful, asks for a principal itself.
type echoHandler struct {
	echov1.UnimplementedEchoServiceServer

	careful bool
	ran     atomic.Int64
}

func (h *echoHandler) Echo(ctx context.Context, r *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	if h.careful {
		if _, err := serverauth.RequirePrincipal(ctx); err != nil {
			return nil, err
		}
	}
	h.ran.Add(1)
	return &echov1.EchoResponse{Payload: r.GetPayload()}, nil
}

// around is an authorizer of an embedded Cognito whose callers need any valid token.
type around struct {
	auth  *serverauth.Authorizer
	token string
}

func newAround(t *testing.T, opts ...serverauth.Option) *around {
	t.Helper()
	cognito := newCognito(t)
	verifier, err := serverauth.NewVerifier(t.Context(), []serverauth.Issuer{{
		URL: cognito.Issuer(), JWKSURL: cognito.JWKSURL(), Clients: serverauth.AnyClient(),
	}}, serverauth.WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := verifier.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	rules, err := policy.New(policy.WithRuleOverride(echov1.EchoService_Echo_FullMethodName, policy.AllOf("demo/read.file")))
	if err != nil {
		t.Fatal(err)
	}
	authorizer, err := serverauth.New(verifier, rules, append([]serverauth.Option{serverauth.WithLogger(nil)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return &around{auth: authorizer, token: accessToken(t, cognito)}
}

func accessToken(t *testing.T, cognito *cognitotest.Server) string {
	t.Helper()
	token, err := oauth2Token(t, cognito, oauth2.AuthStyleInHeader)
	if err != nil {
		t.Fatal(err)
	}
	return token.AccessToken
}

// serveEcho runs a server on loopback until the test ends.
func serveEcho(t *testing.T, h echov1.EchoServiceServer, opts ...grpc.ServerOption) string {
	t.Helper()
	srv := grpc.NewServer(opts...)
	echov1.RegisterEchoServiceServer(srv, h)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	return lis.Addr().String()
}

// callEcho calls with the metadata, and tells the code and the trailer.
func callEcho(t *testing.T, addr string, creds credentials.TransportCredentials, md ...string) (codes.Code, metadata.MD) {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var trailer metadata.MD
	ctx := metadata.AppendToOutgoingContext(t.Context(), md...)
	_, err = echov1.NewEchoServiceClient(conn).Echo(ctx, &echov1.EchoRequest{}, grpc.Trailer(&trailer))
	return status.Code(err), trailer
}

// post calls Echo through an HTTP gateway.
func post(t *testing.T, mux http.Handler, headers ...string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, echov1.EchoService_Echo_FullMethodName, bytes.NewBufferString(`{}`))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	_, _ = io.Copy(io.Discard, w.Body)
	return w.Code
}

// A gateway in the same process calls the handler itself: no interceptor runs, and a
// good token is looked at by nobody.
func TestInProcessGatewayGoesAround(t *testing.T) {
	t.Parallel()
	a := newAround(t)
	for _, careful := range []bool{false, true} {
		h := &echoHandler{careful: careful}
		mux := runtime.NewServeMux()
		if err := gateway.RegisterEchoServiceHandlerServer(t.Context(), mux, h); err != nil {
			t.Fatal(err)
		}
		want := http.StatusOK // this is the way around
		if careful {
			want = http.StatusUnauthorized
		}
		for name, headers := range map[string][]string{
			"no token":        nil,
			"a good token":    {"Authorization", "Bearer " + a.token},
			"gRPC's metadata": {"Grpc-Metadata-Authorization", "Bearer " + a.token},
		} {
			if got := post(t, mux, headers...); got != want {
				t.Errorf("careful=%v, %s: got %d, want %d", careful, name, got, want)
			}
		}
		if careful == (h.ran.Load() > 0) {
			t.Errorf("careful=%v: the handler ran %d times", careful, h.ran.Load())
		}
	}
}

// A gateway that calls over a connection is a caller like others.
func TestGatewayOverConnectionIsChecked(t *testing.T) {
	t.Parallel()
	a := newAround(t)
	h := &echoHandler{}
	addr := serveEcho(t, h, a.auth.ServerOptions()...)
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	mux := runtime.NewServeMux()
	if err := gateway.RegisterEchoServiceHandler(t.Context(), mux, conn); err != nil {
		t.Fatal(err)
	}
	if got := post(t, mux); got != http.StatusUnauthorized || h.ran.Load() != 0 {
		t.Errorf("no token: got %d and %d runs, want 401 and none", got, h.ran.Load())
	}
	if got := post(t, mux, "Authorization", "Bearer "+a.token); got != http.StatusOK || h.ran.Load() != 1 {
		t.Errorf("a good token: got %d and %d runs, want 200 and one", got, h.ran.Load())
	}
}

// overridingHandler opts out of go-grpc-middleware's auth interceptor.
type overridingHandler struct{ *echoHandler }

// AuthFuncOverride implements auth.ServiceAuthFuncOverride.
func (overridingHandler) AuthFuncOverride(ctx context.Context, _ string) (context.Context, error) {
	return ctx, nil
}

// A service can replace AuthFunc behind go-grpc-middleware's interceptors. It cannot
// replace ours.
func TestServiceAuthFuncOverrideGoesAround(t *testing.T) {
	t.Parallel()
	a := newAround(t)
	behindAuthFunc := []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(auth.UnaryServerInterceptor(a.auth.AuthFunc())),
		grpc.ChainStreamInterceptor(auth.StreamServerInterceptor(a.auth.AuthFunc())),
	}
	for _, row := range []struct {
		name    string
		options []grpc.ServerOption
		careful bool
		want    codes.Code
		runs    int64
	}{
		{"AuthFunc", behindAuthFunc, false, codes.OK, 1}, // this is the way around
		{"AuthFunc, careful handler", behindAuthFunc, true, codes.Unauthenticated, 0},
		{"ServerOptions", a.auth.ServerOptions(), false, codes.Unauthenticated, 0},
	} {
		h := overridingHandler{&echoHandler{careful: row.careful}}
		got, _ := callEcho(t, serveEcho(t, h, row.options...), insecure.NewCredentials())
		if got != row.want || h.ran.Load() != row.runs {
			t.Errorf("%s: got %v and %d runs, want %v and %d", row.name, got, h.ran.Load(), row.want, row.runs)
		}
	}
}

// A second server for the same handlers, made without ServerOptions, checks nothing.
// gRPC does not tell which interceptors a server has, so nobody else can notice.
func TestServerWithoutServerOptionsGoesAround(t *testing.T) {
	t.Parallel()
	a := newAround(t)
	_ = a.auth.ServerOptions() // went to another server
	for _, row := range []struct {
		careful bool
		want    codes.Code
		runs    int64
	}{
		{false, codes.OK, 1}, // this is the way around
		{true, codes.Unauthenticated, 0},
	} {
		h := &echoHandler{careful: row.careful}
		got, _ := callEcho(t, serveEcho(t, h), insecure.NewCredentials(), "authorization", "Bearer "+a.token)
		if got != row.want || h.ran.Load() != row.runs {
			t.Errorf("careful=%v: got %v and %d runs, want %v and %d", row.careful, got, h.ran.Load(), row.want, row.runs)
		}
	}
}

// stages remembers where decisions were made.
type stages chan serverauth.Stage

func (s stages) Report(_ context.Context, d serverauth.Decision) { s <- d.Stage }

// Behind net/http the interceptors decide as always. No tap handle runs there, so the
// message is decoded before. net/http takes no www-authenticate trailer, and would log
// a line for each.
func TestServeHTTPHasNoTap(t *testing.T) {
	t.Parallel()
	decided := make(stages, 1)
	a := newAround(t, serverauth.RefuseBeforeDecoding(), serverauth.WithReporter(decided))
	h := &echoHandler{}
	srv := grpc.NewServer(a.auth.ServerOptions()...)
	t.Cleanup(srv.Stop)
	echov1.RegisterEchoServiceServer(srv, h)
	web := httptest.NewUnstartedServer(srv)
	var complaints bytes.Buffer
	web.Config.ErrorLog = log.New(&complaints, "", 0)
	web.EnableHTTP2 = true
	web.StartTLS()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	creds := credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12})
	addr := web.Listener.Addr().String()
	direct := serveEcho(t, h, a.auth.ServerOptions()...)

	code, trailer := callEcho(t, addr, creds)
	if stage := <-decided; code != codes.Unauthenticated || stage != serverauth.StageCall || h.ran.Load() != 0 {
		t.Errorf("no token: got %v at %s and %d runs, want UNAUTHENTICATED from the interceptor and none", code, stage, h.ran.Load())
	}
	if got := trailer.Get("www-authenticate"); len(got) != 0 {
		t.Errorf("trailer: got %q, want none", got)
	}
	code, _ = callEcho(t, addr, creds, "authorization", "Bearer "+a.token)
	if <-decided; code != codes.OK || h.ran.Load() != 1 {
		t.Errorf("a good token: got %v and %d runs, want OK and one", code, h.ran.Load())
	}
	code, _ = callEcho(t, direct, insecure.NewCredentials())
	if stage := <-decided; code != codes.Unauthenticated || stage != serverauth.StageHeader {
		t.Errorf("on gRPC's own transport: got %v at %s, want UNAUTHENTICATED from the tap handle", code, stage)
	}
	web.Close()
	if got := complaints.String(); strings.Contains(got, "invalid trailer") {
		t.Errorf("net/http complained: %s", got)
	}
}
