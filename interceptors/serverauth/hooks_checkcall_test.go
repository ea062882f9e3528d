// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// The function is asked after scopes, with the method, the caller, and the decoded
// message of a unary call.
func TestCheckCallGetsTheCall(t *testing.T) {
	t.Parallel()
	type question struct {
		method string
		caller *serverauth.Principal
		req    any
	}
	var asked []question
	l := newLab(t, setup{options: []serverauth.Option{
		serverauth.CheckCall(func(ctx context.Context, fullMethod string, p *serverauth.Principal, req any) error {
			asked = append(asked, question{fullMethod, p, req})
			if seen, ok := serverauth.PrincipalFromContext(ctx); !ok || seen != p {
				t.Errorf("%s: the context carries %v, want the caller", fullMethod, seen)
			}
			return nil
		}),
		serverauth.CheckRevoked(func(_ context.Context, p *serverauth.Principal) (bool, error) { return p.TokenID() == "revoked", nil }),
		serverauth.AccessFile(newAccessFile(t, `{"deny": [{"clients": ["denied"]}]}`)),
	}, issuers: twoIssuers})
	token := l.of("demo/read.file")
	read := filesv1.NewFileReadServiceClient(l.hooksConn(t))
	if _, err := read.StatFile(carrying(t, token), &filesv1.StatFileRequest{Name: "a/b.txt"}); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 1 || asked[0].method != statFile || asked[0].caller.ClientID() != clientID {
		t.Fatalf("a unary call: asked %+v, want one question about it", asked)
	}
	if req, isStat := asked[0].req.(*filesv1.StatFileRequest); !isStat || req.GetName() != "a/b.txt" {
		t.Errorf("a unary call: got the message %v, want that of the call", asked[0].req)
	}
	both := l.of("demo/read.file demo/write.file echo/call echo/stream")
	for _, method := range []string{readFile, writeFile, appendFile, repeat + "x", chat} {
		asked = nil
		method = strings.TrimSuffix(method, "x")
		if method == repeat {
			continue // it has no end of its own
		}
		if got := l.call(t, method, bearer(both)); got.code != ok {
			t.Fatalf("%s: got %v %s", method, got.code, got.message)
		}
		if len(asked) != 1 || asked[0].method != method || asked[0].caller == nil || asked[0].req != nil {
			t.Errorf("%s: asked %+v, want one question without a message", method, asked)
		}
	}
	// Of calls that are public or refused anyway it is not asked.
	asked = nil
	for _, row := range []struct {
		method  string
		headers []header
		code    codes.Code
	}{
		{version, []header{bearer(token)}, ok},
		{whoAmI, nil, u},
		{whoAmI, []header{bearer("junk")}, u},
		{deleteFile, []header{bearer(token)}, p},
		{whoAmI, []header{bearer(l.of("", "jti", `"revoked"`))}, u},
		{whoAmI, []header{bearer(l.of("", "client_id", `"denied"`))}, u},
	} {
		if got := l.call(t, row.method, row.headers...); got.code != row.code {
			t.Errorf("%s: got %v %s, want %v", row.method, got.code, got.message, row.code)
		}
	}
	if len(asked) != 0 {
		t.Errorf("asked %+v about calls that are public or refused anyway", asked)
	}
}

