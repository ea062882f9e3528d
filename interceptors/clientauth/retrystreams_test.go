// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// appendRefused is what a server says about the token of a call of AppendFile.
func appendRefused() error {
	return refusal(appendFile, codes.Unauthenticated, reason.Domain, reason.TokenRevoked)
}

// incoming returns the token of a stream.
func incoming(stream grpc.ServerStream) string {
	md, _ := metadata.FromIncomingContext(stream.Context())
	return strings.Join(md.Get("authorization"), ", ")
}

// echo acknowledges each message with the number of those that came.
func echo(stream filesv1.FileWriteService_AppendFileServer) error {
	for n := int64(1); ; n++ {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.Send(&filesv1.AppendFileResponse{Size: n}); err != nil {
			return err
		}
	}
}

// chat sends five messages, and then, or after each, reads the answers.
func chat(stream filesv1.FileWriteService_AppendFileClient, inTurns bool) (answers []int64, sendErr, err error) {
	receive := func() error {
		m, err := stream.Recv()
		if err == nil {
			answers = append(answers, m.GetSize())
		}
		return err
	}
	for range 5 {
		if sendErr = stream.Send(&filesv1.AppendFileRequest{}); sendErr != nil {
			break
		}
		if inTurns {
			if err := receive(); err != nil {
				return answers, nil, err
			}
		}
	}
	_ = stream.CloseSend()
	for {
		if err := receive(); errors.Is(err, io.EOF) {
			return answers, sendErr, nil
		} else if err != nil {
			return answers, sendErr, err
		}
	}
}

// TestBidiStreamRetried: the cases in which gRPC opens the stream again, and those in
// which it must not. All five messages arrive once.
func TestBidiStreamRetried(t *testing.T) {
	t.Parallel()
	five, none := []int64{1, 2, 3, 4, 5}, []int64(nil)
	after := func(n int, err error) func(filesv1.FileWriteService_AppendFileServer) error {
		return func(stream filesv1.FileWriteService_AppendFileServer) error {
			if incoming(stream) != bearer(0)[0] {
				return echo(stream)
			}
			for range n {
				if _, err := stream.Recv(); err != nil {
					return err
				}
			}
			return err
		}
	}
	for name, test := range map[string]struct {
		serve   func(filesv1.FileWriteService_AppendFileServer) error
		inTurns bool
		off     bool
		want    []int64
		code    codes.Code
		sent    [][]string
	}{
		"refused at once":                {serve: after(0, appendRefused()), want: five, sent: [][]string{bearer(0), bearer(1)}},
		"refused after two messages":     {serve: after(2, appendRefused()), want: five, sent: [][]string{bearer(0), bearer(1)}},
		"refused while the client sends": {serve: after(0, appendRefused()), inTurns: true, want: five, sent: [][]string{bearer(0), bearer(1)}},
		"headers were sent": {serve: func(stream filesv1.FileWriteService_AppendFileServer) error {
			if err := stream.SendHeader(metadata.Pairs("x-head", "first")); err != nil {
				return err
			}
			return appendRefused()
		}, code: codes.Unauthenticated, want: none, sent: [][]string{bearer(0)}},
		"a message was sent": {serve: func(stream filesv1.FileWriteService_AppendFileServer) error {
			if err := stream.Send(&filesv1.AppendFileResponse{Size: 9}); err != nil {
				return err
			}
			return appendRefused()
		}, code: codes.Unauthenticated, want: []int64{9}, sent: [][]string{bearer(0)}},
		"refused always":    {serve: func(filesv1.FileWriteService_AppendFileServer) error { return appendRefused() }, code: codes.Unauthenticated, want: none, sent: [][]string{bearer(0), bearer(1)}},
		"permission denied": {serve: after(0, refusal(appendFile, codes.PermissionDenied, reason.Domain, reason.InsufficientScope)), code: codes.PermissionDenied, want: none, sent: [][]string{bearer(0)}},
		"option off":        {serve: after(0, appendRefused()), off: true, code: codes.Unauthenticated, want: none, sent: [][]string{bearer(0)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			memoryBubble(t, func(t *testing.T) {
				server := newMemoryServer(t, nil)
				server.append = test.serve
				endpoint := &fakeEndpoint{}
				opts := []Option{RetryStreams(appendFile)}
				if test.off {
					opts = nil
				}
				stream, err := filesv1.NewFileWriteServiceClient(server.dial(t, newSource(t, endpoint), AllClientScopes(), opts...)).AppendFile(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got, sendErr, err := chat(stream, test.inTurns)
				if status.Code(err) != test.code || !reflect.DeepEqual(got, test.want) {
					t.Errorf("got %v, %v, want %v and %s", got, err, test.want, test.code)
				}
				if sendErr != nil && !errors.Is(sendErr, io.EOF) {
					t.Errorf("Send: got %v, want io.EOF or nothing", sendErr)
				}
				if got := server.sent("authorization"); !reflect.DeepEqual(got, test.sent) {
					t.Errorf("authorization: got %q, want %q", got, test.sent)
				}
				wantRequests(t, endpoint, len(test.sent))
			})
		})
	}
}

// TestSendAfterRetriesInVain: io.EOF is what programs compare with. gRPC 1.85 wraps it
// then.
func TestSendAfterRetriesInVain(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, func(int, []string) error { return appendRefused() })
	stream, err := filesv1.NewFileWriteServiceClient(server.dial(t, newSource(t, &fakeEndpoint{}), AllClientScopes(), RetryStreams(appendFile))).AppendFile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for {
		if err = stream.Send(&filesv1.AppendFileRequest{}); err != nil {
			break
		}
	}
	if err != io.EOF { //nolint:errorlint // exactly this
		t.Errorf("Send: got %v, want io.EOF itself", err)
	}
	_, err = stream.Recv()
	wantReasonOnTheWire(t, err, codes.Unauthenticated, reason.TokenRevoked)
	if got := len(server.sent("")); got != 2 {
		t.Errorf("the server got %d attempts, want 2", got)
	}
}

