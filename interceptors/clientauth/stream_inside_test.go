// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"reflect"
	"testing"

	"google.golang.org/grpc"

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