// What the function says is what the caller gets; why stays on the server.
func TestCheckCallRefuses(t *testing.T) {
	t.Parallel()
	var answer error
	l := newLab(t, setup{options: []serverauth.Option{
		serverauth.WithUnlimitedLog(),
		serverauth.CheckCall(func(context.Context, string, *serverauth.Principal, any) error { return answer }),
	}})
	secret := errors.New("tenant 17 is suspended")
	shared := serverauth.NewError(serverauth.ReasonClientNotAllowed, secret)
	// A function can look at another token that the message carries.
	_, expired := l.verifier.Verify(t.Context(), l.issuer.token(goodHeader, with("iat", at(-7200), "exp", at(-3600))))
	for _, row := range []struct {
		name   string
		answer error
		code   codes.Code
		reason serverauth.Reason // on the wire
		fine   serverauth.Reason
		text   string
		log    string
	}{
		{"an error", secret, p, "CALL_REFUSED", "CALL_REFUSED", "the call is refused", `cause="CheckCall: tenant 17 is suspended"`},
		{"a status of its own", status.Error(codes.Unavailable, "tenant 18"), p, "CALL_REFUSED", "CALL_REFUSED", "the call is refused", "tenant 18"},
		{"CALL_REFUSED", serverauth.NewError(serverauth.ReasonCallRefused, secret), p, "CALL_REFUSED", "CALL_REFUSED", "the call is refused", "tenant 17"},
		{"CALL_REFUSED without a cause", serverauth.NewError(serverauth.ReasonCallRefused, nil), p, "CALL_REFUSED", "CALL_REFUSED", "the call is refused", "CheckCall refused the call"},
		{"CLIENT_NOT_ALLOWED", shared, p, "CLIENT_NOT_ALLOWED", "CLIENT_NOT_ALLOWED", "this client is not allowed here", "tenant 17"},
		{"the same error again", shared, p, "CLIENT_NOT_ALLOWED", "CLIENT_NOT_ALLOWED", "this client is not allowed here", "tenant 17"},
		{"TOKEN_REVOKED", serverauth.NewError(serverauth.ReasonTokenRevoked, secret), u, "TOKEN_REVOKED", "TOKEN_REVOKED", "the token is revoked", "tenant 17"},
		{"TOKEN_EXPIRED", serverauth.NewError(serverauth.ReasonTokenExpired, nil), u, "TOKEN_EXPIRED", "TOKEN_EXPIRED", "the token has expired", ""},
		{"INSUFFICIENT_SCOPE", serverauth.NewError(serverauth.ReasonInsufficientScope, secret), p, "INSUFFICIENT_SCOPE", "INSUFFICIENT_SCOPE", "the token lacks a scope", "tenant 17"},
		{"REVOCATION_UNAVAILABLE", serverauth.NewError(serverauth.ReasonRevocationUnavailable, secret), ua, "REVOCATION_UNAVAILABLE", "REVOCATION_UNAVAILABLE", "it cannot be found out at the moment whether the token is revoked", "tenant 17"},
		{"a reason that does not exist", serverauth.NewError("MADE_UP", secret), u, "TOKEN_INVALID", "TOKEN_INVALID", "invalid token", "tenant 17"},
		{"a refusal in another error", fmt.Errorf("outer: %w", shared), p, "CLIENT_NOT_ALLOWED", "CLIENT_NOT_ALLOWED", "this client is not allowed here", "tenant 17"},
		{"what a Verifier says of another token", expired, u, "TOKEN_EXPIRED", "TOKEN_EXPIRED", "the token has expired", "off_by="},
		{"a nil refusal", (*serverauth.Error)(nil), p, "CALL_REFUSED", "CALL_REFUSED", "the call is refused", ""},
		{"the zero refusal", &serverauth.Error{}, u, "TOKEN_INVALID", "", "invalid token", ""},
	} {
		answer = row.answer
		for _, method := range []string{whoAmI, readFile} {
			before, log := l.files.ran.Load(), len(l.log.String())
			got := l.call(t, method, bearer(l.issuer.good()))
			if got.code != row.code || got.reason != row.reason || got.message != row.text || got.metadata["method"] != method {
				t.Errorf("%s, %s: got %v %s %q %v, want %v %s %q", row.name, method, got.code, got.reason, got.message, got.metadata, row.code, row.reason, row.text)
			}
			if l.files.ran.Load() != before {
				t.Errorf("%s, %s: the handler ran", row.name, method)
			}
			if _, told := got.metadata["required"]; told || strings.Contains(strings.Join(got.challenge, ""), "scope=") {
				t.Errorf("%s, %s: the answer names scopes, which nobody has named: %v %q", row.name, method, got.metadata, got.challenge)
			}
			if refusal := l.lastRefusal(); refusal == nil || refusal.Reason() != row.fine {
				t.Errorf("%s, %s: got the refusal %v, want %s", row.name, method, refusal, row.fine)
			} else if strings.Contains(row.log, "tenant 17") && !errors.Is(refusal, secret) {
				t.Errorf("%s, %s: the server's own code cannot get at the cause", row.name, method)
			}
			line := l.log.String()[log:]
			if !strings.Contains(line, row.log) || !strings.Contains(line, "CheckCall") || !strings.Contains(line, "client_id="+clientID) {
				t.Errorf("%s, %s: the log lacks %q, CheckCall or the client:\n%s", row.name, method, row.log, line)
			}
			if strings.Contains(got.trailer, "tenant") || strings.Contains(got.trailer, "CheckCall") {
				t.Errorf("%s, %s: the caller learns the cause: %s", row.name, method, got.trailer)
			}
		}
	}
	answer = nil
	if got := l.call(t, whoAmI, bearer(l.issuer.good())); got.code != ok {
		t.Errorf("no error: got %v %s, want OK", got.code, got.message)
	}
	if shared.Unwrap() != secret { //nolint:errorlint // the very same error
		t.Error("the function's own error was changed")
	}
}

