// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

// fileServer is a gRPC server on 127.0.0.1 that notes what arrives and refuses what
// refuse says. It does not check tokens.
type fileServer struct {
	filesv1.UnimplementedFileReadServiceServer
	filesv1.UnimplementedFileWriteServiceServer

	addr  string
	roots *x509.CertPool // nil in plaintext

	// refuse gets the number of the call, from 0, and its authorization. Nil refuses
	// nothing.
	refuse func(n int, authorization []string) error

	mu    sync.Mutex
	calls []metadata.MD
}

// newFileServer starts a server; its end is the test's.
func newFileServer(tb testing.TB, overTLS bool, refuse func(n int, authorization []string) error) *fileServer {
	tb.Helper()
	s := &fileServer{refuse: refuse}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s.addr = listener.Addr().String()
	transport := insecure.NewCredentials()
	if overTLS {
		// httptest has a certificate for 127.0.0.1.
		certified := httptest.NewUnstartedServer(nil)
		certified.StartTLS()
		transport = credentials.NewServerTLSFromCert(&certified.TLS.Certificates[0])
		s.roots = x509.NewCertPool()
		s.roots.AddCert(certified.Certificate())
		certified.Close()
	}
	srv := grpc.NewServer(grpc.Creds(transport),
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
		}))
	filesv1.RegisterFileReadServiceServer(srv, s)
	filesv1.RegisterFileWriteServiceServer(srv, s)
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(listener) })
	tb.Cleanup(func() {
		srv.Stop()
		wg.Wait()
	})
	return s
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
	return stream.Send(&filesv1.ReadFileResponse{})
}

func (s *fileServer) AppendFile(stream filesv1.FileWriteService_AppendFileServer) error {
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

const statFile, readFile = filesv1.FileReadService_StatFile_FullMethodName, filesv1.FileReadService_ReadFile_FullMethodName

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
func (s *fileServer) dial(tb testing.TB, src TokenSource, scopes Selection) *grpc.ClientConn {
	tb.Helper()
	transport := insecure.NewCredentials()
	if s.roots != nil {
		transport = credentials.NewClientTLSFromCert(s.roots, "")
	}
	conn, err := NewClient(s.addr, src, scopes, grpc.WithTransportCredentials(transport))
	if err != nil {
		tb.Fatalf("NewClient: %v", err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}
