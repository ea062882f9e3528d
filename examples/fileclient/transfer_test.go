// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

// session returns one whose calls go to f, with its standard output.
func newSession(t *testing.T, f *fake, stdin io.Reader, args ...string) (*session, *bytes.Buffer) {
	t.Helper()
	conn, _, _ := start(t, f)
	stdout := new(bytes.Buffer)
	s := &session{args: args, stdin: stdin, stdout: stdout, stderr: new(bytes.Buffer)}
	s.use(conn)
	return s, stdout
}

func described(size int64) *filesv1.ReadFileResponse {
	return &filesv1.ReadFileResponse{Part: &filesv1.ReadFileResponse_File{File: &filesv1.FileInfo{Name: "a", Size: size}}}
}

func part(content string) *filesv1.ReadFileResponse {
	return &filesv1.ReadFileResponse{Part: &filesv1.ReadFileResponse_Chunk{Chunk: []byte(content)}}
}

// sends is a ReadFile that sends the messages and then ends with err.
func sends(err error, messages ...*filesv1.ReadFileResponse) *fake {
	return &fake{readFile: func(stream grpc.ServerStreamingServer[filesv1.ReadFileResponse]) error {
		for _, m := range messages {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		return err
	}}
}

func TestReadWholeOrNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		f    *fake
		want string // part of the error; "" for none
	}{
		{"whole", sends(nil, described(7), part("con"), part("tent")), ""},
		{"refused", sends(status.Error(codes.PermissionDenied, "no scope")), "no scope"},
		{"broken off", sends(status.Error(codes.Unavailable, "going away"), described(7), part("con")), "going away"},
		{"too short", sends(nil, described(7), part("con")), "the file has 7 bytes, and the server sent 3: nothing was kept"},
		{"too long", sends(nil, described(7), part("content"), part("more")), "the server sent 11"},
		{"no description", sends(nil, part("content")), "no description"},
		{"negative size", sends(nil, described(-1)), "no description"},
		{"no message", sends(nil), "no description"},
	} {
		for _, old := range []bool{false, true} {
			name := tt.name
			if old {
				name += " over an old file"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				path := filepath.Join(dir, "local")
				if old {
					if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
						t.Fatal(err)
					}
				}
				s, stdout := newSession(t, tt.f, nil, "a", path)
				err := s.read(t.Context())
				if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got error %v, want %q", err, tt.want)
				}
				if stdout.Len() != 0 {
					t.Errorf("got %q on stdout, want nothing", stdout.String())
				}
				switch {
				case tt.want == "":
					wantFile(t, path, "content")
					wantDir(t, dir, "local")
				case old:
					wantFile(t, path, "old")
					wantDir(t, dir, "local")
				default:
					wantDir(t, dir)
				}
				if info, err := os.Stat(path); old && (err != nil || info.Mode().Perm() != 0o640) {
					t.Errorf("got mode %v, %v, want the old file's 0640", info.Mode(), err)
				}
			})
		}
	}
}

// TestReadCancelled has a user who stops a download in the middle.
func TestReadCancelled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	f := &fake{readFile: func(stream grpc.ServerStreamingServer[filesv1.ReadFileResponse]) error {
		if err := errors.Join(stream.Send(described(7)), stream.Send(part("con"))); err != nil {
			return err
		}
		cancel()
		<-stream.Context().Done()
		return stream.Context().Err()
	}}
	s, _ := newSession(t, f, nil, "a", filepath.Join(dir, "local"))
	if err := s.read(ctx); status.Code(err) != codes.Canceled {
		t.Errorf("got %v, want CANCELLED", err)
	}
	wantDir(t, dir)
}

func TestReadToStandardOutput(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"a"}, {"a", "-"}} {
		s, stdout := newSession(t, sends(nil, described(7), part("con"), part("tent")), nil, args...)
		if err := s.read(t.Context()); err != nil || stdout.String() != "content" {
			t.Errorf("%q: got %q, %v, want the content", args, stdout.String(), err)
		}
	}
}

