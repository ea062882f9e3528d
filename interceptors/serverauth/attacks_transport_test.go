// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// What only the transport can refuse, and calls that no transport has looked at.

// A9 and A10: what HTTP/2 forbids in a header field does not get as far as gRPC.
func TestA9A10HeadersThatTheTransportRefuses(t *testing.T) {
	t.Parallel()
	reports := &restReports{}
	l := newLab(t, setup{options: []serverauth.Option{serverauth.WithReporter(reports)}})
	defer l.fetchesNothing(t)()
	token := l.issuer.good()
	for name, headers := range map[string][]header{
		"A9/upper case":               {{"Authorization", "Bearer " + token}},
		"A9/upper case and lower":     {bearer(token), {"AUTHORIZATION", "Bearer " + token}},
		"A9/upper case and no other":  {{"X-Upper", "1"}, bearer(token)},
		"A10/CR":                      {{"authorization", "Bearer " + token + "\r"}},
		"A10/LF":                      {{"authorization", "Bearer " + token + "\nx-more: 1"}},
		"A10/NUL":                     {{"authorization", "Bearer \x00" + token}},
		"A10/NUL in another value":    {bearer(token), {"x-pad", "\x00"}},
		"A10/line break in a name":    {bearer(token), {"x\r\npad", "1"}},
		"A10/CR and LF before a name": {{"authorization", "\r\nBearer " + token}},
	} {
		got, err := l.tryCall(whoAmI, headers...)
		if err == nil || !strings.Contains(err.Error(), "the stream was reset: PROTOCOL_ERROR") {
			t.Errorf("%s: got %v %s, %v, want the stream to be reset", name, got.code, got.reason, err)
		}
	}
	if n := l.files.ran.Load() + int64(reports.count()); n != 0 {
		t.Errorf("%d times the handler ran or somebody decided", n)
	}
}

// restReports counts decisions.
type restReports struct {
	mu sync.Mutex
	n  int
}

// Report implements serverauth.Reporter.
func (r *restReports) Report(context.Context, serverauth.Decision) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
}

func (r *restReports) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// inMemory is the context of a call that no transport has looked at.
func inMemory(ctx context.Context, values ...string) context.Context {
	ctx = metadata.NewIncomingContext(ctx, metadata.MD{"authorization": values})
	return peer.NewContext(ctx, &peer.Peer{Addr: address{"bufconn", "bufconn"}})
}

// restStream is a stream as far as the interceptor looks at it.
type restStream struct {
	grpc.ServerStream

	ctx context.Context
}

func (s restStream) Context() context.Context { return s.ctx }

// A10 where no transport stands before the interceptors: the token's alphabet is checked.
func TestA10ValuesThatNoTransportRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	defer l.fetchesNothing(t)()
	token := l.issuer.good()
	half := len(token) / 2
	for name, row := range map[string]struct {
		value string
		fine  serverauth.Reason
	}{
		"CR at the end":    {"Bearer " + token + "\r", serverauth.ReasonTokenMalformed},
		"LF at the end":    {"Bearer " + token + "\n", serverauth.ReasonTokenMalformed},
		"LF inside":        {"Bearer " + token[:half] + "\n" + token[half:], serverauth.ReasonTokenMalformed},
		"CR and LF inside": {"Bearer " + token[:half] + "\r\n" + token[half:], serverauth.ReasonTokenMalformed},
		"NUL inside":       {"Bearer " + token[:half] + "\x00" + token[half:], serverauth.ReasonTokenMalformed},
		"NUL at the end":   {"Bearer " + token + "\x00", serverauth.ReasonTokenMalformed},
		"LF after Bearer":  {"Bearer\n" + token, serverauth.ReasonSchemeUnsupported},
		"NUL after Bearer": {"Bearer\x00 " + token, serverauth.ReasonSchemeUnsupported},
		"LF in front":      {"\nBearer " + token, serverauth.ReasonSchemeUnsupported},
	} {
		ctx := inMemory(t.Context(), row.value)
		_, unary := l.auth.UnaryServerInterceptor()(ctx, nil, &grpc.UnaryServerInfo{FullMethod: whoAmI}, func(context.Context, any) (any, error) {
			t.Errorf("%s: the handler of a unary call ran", name)
			return nil, nil
		})
		stream := l.auth.StreamServerInterceptor()(nil, restStream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: readFile}, func(any, grpc.ServerStream) error {
			t.Errorf("%s: the handler of a stream ran", name)
			return nil
		})
		for _, err := range []error{unary, stream} {
			refusal, isError := errors.AsType[*serverauth.Error](err)
			if !isError || refusal.Code() != u || refusal.Reason() != row.fine {
				t.Errorf("%s: got %v, want UNAUTHENTICATED %s", name, err, row.fine)
			}
		}
	}
	ran := false // the same context without them passes
	if _, err := l.auth.UnaryServerInterceptor()(inMemory(t.Context(), "Bearer "+token), nil, &grpc.UnaryServerInfo{FullMethod: whoAmI}, func(context.Context, any) (any, error) {
		ran = true
		return nil, nil
	}); err != nil || !ran {
		t.Errorf("a good value: got %v", err)
	}
}