// TestClientStreamRetried by the real server side.
func TestClientStreamRetried(t *testing.T) {
	t.Parallel()
	wireBubble(t, func(t *testing.T) {
		l := newWireLab(t, wireSetup{memory: true})
		l.revoke(func(n int) bool { return n == 0 })
		files := filesv1.NewFileWriteServiceClient(l.dial(t, PerMethod(), RetryStreams(writeFile, appendFile)))
		write, err := files.WriteFile(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := write.Send(&filesv1.WriteFileRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := write.CloseAndRecv(); err != nil {
			t.Errorf("got %v, want success with another token", err)
		}
		l.wantIssued(t, 2, 2)
	})
}

// TestRetryForAnotherCause: gRPC does not say why it repeats a stream. A source that has
// no other token, or is slow, must not take the stream down.
func TestRetryForAnotherCause(t *testing.T) {
	t.Parallel()
	tlsPair()
	for name, test := range map[string]struct {
		answer reply
		after  time.Duration
	}{
		"no other token": {answer: oauthError("invalid_client")},
		"endpoint hangs": {answer: reply{after: time.Hour}, after: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newMemoryServer(t, func(n int, _ []string) error {
					if n == 0 {
						return status.Error(codes.Unavailable, "restarting")
					}
					return nil
				})
				src := newSource(t, &fakeEndpoint{answer: func(n int, _ request) reply {
					if n > 0 {
						return test.answer
					}
					return ok(0, 3600)
				}})
				own, err := DialOptions(src, AllClientScopes(), RetryStreams(appendFile))
				if err != nil {
					t.Fatal(err)
				}
				stream, err := filesv1.NewFileWriteServiceClient(server.connect(t, append(own, retryPolicy("UNAVAILABLE"))...)).AppendFile(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				got, _, err := chat(stream, false)
				if err != nil || len(got) != 5 {
					t.Errorf("got %v, %v, want five answers", got, err)
				}
				if took := time.Since(start).Truncate(100 * time.Millisecond); took != test.after {
					t.Errorf("it took %v, want %v", took, test.after)
				}
				if got, want := server.sent("authorization"), [][]string{bearer(0), bearer(0)}; !reflect.DeepEqual(got, want) {
					t.Errorf("authorization: got %q, want %q", got, want)
				}
			})
		})
	}
}