// TestReadTooLittle: what is written at once cannot be taken back, and the error says so.
func TestReadTooLittle(t *testing.T) {
	t.Parallel()
	s, _ := newSession(t, sends(nil, described(7), part("con")), nil, "a")
	if err := s.read(t.Context()); err == nil || !strings.Contains(err.Error(), "the server sent 3: what was written is not the file") {
		t.Errorf("got %v, want that what was written is not the file", err)
	}
}

func TestReadTargets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("file"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", path("link")); err != nil {
		t.Fatal(err)
	}
	read := func(to string) error {
		s, _ := newSession(t, sends(nil, described(7), part("content")), nil, "a", to)
		return s.read(t.Context())
	}
	if err := read(path("link")); err != nil {
		t.Error(err)
	}
	wantFile(t, path("file"), "content")
	if target, err := os.Readlink(path("link")); err != nil || target != "file" {
		t.Errorf("the link is %q, %v, want it as it was", target, err)
	}
	if err := read(dir); exitCode(err) != 64 {
		t.Errorf("to a directory: got %v, want a usage error", err)
	}
	if err := read(path("none/file")); err == nil {
		t.Error("to a directory that is not there: got success, want an error")
	}
	wantDir(t, dir, "file", "link")
}

// received is what a WriteFile of a fake got.
type received struct {
	content   []byte
	largest   int
	committed bool
	done      chan struct{}
}

// keeps is a WriteFile that keeps what it gets.
func keeps(r *received) *fake {
	r.done = make(chan struct{})
	return &fake{writeFile: func(stream grpc.ClientStreamingServer[filesv1.WriteFileRequest, filesv1.WriteFileResponse]) error {
		defer close(r.done)
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				r.committed = true
				return stream.SendAndClose(&filesv1.WriteFileResponse{File: &filesv1.FileInfo{
					Name: "a\tb", Size: int64(len(r.content)), ChangeTime: &timestamppb.Timestamp{Seconds: 1},
				}})
			}
			if err != nil {
				return err
			}
			r.content = append(r.content, m.GetChunk()...)
			r.largest = max(r.largest, len(m.GetChunk()))
		}
	}}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("0123456789", 20000)
	path := filepath.Join(t.TempDir(), "local")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"file", []string{"a", path}},
		{"standard input", []string{"a"}},
		{"standard input by name", []string{"a", "-"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var r received
			s, stdout := newSession(t, keeps(&r), strings.NewReader(content), tt.args...)
			if err := s.write(t.Context()); err != nil {
				t.Fatal(err)
			}
			if string(r.content) != content || r.largest > 65536 {
				t.Errorf("the server got %d bytes in chunks of up to %d, want %d in chunks of up to 65536", len(r.content), r.largest, len(content))
			}
			if want := "200000\t1970-01-01T00:00:01Z\t\"a\\tb\"\n"; stdout.String() != want {
				t.Errorf("got %q on stdout, want %q", stdout.String(), want)
			}
		})
	}
}

// brokenReader gives some bytes and then an error.
type brokenReader struct{ first io.Reader }

var errBroken = errors.New("the disk is broken")

func (b brokenReader) Read(p []byte) (int, error) {
	n, err := b.first.Read(p)
	if err != nil {
		err = errBroken
	}
	return n, err
}

// TestWriteOfABrokenInput must not end the stream: that would commit what was sent.
func TestWriteOfABrokenInput(t *testing.T) {
	t.Parallel()
	var r received
	s, _ := newSession(t, keeps(&r), brokenReader{strings.NewReader(strings.Repeat("x", 100000))}, "a")
	if err := s.write(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want %v", err, errBroken)
	}
	<-r.done
	if r.committed {
		t.Error("the server was told that the file is complete")
	}
}

