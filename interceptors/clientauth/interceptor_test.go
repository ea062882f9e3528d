// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

func bearer(n int) []string { return []string{"Bearer " + opaque(n)} }

func TestOneTokenForManyCalls(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, nil)
	endpoint := &fakeEndpoint{}
	src := newSource(t, endpoint)
	conn := server.dial(t, src, ForMethods(filesv1.FileReadService_StatFile_FullMethodName, filesv1.FileWriteService_AppendFile_FullMethodName))
	files := filesv1.NewFileReadServiceClient(conn)
	for range 5 {
		if _, err := files.StatFile(t.Context(), &filesv1.StatFileRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := filesv1.NewFileWriteServiceClient(conn).AppendFile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&filesv1.AppendFileRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("end of the stream: got %v, want io.EOF", err)
	}
	if _, err := files.Version(t.Context(), &filesv1.VersionRequest{}); err != nil {
		t.Fatal(err)
	}
	want := [][]string{bearer(0), bearer(0), bearer(0), bearer(0), bearer(0), bearer(0), nil}
	if got := server.sent("authorization"); !reflect.DeepEqual(got, want) {
		t.Errorf("authorization: got %q, want %q", got, want)
	}
	if got := endpoint.count(); got != 1 {
		t.Errorf("token requests: got %d, want 1", got)
	}
	if got, want := endpoint.all()[0].form.Get("scope"), "demo/read.file demo/write.file"; got != want {
		t.Errorf("scope: got %q, want %q", got, want)
	}
}

// TestPublicMethodsCarryNoToken under every selection, and fetch none.
func TestPublicMethodsCarryNoToken(t *testing.T) {
	t.Parallel()
	for name, scopes := range map[string]Selection{
		"ForMethods":      ForMethods(filesv1.FileReadService_StatFile_FullMethodName),
		"FixedScopes":     FixedScopes("demo/read.file"),
		"AllClientScopes": AllClientScopes(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newFileServer(t, true, nil)
			endpoint := &fakeEndpoint{}
			src := newSource(t, endpoint)
			creds, err := PerRPCCredentials(src, scopes)
			if err != nil {
				t.Fatal(err)
			}
			alone, err := grpc.NewClient(server.addr, grpc.WithTransportCredentials(credentials.NewTLS(server.tls)), grpc.WithPerRPCCredentials(creds))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = alone.Close() }()
			for _, conn := range []*grpc.ClientConn{server.dial(t, src, scopes), alone} {
				if _, err := filesv1.NewFileReadServiceClient(conn).Version(t.Context(), &filesv1.VersionRequest{}); err != nil {
					t.Fatal(err)
				}
			}
			if got, want := server.sent("authorization"), [][]string{nil, nil}; !reflect.DeepEqual(got, want) {
				t.Errorf("authorization: got %q, want none", got)
			}
			if got := endpoint.count(); got != 0 {
				t.Errorf("token requests: got %d, want 0", got)
			}
		})
	}
}

func TestCredentialsAlone(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, nil)
	creds, err := PerRPCCredentials(newSource(t, &fakeEndpoint{}), ForMethods(filesv1.FileReadService_StatFile_FullMethodName))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(server.addr, grpc.WithTransportCredentials(credentials.NewTLS(server.tls)), grpc.WithPerRPCCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	files := filesv1.NewFileReadServiceClient(conn)
	if _, err := files.StatFile(t.Context(), &filesv1.StatFileRequest{}); err != nil {
		t.Fatal(err)
	}
	_, err = files.ListFiles(t.Context(), &filesv1.ListFilesRequest{})
	wantReason(t, err, ReasonMethod, codes.PermissionDenied)
	if got, want := server.sent("authorization"), [][]string{bearer(0)}; !reflect.DeepEqual(got, want) {
		t.Errorf("authorization: got %q, want %q", got, want)
	}
}

