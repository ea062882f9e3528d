// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/test/bufconn"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// tokenTime is how long a token is good from a lab's start on: an hour less the minute
// that it is old then, and the clock skew.
const tokenTime = 59*time.Minute + 30*time.Second

// streamLab is a lab in a bubble with what tests of streams move and observe.
type streamLab struct {
	*lab

	clock     *streamClock
	decisions *streamDecisions
}

func newStreamLab(t testing.TB, s setup) *streamLab {
	t.Helper()
	l := &streamLab{clock: &streamClock{begin: time.Now()}, decisions: &streamDecisions{}}
	s.memory = true
	s.verifier = append([]serverauth.VerifierOption{serverauth.WithClock(l.clock.now)}, s.verifier...)
	s.options = append([]serverauth.Option{serverauth.WithReporter(l.decisions)}, s.options...)
	l.lab = newLab(t, s)
	t.Cleanup(func() { // for an open stream no key is asked for
		if n := l.verifier.Stats().Issuers[0].KIDFetches; n != 0 {
			t.Errorf("%d fetches for unknown kids, want none", n)
		}
	})
	return l
}

// streamClock is a wall clock that can be set, beside the monotonic one of the bubble.
type streamClock struct {
	begin time.Time
	ahead atomic.Int64
	reads atomic.Int64
	slow  atomic.Int64 // what the next reading takes
}

func (c *streamClock) now() time.Time {
	c.reads.Add(1)
	if slow := c.slow.Swap(0); slow > 0 {
		time.Sleep(time.Duration(slow))
	}
	return testNow().Add(time.Since(c.begin) + time.Duration(c.ahead.Load()))
}

// set sets the clock forward, or back.
func (c *streamClock) set(by time.Duration) { c.ahead.Add(int64(by)) }

// at sleeps until so long after the lab's start, and until all that is due then has
// happened.
func (l *streamLab) at(t testing.TB, after time.Duration) {
	t.Helper()
	left := after - time.Since(l.clock.begin)
	if left < 0 {
		t.Fatalf("%v is over since %v", after, -left)
	}
	time.Sleep(left)
	synctest.Wait()
}

// stream opens a stream with a token for all methods of the echo service.
func (l *streamLab) stream(t testing.TB, fullMethod string) *rawCall {
	t.Helper()
	c := l.dial(t)
	c.open(t, fullMethod, bearer(l.echoToken()))
	return c
}

// dial is the lab's, with a deadline: in a bubble in which something happens now and then
// for ever, a test would wait for ever too.
func (l *streamLab) dial(t testing.TB) *rawCall {
	t.Helper()
	return patient(t, l.lab.dial(t))
}

