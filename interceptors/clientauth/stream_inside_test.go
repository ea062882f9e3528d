// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

// TestInterceptorsInsideSeeBothStreams, each used as generated code uses one.
func TestInterceptorsInsideSeeBothStreams(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, refuseFirst(readRefused()))
	own, err := DialOptions(newSource(t, &fakeEndpoint{}), AllClientScopes())
	if err != nil {
		t.Fatal(err)
	}
	var uses []string
	conn := server.connect(t, append(own, grpc.WithChainStreamInterceptor(
		func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			uses = append(uses, "open")
			stream, err := open(ctx, desc, cc, method, opts...)
			return notingStream{ClientStream: stream, uses: &uses}, err
		}))...)
	if err := read(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	want := []string{"open", "send", "close", "receive", "open", "send", "close", "receive", "receive"}
	if !reflect.DeepEqual(uses, want) {
		t.Errorf("got %q, want %q", uses, want)
	}
}

// notingStream notes what is called.
type notingStream struct {
	grpc.ClientStream

	uses *[]string
}

func (s notingStream) note(use string) { *s.uses = append(*s.uses, use) }

func (s notingStream) SendMsg(m any) error { s.note("send"); return s.ClientStream.SendMsg(m) }
func (s notingStream) CloseSend() error    { s.note("close"); return s.ClientStream.CloseSend() }
func (s notingStream) RecvMsg(m any) error { s.note("receive"); return s.ClientStream.RecvMsg(m) }

// TestServerStreamLetsGoOfItsRequest when it cannot be sent again: a stream may live for
// long.
func TestServerStreamLetsGoOfItsRequest(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(int, []string) error{"taken": nil, "repeated": refuseFirst(readRefused())} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newFileServer(t, true, refuse)
			c, err := newCarrier(newSource(t, &fakeEndpoint{}), AllClientScopes(), nil)
			if err != nil {
				t.Fatal(err)
			}
			conn := server.connect(t, grpc.WithChainStreamInterceptor(c.stream))
			opened, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, readFile)
			if err != nil {
				t.Fatal(err)
			}
			stream, ok := opened.(*serverStream)
			if !ok {
				t.Fatalf("got a %T", opened)
			}
			if err := stream.SendMsg(&filesv1.ReadFileRequest{}); err != nil {
				t.Fatal(err)
			}
			if stream.request == nil {
				t.Fatal("the request is not kept: the test shows nothing")
			}
			if err := stream.CloseSend(); err != nil {
				t.Fatal(err)
			}
			if err := stream.RecvMsg(&filesv1.ReadFileResponse{}); err != nil {
				t.Fatal(err)
			}
			if stream.request != nil {
				t.Error("the request is still held")
			}
		})
	}
}

// unsentStream refuses to send, and is refused.
type unsentStream struct{ grpc.ClientStream }

func (unsentStream) SendMsg(any) error { return errReset }
func (unsentStream) CloseSend() error  { return nil }
func (unsentStream) RecvMsg(any) error { return readRefused() }

// TestServerStreamDoesNotSendWhatFailed: an interceptor inside did not let the message
// pass, so that it is not sent by a repetition either.
func TestServerStreamDoesNotSendWhatFailed(t *testing.T) {
	t.Parallel()
	opened := 0
	call := &callCarrier{carrier: &carrier{}, slot: &slot{}, method: readFile}
	call.sent.Store(NewToken("first", time.Time{}).p)
	stream := &serverStream{call: call, current: unsentStream{}, open: func(*callCarrier) (grpc.ClientStream, error) {
		opened++
		return nil, errReset
	}}
	if err := stream.SendMsg(&filesv1.ReadFileRequest{}); !errors.Is(err, errReset) {
		t.Errorf("SendMsg: got %v, want its error", err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if err := stream.RecvMsg(&filesv1.ReadFileResponse{}); status.Code(err) != codes.Unauthenticated || opened != 0 {
		t.Errorf("got %v after opening %d more streams, want the server's error after 0", err, opened)
	}
	if call.slot.rejected.Load() == nil {
		t.Error("the next call would not get another token")
	}
}
