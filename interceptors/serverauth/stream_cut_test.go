// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// A stream in which nothing happens is woken at the end of its token's time.
func TestE10CutIdleStreams(t *testing.T) {
	t.Parallel()
	waitForDone := func(ss grpc.ServerStream) error {
		<-ss.Context().Done()
		return nil
	}
	fill := func(ss grpc.ServerStream) error {
		for {
			if err := ss.SendMsg(&echov1.ChatResponse{Payload: make([]byte, 1<<10)}); err != nil {
				return err
			}
		}
	}
	early := serverauth.RefuseBeforeDecoding(func(ctx context.Context, _ *tap.Info) (context.Context, error) {
		return metadata.NewOutgoingContext(ctx, metadata.Pairs("tapped", "yes")), nil
	})
	for _, row := range []struct {
		name, method string
		options      []serverauth.Option
		handle       func(ss grpc.ServerStream) error
		// told says that the handler's own return ends the call, so that the caller is told
		// the whole refusal; else gRPC itself ends it.
		told bool
	}{
		{name: "bidirectional, in Recv", method: chat, handle: drain},
		{name: "client stream, in Recv", method: count, handle: drain},
		{name: "server stream, in Recv", method: repeat, handle: drain},
		{name: "in Recv, after the header frame's decision", method: chat, options: []serverauth.Option{serverauth.RefuseBeforeDecoding()}, handle: drain},
		{name: "in Recv, after a tap handle", method: chat, options: []serverauth.Option{early}, handle: drain},
		{name: "in Recv, with looks between", method: chat, options: []serverauth.Option{serverauth.RecheckStreams(time.Second)}, handle: drain},
		{name: "in Send, as the client does not read", method: chat, handle: fill},
		{name: "server stream, in Send", method: repeat, handle: fill},
		{name: "bidirectional, waits for its context", method: chat, handle: waitForDone, told: true},
		{name: "server stream, waits for its context", method: repeat, handle: waitForDone, told: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				type end struct{ result, cause error }
				var ended atomic.Pointer[end]
				l := newStreamLab(t, setup{
					options: append(row.options, serverauth.CutIdleStreams()),
					server: handledBy(func(ss grpc.ServerStream) error {
						result := row.handle(ss)
						ended.Store(&end{result, context.Cause(ss.Context())})
						return result
					}),
				})
				c := l.stream(t, row.method)
				l.at(t, tokenTime-time.Nanosecond)
				if early := ended.Load(); early != nil {
					t.Fatalf("the handler returned early: %v", early.result)
				}
				l.at(t, tokenTime)
				how := ended.Load()
				if how == nil {
					t.Fatal("the handler was not woken")
				}
				if why, ok := errors.AsType[*serverauth.Error](how.cause); !ok || why.Reason() != serverauth.ReasonTokenExpired {
					t.Errorf("the context's cause is %v, want TOKEN_EXPIRED", how.cause)
				}
				for _, id := range []uint32{0, 1} { // gRPC sends the status after the messages that the client has not read
					if err := c.framer.WriteWindowUpdate(id, 1<<20); err != nil {
						t.Fatal(err)
					}
				}
				got := c.finish(t)
				if !row.told {
					if how.result == nil {
						t.Error("Recv or Send returned no error")
					}
					expired.checkCut(t, l, row.method, got)
					return
				}
				expired.check(t, l, row.method, got)
				if !strings.Contains(got.trailer, "scopeauth-reason: TOKEN_EXPIRED\n") {
					t.Errorf("the trailer is\n%swant scopeauth-reason: TOKEN_EXPIRED", got.trailer)
				}
			})
		})
	}
}

// A handler that is woken in Recv gets the refusal, and so does whatever it tries next.
func TestE10CutHandlerSeesTheRefusal(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var results []error
		l := newStreamLab(t, setup{
			options: []serverauth.Option{serverauth.CutIdleStreams()},
			server: handledBy(func(ss grpc.ServerStream) error {
				results = append(results, receive(ss), receive(ss), answerOnce(ss))
				return nil
			}),
		})
		c := l.stream(t, chat)
		expired.checkCut(t, l, chat, c.finish(t))
		for i, err := range results {
			if refusal, ok := errors.AsType[*serverauth.Error](err); !ok || refusal.Reason() != serverauth.ReasonTokenExpired {
				t.Errorf("result %d: %v, want TOKEN_EXPIRED", i, err)
			}
		}
		if len(results) != 3 {
			t.Errorf("%d results, want 3", len(results))
		}
	})
}

// gRPC's own client sees CANCELED and finds the reason in the trailer.
func TestE10CutAsTheClientSeesIt(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		l := newStreamLab(t, setup{options: []serverauth.Option{serverauth.CutIdleStreams(), serverauth.RefuseBeforeDecoding()}})
		client := echov1.NewEchoServiceClient(l.conn(t))
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+l.echoToken())
		s, err := client.Chat(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Recv()
		if status.Code(err) != codes.Canceled || fmt.Sprint(s.Trailer().Get("scopeauth-reason")) != "[TOKEN_EXPIRED]" {
			t.Errorf("got %v and the trailer %v, want CANCELED and scopeauth-reason: TOKEN_EXPIRED", err, s.Trailer())
		}
		if got := time.Since(l.clock.begin); got != tokenTime {
			t.Errorf("it ended after %v, want %v", got, tokenTime)
		}
	})
}

