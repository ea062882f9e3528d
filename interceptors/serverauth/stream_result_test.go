// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// Once a message was refused, all are, and the call ends so whatever the handler says.
func TestE10HandlerCannotChangeTheEnd(t *testing.T) {
	t.Parallel()
	hide := grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
		return h(srv, &errorHider{ServerStream: ss})
	})
	for _, row := range []struct {
		name    string
		result  func(ss grpc.ServerStream, refused error) error
		options []grpc.ServerOption
	}{
		{name: "returns nil", result: func(grpc.ServerStream, error) error { return nil }},
		{name: "returns the refusal", result: func(_ grpc.ServerStream, err error) error { return err }},
		{name: "returns an error", result: func(grpc.ServerStream, error) error { return errors.New("broken") }},
		{name: "returns a status", result: func(grpc.ServerStream, error) error { return status.Error(codes.NotFound, "no such file") }},
		{name: "returns EOF", result: func(grpc.ServerStream, error) error { return io.EOF }},
		{name: "returns another refusal", result: func(grpc.ServerStream, error) error {
			return serverauth.NewError(serverauth.ReasonClientNotAllowed, nil)
		}},
		{name: "ignores all errors", options: []grpc.ServerOption{hide}, result: func(ss grpc.ServerStream, _ error) error {
			for range 3 {
				_ = receive(ss)
				_ = answerOnce(ss)
			}
			return nil
		}},
		{name: "has its own trailer", result: func(ss grpc.ServerStream, _ error) error {
			ss.SetTrailer(map[string][]string{"upload": {"complete"}})
			return nil
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				l := newStreamLab(t, setup{server: append(row.options, handledBy(func(ss grpc.ServerStream) error {
					if err := receive(ss); err != nil {
						return err
					}
					time.Sleep(tokenTime + time.Second)
					err := receive(ss)
					for range 3 {
						for _, err := range []error{answerOnce(ss), receive(ss)} {
							if len(row.options) == 0 && status.Code(err) != u {
								t.Errorf("after the end: %v, want UNAUTHENTICATED", err)
							}
						}
					}
					return row.result(ss, err)
				})...)})
				c := l.stream(t, chat)
				c.send(t, nil)
				c.send(t, nil)
				got := c.finish(t)
				expired.check(t, l, chat, got)
				if got.messages != 0 {
					t.Errorf("%d messages came after the end", got.messages)
				}
			})
		})
	}
}

// One message that was refused decides, whichever it is.
func TestE10OneRefusedMessageDecides(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		handle func(ss grpc.ServerStream) error
	}{
		{"Recv, while it waits", receive},
		{"Recv, called later", func(ss grpc.ServerStream) error {
			time.Sleep(tokenTime + time.Second)
			return receive(ss)
		}},
		{"Send", func(ss grpc.ServerStream) error {
			time.Sleep(tokenTime + time.Second)
			return answerOnce(ss)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				l := newStreamLab(t, setup{server: handledBy(func(ss grpc.ServerStream) error {
					if err := row.handle(ss); err == nil {
						t.Error("a message passed after the end")
					}
					return nil
				})})
				c := l.stream(t, chat)
				l.at(t, tokenTime)
				c.send(t, nil)
				expired.check(t, l, chat, c.finish(t))
			})
		})
	}
}

// errorHider is a stream of an interceptor in between that keeps errors to itself.
type errorHider struct{ grpc.ServerStream }

func (s *errorHider) RecvMsg(m any) error {
	_ = s.ServerStream.RecvMsg(m)
	return nil
}

func (s *errorHider) SendMsg(m any) error {
	_ = s.ServerStream.SendMsg(m)
	return nil
}

// If no message was refused, the handler's own result stands, however late it comes.
func TestE10ResultStandsIfNoMessageWasRefused(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		result error
		code   codes.Code
	}{
		{"OK", nil, ok},
		{"an error", status.Error(codes.NotFound, "no such file"), codes.NotFound},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				l := newStreamLab(t, setup{server: handledBy(func(ss grpc.ServerStream) error {
					if err := drain(ss); !isEnd(err) {
						return err
					}
					time.Sleep(2 * tokenTime)
					return row.result
				})})
				c := l.stream(t, chat)
				c.send(t, nil)
				c.closeSend(t)
				if got := c.finish(t); got.code != row.code || got.reason != "" || got.challenge != nil {
					t.Errorf("got %v %s %q, want %v", got.code, got.reason, got.challenge, row.code)
				}
				l.decisions.checkNone(t)
			})
		})
	}
}

// A client that leaves a stream whose token's time is over is not refused anything, and
// no refusal is reported: that would be a false alarm for each idle stream.
func TestE10StreamThatEndedOtherwise(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		then func(c *rawCall) error
		code codes.Code // that the handler sees
	}{
		{"the client has gone", func(c *rawCall) error { return c.framer.WriteRSTStream(1, http2.ErrCodeCancel) }, codes.Canceled},
		{"the connection has gone", func(c *rawCall) error { return c.conn.Close() }, codes.Canceled},
		{"a message that is too large", func(c *rawCall) error {
			return c.framer.WriteData(1, false, []byte{0, 0xff, 0xff, 0xff, 0xff})
		}, codes.ResourceExhausted},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				var last error
				l := newStreamLab(t, setup{server: handledBy(func(ss grpc.ServerStream) error {
					last = drain(ss)
					return last
				})})
				c := l.stream(t, chat)
				c.send(t, nil)
				l.at(t, tokenTime)
				if err := row.then(c); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if status.Code(last) != row.code {
					t.Errorf("the handler got %v, want %v", last, row.code)
				}
				if refusal := l.lastRefusal(); refusal != nil {
					t.Errorf("the interceptors returned %v", refusal)
				}
				l.decisions.checkNone(t)
			})
		})
	}
}

