// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

// readRefused is what a server says about the token of a call of ReadFile.
func readRefused() error {
	return refusal(readFile, codes.Unauthenticated, reason.Domain, reason.TokenExpired)
}

// refuseFirst refuses the first token with err.
func refuseFirst(err error) func(int, []string) error {
	return func(_ int, authorization []string) error {
		if reflect.DeepEqual(authorization, bearer(0)) {
			return err
		}
		return nil
	}
}

// readAll returns the names that a server stream delivers, and how it ends.
func readAll(stream filesv1.FileReadService_ReadFileClient) (names []string, err error) {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return names, nil
		} else if err != nil {
			return names, err
		}
		names = append(names, m.GetFile().GetName())
	}
}

func named(name string) *filesv1.ReadFileResponse {
	return &filesv1.ReadFileResponse{Part: &filesv1.ReadFileResponse_File{File: &filesv1.FileInfo{Name: name}}}
}

// TestServerStreamRepeatedOnce: the stream goes on with another token, and the caller
// sees nothing of it.
func TestServerStreamRepeatedOnce(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, refuseFirst(readRefused()))
	server.read = func(stream filesv1.FileReadService_ReadFileServer) error {
		if err := stream.SetHeader(metadata.Pairs("x-head", "second")); err != nil {
			return err
		}
		stream.SetTrailer(metadata.Pairs("x-tail", "second"))
		for _, name := range []string{"a", "b"} {
			if err := stream.Send(named(name)); err != nil {
				return err
			}
		}
		return nil
	}
	endpoint := &fakeEndpoint{}
	files := filesv1.NewFileReadServiceClient(server.dial(t, newSource(t, endpoint), AllClientScopes()))
	for range 2 { // the second stream has the new token at once
		stream, err := files.ReadFile(t.Context(), &filesv1.ReadFileRequest{Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		names, err := readAll(stream)
		if err != nil || !reflect.DeepEqual(names, []string{"a", "b"}) {
			t.Errorf("got %q, %v, want a and b", names, err)
		}
		head, err := stream.Header()
		if err != nil || !reflect.DeepEqual(head.Get("x-head"), []string{"second"}) || !reflect.DeepEqual(stream.Trailer().Get("x-tail"), []string{"second"}) {
			t.Errorf("got header %v, trailer %v, %v, want those of the second attempt", head, stream.Trailer(), err)
		}
	}
	if got, want := server.sent("authorization"), [][]string{bearer(0), bearer(1), bearer(1)}; !reflect.DeepEqual(got, want) {
		t.Errorf("authorization: got %q, want %q", got, want)
	}
	wantRequests(t, endpoint, 2)
}

// TestServerStreamIsNotRepeated once the caller has got something, or without the
// server's word about the token. The next call gets another token where it may help.
func TestServerStreamIsNotRepeated(t *testing.T) {
	t.Parallel()
	refused := readRefused()
	early := func(err error) func(filesv1.FileReadService_ReadFileServer) error {
		return func(filesv1.FileReadService_ReadFileServer) error { return err }
	}
	for name, test := range map[string]struct {
		read func(filesv1.FileReadService_ReadFileServer) error
		look func(stream filesv1.FileReadService_ReadFileClient) // before the first Recv
		want []string
		code codes.Code
		next []string // the token of the next call
	}{
		"server stream fails after a message": {
			read: func(s filesv1.FileReadService_ReadFileServer) error {
				if err := s.Send(named("a")); err != nil {
					return err
				}
				return refused
			},
			want: []string{"a"}, code: codes.Unauthenticated, next: bearer(1),
		},
		"headers were handed out": {
			read: func(s filesv1.FileReadService_ReadFileServer) error {
				if err := s.SendHeader(metadata.Pairs("x-head", "first")); err != nil {
					return err
				}
				return refused
			},
			look: func(s filesv1.FileReadService_ReadFileClient) { _, _ = s.Header() },
			code: codes.Unauthenticated, next: bearer(1),
		},
		"there were no headers, and the caller knows": {
			read: early(refused), look: func(s filesv1.FileReadService_ReadFileClient) { _, _ = s.Header() },
			code: codes.Unauthenticated, next: bearer(1),
		},
		"the context was handed out": {
			read: early(refused), look: func(s filesv1.FileReadService_ReadFileClient) { s.Context() },
			code: codes.Unauthenticated, next: bearer(1),
		},
		"permission denied":    {read: early(refusal(readFile, codes.PermissionDenied, reason.Domain, reason.TokenInvalid)), code: codes.PermissionDenied, next: bearer(0)},
		"a handler's own":      {read: early(status.Error(codes.Unauthenticated, "no")), code: codes.Unauthenticated, next: bearer(0)},
		"about another method": {read: early(statRefused()), code: codes.Unauthenticated, next: bearer(0)},
		"about another domain": {read: early(refusal(readFile, codes.Unauthenticated, "example.com", reason.TokenInvalid)), code: codes.Unauthenticated, next: bearer(0)},
		"another reason":       {read: early(refusal(readFile, codes.Unauthenticated, reason.Domain, reason.ClientNotAllowed)), code: codes.Unauthenticated, next: bearer(0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			memoryBubble(t, func(t *testing.T) {
				server := newMemoryServer(t, nil)
				server.read = test.read
				files := filesv1.NewFileReadServiceClient(server.dial(t, newSource(t, &fakeEndpoint{}), AllClientScopes()))
				stream, err := files.ReadFile(t.Context(), &filesv1.ReadFileRequest{})
				if err != nil {
					t.Fatal(err)
				}
				if test.look != nil {
					test.look(stream)
				}
				names, err := readAll(stream)
				if status.Code(err) != test.code || !reflect.DeepEqual(names, test.want) {
					t.Errorf("got %q, %v, want %q and %s", names, err, test.want, test.code)
				}
				if _, err := files.StatFile(t.Context(), &filesv1.StatFileRequest{}); err != nil {
					t.Errorf("the next call: %v", err)
				}
				if got, want := server.sent("authorization"), [][]string{bearer(0), test.next}; !reflect.DeepEqual(got, want) {
					t.Errorf("authorization: got %q, want %q", got, want)
				}
			})
		})
	}
}

// TestServerStreamRefusedTwice: the second refusal stands, and costs nothing more.
func TestServerStreamRefusedTwice(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, func(int, []string) error { return readRefused() })
	var rejected []string
	asked := 0
	src := sourceFunc(func(_ context.Context, req Request) (Token, error) {
		if !req.Rejected.IsZero() {
			rejected = append(rejected, req.Rejected.Value())
		}
		asked++
		return NewToken(opaque(asked-1), time.Time{}), nil
	})
	files := filesv1.NewFileReadServiceClient(server.dial(t, src, AllClientScopes()))
	stream, err := files.ReadFile(t.Context(), &filesv1.ReadFileRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a caller may ask again
		if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("got %v, want the server's error", err)
		}
	}
	if got, want := server.sent("authorization"), [][]string{bearer(0), bearer(1)}; !reflect.DeepEqual(got, want) {
		t.Errorf("authorization: got %q, want %q", got, want)
	}
	if _, err := files.StatFile(t.Context(), &filesv1.StatFileRequest{}); err == nil {
		t.Error("the next call has no error")
	}
	if !reflect.DeepEqual(rejected, []string{opaque(0)}) {
		t.Errorf("the source was told that %q were rejected, want the first token alone", rejected)
	}
}

