// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

const (
	echoOnce = "/demo.echo.v1.EchoService/Echo"   // echo/call
	repeat   = "/demo.echo.v1.EchoService/Repeat" // echo/stream
	count    = "/demo.echo.v1.EchoService/Count"  // echo/stream
	chat     = "/demo.echo.v1.EchoService/Chat"   // echo/call and echo/stream
)

// echoToken may call every method of the echo service, for an hour less a minute.
func (l *lab) echoToken() string {
	return l.issuer.token(goodHeader, with("scope", `"echo/call echo/stream"`))
}

// The next message after the token's time is over ends the stream, and not an instant
// earlier.
func TestE10StreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		verifier []serverauth.VerifierOption
		after    time.Duration // from the lab's start
	}{
		{"default clock skew", nil, tokenTime},
		{"no clock skew", []serverauth.VerifierOption{serverauth.ClockSkew(0)}, tokenTime - 30*time.Second},
		{"MaxTokenAge", []serverauth.VerifierOption{serverauth.MaxTokenAge(20 * time.Minute)}, 19*time.Minute + 30*time.Second},
		{"MaxTokenAge beyond exp", []serverauth.VerifierOption{serverauth.MaxTokenAge(2 * time.Hour)}, tokenTime},
		{"no cache", []serverauth.VerifierOption{serverauth.WithoutCache()}, tokenTime},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				l := newStreamLab(t, setup{verifier: row.verifier})
				c := l.stream(t, chat)
				c.pass(t)
				l.at(t, row.after-time.Nanosecond)
				c.pass(t)
				l.at(t, row.after)
				c.send(t, nil)
				got := c.finish(t)
				expired.check(t, l, chat, got)
				if got.messages != 2 || got.message != "the token has expired" {
					t.Errorf("got %d messages and %q, want 2 and that the token has expired", got.messages, got.message)
				}
			})
		})
	}
}

// A server stream ends with the first message that the handler cannot send any more.
func TestE10ServerStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		l := newStreamLab(t, setup{})
		l.at(t, 500*time.Millisecond) // the echo service sends a message each second
		c := l.stream(t, repeat)
		c.send(t, nil)
		c.closeSend(t)
		got := c.finish(t)
		expired.check(t, l, repeat, got)
		if want := int(tokenTime / time.Second); got.messages != want {
			t.Errorf("%d messages came, want %d", got.messages, want)
		}
	})
}

// What comes while the handler waits for it, after the token's time is over, is not
// delivered: no message, and not the client's own end of the stream, which would have a
// half upload stored as a whole one.
func TestE10NothingIsDeliveredAfterTheEnd(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, method string
		then         func(t testing.TB, c *rawCall)
	}{
		{"client stream, message", count, func(t testing.TB, c *rawCall) { t.Helper(); c.send(t, nil) }},
		{"client stream, end", count, func(t testing.TB, c *rawCall) { t.Helper(); c.closeSend(t) }},
		{"bidirectional, message", chat, func(t testing.TB, c *rawCall) { t.Helper(); c.send(t, nil) }},
		{"bidirectional, end", chat, func(t testing.TB, c *rawCall) { t.Helper(); c.closeSend(t) }},
		{"server stream, late request", repeat, func(t testing.TB, c *rawCall) { t.Helper(); c.send(t, nil); c.closeSend(t) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				var delivered int
				var last error
				l := newStreamLab(t, setup{server: handledBy(func(ss grpc.ServerStream) error {
					for last = receive(ss); last == nil; last = receive(ss) {
						delivered++
					}
					return nil
				})})
				c := l.stream(t, row.method)
				sent := 0
				if row.method != repeat {
					c.send(t, nil)
					sent = 1
				}
				l.at(t, tokenTime)
				row.then(t, c)
				expired.check(t, l, row.method, c.finish(t))
				if delivered != sent || status.Code(last) != u || isEnd(last) {
					t.Errorf("the handler got %d messages and then %v, want %d and then UNAUTHENTICATED", delivered, last, sent)
				}
			})
		})
	}
}

// A unary call that was good at its start ends as its handler says, however late.
func TestE12LongUnaryCall(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		options []serverauth.Option
	}{
		{"default", nil},
		{"CutIdleStreams", []serverauth.Option{serverauth.CutIdleStreams()}},
		{"RefuseBeforeDecoding and CutIdleStreams", []serverauth.Option{serverauth.RefuseBeforeDecoding(), serverauth.CutIdleStreams()}},
		{"RecheckStreams", []serverauth.Option{serverauth.RecheckStreams(time.Second), serverauth.CutIdleStreams()}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				l := newStreamLab(t, setup{
					options: row.options,
					server: []grpc.ServerOption{grpc.ChainUnaryInterceptor(
						func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
							select {
							case <-ctx.Done():
								return nil, context.Cause(ctx)
							case <-time.After(2 * tokenTime):
								return h(ctx, req)
							}
						},
					)},
				})
				if got := l.call(t, echoOnce, bearer(l.echoToken())); got.code != ok || got.messages != 1 {
					t.Errorf("got %v %s and %d messages, want OK and one", got.code, got.reason, got.messages)
				}
				l.decisions.checkNone(t)
			})
		})
	}
}

// A principal that a TokenVerifier of the user's own made is good until its ExpiresAt,
// without a clock skew, and for ever if there is none.
func TestE10PrincipalOfAnotherVerifier(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		left time.Duration // 0: no ExpiresAt
	}{
		{"expires", 10 * time.Minute},
		{"expires within a second", time.Millisecond},
		{"never expires", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				begin := time.Now()
				l := &streamLab{lab: &lab{}, clock: &streamClock{begin: begin}, decisions: &streamDecisions{}}
				verify := stubVerifier(func(context.Context, string) (*serverauth.Principal, error) {
					spec := serverauth.PrincipalSpec{ClientID: clientID, Issuer: issuerURL, Scopes: []string{"echo/call", "echo/stream"}}
					if row.left > 0 {
						spec.ExpiresAt = begin.Add(row.left)
					}
					return serverauth.NewPrincipal(spec), nil
				})
				rules, err := policy.New()
				if err != nil {
					t.Fatal(err)
				}
				auth, err := serverauth.New(verify, rules, serverauth.WithReporter(l.decisions), serverauth.WithLogger(nil),
					serverauth.RecheckStreams(time.Minute))
				if err != nil {
					t.Fatal(err)
				}
				options := append([]grpc.ServerOption{grpc.ChainStreamInterceptor(l.observeStream)}, auth.ServerOptions()...)
				served := serveMemory(t, options...)
				c := patient(t, served.dial(t))
				c.open(t, chat, bearer("opaque"))
				if row.left == 0 {
					for hour := range 40 { // a message now and then, as gRPC looks whether the client is there
						l.at(t, time.Duration(hour)*time.Hour)
						c.pass(t)
					}
					l.decisions.checkNone(t)
					return
				}
				l.at(t, row.left-time.Nanosecond)
				c.pass(t)
				l.at(t, row.left)
				c.send(t, nil)
				expired.check(t, l, chat, c.finish(t))
			})
		})
	}
}