// The end of the call itself is no refusal by the function.
func TestCheckCallAndTheEndOfTheCall(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var asked atomic.Int64
		l := newLab(t, setup{memory: true, options: []serverauth.Option{
			serverauth.CheckCall(func(ctx context.Context, _ string, _ *serverauth.Principal, _ any) error {
				asked.Add(1)
				<-ctx.Done()
				return ctx.Err()
			}),
			serverauth.ReportOnly(policy.ReportOnly{Authentication: true, Authorization: true, Mandatory: "2027-03-31"}),
		}})
		c := l.dial(t)
		defer c.close()
		c.open(t, whoAmI, bearer(l.issuer.good()), header{"grpc-timeout", "3S"})
		c.send(t, nil)
		c.closeSend(t)
		_, _ = c.tryFinish() // gRPC resets the stream at its deadline
		synctest.Wait()
		if refusal := l.lastRefusal(); refusal == nil || !ofContext(refusal.Code()) || refusal.Reason() != serverauth.ReasonCallRefused {
			t.Errorf("a call whose deadline passed: got %v, want the context's code and CALL_REFUSED", refusal)
		}
		gone := l.dial(t)
		gone.open(t, whoAmI, bearer(l.issuer.good()))
		gone.send(t, nil)
		gone.closeSend(t)
		eventually(t, "the question", func() bool { return asked.Load() == 2 })
		gone.close()
		synctest.Wait()
		if refusal := l.lastRefusal(); refusal == nil || refusal.Code() != codes.Canceled {
			t.Errorf("a call whose caller has gone: got %v, want CANCELED", refusal)
		}
		if l.files.ran.Load() != 0 {
			t.Error("a handler ran")
		}
	})
}

// A panic goes where panics of handlers go, and the handler does not run.
func TestCheckCallThatPanics(t *testing.T) {
	t.Parallel()
	var caught any
	recovers := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (resp any, err error) {
		defer func() {
			if caught = recover(); caught != nil {
				err = status.Error(codes.Internal, "recovered")
			}
		}()
		return h(ctx, req)
	}
	l := newLab(t, setup{
		options: []serverauth.Option{serverauth.CheckCall(func(context.Context, string, *serverauth.Principal, any) error { panic("a bug") })},
		server:  []grpc.ServerOption{grpc.UnaryInterceptor(recovers)},
	})
	if got := l.call(t, whoAmI, bearer(l.issuer.good())); got.code != codes.Internal || caught != "a bug" || l.files.ran.Load() != 0 {
		t.Errorf("got %v, caught %v, the handler ran %d times; want INTERNAL, the panic, and no handler", got.code, caught, l.files.ran.Load())
	}
}

// Behind go-grpc-middleware's interceptors the function decides as well, without the
// message.
func TestCheckCallBehindAuthFunc(t *testing.T) {
	t.Parallel()
	var messages []any
	l := newLab(t, setup{options: []serverauth.Option{
		serverauth.CheckCall(func(_ context.Context, fullMethod string, _ *serverauth.Principal, req any) error {
			messages = append(messages, req)
			if fullMethod == readFile {
				return errors.New("no")
			}
			return nil
		}),
	}})
	other := startAuthFunc(t, l)
	if got := other.call(t, whoAmI, bearer(l.issuer.good())); got.code != ok {
		t.Errorf("a call that the function lets pass: got %v %s, want OK", got.code, got.message)
	}
	if got := other.call(t, readFile, bearer(l.issuer.good())); got.code != p || got.reason != serverauth.ReasonCallRefused {
		t.Errorf("a call that it refuses: got %v %s, want PERMISSION_DENIED CALL_REFUSED", got.code, got.reason)
	}
	if len(messages) != 2 || messages[0] != nil || messages[1] != nil {
		t.Errorf("the function got the messages %v, want two times none", messages)
	}
}

// startAuthFunc starts a second server of the lab, protected by AuthFunc alone.
func startAuthFunc(t testing.TB, l *lab) *lab {
	t.Helper()
	server, client := tlsConfigs(t)
	srv := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(server)),
		grpc.ChainUnaryInterceptor(auth.UnaryServerInterceptor(l.auth.AuthFunc())),
		grpc.ChainStreamInterceptor(auth.StreamServerInterceptor(l.auth.AuthFunc())),
	)
	other := &lab{files: &files{}, tls: client}
	filesv1.RegisterFileReadServiceServer(srv, other.files)
	filesv1.RegisterFileWriteServiceServer(srv, other.files)
	lis := listen(t)
	other.addr = lis.Addr().String()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return other
}

func TestCheckCallIsOneFunction(t *testing.T) {
	t.Parallel()
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	f := func(context.Context, string, *serverauth.Principal, any) error { return nil }
	for name, options := range map[string][]serverauth.Option{
		"nil":   {serverauth.CheckCall(nil)},
		"twice": {serverauth.CheckCall(f), serverauth.CheckCall(f)},
	} {
		if _, err := serverauth.New(noVerifier(t), rules, options...); err == nil || !strings.Contains(err.Error(), "CheckCall needs one function, once") {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
}