// TestOneRenewalForACall, however often gRPC repeats it and whoever else does.
func TestOneRenewalForACall(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, func(int, []string) error { return appendRefused() })
	var asked, rejected atomic.Int32
	src := sourceFunc(func(_ context.Context, req Request) (Token, error) {
		asked.Add(1)
		if !req.Rejected.IsZero() {
			rejected.Add(1)
		}
		return NewToken(opaque(int(rejected.Load())), time.Time{}), nil
	})
	own, err := DialOptions(src, AllClientScopes(), RetryStreams(appendFile))
	if err != nil {
		t.Fatal(err)
	}
	conn := server.connect(t, append(own, retryPolicy("UNAUTHENTICATED"))...) // four attempts
	stream, err := filesv1.NewFileWriteServiceClient(conn).AppendFile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := chat(stream, false); status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v, want the server's error", err)
	}
	if err := stat(t.Context(), conn); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the next call: got %v", err)
	}
	if asked.Load() < 5 || rejected.Load() != 1 {
		t.Errorf("the source was asked %d times, of which %d for another token, want 1", asked.Load(), rejected.Load())
	}
}

func TestRetryStreamsNames(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		methods []string
		want    string
	}{
		"none":            {want: "names no method"},
		"unknown":         {methods: []string{"/acme.v1.Unlinked/Call"}, want: "/acme.v1.Unlinked/Call"},
		"no method name":  {methods: []string{"AppendFile"}, want: "/package.Service/Method"},
		"unary":           {methods: []string{appendFile, statFile}, want: "StatFile is no client stream"},
		"a server stream": {methods: []string{readFile}, want: "ReadFile is no client stream"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := newSource(t, &fakeEndpoint{})
			_, errDial := DialOptions(src, AllClientScopes(), RetryStreams(test.methods...))
			_, errStream := StreamClientInterceptor(src, AllClientScopes(), RetryStreams(test.methods...))
			for _, err := range []error{errDial, errStream} {
				if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "clientauth: RetryStreams: ") {
					t.Errorf("got %v, want %q in it", err, test.want)
				}
			}
		})
	}
	if _, err := PerRPCCredentials(newSource(t, &fakeEndpoint{}), AllClientScopes(), RetryStreams(appendFile)); err == nil || !strings.Contains(err.Error(), "need the interceptors") {
		t.Errorf("credentials alone: got %v, want what it needs", err)
	}
}

// TestRetryStreamsOfMethodsThatAreNotLinked are taken as they are named: a policy may
// know a service by its name alone. The caller's list is its own.
func TestRetryStreamsOfMethodsThatAreNotLinked(t *testing.T) {
	t.Parallel()
	p, err := policy.New(policy.WithService("x.S", "Stream"), policy.WithRule("/x.S/Stream", policy.AnyOf("d/write")))
	if err != nil {
		t.Fatal(err)
	}
	list := []string{"/x.S/Stream"}
	opt := RetryStreams(list...)
	list[0] = "/x.S/Other"
	if _, err := StreamClientInterceptor(newSource(t, &fakeEndpoint{}), AllClientScopes(), WithPolicy(p), opt); err != nil {
		t.Errorf("got %v, want no error", err)
	}
}

// TestServiceConfigOfRetryStreams is for the named methods alone.
func TestServiceConfigOfRetryStreams(t *testing.T) {
	t.Parallel()
	text, err := serviceConfig(map[string]bool{appendFile: true})
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	const expected = `{"methodConfig":[{"name":[{"service":"demo.files.v1.FileWriteService","method":"AppendFile"}],
		"retryPolicy":{"maxAttempts":2,"initialBackoff":"0.01s","maxBackoff":"0.01s","backoffMultiplier":1,"retryableStatusCodes":["UNAUTHENTICATED"]}}]}`
	if json.Unmarshal([]byte(text), &got) != nil || json.Unmarshal([]byte(expected), &want) != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %s, want %s", text, expected)
	}
}
