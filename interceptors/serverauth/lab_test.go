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
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

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
}

func newLab(t testing.TB, s setup) *lab {
	t.Helper()
	l := &lab{issuer: newTestIssuer(t), files: &files{}, log: &lockedBuffer{}}
	clients := serverauth.Clients(clientID)
	if s.clients != nil {
		clients = *s.clients
	}
	base := serverauth.Issuer{URL: issuerURL, JWKSURL: l.issuer.server.URL + "/keys", Clients: clients}
	issuers := []serverauth.Issuer{base}
	if s.issuers != nil {
		issuers = s.issuers(base)
	}
	logger := serverauth.WithLogger(slog.New(slog.NewTextHandler(l.log, nil)))
	v, err := serverauth.NewVerifier(t.Context(), issuers, append([]serverauth.VerifierOption{
		serverauth.WithHTTPClient(l.issuer.server.Client()), serverauth.WithClock(testNow), logger,
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
	if s.register != nil {
		s.register(srv)
	}
	lis := listen(t)
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
	return exchange(t, l.addr, l.tls, fullMethod, extra, frame(nil))
}

// bearer is the usual header.
func bearer(token string) header { return header{"authorization", "Bearer " + token} }