// conn returns a connection of gRPC's own client.
func (l *lab) conn(t testing.TB) *grpc.ClientConn {
	t.Helper()
	transport := insecure.NewCredentials()
	if l.tls != nil {
		transport = credentials.NewTLS(l.tls)
	}
	conn, err := grpc.NewClient("passthrough:///memory",
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return l.memory.Dial() }),
		grpc.WithTransportCredentials(transport))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// What was decided on the header frame is not decided again, although the context is
// another one: the token of the first call would be one that is remembered.
func TestE10CutKeepsTheHeaderFramesDecision(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		l := newStreamLab(t, setup{options: []serverauth.Option{serverauth.RefuseBeforeDecoding(), serverauth.CutIdleStreams()}})
		l.stream(t, chat).pass(t)
		got := l.decisions.all()
		if len(got) != 1 || got[0].Outcome != serverauth.OutcomeAllowed || got[0].Cached {
			t.Errorf("reported %+v, want that it was allowed by a token that was not remembered", got)
		}
	})
}

// A server that was given the interceptors alone has no tap handle: the next message
// ends the stream.
func TestE10CutWithoutATapHandle(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		l := newStreamLab(t, setup{options: []serverauth.Option{serverauth.CutIdleStreams()}})
		served := serveMemory(t, grpc.ChainStreamInterceptor(l.observeStream, l.auth.StreamServerInterceptor()),
			grpc.ChainUnaryInterceptor(l.auth.UnaryServerInterceptor()))
		c := patient(t, served.dial(t))
		c.open(t, chat, bearer(l.echoToken()))
		c.pass(t)
		l.at(t, tokenTime+time.Minute)
		l.decisions.checkNone(t)
		c.send(t, nil)
		got := c.finish(t)
		expired.check(t, l, chat, got)
		if strings.Contains(got.trailer, "scopeauth-reason") {
			t.Errorf("the trailer says that the stream was cut:\n%s", got.trailer)
		}
	})
}

// Unary calls keep the context that gRPC made, once the server's methods are known; and
// if they are not, nothing ends it either.
func TestE12CutLeavesUnaryCallsAlone(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		unsafe bool // the methods are not known
	}{
		{"methods known", false},
		{"methods unknown", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				var kind string
				l := newStreamLab(t, setup{
					unsafe:  row.unsafe,
					options: []serverauth.Option{serverauth.CutIdleStreams()},
					server: []grpc.ServerOption{grpc.UnaryInterceptor( // before all chained ones
						func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
							kind = fmt.Sprint(ctx)
							resp, err := h(ctx, req)
							time.Sleep(2 * tokenTime)
							if ctx.Err() != nil {
								t.Errorf("the context of a unary call ended: %v", context.Cause(ctx))
							}
							return resp, err
						},
					)},
				})
				if got := l.call(t, echoOnce, bearer(l.echoToken())); got.code != ok {
					t.Errorf("got %v %s, want OK", got.code, got.reason)
				}
				if ours := strings.Contains(kind, "serverauth"); ours != row.unsafe {
					t.Errorf("the context of a unary call is %s", kind)
				}
			})
		})
	}
}

// What a handler of unknown services gets is a stream, though no such method is
// registered: it is cut like any other.
func TestE10CutStreamOfAnUnknownService(t *testing.T) {
	t.Parallel()
	const forwarded = "/acme.v1.ElsewhereService/Do"
	rules, err := policy.New(policy.WithService("acme.v1.ElsewhereService", "Do"), policy.WithRule(forwarded, policy.AllOf("echo/stream")))
	if err != nil {
		t.Fatal(err)
	}
	bubble(t, func(t *testing.T) {
		var cause error
		l := newStreamLab(t, setup{
			policy:  rules,
			options: []serverauth.Option{serverauth.CutIdleStreams()},
			server: []grpc.ServerOption{grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
				result := drain(ss)
				cause = context.Cause(ss.Context())
				return result
			})},
		})
		c := l.stream(t, forwarded)
		l.at(t, tokenTime-time.Nanosecond)
		l.decisions.checkNone(t)
		l.at(t, tokenTime)
		expired.checkCut(t, l, forwarded, c.finish(t))
		if why, ok := errors.AsType[*serverauth.Error](cause); !ok || why.Reason() != serverauth.ReasonTokenExpired {
			t.Errorf("the context's cause is %v, want TOKEN_EXPIRED", cause)
		}
	})
}

// Streams without a caller have no token whose time could be over.
func TestE10PublicStreamIsNotCut(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		server := health.NewServer()
		l := newStreamLab(t, setup{
			options:  []serverauth.Option{serverauth.CutIdleStreams(), serverauth.RecheckStreams(time.Second), serverauth.PublicHealth()},
			register: func(srv *grpc.Server) { healthpb.RegisterHealthServer(srv, server) },
		})
		c := l.dial(t)
		c.open(t, healthpb.Health_Watch_FullMethodName, bearer(l.echoToken())) // it does not count
		c.send(t, nil)
		c.closeSend(t)
		if !c.recv(t) {
			t.Fatalf("ended at once: %+v", c.finish(t))
		}
		l.at(t, tokenTime+time.Minute)
		server.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
		if !c.recv(t) {
			t.Errorf("ended with its token: %+v", c.finish(t))
		}
		l.decisions.checkNone(t)
	})
}
