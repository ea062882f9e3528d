// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// memoryServer is an HTTPS server without a network, for a bubble: there no fetch is too
// late, however slow the machine is.
type memoryServer struct {
	*httptest.Server

	listener pipes
}

// pipes is a listener in memory, for bubbles: a connection is one that was sent.
type pipes struct {
	conns  chan net.Conn
	closed context.Context // ends with Close
	end    context.CancelFunc
}

// Accept implements net.Listener.
func (p pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p pipes) Close() error { p.end(); return nil }

// Addr implements net.Listener.
func (p pipes) Addr() net.Addr { return &net.IPAddr{} }

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serverURL has a name of the certificate that httptest has.
const serverURL = "https://example.com"

func newMemoryServer(h http.HandlerFunc) *memoryServer {
	listener := pipes{conns: make(chan net.Conn)}
	listener.closed, listener.end = context.WithCancel(context.Background())
	config := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	return &memoryServer{&httptest.Server{Listener: listener, Config: config}, listener}
}

func (s *memoryServer) start(t *testing.T) {
	t.Helper()
	s.StartTLS()
	t.Cleanup(s.Close)
}

// source returns one whose transport ends at the server, whatever the address is.
func (s *memoryServer) source(t *testing.T, url string, lender *http.Client) *source {
	t.Helper()
	src, err := newSource(url, lender)
	if err != nil {
		t.Fatal(err)
	}
	src.client.Transport.(*http.Transport).DialContext = s.listener.dial
	return src
}

// trusting is source with the package's own transport, which is told to trust the
// server's certificate.
func (s *memoryServer) trusting(t *testing.T, url string) *source {
	t.Helper()
	src := s.source(t, url, nil)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	src.client.Transport.(*http.Transport).TLSClientConfig.RootCAs = roots
	return src
}

// server starts a server and returns a source for it.
func server(t *testing.T, h http.HandlerFunc) (*source, *memoryServer) {
	t.Helper()
	srv := newMemoryServer(h)
	srv.start(t)
	return srv.trusting(t, serverURL), srv
}
