// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

// wireBubble runs f in fake time, with what a lab in memory needs from outside.
func wireBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	tlsPair()
	if _, err := wireKeys(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, f)
}

// wantReasonOnTheWire fails if err is not the server's word with this reason.
func wantReasonOnTheWire(tb testing.TB, err error, code codes.Code, want reason.Reason) {
	tb.Helper()
	if _, local := errors.AsType[*Error](err); local || status.Code(err) != code {
		tb.Errorf("got %v, want the server's %s", err, code)
		return
	}
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetReason() == string(want) {
			return
		}
	}
	tb.Errorf("got %v with %v, want the reason %s", err, status.Convert(err).Details(), want)
}

func stat(ctx context.Context, conn *grpc.ClientConn, opts ...grpc.CallOption) error {
	_, err := filesv1.NewFileReadServiceClient(conn).StatFile(ctx, &filesv1.StatFileRequest{}, opts...)
	return err
}

func read(ctx context.Context, conn *grpc.ClientConn, opts ...grpc.CallOption) error {
	stream, err := filesv1.NewFileReadServiceClient(conn).ReadFile(ctx, &filesv1.ReadFileRequest{}, opts...)
	if err != nil {
		return err
	}
	_, err = readAll(stream)
	return err
}

// TestServerSaysUnauthenticatedOnce: one token more, one call more, success.
func TestServerSaysUnauthenticatedOnce(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(context.Context, *grpc.ClientConn, ...grpc.CallOption) error{"unary": stat, "server stream": read} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newWireLab(t, wireSetup{})
			l.revoke(func(n int) bool { return n == 0 })
			conn := l.dial(t, ForMethods(statFile, readFile))
			if err := call(t.Context(), conn); err != nil {
				t.Errorf("got %v, want success", err)
			}
			l.wantIssued(t, 2, 2)
			if err := call(t.Context(), conn); err != nil {
				t.Errorf("the next call: %v", err)
			}
			l.wantIssued(t, 2, 3)
		})
	}
}

// TestServerSaysUnauthenticatedAlways: a thousand calls in a second cost one token
// more, and one more each 60 s. No call has more than two attempts.
func TestServerSaysUnauthenticatedAlways(t *testing.T) {
	t.Parallel()
	wireBubble(t, func(t *testing.T) {
		l := newWireLab(t, wireSetup{memory: true})
		l.revoke(func(int) bool { return true })
		conn := l.dial(t, AllClientScopes())
		calls := func(tens int) {
			start := time.Now()
			for range tens {
				var wg sync.WaitGroup
				for i := range 10 {
					wg.Go(func() {
						call := stat
						if i%2 == 0 {
							call = read
						}
						wantReasonOnTheWire(t, call(t.Context(), conn), codes.Unauthenticated, reason.TokenRevoked)
					})
				}
				wg.Wait()
				time.Sleep(10 * time.Millisecond)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("the calls took %v, want about a second", took)
			}
		}
		for round, tens := range []int{100, 3, 3} {
			calls(tens)
			if got, want := l.cognito.Counts().TokensIssued, int64(2+round); got != want {
				t.Errorf("tokens issued after round %d: got %d, want %d", round, got, want)
			}
			time.Sleep(60 * time.Second)
		}
		if got := len(l.server.sent("")); got > 2*1060 {
			t.Errorf("the server got %d attempts, want at most two for each call", got)
		}
	})
}

// TestTwoCallsRejectedAtOnce: both get the one token that is fetched for both.
func TestTwoCallsRejectedAtOnce(t *testing.T) {
	t.Parallel()
	var both sync.WaitGroup
	both.Add(2)
	server := newFileServer(t, true, func(_ int, authorization []string) error {
		if !reflect.DeepEqual(authorization, bearer(0)) {
			return nil
		}
		both.Done()
		both.Wait() // both have been sent with the same token
		return statRefused()
	})
	endpoint := &fakeEndpoint{}
	conn := server.dial(t, newSource(t, endpoint), AllClientScopes())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if err := stat(t.Context(), conn); err != nil {
				t.Errorf("got %v, want success", err)
			}
		})
	}
	wg.Wait()
	wantRequests(t, endpoint, 2)
	if got, want := server.sent("authorization"), [][]string{bearer(0), bearer(0), bearer(1), bearer(1)}; !reflect.DeepEqual(got, want) {
		t.Errorf("authorization: got %q, want %q", got, want)
	}
}

