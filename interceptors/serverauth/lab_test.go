// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/test/bufconn"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// files counts how often a handler ran and keeps the last caller.
type files struct {
	filesv1.UnimplementedFileReadServiceServer
	filesv1.UnimplementedFileWriteServiceServer

	ran    atomic.Int64
	caller atomic.Pointer[serverauth.Principal]
}

func (f *files) run(ctx context.Context) {
	f.ran.Add(1)
	p, _ := serverauth.PrincipalFromContext(ctx)
	f.caller.Store(p)
}

func (f *files) StatFile(ctx context.Context, _ *filesv1.StatFileRequest) (*filesv1.StatFileResponse, error) {
	f.run(ctx)
	return &filesv1.StatFileResponse{}, nil
}

func (f *files) WhoAmI(ctx context.Context, _ *filesv1.WhoAmIRequest) (*filesv1.WhoAmIResponse, error) {
	f.run(ctx)
	return &filesv1.WhoAmIResponse{}, nil
}

func (f *files) Version(ctx context.Context, _ *filesv1.VersionRequest) (*filesv1.VersionResponse, error) {
	f.run(ctx)
	return &filesv1.VersionResponse{}, nil
}

func (f *files) DeleteFile(ctx context.Context, _ *filesv1.DeleteFileRequest) (*filesv1.DeleteFileResponse, error) {
	f.run(ctx)
	return &filesv1.DeleteFileResponse{}, nil
}

func (f *files) ReadFile(_ *filesv1.ReadFileRequest, s grpc.ServerStreamingServer[filesv1.ReadFileResponse]) error {
	f.run(s.Context())
	return s.Send(&filesv1.ReadFileResponse{})
}

func (f *files) WriteFile(s grpc.ClientStreamingServer[filesv1.WriteFileRequest, filesv1.WriteFileResponse]) error {
	f.run(s.Context())
	for {
		if _, err := s.Recv(); errors.Is(err, io.EOF) {
			return s.SendAndClose(&filesv1.WriteFileResponse{})
		} else if err != nil {
			return err
		}
	}
}

func (f *files) AppendFile(s grpc.BidiStreamingServer[filesv1.AppendFileRequest, filesv1.AppendFileResponse]) error {
	f.run(s.Context())
	for {
		if _, err := s.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// lockedBuffer takes what many goroutines log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// lab is a running server, the issuer that it trusts, and all that can be observed.
type lab struct {
	issuer   *testIssuer
	files    *files
	addr     string
	tls      *tls.Config // for clients
	log      *lockedBuffer
	auth     *serverauth.Authorizer
	verifier *serverauth.Verifier
	memory   *bufconn.Listener // instead of addr
	now      func() time.Time  // by which tokens are checked

	mu   sync.Mutex
	last error // what the interceptors returned last
}

// lastRefusal returns the refusal that the interceptors made last, or nil.
func (l *lab) lastRefusal() *serverauth.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	refusal, _ := errors.AsType[*serverauth.Error](l.last)
	return refusal
}

func (l *lab) observeUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
	resp, err := h(ctx, req)
	l.observe(err)
	return resp, err
}

func (l *lab) observeStream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
	err := h(srv, ss)
	l.observe(err)
	return err
}

func (l *lab) observe(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = err
}

// setup is what a test may change about its lab.
type setup struct {
	clients  *serverauth.ClientSet // default: the one test client
	issuers  func(base serverauth.Issuer) []serverauth.Issuer
	verifier []serverauth.VerifierOption
	options  []serverauth.Option
	server   []grpc.ServerOption
	policy   *policy.Policy
	register func(*grpc.Server)
	insecure bool
	unsafe   bool // start without the check of the rules
	memory   bool // no network, for tests in a synctest bubble: see bubble
}

