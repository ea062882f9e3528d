// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

// TestForeignRefusal: a handler that passes on the refusal of a call of its own says
// nothing about the token that it got.
func TestForeignRefusal(t *testing.T) {
	t.Parallel()
	for name, method := range map[string]string{"another method": "/other.v1.Service/Call", "no method": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newFileServer(t, true, func(int, []string) error {
				return refusal(method, codes.Unauthenticated, reason.Domain, reason.TokenInvalid)
			})
			endpoint := &fakeEndpoint{}
			files := filesv1.NewFileReadServiceClient(server.dial(t, newSource(t, endpoint), AllClientScopes()))
			if _, err := files.StatFile(t.Context(), &filesv1.StatFileRequest{}); status.Code(err) != codes.Unauthenticated {
				t.Errorf("unary: got %v, want Unauthenticated", err)
			}
			for range 2 {
				stream, err := files.ReadFile(t.Context(), &filesv1.ReadFileRequest{})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
					t.Errorf("stream: got %v, want Unauthenticated", err)
				}
			}
			if got, want := server.sent("authorization"), [][]string{bearer(0), bearer(0), bearer(0)}; !reflect.DeepEqual(got, want) {
				t.Errorf("authorization: got %q, want %q", got, want)
			}
			if got := endpoint.count(); got != 1 {
				t.Errorf("token requests: got %d, want 1", got)
			}
		})
	}
}

// statRefused is what a server says about the token of a call of StatFile.
func statRefused() error {
	return refusal(statFile, codes.Unauthenticated, reason.Domain, reason.TokenInvalid)
}

// TestSourceThatIgnoresRejected: the call is not repeated with the same token.
func TestSourceThatIgnoresRejected(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, func(int, []string) error { return statRefused() })
	src := sourceFunc(func(context.Context, Request) (Token, error) { return NewToken("same", time.Time{}), nil })
	_, err := filesv1.NewFileReadServiceClient(server.dial(t, src, AllClientScopes())).StatFile(t.Context(), &filesv1.StatFileRequest{})
	if _, local := errors.AsType[*Error](err); local || status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v, want the server's error", err)
	}
	if got, want := server.sent("authorization"), [][]string{{"Bearer same"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("authorization: got %q, want %q", got, want)
	}
}

// attempts returns an interceptor's invoker whose attempts ask for the metadata as
// gRPC does and then end as the server says.
func attempts(server func(n int) error) (invoke grpc.UnaryInvoker, count func() int) {
	n := 0
	return func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
		if creds, ok := opts[0].(grpc.PerRPCCredsCallOption); ok {
			if _, err := creds.Creds.GetRequestMetadata(ctx); err != nil {
				return err
			}
		}
		n++
		return server(n)
	}, func() int { return n }
}

// TestNoTimeForTheSecondAttempt: the server has answered, and that stands.
func TestNoTimeForTheSecondAttempt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	src := sourceFunc(func(ctx context.Context, req Request) (Token, error) {
		if !req.Rejected.IsZero() {
			cancel()
			return Token{}, ctx.Err()
		}
		return NewToken("first", time.Time{}), nil
	})
	c, err := newCarrier(src, AllClientScopes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	invoke, count := attempts(func(int) error { return statRefused() })
	err = c.unary(ctx, statFile, nil, nil, nil, invoke)
	if _, local := errors.AsType[*Error](err); local || status.Code(err) != codes.Unauthenticated || count() != 1 {
		t.Errorf("got %v after %d attempts, want the server's error after 1", err, count())
	}
}

// TestEndedCallIsNotRepeated: nobody waits for the answer.
func TestEndedCallIsNotRepeated(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	src := sourceFunc(func(context.Context, Request) (Token, error) {
		asked++
		return NewToken("token", time.Time{}), nil
	})
	c, err := newCarrier(src, AllClientScopes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	invoke, count := attempts(func(int) error { cancel(); return statRefused() })
	if err := c.unary(ctx, statFile, nil, nil, nil, invoke); status.Code(err) != codes.Unauthenticated || count() != 1 || asked != 1 {
		t.Errorf("got %v after %d attempts and %d questions to the source, want the server's error after 1 and 1", err, count(), asked)
	}
}

// TestRefusalAtTheOpening: an interceptor inside may wait for the server before it
// gives the stream out.
func TestRefusalAtTheOpening(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := newCarrier(newSource(t, &fakeEndpoint{}), AllClientScopes(), nil)
		if err != nil {
			t.Fatal(err)
		}
		open := func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			if creds, ok := opts[0].(grpc.PerRPCCredsCallOption); ok {
				if _, err := creds.Creds.GetRequestMetadata(ctx); err != nil {
					return nil, err
				}
			}
			return nil, statRefused()
		}
		if _, err := c.stream(t.Context(), &grpc.StreamDesc{}, nil, statFile, open); status.Code(err) != codes.Unauthenticated {
			t.Fatalf("got %v, want Unauthenticated", err)
		}
		token, err := c.selected.others.token(t.Context())
		if err != nil || token.Value() != opaque(1) {
			t.Errorf("the next call: got %q, %v, want another token", token.Value(), err)
		}
	})
}

