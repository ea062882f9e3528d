// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/scopeauth/scopeauth/examples/fileserver/loopback"
	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

// fake is a fileserver without access rules whose methods a test writes itself.
type fake struct {
	filesv1.UnimplementedFileReadServiceServer
	filesv1.UnimplementedFileWriteServiceServer

	readFile   func(stream grpc.ServerStreamingServer[filesv1.ReadFileResponse]) error
	writeFile  func(stream grpc.ClientStreamingServer[filesv1.WriteFileRequest, filesv1.WriteFileResponse]) error
	appendFile func(stream grpc.BidiStreamingServer[filesv1.AppendFileRequest, filesv1.AppendFileResponse]) error
	listFiles  func(req *filesv1.ListFilesRequest) (*filesv1.ListFilesResponse, error)
	statFile   func(req *filesv1.StatFileRequest) (*filesv1.StatFileResponse, error)
}

func (f *fake) ReadFile(_ *filesv1.ReadFileRequest, stream grpc.ServerStreamingServer[filesv1.ReadFileResponse]) error {
	return f.readFile(stream)
}

func (f *fake) WriteFile(stream grpc.ClientStreamingServer[filesv1.WriteFileRequest, filesv1.WriteFileResponse]) error {
	return f.writeFile(stream)
}

func (f *fake) AppendFile(stream grpc.BidiStreamingServer[filesv1.AppendFileRequest, filesv1.AppendFileResponse]) error {
	return f.appendFile(stream)
}

func (f *fake) ListFiles(_ context.Context, req *filesv1.ListFilesRequest) (*filesv1.ListFilesResponse, error) {
	return f.listFiles(req)
}

func (f *fake) StatFile(_ context.Context, req *filesv1.StatFileRequest) (*filesv1.StatFileResponse, error) {
	return f.statFile(req)
}

func (*fake) Version(context.Context, *filesv1.VersionRequest) (*filesv1.VersionResponse, error) {
	return &filesv1.VersionResponse{Version: "v1.2.3"}, nil
}

// start serves f and returns a connection, the address, and a file with the certificate.
func start(t *testing.T, f *fake) (conn *grpc.ClientConn, addr, ca string) {
	t.Helper()
	cert, err := loopback.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, cert.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(cert.ServerConfig())), grpc.WaitForHandlers(true))
	filesv1.RegisterFileReadServiceServer(srv, f)
	filesv1.RegisterFileWriteServiceServer(srv, f)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	t.Cleanup(func() {
		srv.Stop()
		// A test may be over before the server has begun to accept.
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	conn, err = grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(cert.ClientConfig())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, lis.Addr().String(), ca
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s: got %q, want %q", filepath.Base(path), got, want)
	}
}

// wantDir holds the names in a directory against those wanted, hidden ones too.
func wantDir(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]bool)
	for _, e := range entries {
		got[e.Name()] = true
	}
	for _, name := range want {
		if !got[name] {
			t.Errorf("%q is missing", name)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("%v should not be there", got)
	}
}