// TestOneBackendRejectsTheOtherAccepts, while the endpoint is down: the calls of the
// first get its error and those of the other go on with the old token.
func TestOneBackendRejectsTheOtherAccepts(t *testing.T) {
	t.Parallel()
	wireBubble(t, func(t *testing.T) {
		l := newWireLab(t, wireSetup{memory: true})
		bad := newMemoryServer(t, func(int, []string) error { return statRefused() })
		good, refusing := l.dial(t, AllClientScopes()), bad.dial(t, l.src, AllClientScopes())
		if err := stat(t.Context(), good); err != nil {
			t.Fatal(err)
		}
		l.cognito.SetFault(cognitotest.TokenEndpoint, cognitotest.HTMLFault(http.StatusServiceUnavailable))
		for range 5 {
			wantReasonOnTheWire(t, stat(t.Context(), refusing), codes.Unauthenticated, reason.TokenInvalid)
			if err := stat(t.Context(), good); err != nil {
				t.Errorf("the other backend: %v", err)
			}
			time.Sleep(time.Minute)
		}
		if got := l.server.sent("authorization"); len(got) != 6 || !reflect.DeepEqual(got[0], got[5]) {
			t.Errorf("the other backend got %d calls, or not all with the old token", len(got))
		}
		if got := len(bad.sent("")); got != 5 {
			t.Errorf("the first backend got %d attempts, want 5", got)
		}
	})
}

// TestPermissionDenied: another token would not help, and is not fetched.
func TestPermissionDenied(t *testing.T) {
	t.Parallel()
	l := newWireLab(t, wireSetup{scopes: []string{"demo/read.file"}})
	files := filesv1.NewFileWriteServiceClient(l.dial(t, AllClientScopes()))
	for range 3 {
		_, err := files.DeleteFile(t.Context(), &filesv1.DeleteFileRequest{})
		wantReasonOnTheWire(t, err, codes.PermissionDenied, reason.InsufficientScope)
	}
	l.wantIssued(t, 1, 3)
}

// TestLocalTokenErrorIsUnauthenticated: it is not the server's word, so nothing is
// repeated, neither a call nor a token request.
func TestLocalTokenErrorIsUnauthenticated(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, nil)
	endpoint := &fakeEndpoint{answer: func(int, request) reply { return oauthError("invalid_client") }}
	conn := server.dial(t, newSource(t, endpoint), AllClientScopes())
	for range 3 {
		wantReason(t, stat(t.Context(), conn), ReasonRefused, codes.Unauthenticated)
		wantReason(t, read(t.Context(), conn), ReasonRefused, codes.Unauthenticated)
	}
	wantRequests(t, endpoint, 1)
	if got := len(server.sent("")); got != 0 {
		t.Errorf("the server got %d calls, want 0", got)
	}
}

// TestBackendDownWaitForReady: no token is fetched until there is a connection.
func TestBackendDownWaitForReady(t *testing.T) {
	t.Parallel()
	wireBubble(t, func(t *testing.T) {
		l := newWireLab(t, wireSetup{memory: true})
		var up atomic.Bool
		own, err := DialOptions(l.src, AllClientScopes())
		if err != nil {
			t.Fatal(err)
		}
		conn := l.server.connect(t, append(own, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			if !up.Load() {
				return nil, errReset
			}
			return l.server.memory.DialContext(ctx)
		}))...)
		done := make(chan error, 1)
		go func() { done <- stat(t.Context(), conn, grpc.WaitForReady(true)) }()
		time.Sleep(10 * time.Minute)
		if state := conn.GetState(); state == connectivity.Ready {
			t.Fatalf("the connection is %s: the test shows nothing", state)
		}
		if got := l.cognito.Counts().TokenRequests; got != 0 {
			t.Errorf("token requests before READY: got %d, want 0", got)
		}
		up.Store(true)
		if err := <-done; err != nil {
			t.Errorf("got %v, want success", err)
		}
		l.wantIssued(t, 1, 1)
	})
}

// retryPolicy is a program's own service config.
func retryPolicy(code string) grpc.DialOption {
	return grpc.WithDefaultServiceConfig(`{"methodConfig":[{"name":[{}],"retryPolicy":{"maxAttempts":4,"initialBackoff":"0.001s","maxBackoff":"0.001s","backoffMultiplier":1,"retryableStatusCodes":["` + code + `"]}}]}`)
}

// countingSource counts how often it is asked.
type countingSource struct {
	TokenSource

	asked atomic.Int32
}

func (s *countingSource) Token(ctx context.Context, req Request) (Token, error) {
	s.asked.Add(1)
	return s.TokenSource.Token(ctx, req)
}