func newLab(t testing.TB, s setup) *lab {
	t.Helper()
	l := &lab{files: &files{}, log: &lockedBuffer{}, now: testNow}
	if s.memory {
		l.issuer = newMemoryIssuer()
		begin := time.Now()
		l.now = func() time.Time { return testNow().Add(time.Since(begin)) } // the bubble's time, in our era
	} else {
		l.issuer = newTestIssuer(t)
	}
	clients := serverauth.Clients(clientID)
	if s.clients != nil {
		clients = *s.clients
	}
	base := serverauth.Issuer{URL: issuerURL, JWKSURL: "https://keys.test/keys", Clients: clients}
	keys := &http.Client{Transport: l.issuer}
	if !s.memory {
		base.JWKSURL = l.issuer.server.URL + "/keys"
		keys = l.issuer.server.Client()
	}
	issuers := []serverauth.Issuer{base}
	if s.issuers != nil {
		issuers = s.issuers(base)
	}
	logger := serverauth.WithLogger(slog.New(slog.NewTextHandler(l.log, nil)))
	v, err := serverauth.NewVerifier(t.Context(), issuers, append([]serverauth.VerifierOption{
		serverauth.WithHTTPClient(keys), serverauth.WithClock(l.now), logger,
	}, s.verifier...)...)
	if err != nil {
		t.Fatalf("NewVerifier: %v", err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	p := s.policy
	if p == nil {
		if p, err = policy.New(); err != nil {
			t.Fatalf("policy.New: %v", err)
		}
	}
	l.verifier = v
	if l.auth, err = serverauth.New(v, p, append([]serverauth.Option{logger}, s.options...)...); err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() {
		if err := l.auth.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	l.serve(t, s)
	return l
}

func (l *lab) serve(t testing.TB, s setup) {
	t.Helper()
	options := append([]grpc.ServerOption{
		grpc.ChainUnaryInterceptor(l.observeUnary), grpc.ChainStreamInterceptor(l.observeStream),
	}, l.auth.ServerOptions()...)
	if !s.insecure {
		var server *tls.Config
		server, l.tls = tlsConfigs(t)
		options = append(options, grpc.Creds(credentials.NewTLS(server)))
	}
	srv := grpc.NewServer(append(options, s.server...)...)
	filesv1.RegisterFileReadServiceServer(srv, l.files)
	filesv1.RegisterFileWriteServiceServer(srv, l.files)
	echov1.RegisterEchoServiceServer(srv, echo{})
	if s.register != nil {
		s.register(srv)
	}
	if s.memory {
		l.memory = bufconn.Listen(1 << 20)
	}
	var lis net.Listener = l.memory
	if !s.memory {
		lis = listen(t)
	}
	l.addr = lis.Addr().String()
	done := make(chan error, 1)
	go func() {
		if s.unsafe {
			done <- srv.Serve(lis)
			return
		}
		done <- l.auth.Serve(srv, lis)
	}()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("Serve: %v", err)
		}
	})
}

// bubble runs f in fake time. A lab in it must be a memory one. What a lab needs from
// outside is made before.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	testKeys()
	tlsPair()
	synctest.Test(t, f)
}

// echo is the service with one method of each kind of call.
type echo struct {
	echov1.UnimplementedEchoServiceServer
}

func (echo) Echo(_ context.Context, r *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Payload: r.GetPayload()}, nil
}

// Repeat sends a message each second of fake time, if asked to go on until the end.
func (echo) Repeat(r *echov1.RepeatRequest, s grpc.ServerStreamingServer[echov1.RepeatResponse]) error {
	for n := int64(0); n < r.GetTimes() || r.GetTimes() == 0; n++ {
		if err := s.Send(&echov1.RepeatResponse{Payload: r.GetPayload()}); err != nil {
			return err
		}
		if r.GetTimes() > 0 {
			continue
		}
		select {
		case <-time.After(time.Second):
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
	return nil
}

func (echo) Count(s grpc.ClientStreamingServer[echov1.CountRequest, echov1.CountResponse]) error {
	for n := int64(0); ; n++ {
		if _, err := s.Recv(); errors.Is(err, io.EOF) {
			return s.SendAndClose(&echov1.CountResponse{Count: n})
		} else if err != nil {
			return err
		}
	}
}

func (echo) Chat(s grpc.BidiStreamingServer[echov1.ChatRequest, echov1.ChatResponse]) error {
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.Send(&echov1.ChatResponse{Payload: r.GetPayload()}); err != nil {
			return err
		}
	}
}

var tlsPair = sync.OnceValue(func() [2]*tls.Config {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return [2]*tls.Config{
		{Certificates: srv.TLS.Certificates, MinVersion: tls.VersionTLS12},
		{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12},
	}
})

func tlsConfigs(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	pair := tlsPair()
	return pair[0], pair[1]
}

// call sends one unary call, or one message of a stream, over raw HTTP/2.
func (l *lab) call(t testing.TB, fullMethod string, extra ...header) answer {
	t.Helper()
	got, err := l.tryCall(fullMethod, extra...)
	if err != nil {
		t.Fatalf("raw HTTP/2 call of %s: %v", fullMethod, err)
	}
	return got
}

// tryCall is call for what may end the connection.
func (l *lab) tryCall(fullMethod string, extra ...header) (answer, error) {
	c, err := l.tryDial()
	if err != nil {
		return answer{}, err
	}
	defer c.close()
	if err := c.writeHeaders(fullMethod, extra); err != nil {
		return answer{}, err
	}
	// The server may have answered and gone: its answer counts, not what it did not take.
	_ = c.framer.WriteData(1, true, frame(nil))
	return c.tryFinish()
}

// bearer is the usual header.
func bearer(token string) header { return header{"authorization", "Bearer " + token} }