func TestPlaintextIsRefused(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, false, nil)
	endpoint := &fakeEndpoint{}
	src := newSource(t, endpoint)
	conn := server.dial(t, src, AllClientScopes())
	_, err := filesv1.NewFileReadServiceClient(conn).StatFile(t.Context(), &filesv1.StatFileRequest{})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("unary: got %v, want Unauthenticated", err)
	}
	_, err = filesv1.NewFileWriteServiceClient(conn).AppendFile(t.Context())
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("stream: got %v, want Unauthenticated", err)
	}
	if n, m := endpoint.count(), len(server.sent("")); n != 0 || m != 0 {
		t.Errorf("got %d token requests and %d calls at the server, want 0", n, m)
	}
}

func TestAllowInsecureTransport(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, false, nil)
	logs := &logBuffer{}
	opts, err := DialOptions(newSource(t, &fakeEndpoint{}), AllClientScopes(), AllowInsecureTransport("a test"), WithLogger(logs.logger()))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(server.addr, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := filesv1.NewFileReadServiceClient(conn).StatFile(t.Context(), &filesv1.StatFileRequest{}); err != nil {
		t.Fatal(err)
	}
	if got, want := server.sent("authorization"), [][]string{bearer(0)}; !reflect.DeepEqual(got, want) {
		t.Errorf("authorization: got %q, want %q", got, want)
	}
	if got := logs.String(); len(got) == 0 {
		t.Error("got no warning about plaintext")
	}
}

func TestOwnAuthorizationIsRespected(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, func(int, []string) error {
		return refusal(statFile, codes.Unauthenticated, reason.Domain, reason.TokenInvalid)
	})
	endpoint := &fakeEndpoint{}
	conn := server.dial(t, newSource(t, endpoint), AllClientScopes())
	ctx := metadata.AppendToOutgoingContext(t.Context(), "Authorization", "Bearer own")
	_, err := filesv1.NewFileReadServiceClient(conn).StatFile(ctx, &filesv1.StatFileRequest{})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v, want the server's Unauthenticated", err)
	}
	if got, want := server.sent("authorization"), [][]string{{"Bearer own"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("authorization: got %q, want %q: one value, one attempt", got, want)
	}
	if got := endpoint.count(); got != 0 {
		t.Errorf("token requests: got %d, want 0", got)
	}
}

type ownCredentials struct{}

func (ownCredentials) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer own"}, nil
}
func (ownCredentials) RequireTransportSecurity() bool { return true }

func TestOwnCallCredentialsWin(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, nil)
	conn := server.dial(t, newSource(t, &fakeEndpoint{}), AllClientScopes())
	_, err := filesv1.NewFileReadServiceClient(conn).StatFile(t.Context(), &filesv1.StatFileRequest{}, grpc.PerRPCCredentials(ownCredentials{}))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := server.sent("authorization"), [][]string{{"Bearer own"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("authorization: got %q, want %q", got, want)
	}
}

