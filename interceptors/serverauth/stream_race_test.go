// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// chats opens n streams with one token on one connection of gRPC's own client.
func (l *streamLab) chats(t testing.TB, n int) []echov1.EchoService_ChatClient {
	t.Helper()
	client := echov1.NewEchoServiceClient(l.conn(t))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+l.echoToken())
	streams := make([]echov1.EchoService_ChatClient, n)
	for i := range streams {
		var err error
		if streams[i], err = client.Chat(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return streams
}

// A stream whose handler returns at the very moment its token is over ends one way or the
// other, and what is reported is what happened.
func TestE10HandlerReturnsAsTheTokenEnds(t *testing.T) {
	t.Parallel()
	for _, cut := range []bool{false, true} {
		t.Run(map[bool]string{false: "message", true: "cut"}[cut], func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				s := setup{server: handledBy(func(ss grpc.ServerStream) error {
					time.Sleep(tokenTime) // wakes at the same moment as the timer
					return answerOnce(ss)
				})}
				if cut {
					s.options = []serverauth.Option{serverauth.CutIdleStreams()}
				}
				l := newStreamLab(t, s)
				const n = 100
				refused := 0
				for _, stream := range l.chats(t, n) {
					var err error
					for err == nil {
						_, err = stream.Recv()
					}
					said := stream.Trailer().Get("scopeauth-reason")
					switch {
					case errors.Is(err, io.EOF):
						if said != nil {
							t.Errorf("OK, and the trailer says %v", said)
						}
					case status.Code(err) == u, cut && status.Code(err) == codes.Canceled:
						refused++
					default:
						t.Errorf("a stream ended with %v", err)
					}
				}
				synctest.Wait()
				if got := len(l.decisions.ofStreams()); got != refused {
					t.Errorf("%d refusals reported of %d", got, refused)
				}
			})
		})
	}
}

// A call that ends during a look has its own result, whatever the look finds.
func TestE11CallEndsDuringALook(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		// The interceptor before ours has not returned yet when the look has an answer.
		slow := grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			err := h(srv, ss)
			time.Sleep(10 * time.Second)
			return err
		})
		l := newRecheckLab(t, false, true, setup{
			options: []serverauth.Option{serverauth.RecheckStreams(recheckEvery), serverauth.CutIdleStreams()},
			server: append(handledBy(func(grpc.ServerStream) error {
				time.Sleep(recheckEvery + time.Second)
				return nil
			}), slow),
		})
		c := l.stream(t, chat)
		l.at(t, time.Second)
		l.answerRevoked(func(context.Context, *serverauth.Principal) (bool, error) {
			time.Sleep(2 * time.Second)
			return true, nil
		})
		if got := c.finish(t); got.code != ok || strings.Contains(got.trailer, "scopeauth-reason") {
			t.Errorf("got %v and\n%swant OK", got.code, got.trailer)
		}
		l.decisions.checkNone(t)
	})
}

// A CheckRevoked whose time runs out is the server's failure, although it returns at the
// same moment and says that a deadline has passed: the deadline is not the caller's.
func TestE11CheckRevokedReturnsAsItsTimeRunsOut(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		l := newRecheckLab(t, false, true, setup{
			options: []serverauth.Option{serverauth.RecheckStreams(recheckEvery)}, server: handledBy(drain),
		})
		streams := l.chats(t, 200)
		synctest.Wait()
		// The context of its own lets it come first about as often as not.
		l.answerRevoked(func(ctx context.Context, p *serverauth.Principal) (bool, error) {
			own, cancel := context.WithCancel(ctx)
			defer cancel()
			return mindful(own, p)
		})
		l.at(t, recheckEvery+5*time.Second)
		for _, stream := range streams {
			if err := stream.Send(&echov1.ChatRequest{}); err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
				t.Errorf("a stream ended with %v, want UNAVAILABLE", err)
			}
		}
	})
}