// TestErrorAfterAnAttempt: with gRPC's retry policy the server may have got the call.
func TestErrorAfterAnAttempt(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, func(int, []string) error { return status.Error(codes.Unavailable, "after something") })
	var asked atomic.Int32
	src := sourceFunc(func(context.Context, Request) (Token, error) {
		if asked.Add(1) == 1 {
			return NewToken("first", time.Time{}), nil
		}
		return Token{}, errReset
	})
	conn, err := NewClient(server.addr, src, AllClientScopes(), grpc.WithTransportCredentials(credentials.NewTLS(server.tls)),
		grpc.WithDefaultServiceConfig(`{"methodConfig":[{"name":[{}],"retryPolicy":{"maxAttempts":2,"initialBackoff":"0.001s","maxBackoff":"0.001s","backoffMultiplier":1,"retryableStatusCodes":["UNAVAILABLE"]}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, err = filesv1.NewFileReadServiceClient(conn).StatFile(t.Context(), &filesv1.StatFileRequest{})
	if status.Code(err) != codes.Unavailable || len(server.sent("")) != 1 || asked.Load() != 2 {
		t.Errorf("got %v after %d calls at the server and %d questions to the source, want Unavailable after 1 and 2", err, len(server.sent("")), asked.Load())
	}
}

// TestTwoSelections: the inner one would be silently without effect.
func TestTwoSelections(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, nil)
	endpoint := &fakeEndpoint{}
	src := newSource(t, endpoint)
	opts, err := DialOptions(src, FixedScopes("demo/read.file"))
	if err != nil {
		t.Fatal(err)
	}
	opts = append(opts, grpc.WithTransportCredentials(credentials.NewTLS(server.tls)))
	conn, err := NewClient(server.addr, src, AllClientScopes(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	files := filesv1.NewFileReadServiceClient(conn)
	_, unary := files.StatFile(t.Context(), &filesv1.StatFileRequest{})
	_, stream := files.ReadFile(t.Context(), &filesv1.ReadFileRequest{})
	for _, err := range []error{unary, stream} {
		wantReason(t, err, ReasonTwice, codes.Internal)
	}
	if n, m := endpoint.count(), len(server.sent("")); n != 0 || m != 0 {
		t.Errorf("got %d token requests and %d calls at the server, want 0", n, m)
	}
}

// TestEmptyAuthorization is none, and does not stand beside the token.
func TestEmptyAuthorization(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, nil)
	files := filesv1.NewFileReadServiceClient(server.dial(t, newSource(t, &fakeEndpoint{}), AllClientScopes()))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "Authorization", "", "x-other", "stays")
	if _, err := files.StatFile(ctx, &filesv1.StatFileRequest{}); err != nil {
		t.Fatal(err)
	}
	stream, err := files.ReadFile(ctx, &filesv1.ReadFileRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if got, want := server.sent("authorization"), [][]string{bearer(0), bearer(0)}; !reflect.DeepEqual(got, want) {
		t.Errorf("authorization: got %q, want %q", got, want)
	}
	if got, want := server.sent("x-other"), [][]string{{"stays"}, {"stays"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("x-other: got %q, want %q", got, want)
	}
}

// TestPlaintextIsExplained only where gRPC refused to ask for the token.
func TestPlaintextIsExplained(t *testing.T) {
	t.Parallel()
	plain := newFileServer(t, false, nil)
	files := filesv1.NewFileReadServiceClient(plain.dial(t, newSource(t, &fakeEndpoint{}), AllClientScopes()))
	_, unary := files.StatFile(t.Context(), &filesv1.StatFileRequest{})
	_, stream := files.ReadFile(t.Context(), &filesv1.ReadFileRequest{})
	for _, err := range []error{unary, stream} {
		wantReason(t, err, ReasonPlaintext, codes.Unauthenticated)
		if !strings.Contains(err.Error(), "AllowInsecureTransport") {
			t.Errorf("got %v, want what to do", err)
		}
	}
	_, err := files.StatFile(t.Context(), &filesv1.StatFileRequest{}, grpc.PerRPCCredentials(ownCredentials{}))
	if _, local := errors.AsType[*Error](err); local || status.Code(err) != codes.Unauthenticated {
		t.Errorf("own credentials: got %v, want gRPC's error", err)
	}

	liar := newFileServer(t, true, func(int, []string) error { return status.Error(codes.Unauthenticated, inPlaintext) })
	_, err = filesv1.NewFileReadServiceClient(liar.dial(t, newSource(t, &fakeEndpoint{}), AllClientScopes())).StatFile(t.Context(), &filesv1.StatFileRequest{})
	if _, local := errors.AsType[*Error](err); local || status.Code(err) != codes.Unauthenticated {
		t.Errorf("a server with the same text: got %v, want its error", err)
	}
}

// TestOtherErrorsAreNotExplained: an interceptor inside may fail a call before gRPC asks
// for the token, with a code or a text of its own.
func TestOtherErrorsAreNotExplained(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err     error
		carrier carrier
	}{
		{err: status.Error(codes.Internal, inPlaintext)},
		{err: status.Error(codes.Unauthenticated, "no user")},
		{err: status.Error(codes.Unauthenticated, inPlaintext), carrier: carrier{insecure: true}},
	} {
		call := &callCarrier{carrier: &test.carrier}
		if _, local := errors.AsType[*Error](call.explain(test.err, nil)); local {
			t.Errorf("%v is explained as plaintext", test.err)
		}
	}
}

// TestTextOfASourcesError is bounded and stays on its line: it may hold what a peer of
// the source's sent.
func TestTextOfASourcesError(t *testing.T) {
	t.Parallel()
	long := errors.New("first\nsecond " + strings.Repeat("a", 1<<20))
	err := sourceError(t.Context(), long)
	wantReason(t, err, ReasonSource, codes.Unavailable)
	if text := err.Error(); len(text) > 400 || strings.Contains(text, "\n") || !strings.Contains(text, "first?second") {
		t.Errorf("got %d bytes: %.100q", len(text), text)
	}
	if !errors.Is(err, long) {
		t.Error("the error itself is not its cause")
	}
}