func TestMetadataKey(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, nil)
	opts, err := DialOptions(newSource(t, &fakeEndpoint{}), AllClientScopes(), MetadataKey("x-service-auth"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(server.addr, append(opts, grpc.WithTransportCredentials(credentials.NewTLS(server.tls)))...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := filesv1.NewFileReadServiceClient(conn).StatFile(t.Context(), &filesv1.StatFileRequest{}); err != nil {
		t.Fatal(err)
	}
	if got := server.sent("x-service-auth"); !reflect.DeepEqual(got, [][]string{bearer(0)}) {
		t.Errorf("x-service-auth: got %q", got)
	}
	if got := server.sent("authorization"); !reflect.DeepEqual(got, [][]string{nil}) {
		t.Errorf("authorization: got %q, want none", got)
	}
}

// sourceFunc is a source of a user's own.
type sourceFunc func(ctx context.Context, req Request) (Token, error)

func (f sourceFunc) Token(ctx context.Context, req Request) (Token, error) { return f(ctx, req) }

// TestErrorCodes: what the caller of a gRPC method sees when there is no token.
func TestErrorCodes(t *testing.T) {
	t.Parallel()
	fail := func(err error) TokenSource {
		return sourceFunc(func(context.Context, Request) (Token, error) { return Token{}, err })
	}
	closed := newSource(t, &fakeEndpoint{})
	_ = closed.Close()
	tests := map[string]struct {
		src      TokenSource
		deadline time.Duration
		cancel   bool
		want     codes.Code
		own      bool // an *Error
	}{
		"caller's deadline":             {src: newSource(t, &fakeEndpoint{answer: func(int, request) reply { return reply{after: time.Hour} }}), deadline: 50 * time.Millisecond, want: codes.DeadlineExceeded},
		"endpoint is down":              {src: newSource(t, &fakeEndpoint{answer: func(int, request) reply { return page(503) }}), want: codes.Unavailable, own: true},
		"connection fails":              {src: newSource(t, &fakeEndpoint{answer: func(int, request) reply { return reply{err: errReset} }}), want: codes.Unavailable, own: true},
		"throttled":                     {src: newSource(t, &fakeEndpoint{answer: func(int, request) reply { return page(429) }}), want: codes.Unavailable, own: true},
		"WAF":                           {src: newSource(t, &fakeEndpoint{answer: func(int, request) reply { return page(403) }}), want: codes.Unavailable, own: true},
		"unreadable body":               {src: newSource(t, &fakeEndpoint{answer: func(int, request) reply { return page(200) }}), want: codes.Unavailable, own: true},
		"invalid_client":                {src: newSource(t, &fakeEndpoint{answer: func(int, request) reply { return oauthError("invalid_client") }}), want: codes.Unauthenticated, own: true},
		"closed":                        {src: closed, want: codes.Canceled, own: true},
		"own source, plain error":       {src: fail(errReset), want: codes.Unavailable, own: true},
		"own source, bare context":      {src: fail(context.DeadlineExceeded), want: codes.Unavailable, own: true},
		"own source, legal status":      {src: fail(status.Error(codes.ResourceExhausted, "x")), want: codes.ResourceExhausted},
		"own source, wrapped status":    {src: fail(fmt.Errorf("x: %w", status.Error(codes.PermissionDenied, "x"))), want: codes.PermissionDenied},
		"own source, illegal status":    {src: fail(status.Error(codes.NotFound, "x")), want: codes.Unavailable, own: true},
		"own source, zero token":        {src: fail(nil), want: codes.Unavailable, own: true},
		"own source, token with a line": {src: sourceFunc(func(context.Context, Request) (Token, error) { return NewToken("a\r\nb: c", time.Time{}), nil }), want: codes.Unavailable, own: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newFileServer(t, true, nil)
			files := filesv1.NewFileReadServiceClient(server.dial(t, test.src, AllClientScopes()))
			ctx := t.Context()
			if test.deadline > 0 {
				short, cancel := context.WithTimeout(ctx, test.deadline)
				defer cancel()
				ctx = short
			}
			_, unary := files.StatFile(ctx, &filesv1.StatFileRequest{})
			_, stream := files.ReadFile(ctx, &filesv1.ReadFileRequest{})
			for kind, err := range map[string]error{"unary": unary, "stream": stream} {
				if got := status.Code(err); got != test.want {
					t.Errorf("%s: got %s (%v), want %s", kind, got, err, test.want)
				}
				if _, own := errors.AsType[*Error](err); test.own && !own {
					t.Errorf("%s: got a %T, want an *Error in it", kind, err)
				}
			}
			if got := len(server.sent("")); got != 0 {
				t.Errorf("the server got %d calls, want 0", got)
			}
		})
	}
}

// TestBackendDownFetchesNothing: the source is not asked before there is a
// connection.
func TestBackendDownFetchesNothing(t *testing.T) {
	t.Parallel()
	endpoint := &fakeEndpoint{}
	s := &fileServer{addr: closedPort(t), tls: newFileServer(t, true, nil).tls}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	files := filesv1.NewFileReadServiceClient(s.dial(t, newSource(t, endpoint), AllClientScopes()))
	if _, err := files.StatFile(ctx, &filesv1.StatFileRequest{}, grpc.WaitForReady(true)); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
	if got := endpoint.count(); got != 0 {
		t.Errorf("token requests: got %d, want 0", got)
	}
}