// TestServerStreamWithoutAnotherToken: what the server said stands.
func TestServerStreamWithoutAnotherToken(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, func(int, []string) error { return readRefused() })
	endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
		if n == 0 {
			return ok(n, 3600)
		}
		return oauthError("invalid_client")
	}}
	counting := &countingSource{TokenSource: newSource(t, endpoint)}
	files := filesv1.NewFileReadServiceClient(server.dial(t, counting, AllClientScopes()))
	stream, err := files.ReadFile(t.Context(), &filesv1.ReadFileRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a caller may ask again
		_, err = stream.Recv()
		if _, local := errors.AsType[*Error](err); local || status.Code(err) != codes.Unauthenticated {
			t.Errorf("got %v, want the server's error", err)
		}
	}
	if got, want := server.sent("authorization"), [][]string{bearer(0)}; !reflect.DeepEqual(got, want) {
		t.Errorf("authorization: got %q, want %q", got, want)
	}
	wantRequests(t, endpoint, 2)
	if got := counting.asked.Load(); got != 2 {
		t.Errorf("the source was asked %d times, want 2", got)
	}
}

// TestServerStreamBeforeItsRequest: a stream that is refused on its headers, before
// the caller has sent its message, has nothing to send again.
func TestServerStreamBeforeItsRequest(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(grpc.ClientStream) error{
		"nothing sent":  func(grpc.ClientStream) error { return nil },
		"no half-close": func(s grpc.ClientStream) error { return s.SendMsg(&filesv1.ReadFileRequest{}) },
		"no message":    func(s grpc.ClientStream) error { return s.CloseSend() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newFileServer(t, true, func(int, []string) error { return readRefused() })
			c, err := newCarrier(newSource(t, &fakeEndpoint{}), AllClientScopes(), nil)
			if err != nil {
				t.Fatal(err)
			}
			conn := server.connect(t, grpc.WithChainStreamInterceptor(c.stream))
			// The server reads no message before it refuses. As a bidirectional stream it does not wait for one.
			opened, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, readFile)
			if err != nil {
				t.Fatal(err)
			}
			if err := prepare(opened); err != nil {
				t.Fatal(err)
			}
			if err := opened.RecvMsg(&filesv1.ReadFileResponse{}); status.Code(err) != codes.Unauthenticated {
				t.Errorf("got %v, want the server's error", err)
			}
			if got := len(server.sent("")); got != 1 {
				t.Errorf("the server got %d calls, want 1", got)
			}
			if c.selected.others.rejected.Load() == nil {
				t.Error("the next call would not get another token")
			}
		})
	}
}

