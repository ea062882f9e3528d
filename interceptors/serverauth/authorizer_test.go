// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// Every kind of call: a refused one never reaches its handler, an allowed one
// reaches it with the caller in the context.
func TestKindsOfCall(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	readOnly, both := l.issuer.good(), l.issuer.token(goodHeader, with("scope", `"demo/read.file demo/write.file"`))
	for _, row := range []struct {
		method, token string
		code          codes.Code
	}{
		{whoAmI, readOnly, ok},
		{readFile, readOnly, ok},
		{deleteFile, readOnly, p},
		{writeFile, readOnly, p},
		{appendFile, readOnly, p},
		{deleteFile, both, ok},
		{writeFile, both, ok},
		{appendFile, both, ok},
		{readFile, "", u},
		{writeFile, "", u},
		{appendFile, "", u},
	} {
		var headers []header
		if row.token != "" {
			headers = append(headers, bearer(row.token))
		}
		before := l.files.ran.Load()
		got := l.call(t, row.method, headers...)
		if got.code != row.code {
			t.Errorf("%s: got %v %s, want %v", row.method, got.code, got.message, row.code)
		}
		if ran := l.files.ran.Load() != before; ran != (row.code == ok) {
			t.Errorf("%s: the handler ran: %v, want %v", row.method, ran, row.code == ok)
		}
		if row.code != ok {
			continue
		}
		if caller := l.files.caller.Load(); caller == nil || caller.ClientID() != clientID {
			t.Errorf("%s: the handler saw the caller %v, want the client %s", row.method, caller, clientID)
		}
	}
}

func TestPublicMethodReadsNoToken(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	for name, headers := range map[string][]header{
		"no token":    nil,
		"good token":  {bearer(l.issuer.good())},
		"junk":        {bearer("junk")},
		"other one":   {{"authorization", "Basic eDp5"}},
		"two of them": {bearer("a"), bearer("b")},
	} {
		if got := l.call(t, version, headers...); got.code != ok {
			t.Errorf("%s: got %v %s, want OK", name, got.code, got.message)
		}
		if caller := l.files.caller.Load(); caller != nil {
			t.Errorf("%s: the handler of a public method saw the caller %v", name, caller.ClientID())
		}
	}
}

// A caller in the context of a public method can only come from somewhere that
// verified nothing.
func TestPublicMethodHidesCallers(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	ctx := serverauth.ContextWithPrincipal(t.Context(), serverauth.NewPrincipal(serverauth.PrincipalSpec{ClientID: "somebody"}))
	seen := false
	_, err := l.auth.UnaryServerInterceptor()(ctx, nil, &grpc.UnaryServerInfo{FullMethod: version},
		func(ctx context.Context, _ any) (any, error) {
			_, seen = serverauth.PrincipalFromContext(ctx)
			return struct{}{}, nil
		})
	if err != nil || seen {
		t.Errorf("got error %v and a caller: %v, want neither", err, seen)
	}
}

func TestInsufficientScopeTellsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	for _, row := range []struct{ method, scope, message, challenge, required, granted string }{
		{
			deleteFile, "demo/read.file", deleteFile + " needs demo/write.file; the token has demo/read.file",
			`Bearer error="insufficient_scope", scope="demo/write.file"`, "demo/write.file", "demo/read.file",
		},
		{
			statFile, "", statFile + " needs demo/read.file or demo/write.file; the token has no scope",
			`Bearer error="insufficient_scope", scope="demo/read.file"`, "demo/read.file | demo/write.file", "",
		},
		{
			appendFile, "a/b c/d", appendFile + " needs demo/read.file and demo/write.file; the token has a/b c/d",
			`Bearer error="insufficient_scope", scope="demo/read.file demo/write.file"`, "demo/read.file demo/write.file", "a/b c/d",
		},
	} {
		got := l.call(t, row.method, bearer(l.issuer.token(goodHeader, with("scope", fmt.Sprintf("%q", row.scope)))))
		if got.message != row.message {
			t.Errorf("message: got %q, want %q", got.message, row.message)
		}
		if !slices.Equal(got.challenge, []string{row.challenge}) {
			t.Errorf("challenge: got %q, want %q", got.challenge, row.challenge)
		}
		if got.metadata["required"] != row.required || got.metadata["granted"] != row.granted {
			t.Errorf("metadata: got %v, want required %q and granted %q", got.metadata, row.required, row.granted)
		}
	}
	log := l.log.String()
	for _, want := range []string{"refused INSUFFICIENT_SCOPE", "required=demo/write.file", "granted=demo/read.file", "client_id=" + clientID, "AllowedOAuthScopes"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

// handMade is a service without a descriptor.
var handMade = grpc.ServiceDesc{
	ServiceName: "acme.Hand",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Do",
		Handler: func(_ any, ctx context.Context, decode func(any) error, icpt grpc.UnaryServerInterceptor) (any, error) {
			var req healthpb.HealthCheckRequest
			if err := decode(&req); err != nil { // as generated code does: nothing is answered before
				return nil, err
			}
			return icpt(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/acme.Hand/Do"}, func(context.Context, any) (any, error) {
				return nil, errors.New("the handler ran")
			})
		},
	}},
}

