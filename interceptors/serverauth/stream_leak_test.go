// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// 10,000 streams that were opened and closed leave no goroutine, no timer and no memory
// behind, while no time passes that would let timers run out.
func TestE10StreamsLeaveNothingBehind(t *testing.T) { //nolint:paralleltest // counts goroutines and bytes of the whole process
	bubble(t, func(t *testing.T) {
		l := newStreamLab(t, setup{insecure: true, options: []serverauth.Option{
			serverauth.CutIdleStreams(), serverauth.RefuseBeforeDecoding(), serverauth.RecheckStreams(time.Second),
			serverauth.CheckRevoked(func(context.Context, *serverauth.Principal) (bool, error) { return false, nil }),
		}})
		client := echov1.NewEchoServiceClient(l.conn(t))
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+l.echoToken())
		round := func(n int) {
			streams := make([]echov1.EchoService_ChatClient, n)
			for i := range streams {
				var err error
				if streams[i], err = client.Chat(ctx); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range streams {
				if err := s.CloseSend(); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range streams {
				if _, err := s.Recv(); !errors.Is(err, io.EOF) {
					t.Fatalf("a stream ended with %v", err)
				}
			}
		}
		round(500) // buffers grow to their size
		synctest.Wait()
		goroutines, bytes := runtime.NumGoroutine(), liveBytes()
		for range 20 {
			round(500)
		}
		synctest.Wait()
		for range 1000 { // a goroutine that has ended is counted until its thread says so
			if runtime.NumGoroutine() <= goroutines {
				break
			}
			runtime.GC()
		}
		if got := runtime.NumGoroutine(); got > goroutines {
			t.Errorf("%d goroutines more than before", got-goroutines)
		}
		// A timer that runs would keep some 3 KB of each stream. Go's runtime keeps a part of
		// those that were stopped for a while.
		if got := liveBytes() - bytes; got > 8<<20 {
			t.Errorf("%d bytes more than before", got)
		}
	})
}

func liveBytes() int64 {
	var stats runtime.MemStats
	for range 3 { // sync.Pool keeps its content for two
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// Nothing looks at a stream any more once the call is over, no matter how it ended.
func TestE10NoLookAfterTheEnd(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		handle func(ss grpc.ServerStream) error
		look   time.Duration // what the first look takes
		linger time.Duration // of the interceptor before ours
	}{
		{name: "at once", handle: func(grpc.ServerStream) error { return nil }},
		{name: "after some looks", handle: func(grpc.ServerStream) error {
			time.Sleep(3*recheckEvery + time.Second)
			return nil
		}},
		{name: "during a look", handle: func(grpc.ServerStream) error {
			time.Sleep(recheckEvery + time.Second)
			return nil
		}, look: 2 * time.Second, linger: 5 * time.Second},
		{name: "with a panic", handle: func(grpc.ServerStream) error { panic("the handler's") }},
		{name: "after its token", handle: func(ss grpc.ServerStream) error {
			time.Sleep(tokenTime + time.Second)
			return answerOnce(ss)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				recovers := grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
					defer func() { _ = recover() }()
					err := h(srv, ss)
					time.Sleep(row.linger)
					return err
				})
				l := newRecheckLab(t, false, true, setup{
					options: []serverauth.Option{serverauth.RecheckStreams(recheckEvery)},
					server:  append(handledBy(row.handle), recovers),
				})
				c := l.stream(t, chat)
				synctest.Wait()
				l.clock.slow.Store(int64(row.look))
				c.finish(t)
				synctest.Wait()
				before := l.clock.reads.Load()
				time.Sleep(time.Hour)
				if got := l.clock.reads.Load() - before; got != 0 {
					t.Errorf("the clock was read %d times after the end", got)
				}
			})
		})
	}
}

// A call that ends while a look at it is being reported is not looked at again.
func TestE11CallEndsDuringAReport(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		slow := grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			err := h(srv, ss)
			time.Sleep(2 * time.Second) // the call's context has not ended when the report has
			return err
		})
		l := newRecheckLab(t, false, true, setup{
			options: []serverauth.Option{
				serverauth.RecheckStreams(recheckEvery), reportOnly(policy.ReportOnly{Authentication: true}), serverauth.WithReporter(slowReporter{}),
			},
			server: append(handledBy(func(grpc.ServerStream) error {
				time.Sleep(tokenTime + time.Second)
				return nil
			}), slow),
		})
		var asked atomic.Int64
		l.answerRevoked(func(context.Context, *serverauth.Principal) (bool, error) {
			asked.Add(1)
			return false, nil
		})
		c := l.stream(t, chat)
		if got := c.finish(t); got.code != ok {
			t.Errorf("got %v, want OK", got.code)
		}
		before := asked.Load()
		time.Sleep(time.Hour)
		if got := asked.Load() - before; got != 0 {
			t.Errorf("asked %d times after the end", got)
		}
	})
}

// slowReporter takes its time for what is reported of streams.
type slowReporter struct{}

func (slowReporter) Report(_ context.Context, d serverauth.Decision) {
	if d.Stage == serverauth.StageStream {
		time.Sleep(2 * time.Second)
	}
}

// A message costs no allocation beyond gRPC's own.
func TestE10MessagesAllocNothing(t *testing.T) { //nolint:paralleltest // counts allocations of the whole process
	l := newLab(t, setup{memory: true})
	ctx := metadata.NewIncomingContext(peer.NewContext(t.Context(), &peer.Peer{Addr: &net.UnixAddr{Net: "unix"}}),
		metadata.Pairs("authorization", "Bearer "+l.echoToken()))
	handler := func(_ any, ss grpc.ServerStream) error {
		message := &echov1.ChatRequest{}
		for name, f := range map[string]func(any) error{"Recv": ss.RecvMsg, "Send": ss.SendMsg} {
			got := testing.AllocsPerRun(100, func() {
				if err := f(message); err != nil {
					t.Error(err)
				}
			})
			if got != 0 {
				t.Errorf("%s allocates %v times", name, got)
			}
		}
		return nil
	}
	err := l.auth.StreamServerInterceptor()(nil, &quietStream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: chat}, handler)
	if err != nil {
		t.Error(err)
	}
}

// quietStream does nothing, so that what allocates is ours.
type quietStream struct {
	grpc.ServerStream

	ctx context.Context
}

func (s *quietStream) Context() context.Context { return s.ctx }
func (s *quietStream) RecvMsg(any) error        { return nil }
func (s *quietStream) SendMsg(any) error        { return nil }
