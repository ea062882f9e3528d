// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

// TestRetriesAreCounted, whoever repeats the call, and once for each call.
func TestRetriesAreCounted(t *testing.T) {
	t.Parallel()
	chats := func(ctx context.Context, conn *grpc.ClientConn, _ ...grpc.CallOption) error {
		stream, err := filesv1.NewFileWriteServiceClient(conn).AppendFile(ctx)
		if err != nil {
			return err
		}
		_, _, err = chat(stream, false)
		return err
	}
	for kind, test := range map[string]struct {
		method string
		call   func(context.Context, *grpc.ClientConn, ...grpc.CallOption) error
		opts   []Option
	}{
		"unary":         {method: statFile, call: stat},
		"server stream": {method: readFile, call: read},
		"bidi stream":   {method: appendFile, call: chats, opts: []Option{RetryStreams(appendFile)}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			refused := refusal(test.method, codes.Unauthenticated, reason.Domain, reason.TokenExpired)
			for name, row := range map[string]struct {
				server          func(n int, authorization []string) error
				noOther         bool
				retries, failed uint64
			}{
				"not refused":    {},
				"refused once":   {server: refuseFirst(refused), retries: 1},
				"refused always": {server: func(int, []string) error { return refused }, retries: 1, failed: 1},
				"another error in the second place": {server: func(n int, authorization []string) error {
					if err := refuseFirst(refused)(n, authorization); err != nil {
						return err
					}
					return status.Error(codes.Internal, "of the handler's")
				}, retries: 1, failed: 1},
				"no other token": {server: func(int, []string) error { return refused }, noOther: true},
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					memoryBubble(t, func(t *testing.T) {
						server := newMemoryServer(t, row.server)
						server.append = echo
						c := newSource(t, &fakeEndpoint{answer: func(n int, _ request) reply {
							if n > 0 && row.noOther {
								return oauthError("invalid_client")
							}
							return ok(n, 3600)
						}})
						err := test.call(t.Context(), server.dial(t, c, AllClientScopes(), test.opts...))
						if failed := row.failed > 0 || row.noOther; (err != nil) != failed {
							t.Errorf("got %v, want an error: %v", err, failed)
						}
						if got := c.Stats(); got.Retries != row.retries || got.RetriesFailed != row.failed {
							t.Errorf("got %d retries, %d failed, want %d and %d", got.Retries, got.RetriesFailed, row.retries, row.failed)
						}
					})
				})
			}
		})
	}
}

// TestRetryThatReceivedDidNotFail: what happens to a stream afterwards has nothing to do
// with its token.
func TestRetryThatReceivedDidNotFail(t *testing.T) {
	t.Parallel()
	memoryBubble(t, func(t *testing.T) {
		broken := errors.New("of the handler's")
		server := newMemoryServer(t, refuseFirst(readRefused()))
		server.read = func(stream filesv1.FileReadService_ReadFileServer) error {
			if err := stream.Send(named("a")); err != nil {
				return err
			}
			return broken
		}
		server.append = func(stream filesv1.FileWriteService_AppendFileServer) error {
			if incoming(stream) == bearer(1)[0] {
				return appendRefused()
			}
			if err := stream.Send(&filesv1.AppendFileResponse{}); err != nil {
				return err
			}
			return broken
		}
		c := newSource(t, &fakeEndpoint{})
		conn := server.dial(t, c, AllClientScopes(), RetryStreams(appendFile))
		if err := read(t.Context(), conn); err == nil {
			t.Error("server stream: got no error")
		}
		if got := c.Stats(); got.Retries != 1 || got.RetriesFailed != 0 {
			t.Errorf("got %d retries, %d failed, want 1 and 0", got.Retries, got.RetriesFailed)
		}
		set, err := c.set(nil)
		if err != nil {
			t.Fatal(err)
		}
		set.mu.Lock()
		set.forcedUntil = 0
		set.mu.Unlock()
		stream, err := filesv1.NewFileWriteServiceClient(conn).AppendFile(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := chat(stream, false); err == nil {
			t.Error("bidi stream: got no error")
		}
		if got := c.Stats(); got.Retries != 2 || got.RetriesFailed != 0 {
			t.Errorf("got %d retries, %d failed, want 2 and 0", got.Retries, got.RetriesFailed)
		}
	})
}

// TestRetriesThatGRPCRepeats: a call counts once, whatever gRPC's own retry adds.
func TestRetriesThatGRPCRepeats(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, func(int, []string) error { return statRefused() })
	c := newSource(t, &fakeEndpoint{})
	own, err := DialOptions(c, AllClientScopes())
	if err != nil {
		t.Fatal(err)
	}
	if err := stat(t.Context(), server.connect(t, append(own, retryPolicy("UNAUTHENTICATED"))...)); err == nil {
		t.Error("got no error")
	}
	if got := len(server.sent("")); got < 3 {
		t.Errorf("the server got %d attempts, want more than 2: the test shows nothing", got)
	}
	if got := c.Stats(); got.Retries != 1 || got.RetriesFailed != 1 {
		t.Errorf("got %d retries, %d failed, want 1 and 1", got.Retries, got.RetriesFailed)
	}
}

