// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/examples/fileserver/loopback"
	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// fixture is a service behind a gRPC server on loopback, over TLS, and a client.
// It has no access rules: those are the interceptors'.
type fixture struct {
	dir     string
	service *Service
	addr    string
	cert    *loopback.Certificate
	conn    *grpc.ClientConn
	read    filesv1.FileReadServiceClient
	write   filesv1.FileWriteServiceClient
	events  *events
}

// events tell a test how far the server's handlers of streams are. A channel that
// nobody reads is full at most.
type events struct {
	received chan struct{} // a message reached the handler
	ended    chan error    // a handler ended
}

type watchedStream struct {
	grpc.ServerStream

	events *events
	last   bool
}

// RecvMsg is called by the handler when it has dealt with the message before.
func (s *watchedStream) RecvMsg(m any) error {
	if s.last {
		notify(s.events.received, struct{}{})
	}
	err := s.ServerStream.RecvMsg(m)
	s.last = err == nil
	return err
}

func notify[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newService(t *testing.T, dir string, opts ...Option) *Service {
	t.Helper()
	s, err := New(dir, append([]Option{WithLogger(quiet())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func start(t *testing.T, opts ...Option) *fixture {
	t.Helper()
	f := &fixture{dir: t.TempDir(), events: &events{make(chan struct{}, 1024), make(chan error, 1024)}}
	f.service = newService(t, f.dir, opts...)
	var err error
	if f.cert, err = loopback.NewCertificate(); err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = lis.Addr().String()
	srv := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(f.cert.ServerConfig())),
		grpc.WaitForHandlers(true),
		grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			err := handler(srv, &watchedStream{ServerStream: ss, events: f.events})
			notify(f.events.ended, err)
			return err
		}),
	)
	f.service.Register(srv)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	t.Cleanup(func() {
		srv.Stop()
		// A test may be over before the server has begun to accept.
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	f.conn, err = grpc.NewClient(f.addr, grpc.WithTransportCredentials(credentials.NewTLS(f.cert.ClientConfig())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.conn.Close() })
	f.read, f.write = filesv1.NewFileReadServiceClient(f.conn), filesv1.NewFileWriteServiceClient(f.conn)
	return f
}

func writeName(name string) *filesv1.WriteFileRequest {
	return &filesv1.WriteFileRequest{Part: &filesv1.WriteFileRequest_Name{Name: name}}
}

func writeChunk(chunk []byte) *filesv1.WriteFileRequest {
	return &filesv1.WriteFileRequest{Part: &filesv1.WriteFileRequest_Chunk{Chunk: chunk}}
}

func appendName(name string) *filesv1.AppendFileRequest {
	return &filesv1.AppendFileRequest{Part: &filesv1.AppendFileRequest_Name{Name: name}}
}

func appendChunk(chunk []byte) *filesv1.AppendFileRequest {
	return &filesv1.AppendFileRequest{Part: &filesv1.AppendFileRequest_Chunk{Chunk: chunk}}
}

// upload sends the messages and ends the stream.
func (f *fixture) upload(ctx context.Context, messages ...*filesv1.WriteFileRequest) (*filesv1.FileInfo, error) {
	stream, err := f.write.WriteFile(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if err := stream.Send(m); err != nil {
			break // CloseAndRecv has the status
		}
	}
	resp, err := stream.CloseAndRecv()
	return resp.GetFile(), err
}

// put writes a file over the service.
func (f *fixture) put(t *testing.T, name string, content []byte) *filesv1.FileInfo {
	t.Helper()
	messages := []*filesv1.WriteFileRequest{writeName(name)}
	for chunk := range slices.Chunk(content, MaxChunk) {
		messages = append(messages, writeChunk(chunk))
	}
	info, err := f.upload(t.Context(), messages...)
	if err != nil {
		t.Fatalf("write %q: %v", name, err)
	}
	return info
}

// get reads a file over the service.
func (f *fixture) get(ctx context.Context, name string) (*filesv1.FileInfo, []byte, error) {
	stream, err := f.read.ReadFile(ctx, &filesv1.ReadFileRequest{Name: name})
	if err != nil {
		return nil, nil, err
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, nil, err
	}
	if first.GetFile() == nil {
		return nil, nil, errors.New("the first message has no description")
	}
	var content bytes.Buffer
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return first.GetFile(), content.Bytes(), nil
		}
		if err != nil {
			return nil, nil, err
		}
		if n := len(m.GetChunk()); n == 0 || n > MaxChunk {
			return nil, nil, errors.New("a message with no chunk or one that is too large")
		}
		content.Write(m.GetChunk())
	}
}

// onDisk returns the paths of all files and directories below dir, sorted.
func onDisk(t *testing.T, dir string) []string {
	t.Helper()
	paths := []string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		paths = append(paths, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	return paths
}

func wantOnDisk(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := onDisk(t, dir); !slices.Equal(got, want) {
		t.Errorf("on disk: got %q, want %q", got, want)
	}
}

// mkfile makes a file, and its directories, past the service.
func mkfile(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
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

func wantCode(t *testing.T, what string, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("%s: got %v (%v), want %v", what, got, err, want)
	}
}

// everyMethod calls each method that takes a name, and returns the errors by method.
func (f *fixture) everyMethod(ctx context.Context, name string) map[string]error {
	errs := make(map[string]error)
	_, errs["StatFile"] = f.read.StatFile(ctx, &filesv1.StatFileRequest{Name: name})
	_, _, errs["ReadFile"] = f.get(ctx, name)
	errs["AppendFile"] = f.append(ctx, name, []byte("x"))
	_, errs["DeleteFile"] = f.write.DeleteFile(ctx, &filesv1.DeleteFileRequest{Name: name})
	_, errs["WriteFile"] = f.upload(ctx, writeName(name), writeChunk([]byte("x"))) // last: it makes what the others miss
	return errs
}

// append adds the chunks one by one.
func (f *fixture) append(ctx context.Context, name string, chunks ...[]byte) error {
	stream, err := f.write.AppendFile(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(appendName(name)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, chunk := range chunks {
		if err := stream.Send(appendChunk(chunk)); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the last chunk: got %w, want the end", err)
	}
	return nil
}