// A handler that goes on after its client has left is refused messages, if the token is
// over by then or nobody can say whether it is revoked; but the call has ended already, so
// nothing is reported.
func TestE10HandlerGoesOnWithoutItsClient(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		options []serverauth.Option
	}{
		{"default", nil},
		{"CutIdleStreams", []serverauth.Option{serverauth.CutIdleStreams()}},
		{"CheckRevoked", []serverauth.Option{
			serverauth.CutIdleStreams(), serverauth.RecheckStreams(10 * time.Second),
			serverauth.CheckRevoked(func(ctx context.Context, _ *serverauth.Principal) (bool, error) { return false, ctx.Err() }),
		}},
		{"CheckRevoked in the middle", []serverauth.Option{
			serverauth.CutIdleStreams(), serverauth.RecheckStreams(tokenTime - 2*time.Second),
			serverauth.CheckRevoked(func(ctx context.Context, _ *serverauth.Principal) (bool, error) {
				if _, stream := ctx.Deadline(); stream {
					<-ctx.Done()
				}
				return false, ctx.Err()
			}),
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				results := make(chan error, 4)
				l := newStreamLab(t, setup{options: row.options, server: handledBy(func(ss grpc.ServerStream) error {
					<-ss.Context().Done()
					time.Sleep(2 * time.Minute)
					for range 2 {
						results <- answerOnce(ss)
						results <- receive(ss)
					}
					return nil
				})})
				c := l.stream(t, chat)
				c.send(t, nil)
				c.closeSend(t) // delivered neither
				l.at(t, tokenTime-time.Second)
				if err := c.framer.WriteRSTStream(1, http2.ErrCodeCancel); err != nil {
					t.Fatal(err)
				}
				for range cap(results) {
					if err := <-results; err == nil || isEnd(err) {
						t.Errorf("a message passed after the end, or its client's end did: %v", err)
					}
				}
				synctest.Wait()
				if refusal := l.lastRefusal(); refusal != nil {
					t.Errorf("the interceptors returned %v", refusal)
				}
				l.decisions.checkNone(t)
			})
		})
	}
}

// An error that an interceptor before ours makes of a message does not keep it from being
// refused: the call goes on.
func TestE10ErrorOfAnotherInterceptor(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		invalid := grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			return h(srv, &everythingInvalid{ServerStream: ss})
		})
		var last error
		l := newStreamLab(t, setup{server: append(handledBy(func(ss grpc.ServerStream) error {
			last = receive(ss)
			return nil
		}), invalid)})
		c := l.stream(t, chat)
		l.at(t, tokenTime)
		c.send(t, nil)
		expired.check(t, l, chat, c.finish(t))
		if status.Code(last) != u {
			t.Errorf("the handler got %v, want UNAUTHENTICATED", last)
		}
	})
}

// What an interceptor before ours holds back until the token's time is over is not
// delivered, even if the client has left meanwhile.
func TestE10HeldBackByAnotherInterceptor(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		then func(t testing.TB, c *rawCall)
	}{
		{"message", func(t testing.TB, c *rawCall) { t.Helper(); c.send(t, nil) }},
		{"end", func(t testing.TB, c *rawCall) { t.Helper(); c.closeSend(t) }},
	} {
		for _, leaves := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, client leaves %t", row.name, leaves), func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					slow := grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
						return h(srv, &slowReceiver{ServerStream: ss})
					})
					got := make(chan error, 1)
					l := newStreamLab(t, setup{server: append(handledBy(func(ss grpc.ServerStream) error {
						got <- receive(ss)
						return nil
					}), slow)})
					c := l.stream(t, chat)
					l.at(t, tokenTime-2*time.Second)
					row.then(t, c)
					l.at(t, tokenTime-time.Second)
					if leaves {
						if err := c.framer.WriteRSTStream(1, http2.ErrCodeCancel); err != nil {
							t.Fatal(err)
						}
					}
					if err := <-got; status.Code(err) != u || isEnd(err) {
						t.Errorf("the handler got %v, want UNAUTHENTICATED", err)
					}
					if at := time.Since(l.clock.begin); at != tokenTime+time.Second {
						t.Errorf("after %v, want %v", at, tokenTime+time.Second)
					}
					if leaves {
						l.decisions.checkNone(t)
						return
					}
					expired.check(t, l, chat, c.finish(t))
				})
			})
		}
	}
}

type slowReceiver struct{ grpc.ServerStream }

func (s *slowReceiver) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	time.Sleep(3 * time.Second)
	return err
}

type everythingInvalid struct{ grpc.ServerStream }

func (s *everythingInvalid) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return status.Error(codes.InvalidArgument, "invalid")
}