// refusedStream is a stream that was opened and whose token is refused.
type refusedStream struct{ grpc.ClientStream }

func (refusedStream) SendMsg(any) error { return nil }
func (refusedStream) CloseSend() error  { return nil }
func (refusedStream) RecvMsg(any) error { return readRefused() }

// TestRetriesThatFailAtTheOpening, where an interceptor inside waits for the server
// before it gives the stream out.
func TestRetriesThatFailAtTheOpening(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newSource(t, &fakeEndpoint{})
		c, err := newCarrier(source, AllClientScopes(), []Option{RetryStreams(appendFile)})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(ctx context.Context, opts []grpc.CallOption) {
			creds, ok := opts[0].(grpc.PerRPCCredsCallOption)
			if !ok {
				t.Fatal("the call has no credentials")
			}
			if _, err := creds.Creds.GetRequestMetadata(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.stream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, nil, appendFile, func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			ask(ctx, opts)
			ask(ctx, opts) // as gRPC does when it repeats the stream
			return nil, appendRefused()
		}); err == nil {
			t.Error("bidi stream: got no error")
		}
		if got := source.Stats(); got.Retries != 1 || got.RetriesFailed != 1 {
			t.Errorf("bidi stream: got %d retries, %d failed, want 1 and 1", got.Retries, got.RetriesFailed)
		}

		source = newSource(t, &fakeEndpoint{})
		if c, err = newCarrier(source, AllClientScopes(), nil); err != nil {
			t.Fatal(err)
		}
		opened := 0
		stream, err := c.stream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, nil, readFile, func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			ask(ctx, opts)
			if opened++; opened == 2 {
				return nil, readRefused()
			}
			return refusedStream{}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.SendMsg(&filesv1.ReadFileRequest{})
		_ = stream.CloseSend()
		if err := stream.RecvMsg(nil); err == nil {
			t.Error("server stream: got no error")
		}
		if got := source.Stats(); got.Retries != 1 || got.RetriesFailed != 1 {
			t.Errorf("server stream: got %d retries, %d failed, want 1 and 1", got.Retries, got.RetriesFailed)
		}
	})
}

// TestRetryOfAnEmptyStream: its end is no failure.
func TestRetryOfAnEmptyStream(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, refuseFirst(readRefused()))
	server.read = func(filesv1.FileReadService_ReadFileServer) error { return nil }
	c := newSource(t, &fakeEndpoint{})
	if err := read(t.Context(), server.dial(t, c, AllClientScopes())); err != nil {
		t.Errorf("got %v, want no message and no error", err)
	}
	if got := c.Stats(); got.Retries != 1 || got.RetriesFailed != 0 {
		t.Errorf("got %d retries, %d failed, want 1 and 0", got.Retries, got.RetriesFailed)
	}
}