// TestWriteRefused has a server that ends the stream: Send says io.EOF only, and
// the status must be had all the same.
func TestWriteRefused(t *testing.T) {
	t.Parallel()
	f := &fake{writeFile: func(grpc.ClientStreamingServer[filesv1.WriteFileRequest, filesv1.WriteFileResponse]) error {
		return status.Error(codes.PermissionDenied, "no scope")
	}}
	// Endless input: only the refusal ends the command.
	s, stdout := newSession(t, f, endless{}, "a")
	if err := s.write(t.Context()); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "no scope") {
		t.Errorf("got %v, want the server's PERMISSION_DENIED", err)
	}
	if stdout.Len() != 0 {
		t.Errorf("got %q on stdout, want nothing", stdout.String())
	}
}

// TestWriteEndedEarly has a server that calls it done before it has the whole input.
func TestWriteEndedEarly(t *testing.T) {
	t.Parallel()
	f := &fake{writeFile: func(stream grpc.ClientStreamingServer[filesv1.WriteFileRequest, filesv1.WriteFileResponse]) error {
		return stream.SendAndClose(&filesv1.WriteFileResponse{File: &filesv1.FileInfo{Name: "a"}})
	}}
	s, stdout := newSession(t, f, endless{}, "a")
	if err := s.write(t.Context()); err == nil || !strings.Contains(err.Error(), "before it had the whole input") {
		t.Errorf("got %v, want that the input was not sent", err)
	}
	if stdout.Len() != 0 {
		t.Errorf("got %q on stdout, want nothing", stdout.String())
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestWriteCancelled has a user who stops while the program waits for input.
func TestWriteCancelled(t *testing.T) {
	t.Parallel()
	for range 30 { // a stream that is ended and cancelled at once may go either way
		var r received
		in, out := io.Pipe()
		s, _ := newSession(t, keeps(&r), in, "a")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.write(ctx) }()
		if _, err := out.Write(make([]byte, 65536)); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-ended; status.Code(err) != codes.Canceled {
			t.Errorf("got %v, want CANCELLED", err)
		}
		<-r.done
		if r.committed {
			t.Fatal("the server was told that the file is complete")
		}
		out.Close()
	}
}

// cancelledSend is a stream whose Send waits until the user stops the program, and then
// says io.EOF, as gRPC does.
type cancelledSend struct {
	grpc.ClientStreamingClient[filesv1.WriteFileRequest, filesv1.WriteFileResponse]

	stop  context.CancelFunc
	ended bool
}

func (c *cancelledSend) Send(m *filesv1.WriteFileRequest) error {
	if m.GetName() != "" {
		return nil
	}
	c.stop()
	return io.EOF
}

func (c *cancelledSend) CloseAndRecv() (*filesv1.WriteFileResponse, error) {
	c.ended = true
	return &filesv1.WriteFileResponse{File: &filesv1.FileInfo{}}, nil
}

type cancelledWriter struct {
	filesv1.FileWriteServiceClient

	stream *cancelledSend
}

func (c cancelledWriter) WriteFile(context.Context, ...grpc.CallOption) (grpc.ClientStreamingClient[filesv1.WriteFileRequest, filesv1.WriteFileResponse], error) {
	return c.stream, nil
}

// TestWriteCancelledWhileItSends must not make a file of what was sent so far.
func TestWriteCancelledWhileItSends(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	stream := &cancelledSend{stop: cancel}
	s := &session{args: []string{"a"}, stdin: endless{}, stdout: new(bytes.Buffer), stderr: new(bytes.Buffer), writer: cancelledWriter{stream: stream}}
	if err := s.write(ctx); status.Code(err) != codes.Canceled {
		t.Errorf("got %v, want CANCELLED", err)
	}
	if stream.ended {
		t.Error("the stream was ended, by which the server takes the file for complete")
	}
}

func TestNoSuchLocalFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := newSession(t, &fake{}, nil, "a", filepath.Join(dir, "none"))
	for name, do := range map[string]func(context.Context) error{"write": s.write, "append": s.append} {
		if err := do(t.Context()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v, want %v", name, err, os.ErrNotExist)
		}
	}
	s.args[1] = dir
	if err := s.write(t.Context()); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("write of a directory: got %v, want that it is one", err)
	}
}