// A question to CheckRevoked ends with the call.
func TestE11CallEndsDuringAQuestion(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		l := newRecheckLab(t, false, true, setup{
			options: []serverauth.Option{serverauth.RecheckStreams(recheckEvery)},
			server: handledBy(func(grpc.ServerStream) error {
				time.Sleep(recheckEvery + time.Second)
				return nil
			}),
		})
		c := l.stream(t, chat)
		l.at(t, time.Second)
		ended := make(chan time.Duration, 1)
		l.answerRevoked(func(ctx context.Context, p *serverauth.Principal) (bool, error) {
			revoked, err := mindful(ctx, p)
			ended <- time.Since(l.clock.begin)
			return revoked, err
		})
		if got := c.finish(t); got.code != ok {
			t.Errorf("got %v, want OK", got.code)
		}
		if got, want := <-ended, recheckEvery+time.Second; got != want {
			t.Errorf("the question ended after %v, want %v", got, want)
		}
	})
}

// A handler may receive, send and set trailers from three goroutines while the token ends.
func TestE10SendAndReceiveAsTheTokenEnds(t *testing.T) {
	t.Parallel()
	for _, cut := range []bool{false, true} {
		t.Run(map[bool]string{false: "message", true: "cut"}[cut], func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				s := setup{server: handledBy(func(ss grpc.ServerStream) error {
					var sending sync.WaitGroup
					sending.Go(func() {
						for answerOnce(ss) == nil {
							time.Sleep(10 * time.Millisecond)
						}
					})
					done := make(chan struct{})
					sending.Go(func() {
						for {
							ss.SetTrailer(metadata.Pairs("k", "v"))
							select {
							case <-done:
								return
							case <-time.After(100 * time.Millisecond):
							}
						}
					})
					err := drain(ss)
					close(done)
					sending.Wait()
					return err
				})}
				if cut {
					s.options = []serverauth.Option{serverauth.CutIdleStreams(), serverauth.RecheckStreams(time.Second)}
				}
				l := newStreamLab(t, s)
				l.at(t, tokenTime-time.Second)
				const n = 10
				var clients sync.WaitGroup
				for _, stream := range l.chats(t, n) {
					clients.Go(func() {
						for stream.Send(&echov1.ChatRequest{}) == nil {
							time.Sleep(10 * time.Millisecond)
						}
					})
					clients.Go(func() {
						var err error
						for err == nil {
							_, err = stream.Recv()
						}
						if c := status.Code(err); c != u && (!cut || c != codes.Canceled) {
							t.Errorf("a stream ended with %v", err)
						}
					})
				}
				clients.Wait()
				synctest.Wait()
				if got := len(l.decisions.ofStreams()); got != n {
					t.Errorf("%d refusals reported, want %d", got, n)
				}
			})
		})
	}
}

// A goroutine that a handler left behind gets errors, and changes nothing about the call.
func TestE10GoroutineLeftBehind(t *testing.T) {
	t.Parallel()
	for _, cut := range []bool{false, true} {
		t.Run(map[bool]string{false: "message", true: "cut"}[cut], func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				done := make(chan struct{})
				s := setup{server: handledBy(func(ss grpc.ServerStream) error {
					go func() {
						defer close(done)
						time.Sleep(time.Second)
						for range 3 {
							if err := answerOnce(ss); err == nil {
								t.Error("Send after the handler returned had no error")
							}
							if err := drain(ss); isEnd(err) {
								t.Error("Recv after the handler returned was told that the client is done")
							}
							time.Sleep(tokenTime)
						}
					}()
					return nil
				})}
				if cut {
					s.options = []serverauth.Option{serverauth.CutIdleStreams()}
				}
				l := newStreamLab(t, s)
				c := l.stream(t, chat)
				if got := c.finish(t); got.code != ok {
					t.Errorf("got %v, want OK", got.code)
				}
				<-done
				l.decisions.checkNone(t)
			})
		})
	}
}
