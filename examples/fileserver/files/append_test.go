// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

// TestHalfMessage speaks HTTP/2 by hand: a client that ends its stream in the
// middle of a message, which gRPC's own client cannot be brought to do.
func TestHalfMessage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		cut  int // bytes missing at the end of the last message
		want codes.Code
		disk []string
	}{
		{"whole", 0, codes.OK, []string{"a"}},
		{"one byte short", 1, codes.Internal, nil},
		{"half a prefix", 1003, codes.Internal, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			body := append(frame(t, writeName("a")), frame(t, writeChunk(pattern(1000)))...)
			f.post(t, filesv1.FileWriteService_WriteFile_FullMethodName, body[:len(body)-tt.cut])
			wantCode(t, "the handler", <-f.events.ended, tt.want)
			wantOnDisk(t, f.dir, tt.disk...)
		})
	}
}

// frame returns a message with gRPC's prefix: a flag and the length.
func frame(t *testing.T, m proto.Message) []byte {
	t.Helper()
	payload, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(payload))), payload...)
}

// post sends body as the whole of a stream and closes the connection when the test is over.
func (f *fixture) post(t *testing.T, method string, body []byte) {
	t.Helper()
	config := f.cert.ClientConfig()
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", f.addr, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Log(err)
		}
	})
	var headers bytes.Buffer
	enc := hpack.NewEncoder(&headers)
	for _, h := range [][2]string{
		{":method", "POST"},
		{":scheme", "https"},
		{":path", method},
		{":authority", "localhost"},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
	} {
		if err := enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	if err := errors.Join(
		framer.WriteSettings(),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers.Bytes(), EndHeaders: true}),
		framer.WriteData(1, true, body),
	); err != nil {
		t.Fatal(err)
	}
}

// TestAppend looks at the disk each time a chunk is acknowledged.
func TestAppend(t *testing.T) {
	t.Parallel()
	f := start(t)
	path := filepath.Join(f.dir, "d", "log")
	mkfile(t, f.dir, "d/log", "begin")
	stream, err := f.write.AppendFile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(appendName("d/log")); err != nil {
		t.Fatal(err)
	}
	want := "begin"
	for _, chunk := range []string{" one", " two", "", " three"} {
		if err := stream.Send(appendChunk([]byte(chunk))); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		want += chunk
		if resp.GetSize() != int64(len(want)) {
			t.Errorf("acknowledged after %q: got size %d, want %d", chunk, resp.GetSize(), len(want))
		}
		wantFile(t, path, want)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "the handler", <-f.events.ended, codes.OK)
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		messages []*filesv1.AppendFileRequest
		want     codes.Code
	}{
		{"no message", nil, codes.InvalidArgument},
		{"no name first", []*filesv1.AppendFileRequest{appendChunk([]byte("x"))}, codes.InvalidArgument},
		{"empty message", []*filesv1.AppendFileRequest{appendName("a"), {}}, codes.InvalidArgument},
		{"second name", []*filesv1.AppendFileRequest{appendName("a"), appendName("a")}, codes.InvalidArgument},
		{"chunk too large", []*filesv1.AppendFileRequest{appendName("a"), appendChunk(pattern(MaxChunk + 1))}, codes.InvalidArgument},
		{"file too large", []*filesv1.AppendFileRequest{appendName("a"), appendChunk(pattern(8))}, codes.ResourceExhausted},
		{"no such file", []*filesv1.AppendFileRequest{appendName("b"), appendChunk([]byte("x"))}, codes.NotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, WithMaxFileSize(10))
			mkfile(t, f.dir, "a", "old")
			stream, err := f.write.AppendFile(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range tt.messages {
				if err := stream.Send(m); err != nil {
					break // Recv has the status
				}
			}
			if err := stream.CloseSend(); err != nil {
				t.Fatal(err)
			}
			_, err = stream.Recv()
			wantCode(t, "AppendFile", err, tt.want)
			wantOnDisk(t, f.dir, "a")
			wantFile(t, filepath.Join(f.dir, "a"), "old")
		})
	}
}

// TestAppendToWhatIsGone has the file replaced or deleted between two chunks: what
// is not in the file of that name is not acknowledged.
func TestAppendToWhatIsGone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, f *fixture)
		want   codes.Code
		disk   []string
	}{
		{"replaced", func(t *testing.T, f *fixture) { t.Helper(); f.put(t, "a", []byte("new")) }, codes.Aborted, []string{"a"}},
		{"deleted", func(t *testing.T, f *fixture) {
			t.Helper()
			if _, err := f.write.DeleteFile(t.Context(), &filesv1.DeleteFileRequest{Name: "a"}); err != nil {
				t.Fatal(err)
			}
		}, codes.NotFound, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			mkfile(t, f.dir, "a", "old")
			stream, err := f.write.AppendFile(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range []*filesv1.AppendFileRequest{appendName("a"), appendChunk([]byte("x"))} {
				if err := stream.Send(m); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
			tt.change(t, f)
			if err := stream.Send(appendChunk([]byte("y"))); err != nil {
				t.Fatal(err)
			}
			_, err = stream.Recv()
			wantCode(t, "the next chunk", err, tt.want)
			wantOnDisk(t, f.dir, tt.disk...)
			if tt.disk != nil {
				wantFile(t, filepath.Join(f.dir, "a"), "new")
			}
		})
	}
}

// TestAppendThatFailsOnDisk has a disk that does not take the chunk.
func TestAppendThatFailsOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newService(t, dir)
	mkfile(t, dir, "a", "old")
	f, _, err := s.open("a", os.O_RDONLY) // so that writing fails
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if size, err := s.appendChunk(t.Context(), "a", f, []byte("x")); err == nil {
		t.Errorf("got size %d and no error, want an error", size)
	}
	wantFile(t, filepath.Join(dir, "a"), "old")
}