// TestRetryPolicyDoesNotMultiplyFetches: each attempt of gRPC's own retry asks the
// source, which answers from what it knows.
func TestRetryPolicyDoesNotMultiplyFetches(t *testing.T) {
	t.Parallel()
	t.Run("endpoint down", func(t *testing.T) {
		t.Parallel()
		memoryBubble(t, func(t *testing.T) { // so that no second fetch is due yet
			server := newMemoryServer(t, nil)
			endpoint := &fakeEndpoint{answer: func(int, request) reply { return page(429) }}
			counting := &countingSource{TokenSource: newSource(t, endpoint)}
			own, err := DialOptions(counting, AllClientScopes())
			if err != nil {
				t.Fatal(err)
			}
			conn := server.connect(t, append(own, retryPolicy("UNAVAILABLE"))...)
			wantReason(t, stat(t.Context(), conn), ReasonThrottled, codes.Unavailable)
			if got := counting.asked.Load(); got != 4 {
				t.Errorf("gRPC made %d attempts, want 4: the test shows nothing", got)
			}
			wantRequests(t, endpoint, 1)
		})
	})
	t.Run("server refuses", func(t *testing.T) {
		t.Parallel()
		server := newFileServer(t, true, func(int, []string) error { return statRefused() })
		rejected := 0
		n := 0
		src := sourceFunc(func(_ context.Context, req Request) (Token, error) {
			if !req.Rejected.IsZero() {
				rejected++
				n++
			}
			return NewToken(opaque(n), time.Time{}), nil
		})
		own, err := DialOptions(src, AllClientScopes())
		if err != nil {
			t.Fatal(err)
		}
		conn := server.connect(t, append(own, retryPolicy("UNAUTHENTICATED"))...)
		wantReasonOnTheWire(t, stat(t.Context(), conn), codes.Unauthenticated, reason.TokenInvalid)
		if rejected != 1 {
			t.Errorf("the source was asked %d times for another token, want once", rejected)
		}
	})
}

// TestTargetsTellOfTheLastAttempt that was sent; functions of OnFinish run for each.
func TestTargetsTellOfTheLastAttempt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer func(n int, r request) reply
		want   string
		ends   []codes.Code
	}{
		"another token": {want: "1", ends: []codes.Code{codes.Unauthenticated, codes.OK}},
		"no other": {answer: func(n int, _ request) reply {
			if n > 0 {
				return oauthError("invalid_client")
			}
			return ok(0, 3600)
		}, want: "0", ends: []codes.Code{codes.Unauthenticated, codes.Unauthenticated}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newFileServer(t, true, nil, grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
				md, _ := metadata.FromIncomingContext(ctx)
				number := strings.TrimPrefix(md.Get("authorization")[0], "Bearer opaque-token-number-")
				// Of a call that fails before it has headers gRPC sends the trailer alone.
				if err := grpc.SetHeader(ctx, metadata.Pairs("x-attempt", number)); err != nil {
					return nil, err
				}
				if err := grpc.SetTrailer(ctx, metadata.Pairs("x-attempt", number)); err != nil {
					return nil, err
				}
				if number == "0" {
					return nil, statRefused()
				}
				return handle(ctx, req)
			}))
			conn := server.dial(t, newSource(t, &fakeEndpoint{answer: test.answer}), AllClientScopes())
			var header, trailer metadata.MD
			var from peer.Peer
			var ends []codes.Code
			_ = stat(t.Context(), conn, grpc.Header(&header), grpc.Trailer(&trailer), grpc.Peer(&from), grpc.OnFinish(func(err error) { ends = append(ends, status.Code(err)) }))
			if got := trailer.Get("x-attempt"); !reflect.DeepEqual(got, []string{test.want}) {
				t.Errorf("trailer: got %q, want %q", got, test.want)
			}
			if got := header.Get("x-attempt"); test.want == "1" && !reflect.DeepEqual(got, []string{"1"}) {
				t.Errorf("header: got %q, want 1", got)
			}
			if from.Addr == nil || from.Addr.String() != server.addr {
				t.Errorf("peer: got %v, want %s", from.Addr, server.addr)
			}
			if !reflect.DeepEqual(ends, test.ends) {
				t.Errorf("OnFinish: got %v, want %v", ends, test.ends)
			}
		})
	}
}

// TestConnectionsOwnCredentialsCannotBeSeen: the server gets two values, and says so.
func TestConnectionsOwnCredentialsCannotBeSeen(t *testing.T) {
	t.Parallel()
	l := newWireLab(t, wireSetup{})
	own, err := DialOptions(l.src, AllClientScopes())
	if err != nil {
		t.Fatal(err)
	}
	conn := l.server.connect(t, append(own, grpc.WithPerRPCCredentials(credentials.PerRPCCredentials(ownCredentials{})))...)
	for _, err := range []error{stat(t.Context(), conn), read(t.Context(), conn)} {
		wantReasonOnTheWire(t, err, codes.Unauthenticated, reason.AuthorizationDuplicated)
	}
	l.wantIssued(t, 1, 2)
	if got := l.server.sent("authorization")[0]; len(got) != 2 || got[0] != "Bearer own" {
		t.Errorf("the server got %d values, want the connection's own and the token", len(got))
	}
}
