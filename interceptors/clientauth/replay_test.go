// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

// answeredFirst holds each repetition of a call after its headers, and if always the first
// attempt too, in a bubble, until the server has answered: the messages come too late then.
type answeredFirst struct {
	headers int
	always  bool
}

func (h *answeredFirst) HandleRPC(_ context.Context, event stats.RPCStats) {
	if _, ok := event.(*stats.OutHeader); !ok {
		return
	}
	if h.headers++; h.always || h.headers > 1 {
		time.Sleep(time.Second)
	}
}

func (*answeredFirst) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (*answeredFirst) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (*answeredFirst) HandleConn(context.Context, stats.ConnStats)                       {}

// replayKinds calls each kind of streaming method.
var replayKinds = map[string]struct {
	method string
	call   func(ctx context.Context, conn *grpc.ClientConn) error
}{
	"bidirectional": {appendFile, func(ctx context.Context, conn *grpc.ClientConn) error {
		stream, err := filesv1.NewFileWriteServiceClient(conn).AppendFile(ctx)
		if err != nil {
			return err
		}
		_, _, err = chat(stream, false)
		return err
	}},
	"client stream": {writeFile, func(ctx context.Context, conn *grpc.ClientConn) error {
		stream, err := filesv1.NewFileWriteServiceClient(conn).WriteFile(ctx)
		if err != nil {
			return err
		}
		_ = stream.Send(&filesv1.WriteFileRequest{}) // it may be io.EOF, which CloseAndRecv explains
		_, err = stream.CloseAndRecv()
		return err
	}},
	"server stream": {readFile, func(ctx context.Context, conn *grpc.ClientConn) error { return read(ctx, conn) }},
}

// TestRefusedWhileReplayed: a server that refuses a repeated stream before its messages
// are sent again makes gRPC 1.85 return the io.EOF of that sending from RecvMsg, bare or
// wrapped: as if the call had ended well.
func TestRefusedWhileReplayed(t *testing.T) {
	t.Parallel()
	tlsPair()
	restarting := func(string) error { return status.Error(codes.Unavailable, "restarting") }
	expired := func(method string) error {
		return refusal(method, codes.Unauthenticated, reason.Domain, reason.TokenExpired)
	}
	denied := func(method string) error {
		return refusal(method, codes.PermissionDenied, reason.Domain, reason.InsufficientScope)
	}
	all := []string{"bidirectional", "client stream", "server stream"}
	for name, test := range map[string]struct {
		kinds   []string
		answers []func(method string) error // the last one for all that follow
		always  bool                        // the first attempt's messages come too late too
		want    codes.Code
	}{
		"denied":           {kinds: all, answers: []func(string) error{restarting, denied}, want: codes.PermissionDenied},
		"repeated in vain": {kinds: all, answers: []func(string) error{restarting, restarting}, want: codes.Unavailable},
		// gRPC 1.85 repeats the stream inside SendMsg then.
		"repeated in vain before a message": {kinds: all, always: true, answers: []func(string) error{restarting}, want: codes.Unavailable},
		// This package repeats the stream, and gRPC the repetition.
		"denied with another token": {kinds: []string{"server stream"}, answers: []func(string) error{expired, restarting, denied}, want: codes.PermissionDenied},
	} {
		for _, kindName := range test.kinds {
			t.Run(kindName+" "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					kind := replayKinds[kindName]
					server := newMemoryServer(t, func(n int, _ []string) error {
						if n >= len(test.answers)-1 {
							return test.answers[len(test.answers)-1](kind.method)
						}
						time.Sleep(2 * time.Second) // all messages are sent, so that there is something to replay
						return test.answers[n](kind.method)
					})
					own, err := DialOptions(newSource(t, &fakeEndpoint{}), AllClientScopes())
					if err != nil {
						t.Fatal(err)
					}
					conn := server.connect(t, append(own, retryPolicy("UNAVAILABLE"), grpc.WithStatsHandler(&answeredFirst{always: test.always}))...)
					if err := kind.call(t.Context(), conn); status.Code(err) != test.want {
						t.Errorf("got %v, want %s", err, test.want)
					}
				})
			})
		}
	}
}

// TestTokenRefusedBeforeTheMessage: a server stream that gRPC has repeated in vain, before
// its message was sent, is repeated with another token all the same.
func TestTokenRefusedBeforeTheMessage(t *testing.T) {
	t.Parallel()
	tlsPair()
	synctest.Test(t, func(t *testing.T) {
		server := newMemoryServer(t, refuseFirst(readRefused()))
		own, err := DialOptions(newSource(t, &fakeEndpoint{}), AllClientScopes())
		if err != nil {
			t.Fatal(err)
		}
		if err := read(t.Context(), server.connect(t, append(own, retryPolicy("UNAUTHENTICATED"), grpc.WithStatsHandler(&answeredFirst{always: true}))...)); err != nil {
			t.Errorf("got %v, want success with another token", err)
		}
		if got, want := server.sent("authorization"), [][]string{bearer(0), bearer(0), bearer(0), bearer(0), bearer(1)}; !reflect.DeepEqual(got, want) {
			t.Errorf("authorization: got %q, want %q", got, want)
		}
	})
}
