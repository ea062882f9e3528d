// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// signingKeys are made once: that takes some tenths of a second.
var signingKeys = sync.OnceValues(cognitotest.GenerateKeys)

// cognito starts the embedded Cognito, with the pool s2s-test and its app client.
func cognito(t *testing.T) *cognitotest.Server {
	t.Helper()
	keys, err := signingKeys()
	if err != nil {
		t.Fatal(err)
	}
	srv, err := cognitotest.NewServer(cognitotest.WithKeys(keys))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return srv
}

// buffer is a bytes.Buffer for a program that writes while the test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// program is a running server.
type program struct {
	dir    string // with the certificate
	root   string
	pool   *cognitotest.UserPool
	addr   string
	stderr *buffer
	stop   context.CancelFunc
	done   chan int // the exit code
}

// begin runs the program and waits until it listens.
func begin(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	srv := cognito(t)
	pool := srv.Pool("s2s-test")
	p := &program{dir: t.TempDir(), root: t.TempDir(), pool: pool, stderr: new(buffer), stop: cancel, done: make(chan int, 1)}
	stdout, in := io.Pipe()
	args = append([]string{
		"-addr", "127.0.0.1:0", "-root", p.root,
		"-user-pool-id", pool.ID(), "-issuer", pool.Issuer(), "-jwks-url", pool.JWKSURL(),
		"-clients", "uploader=" + pool.Client("sts-test-app-client").ID,
		"-ca-out", filepath.Join(p.dir, "ca.pem"),
	}, args...)
	var running sync.WaitGroup
	running.Go(func() {
		p.done <- run(ctx, args, environment(nil), nil, in, p.stderr)
		in.Close()
	})
	t.Cleanup(func() {
		cancel()
		stdout.Close()
		running.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not listen: %v\n%s", err, p.stderr.String())
	}
	var ok bool
	if p.addr, ok = strings.CutPrefix(strings.TrimSpace(line), "fileserver: listening on "); !ok {
		t.Fatalf("got the line %q", line)
	}
	return p
}

// clientTLS trusts the certificate that the server wrote, and no other.
func (p *program) clientTLS(t *testing.T) *tls.Config {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(p.dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content) {
		t.Fatalf("-ca-out holds %q, want a certificate", content)
	}
	return &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}
}

// dial connects to the server.
func (p *program) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(credentials.NewTLS(p.clientTLS(t))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func wantCode(t *testing.T, what string, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("%s: got %v (%v), want %v", what, got, err, want)
	}
}

// TestWithoutToken calls everything that the server has: what is public answers,
// all else does not.
func TestWithoutToken(t *testing.T) {
	t.Parallel()
	p := begin(t)
	conn := p.dial(t)
	health, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || health.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health: got %v, %v, want SERVING", health.GetStatus(), err)
	}
	version, err := filesv1.NewFileReadServiceClient(conn).Version(t.Context(), &filesv1.VersionRequest{})
	if err != nil || version.GetVersion() == "" {
		t.Errorf("Version: got %q, %v, want a version", version.GetVersion(), err)
	}
	for _, bearer := range []string{"", "Bearer a.b.c"} {
		ctx := t.Context()
		if bearer != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", bearer)
		}
		for _, desc := range []grpc.ServiceDesc{filesv1.FileReadService_ServiceDesc, filesv1.FileWriteService_ServiceDesc} {
			for _, m := range desc.Methods {
				if m.MethodName != "Version" {
					err := conn.Invoke(ctx, "/"+desc.ServiceName+"/"+m.MethodName, &filesv1.WhoAmIRequest{}, &filesv1.WhoAmIResponse{})
					wantCode(t, m.MethodName, err, codes.Unauthenticated)
				}
			}
			for _, s := range desc.Streams {
				wantCode(t, s.StreamName, open(ctx, conn, "/"+desc.ServiceName+"/"+s.StreamName), codes.Unauthenticated)
			}
		}
	}
	if entries, err := os.ReadDir(p.root); err != nil || len(entries) != 0 {
		t.Errorf("the store has %v, %v, want nothing", entries, err)
	}
}

// open opens a stream, sends one empty message, and returns the outcome.
func open(ctx context.Context, conn *grpc.ClientConn, method string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	// RecvMsg has the status, also if the server refuses before it reads.
	_ = stream.SendMsg(&filesv1.WhoAmIRequest{})
	_ = stream.CloseSend()
	return stream.RecvMsg(&filesv1.WhoAmIResponse{})
}