func TestMethodsWithoutARule(t *testing.T) {
	t.Parallel()
	ran := false
	l := newLab(t, setup{
		unsafe: true,
		register: func(s *grpc.Server) {
			healthpb.RegisterHealthServer(s, health.NewServer())
			reflection.Register(s)
			s.RegisterService(&handMade, nil)
		},
		server: []grpc.ServerOption{grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
			ran = true
			return nil
		})},
	})
	for _, row := range []struct {
		method string
		fine   serverauth.Reason
	}{
		{"/grpc.health.v1.Health/Check", serverauth.ReasonMethodNotAnnotated},
		{"/grpc.health.v1.Health/Watch", serverauth.ReasonMethodNotAnnotated},
		{"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", serverauth.ReasonMethodNotAnnotated},
		{"/acme.Hand/Do", serverauth.ReasonMethodNotAllowed},
		{"/acme.Unknown/Do", serverauth.ReasonMethodNotAllowed},
		{"//demo.files.v1.FileReadService/Version", serverauth.ReasonMethodNotAllowed},
		{"/demo.files.v1.FileReadService/Version/", serverauth.ReasonMethodNotAllowed},
		{"/demo.files.v1.FileReadService/version", serverauth.ReasonMethodNotAllowed},
	} {
		got := l.call(t, row.method, bearer(l.issuer.good()))
		if got.code != p || got.reason != row.fine {
			t.Errorf("%s with a good token: got %v %s, want PERMISSION_DENIED %s", row.method, got.code, got.reason, row.fine)
		}
		// A stranger learns nothing about which methods there are.
		got = l.call(t, row.method)
		if got.code != u || got.reason != serverauth.ReasonTokenMissing {
			t.Errorf("%s without a token: got %v %s, want UNAUTHENTICATED TOKEN_MISSING", row.method, got.code, got.reason)
		}
	}
	if ran {
		t.Error("the handler of unknown services ran")
	}
}

func TestUnknownMethodIsGRPCsOwnAnswer(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	if got := l.call(t, "/demo.files.v1.FileReadService/Nope", bearer(l.issuer.good())); got.code != codes.Unimplemented {
		t.Errorf("got %v, want UNIMPLEMENTED", got.code)
	}
}

