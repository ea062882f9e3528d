// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/protoadapt"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

// fileServer is a gRPC server on 127.0.0.1 that notes what arrives and refuses what
// refuse says. It does not check tokens.
type fileServer struct {
	filesv1.UnimplementedFileReadServiceServer
	filesv1.UnimplementedFileWriteServiceServer

	addr   string
	tls    *tls.Config       // for clients; nil in plaintext
	memory *bufconn.Listener // in place of addr, for tests in a bubble

	// refuse gets the number of the call, from 0, and its authorization. Nil refuses
	// nothing.
	refuse func(n int, authorization []string) error
	// read, write and append are the streams' handlers where a test has its own.
	read   func(stream filesv1.FileReadService_ReadFileServer) error
	write  func(stream filesv1.FileWriteService_WriteFileServer) error
	append func(stream filesv1.FileWriteService_AppendFileServer) error

	mu    sync.Mutex
	calls []metadata.MD
}

// tlsPair is a server's and its clients' configuration: httptest has a certificate for
// 127.0.0.1 and example.com.
var tlsPair = sync.OnceValue(func() [2]*tls.Config {
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	return [2]*tls.Config{
		{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12},
		{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12},
	}
})

// newFileServer starts a server; its end is the test's.
func newFileServer(tb testing.TB, overTLS bool, refuse func(n int, authorization []string) error, opts ...grpc.ServerOption) *fileServer {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &fileServer{refuse: refuse, addr: listener.Addr().String()}
	s.serve(tb, listener, overTLS, opts)
	return s
}

// memoryBubble runs f in fake time, for servers of newMemoryServer: there no patience is
// over because the machine is busy.
func memoryBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	tlsPair()
	synctest.Test(t, f)
}

// newMemoryServer is newFileServer over TLS without a network. In a bubble tlsPair is
// called before.
func newMemoryServer(tb testing.TB, refuse func(n int, authorization []string) error, opts ...grpc.ServerOption) *fileServer {
	tb.Helper()
	s := &fileServer{refuse: refuse, addr: "passthrough:///memory", memory: bufconn.Listen(1 << 20)}
	s.serve(tb, s.memory, true, opts)
	return s
}

func (s *fileServer) serve(tb testing.TB, listener net.Listener, overTLS bool, opts []grpc.ServerOption) {
	tb.Helper()
	transport := insecure.NewCredentials()
	if overTLS {
		pair := tlsPair()
		transport, s.tls = credentials.NewTLS(pair[0]), pair[1]
	}
	srv := grpc.NewServer(append([]grpc.ServerOption{
		grpc.Creds(transport),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			if err := s.arrived(ctx); err != nil {
				return nil, err
			}
			return handle(ctx, req)
		}),
		grpc.StreamInterceptor(func(impl any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			if err := s.arrived(stream.Context()); err != nil {
				return err
			}
			return handle(impl, stream)
		}),
	}, opts...)...)
	filesv1.RegisterFileReadServiceServer(srv, s)
	filesv1.RegisterFileWriteServiceServer(srv, s)
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(listener) })
	tb.Cleanup(func() {
		srv.Stop()
		wg.Wait()
	})
}

func (s *fileServer) arrived(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	s.mu.Lock()
	n := len(s.calls)
	s.calls = append(s.calls, md)
	s.mu.Unlock()
	if s.refuse == nil {
		return nil
	}
	return s.refuse(n, md.Get("authorization"))
}

// sent returns the values that arrived under key, call by call.
func (s *fileServer) sent(key string) [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all [][]string
	for _, md := range s.calls {
		all = append(all, md.Get(key))
	}
	return all
}

func (s *fileServer) StatFile(context.Context, *filesv1.StatFileRequest) (*filesv1.StatFileResponse, error) {
	return &filesv1.StatFileResponse{File: &filesv1.FileInfo{Size: 1}}, nil
}

func (s *fileServer) ListFiles(context.Context, *filesv1.ListFilesRequest) (*filesv1.ListFilesResponse, error) {
	return &filesv1.ListFilesResponse{}, nil
}

func (s *fileServer) WhoAmI(context.Context, *filesv1.WhoAmIRequest) (*filesv1.WhoAmIResponse, error) {
	return &filesv1.WhoAmIResponse{}, nil
}

func (s *fileServer) Version(context.Context, *filesv1.VersionRequest) (*filesv1.VersionResponse, error) {
	return &filesv1.VersionResponse{Version: "1"}, nil
}

func (s *fileServer) ReadFile(_ *filesv1.ReadFileRequest, stream filesv1.FileReadService_ReadFileServer) error {
	if s.read != nil {
		return s.read(stream)
	}
	return stream.Send(&filesv1.ReadFileResponse{})
}

func (s *fileServer) WriteFile(stream filesv1.FileWriteService_WriteFileServer) error {
	if s.write != nil {
		return s.write(stream)
	}
	for {
		if _, err := stream.Recv(); err != nil {
			if errors.Is(err, io.EOF) {
				return stream.SendAndClose(&filesv1.WriteFileResponse{})
			}
			return err
		}
	}
}

func (s *fileServer) AppendFile(stream filesv1.FileWriteService_AppendFileServer) error {
	if s.append != nil {
		return s.append(stream)
	}
	for {
		if _, err := stream.Recv(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := stream.Send(&filesv1.AppendFileResponse{}); err != nil {
			return err
		}
	}
}

const (
	statFile, readFile    = filesv1.FileReadService_StatFile_FullMethodName, filesv1.FileReadService_ReadFile_FullMethodName
	writeFile, appendFile = filesv1.FileWriteService_WriteFile_FullMethodName, filesv1.FileWriteService_AppendFile_FullMethodName
)

// refusal is an error as the library's server side sends it for a call of method.
func refusal(method string, code codes.Code, domain string, why reason.Reason) error {
	info := &errdetails.ErrorInfo{Domain: domain, Reason: string(why), Metadata: map[string]string{reason.MethodKey: method}}
	st, err := status.New(code, "refused").WithDetails(protoadapt.MessageV1Of(info))
	if err != nil {
		return err
	}
	return st.Err()
}

// dial connects to s with the selection; its end is the test's.
func (s *fileServer) dial(tb testing.TB, src TokenSource, scopes Selection, opts ...Option) *grpc.ClientConn {
	tb.Helper()
	own, err := DialOptions(src, scopes, opts...)
	if err != nil {
		tb.Fatalf("DialOptions: %v", err)
	}
	return s.connect(tb, own...)
}

// connect connects to s; its end is the test's.
func (s *fileServer) connect(tb testing.TB, opts ...grpc.DialOption) *grpc.ClientConn {
	tb.Helper()
	conn, err := grpc.NewClient(s.addr, append(s.transport(), opts...)...)
	if err != nil {
		tb.Fatalf("NewClient: %v", err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// transport returns what a client needs to get at s.
func (s *fileServer) transport() []grpc.DialOption {
	transport := insecure.NewCredentials()
	if s.tls != nil {
		transport = credentials.NewTLS(s.tls)
	}
	opts := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if s.memory != nil {
		opts = append(opts, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.memory.DialContext(ctx) }))
	}
	return opts
}

// wantRequests is wantCount outside of a bubble: nothing is under way.
func wantRequests(tb testing.TB, f *fakeEndpoint, want int) {
	tb.Helper()
	if got := f.count(); got != want {
		tb.Errorf("token requests: got %d, want %d", got, want)
	}
}