// TestDrain stops the server while a call runs. The health service's Watch is one
// that needs no token and ends when its caller wants.
func TestDrain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, limit string
		leave       bool // the caller ends its call when it hears of the stop
		wantLog     bool // calls were cut off
	}{
		{"the call ends", "10m", true, false},
		{"the call does not end", "1ms", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := begin(t, "-drain-timeout", tt.limit)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stream, err := healthpb.NewHealthClient(p.dial(t)).Watch(ctx, &healthpb.HealthCheckRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
			p.stop()
			if tt.leave {
				resp, err := stream.Recv()
				if err != nil || resp.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
					t.Errorf("health: got %v, %v, want NOT_SERVING while the call goes on", resp.GetStatus(), err)
				}
				select {
				case code := <-p.done:
					t.Errorf("the server ended with %d while a call ran, want it to wait", code)
				default:
				}
				cancel()
			}
			if code := <-p.done; code != 0 {
				t.Errorf("exit code: got %d, want 0", code)
			}
			if got := strings.Contains(p.stderr.String(), "cut off"); got != tt.wantLog {
				t.Errorf("the log says that calls were cut off: %v, want %v:\n%s", got, tt.wantLog, p.stderr.String())
			}
			// Somebody else may have the address by now, but not the certificate.
			if conn, err := tls.Dial("tcp", p.addr, p.clientTLS(t)); err == nil {
				conn.Close()
				t.Error("the address is still open")
			}
		})
	}
}

// TestGivenCertificate serves with a certificate from files.
func TestGivenCertificate(t *testing.T) {
	t.Parallel()
	cert, key := pair(t, t.TempDir())
	p := begin(t, "-ca-out", "", "-tls-cert", cert, "-tls-key", key)
	content, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "ca.pem"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := filesv1.NewFileReadServiceClient(p.dial(t)).Version(t.Context(), &filesv1.VersionRequest{}); err != nil {
		t.Error(err)
	}
}

// stopper is standard output that ends the program when it says something.
type stopper struct {
	bytes.Buffer

	stop context.CancelFunc
}

func (s *stopper) Write(p []byte) (int, error) {
	s.stop()
	return s.Buffer.Write(p)
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	dir, keys := t.TempDir(), cognito(t).Issuer()
	cert, key := pair(t, dir)
	good := func(args ...string) []string {
		return append([]string{"-addr", "127.0.0.1:0", "-root", dir, "-issuer", keys, "-clients", "*"}, args...)
	}
	for _, tt := range []struct {
		name string
		args []string
		want int
		text string
	}{
		{"no such root", good("-root", filepath.Join(dir, "none")), 64, "-root"},
		{"no certificate", good("-tls-cert", filepath.Join(dir, "none"), "-tls-key", key), 64, "-tls-cert"},
		{"certificate and key swapped", good("-tls-cert", key, "-tls-key", cert), 64, "-tls-cert"},
		{"nowhere to write the certificate", good("-ca-out", filepath.Join(dir, "none", "ca.pem")), 64, "-ca-out"},
		{"address taken", good("-addr", taken.Addr().String()), 69, "-addr"},
		{"address that is none", good("-addr", "127.0.0.1:port"), 69, "-addr"},
		{"issuer in plaintext", good("-issuer", "http://cognito.example/pool"), 64, "https"},
		{"keys in plaintext", good("-jwks-url", "http://cognito.example/keys"), 64, "https"},
		{"no pool id", []string{"-addr", "127.0.0.1:0", "-root", dir, "-user-pool-id", "pool", "-clients", "*"}, 64, "user pool id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stdout := stopper{stop: cancel} // a server that starts all the same ends at once
			if code := run(ctx, tt.args, environment(nil), nil, &stdout, &stderr); code != tt.want {
				t.Errorf("exit code: got %d, want %d", code, tt.want)
			}
			if !strings.Contains(stderr.String(), "fileserver: ") || !strings.Contains(stderr.String(), tt.text) || stdout.Len() != 0 {
				t.Errorf("got %q on stdout and %q on stderr, want %q on stderr", stdout.String(), stderr.String(), tt.text)
			}
		})
	}
}

// TestKeysUnavailable has an issuer that answers nothing useful until the program is stopped.
func TestKeysUnavailable(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		cancel()
	}))
	defer srv.Close()
	var stdout, stderr bytes.Buffer
	args := []string{"-addr", "127.0.0.1:0", "-root", t.TempDir(), "-issuer", srv.URL + "/pool", "-clients", "*"}
	if code := run(ctx, args, environment(nil), nil, &stdout, &stderr); code != 69 {
		t.Errorf("exit code: got %d, want 69: %s", code, stderr.String())
	}
	if stdout.Len() != 0 {
		t.Errorf("got %q on stdout, want nothing: the server never listened", stdout.String())
	}
}

// pair writes a certificate and a key for loopback.
func pair(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