func TestPublicHealth(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{
		options: []serverauth.Option{serverauth.PublicHealth()},
		register: func(s *grpc.Server) {
			checks := health.NewServer()
			healthpb.RegisterHealthServer(s, checks)
			reflection.Register(s)
			checks.Shutdown()
		},
		unsafe: true, // reflection has no rule here
	})
	for method, code := range map[string]codes.Code{
		"/grpc.health.v1.Health/Check":                                   ok,
		"/grpc.health.v1.Health/List":                                    u,
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      u,
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": u,
	} {
		if got := l.call(t, method); got.code != code {
			t.Errorf("%s without a token: got %v %s, want %v", method, got.code, got.message, code)
		}
	}
	rules, err := policy.New(policy.WithRule("/grpc.health.v1.Health/Check", policy.Authenticated()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := serverauth.New(l.verifier, rules, serverauth.PublicHealth()); err == nil || !strings.Contains(err.Error(), "leave out one of the two") {
		t.Errorf("PublicHealth beside another rule for it: got %v, want an error", err)
	}
	if got := l.call(t, whoAmI); got.code != u {
		t.Errorf("another method without a token: got %v, want UNAUTHENTICATED", got.code)
	}
}

// AuthFunc makes the same decisions behind go-grpc-middleware's interceptors.
func TestAuthFunc(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	server, client := tlsConfigs(t)
	f := &files{}
	srv := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(server)),
		grpc.ChainUnaryInterceptor(auth.UnaryServerInterceptor(l.auth.AuthFunc())),
		grpc.ChainStreamInterceptor(auth.StreamServerInterceptor(l.auth.AuthFunc())),
	)
	filesv1.RegisterFileReadServiceServer(srv, f)
	filesv1.RegisterFileWriteServiceServer(srv, f)
	lis := listen(t)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	other := &lab{addr: lis.Addr().String(), tls: client}
	for _, row := range []struct {
		method string
		token  string
		code   codes.Code
	}{
		{whoAmI, l.issuer.good(), ok},
		{readFile, l.issuer.good(), ok},
		{deleteFile, l.issuer.good(), p},
		{writeFile, l.issuer.good(), p},
		{whoAmI, "junk", u},
		{whoAmI, "", u},
		{version, "", ok},
	} {
		var headers []header
		if row.token != "" {
			headers = append(headers, bearer(row.token))
		}
		if got := other.call(t, row.method, headers...); got.code != row.code {
			t.Errorf("%s: got %v %s, want %v", row.method, got.code, got.message, row.code)
		}
	}
	remote := grpc.NewContextWithServerTransportStream(metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+l.issuer.good())), wire(whoAmI))
	if _, err := l.auth.AuthFunc()(peer.NewContext(remote, &peer.Peer{Addr: address{"tcp", "192.0.2.1:1"}})); status.Code(err) != p {
		t.Errorf("in plaintext from another machine: got %v, want PERMISSION_DENIED", err)
	}
	if _, err := l.auth.AuthFunc()(t.Context()); status.Code(err) != p {
		t.Errorf("outside of a call: got %v, want PERMISSION_DENIED", err)
	}
}

// wire is a call on a server, as far as interceptors see it.
type wire string

func (w wire) Method() string             { return string(w) }
func (wire) SetHeader(metadata.MD) error  { return nil }
func (wire) SendHeader(metadata.MD) error { return nil }
func (wire) SetTrailer(metadata.MD) error { return nil }

// A service that is registered under a second name is judged by that name's rules,
// although generated code tells interceptors the first one.
func TestServiceUnderAnotherName(t *testing.T) {
	t.Parallel()
	alias := filesv1.FileReadService_ServiceDesc
	alias.ServiceName = "acme.admin.Files"
	rules, err := policy.New(
		policy.WithService(alias.ServiceName, "StatFile", "ListFiles", "ReadFile", "WhoAmI", "Version"),
		policy.WithRule(alias.ServiceName, policy.AllOf("admin/everything")))
	if err != nil {
		t.Fatal(err)
	}
	f := &files{}
	l := newLab(t, setup{policy: rules, register: func(s *grpc.Server) { s.RegisterService(&alias, f) }})
	for _, method := range []string{"Version", "WhoAmI", "StatFile", "ReadFile"} {
		full := "/acme.admin.Files/" + method
		if got := l.call(t, full); got.code != u {
			t.Errorf("%s without a token: got %v, want UNAUTHENTICATED", full, got.code)
		}
		if got := l.call(t, full, bearer(l.issuer.good())); got.code != p {
			t.Errorf("%s without admin/everything: got %v, want PERMISSION_DENIED", full, got.code)
		}
	}
	if n := f.ran.Load(); n != 0 {
		t.Errorf("handlers ran %d times", n)
	}
}

// Headers beyond the bound never reach a check, and cost the caller its connection.
func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	if _, err := l.tryCall(whoAmI, bearer(l.issuer.good()), header{"x-pad", strings.Repeat("a", 40<<10)}); err == nil || l.files.ran.Load() != 0 {
		t.Errorf("40 KiB of headers: got %v, want the connection to end", err)
	}
}

// What goes over the wire does not depend on the cause, even if an interceptor wraps
// the error and so makes gRPC use its text.
func TestErrorHidesItsCause(t *testing.T) {
	t.Parallel()
	refusal := serverauth.NewError(serverauth.ReasonIssuerMismatch, errors.New("secret details"))
	wrapped := fmt.Errorf("interceptor: %w", refusal)
	for _, text := range []string{refusal.Error(), refusal.GRPCStatus().Message(), status.Convert(wrapped).Message(), fmt.Sprintf("%v %+v", refusal, wrapped)} {
		if strings.Contains(text, "secret") || strings.Contains(text, "ISSUER") {
			t.Errorf("got %q: it tells the cause", text)
		}
	}
	if errors.Unwrap(refusal) == nil || status.Code(wrapped) != u {
		t.Error("the server's own code cannot get at the cause or the code")
	}
}