// TestServerStreamOfAnEndedCall is not opened again.
func TestServerStreamOfAnEndedCall(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	endpoint := &fakeEndpoint{}
	c, err := newCarrier(newSource(t, endpoint), AllClientScopes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	server := newFileServer(t, true, func(int, []string) error { return readRefused() })
	opened := 0
	conn := server.connect(t, grpc.WithChainStreamInterceptor(c.stream,
		func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			opened++
			stream, err := open(ctx, desc, cc, method, opts...)
			return endingStream{ClientStream: stream, end: cancel}, err
		}))
	stream, err := filesv1.NewFileReadServiceClient(conn).ReadFile(ctx, &filesv1.ReadFileRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated || opened != 1 {
		t.Errorf("got %v after %d attempts, want the server's error after 1", err, opened)
	}
	wantRequests(t, endpoint, 1)
}

// TestServerStreamLookedAtFromOutside: another goroutine may ask for the headers at any
// moment. It gets those of the stream whose messages the caller gets, or none.
func TestServerStreamLookedAtFromOutside(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, func(n int, _ []string) error {
		if n%2 == 0 {
			return readRefused()
		}
		return nil
	})
	server.read = func(stream filesv1.FileReadService_ReadFileServer) error {
		if err := stream.SendHeader(metadata.Pairs("x-head", incoming(stream))); err != nil {
			return err
		}
		return stream.Send(named(incoming(stream)))
	}
	n := int64(0)
	src := sourceFunc(func(context.Context, Request) (Token, error) {
		n++
		return NewToken(fmt.Sprint("token-", n), time.Time{}), nil
	})
	files := filesv1.NewFileReadServiceClient(server.dial(t, src, AllClientScopes()))
	for range 20 {
		stream, err := files.ReadFile(t.Context(), &filesv1.ReadFileRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var head metadata.MD
		var wg sync.WaitGroup
		wg.Go(func() { head, _ = stream.Header() })
		names, err := readAll(stream)
		wg.Wait()
		switch {
		case err == nil && !reflect.DeepEqual(head.Get("x-head"), names):
			t.Errorf("got the headers of %q and the messages of %q", head.Get("x-head"), names)
		case err != nil && (head != nil || status.Code(err) != codes.Unauthenticated):
			t.Errorf("got %v and the headers %v, want the server's error and none", err, head)
		}
	}
}

// endingStream ends the call when an answer has come.
type endingStream struct {
	grpc.ClientStream

	end func()
}

func (s endingStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	s.end()
	return err
}