func patient(t testing.TB, c *rawCall) *rawCall {
	t.Helper()
	t.Cleanup(c.close)
	if err := c.conn.SetDeadline(time.Now().Add(2 * 24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	return c
}

// pass sends a message and waits for its echo.
func (c *rawCall) pass(t testing.TB) {
	t.Helper()
	c.send(t, nil)
	if !c.recv(t) {
		t.Fatalf("the stream has ended: %+v", c.finish(t))
	}
}

// refusal is how a stream ends.
type refusal struct {
	code codes.Code
	fine serverauth.Reason
	wire serverauth.Reason // default: fine
}

var expired = refusal{code: u, fine: serverauth.ReasonTokenExpired}

// check compares a stream's end with how it shall be, on the wire and on the server.
func (r refusal) check(t testing.TB, l *streamLab, fullMethod string, got answer) {
	t.Helper()
	synctest.Wait() // for the interceptors
	wire := r.wire
	if wire == "" {
		wire = r.fine
	}
	if got.code != r.code || got.reason != wire || got.metadata[reason.MethodKey] != fullMethod {
		t.Errorf("the stream ended with %v %s %v, want %v %s for %s", got.code, got.reason, got.metadata, r.code, wire, fullMethod)
	}
	var challenge []string
	if r.code == u {
		challenge = []string{`Bearer error="invalid_token"`}
	}
	if !slices.Equal(got.challenge, challenge) {
		t.Errorf("the trailer has the challenge %q, want %q", got.challenge, challenge)
	}
	r.checkServer(t, l, fullMethod)
}

// checkServer is check without the wire.
func (r refusal) checkServer(t testing.TB, l *streamLab, fullMethod string) {
	t.Helper()
	if last := l.lastRefusal(); last == nil || last.Reason() != r.fine {
		t.Errorf("the interceptors returned %v, want %s", last, r.fine)
	}
	want := serverauth.Decision{
		Method: fullMethod, Outcome: serverauth.OutcomeDenied, Stage: serverauth.StageStream,
		Reason: r.fine, Code: r.code, Issuer: issuerURL, ClientID: clientID,
	}
	got := l.decisions.ofStreams()
	for i := range got {
		got[i].Cached, got[i].ClientName = false, ""
	}
	if len(got) != 1 || got[0] != want {
		t.Errorf("reported about the stream: %+v, want once %+v", got, want)
	}
}

// checkCut is check for a stream that was woken: gRPC writes its status.
func (r refusal) checkCut(t testing.TB, l *streamLab, fullMethod string, got answer) {
	t.Helper()
	synctest.Wait()
	wire := r.wire
	if wire == "" {
		wire = r.fine
	}
	if got.code != codes.Canceled || !strings.Contains(got.trailer, "scopeauth-reason: "+string(wire)+"\n") {
		t.Errorf("the stream ended with %v and\n%swant CANCELED and scopeauth-reason: %s", got.code, got.trailer, wire)
	}
	r.checkServer(t, l, fullMethod)
}

// streamDecisions is a Reporter that keeps all.
type streamDecisions struct {
	mu   sync.Mutex
	list []serverauth.Decision
}

func (d *streamDecisions) Report(_ context.Context, decision serverauth.Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, decision)
}

// all returns what was decided so far.
func (d *streamDecisions) all() []serverauth.Decision {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list)
}

// ofStreams returns what was decided in open streams.
func (d *streamDecisions) ofStreams() []serverauth.Decision {
	return slices.DeleteFunc(d.all(), func(d serverauth.Decision) bool { return d.Stage != serverauth.StageStream })
}

// checkNone fails if anything was decided in an open stream.
func (d *streamDecisions) checkNone(t testing.TB) {
	t.Helper()
	if got := d.ofStreams(); len(got) != 0 {
		t.Errorf("reported about the stream: %+v, want nothing", got)
	}
}

// handledBy makes h the handler of every stream. The interceptor that does it is chained
// after those under test.
func handledBy(h func(ss grpc.ServerStream) error) []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainStreamInterceptor(
		func(_ any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, _ grpc.StreamHandler) error { return h(ss) },
	)}
}

// receive takes one message, of any kind.
func receive(ss grpc.ServerStream) error { return ss.RecvMsg(&echov1.ChatRequest{}) }

// answerOnce sends one message, of any kind.
func answerOnce(ss grpc.ServerStream) error { return ss.SendMsg(&echov1.ChatResponse{}) }

// drain receives until something else than a message comes, and returns that.
func drain(ss grpc.ServerStream) error {
	for {
		if err := receive(ss); err != nil {
			return err
		}
	}
}

// serveMemory runs a server of the echo service that is made as options say, in memory,
// and returns a lab to call it with.
func serveMemory(t testing.TB, options ...grpc.ServerOption) *lab {
	t.Helper()
	l := &lab{memory: bufconn.Listen(1 << 20)}
	l.addr = l.memory.Addr().String()
	var server credentials.TransportCredentials
	pair, client := tlsConfigs(t)
	server, l.tls = credentials.NewTLS(pair), client
	srv := grpc.NewServer(append(options, grpc.Creds(server))...)
	echov1.RegisterEchoServiceServer(srv, echo{})
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l.memory) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l
}

// isEnd reports whether err is the client's own end of the stream.
func isEnd(err error) bool { return err == io.EOF } //nolint:errorlint // gRPC's is never wrapped
