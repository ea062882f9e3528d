// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
)

// stillStream is a stream whose messages cost nothing.
type stillStream struct {
	ctx context.Context
}

func (s *stillStream) Context() context.Context   { return s.ctx }
func (*stillStream) SetHeader(metadata.MD) error  { return nil }
func (*stillStream) SendHeader(metadata.MD) error { return nil }
func (*stillStream) SetTrailer(metadata.MD)       {}
func (*stillStream) SendMsg(any) error            { return nil }
func (*stillStream) RecvMsg(any) error            { return nil }

// messagesPerStream is how many messages one stream has.
const messagesPerStream = 10_000

// BenchmarkStreamMessage is what one message of a stream costs in what the interceptor
// put around the stream; opening the stream is not in it. "bare" is the stream without
// anything around it, and the metric ns/message is what a row costs more than that.
func BenchmarkStreamMessage(b *testing.B) {
	l := newLab(b)
	token := l.mint(b, 1)[0]
	still := &stillStream{ctx: hold(b, echov1.EchoService_Chat_FullMethodName, nil, token)[0]}
	info := &grpc.StreamServerInfo{FullMethod: echov1.EchoService_Chat_FullMethodName, IsClientStream: true, IsServerStream: true}
	message := &echov1.ChatRequest{}
	for _, direction := range []struct {
		name string
		pass func(ss grpc.ServerStream, n int) error
	}{
		{"recv", func(ss grpc.ServerStream, n int) error {
			for range n {
				if err := ss.RecvMsg(message); err != nil {
					return err
				}
			}
			return nil
		}},
		{"send", func(ss grpc.ServerStream, n int) error {
			for range n {
				if err := ss.SendMsg(message); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		b.Run(direction.name, func(b *testing.B) {
			var bare float64
			for _, row := range []struct {
				name      string
				intercept grpc.StreamServerInterceptor
			}{
				{"bare", func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
					return handler(srv, ss)
				}},
				{"scopeauth", l.guard(b, "scopeauth").stream},
				{"golang-jwt", l.guard(b, "golang-jwt").stream},
			} {
				b.Run(row.name, func(b *testing.B) {
					b.ReportAllocs()
					for left := b.N; left > 0; left -= messagesPerStream {
						b.StopTimer() // what opens the stream
						err := row.intercept(nil, still, info, func(_ any, ss grpc.ServerStream) error {
							b.StartTimer()
							err := direction.pass(ss, min(left, messagesPerStream))
							b.StopTimer()
							return err
						})
						must(b, err)
						b.StartTimer()
					}
					each := float64(b.Elapsed()) / float64(b.N)
					if row.name == "bare" {
						bare = each
						return
					}
					b.ReportMetric(each-bare, "ns/message")
				})
			}
		})
	}
}