// perCall sends a token as call credentials do.
type perCall string

func (c perCall) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(c)}, nil
}

func (perCall) RequireTransportSecurity() bool { return true }

// A14: a gateway forwards its caller's authorization, and the call has credentials of
// its own. Which one is meant cannot be known.
func TestA14ForwardedAndOwnCredentials(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	defer l.fetchesNothing(t)()
	conn, err := grpc.NewClient(l.addr, grpc.WithTransportCredentials(credentials.NewTLS(l.tls)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client, own := filesv1.NewFileReadServiceClient(conn), grpc.PerRPCCredentials(perCall(l.issuer.good()))
	for name, row := range map[string]struct {
		forwarded []string
		code      codes.Code
	}{
		"a user's":           {[]string{"authorization", "Bearer " + l.issuer.token(goodHeader, with("token_use", `"id"`))}, u},
		"the same":           {[]string{"authorization", "Bearer " + l.issuer.good()}, u},
		"of another kind":    {[]string{"authorization", "Basic dXNlcjpwYXNz"}, u},
		"empty":              {[]string{"authorization", ""}, u},
		"the gateway's copy": {[]string{"grpcgateway-authorization", "Bearer " + l.issuer.good()}, ok},
		"none":               {nil, ok},
	} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), row.forwarded...)
		_, err := client.WhoAmI(ctx, &filesv1.WhoAmIRequest{}, own)
		if got := status.Code(err); got != row.code {
			t.Errorf("%s: got %v, want %v", name, err, row.code)
		}
		if row.code != u {
			continue
		}
		if refusal := l.lastRefusal(); refusal == nil || refusal.Reason() != serverauth.ReasonAuthorizationDuplicated {
			t.Errorf("%s: got %v, want AUTHORIZATION_DUPLICATED", name, refusal)
		}
	}
	got := l.call(t, whoAmI, header{"grpcgateway-authorization", "Bearer " + l.issuer.good()})
	if got.code != u || got.reason != serverauth.ReasonTokenMissing {
		t.Errorf("the gateway's copy alone: got %v %s, want TOKEN_MISSING", got.code, got.reason)
	}
}

// remoteListener makes all connections come from another machine.
type remoteListener struct{ net.Listener }

type remoteConn struct{ net.Conn }

func (l remoteListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return remoteConn{conn}, nil
}

func (remoteConn) RemoteAddr() net.Addr { return address{"tcp", "192.0.2.1:50000"} }

// C26: whoever has the token may use it, on any connection; but not over the network
// in plaintext, where the token is not even read.
func TestC26ReplayAndPlaintext(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	defer l.fetchesNothing(t)()
	token := l.issuer.good()
	for range 3 { // each call has a connection of its own
		if got := l.call(t, whoAmI, bearer(token)); got.code != ok {
			t.Errorf("on another connection: got %v %s, want OK", got.code, got.reason)
		}
	}
	srv := grpc.NewServer(l.auth.ServerOptions()...)
	filesv1.RegisterFileReadServiceServer(srv, l.files)
	lis := listen(t)
	done := make(chan error, 1)
	go func() { done <- l.auth.Serve(srv, remoteListener{lis}) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	plain := &lab{addr: lis.Addr().String()}
	for name, row := range map[string]struct {
		method  string
		headers []header
		code    codes.Code
	}{
		"a good token": {whoAmI, []header{bearer(token)}, p},
		"junk":         {whoAmI, []header{bearer("junk")}, p},
		"no token":     {whoAmI, nil, p},
		"unknown key":  {whoAmI, []header{bearer(l.issuer.token(strangeHeader, goodClaims))}, p},
		"a stream":     {readFile, []header{bearer(token)}, p},
		"public":       {version, []header{bearer(token)}, ok},
	} {
		ran := l.files.ran.Load()
		got := plain.call(t, row.method, row.headers...)
		if got.code != row.code || row.code == p && got.reason != serverauth.ReasonTransportInsecure {
			t.Errorf("%s in plaintext: got %v %s, want %v", name, got.code, got.reason, row.code)
		}
		if passed := l.files.ran.Load() != ran; passed != (row.code == ok) {
			t.Errorf("%s in plaintext: the handler ran: %v", name, passed)
		}
	}
}

// strangeHeader names a key that the issuer does not have.
const strangeHeader = `{"kid":"strange","alg":"RS256"}`
