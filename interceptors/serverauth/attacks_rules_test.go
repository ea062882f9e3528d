// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	_ "google.golang.org/protobuf/types/known/emptypb" // of the methods that are made here

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	scopeauthv1 "github.com/scopeauth/scopeauth/gen/scopeauth/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// E5: a registered method without an access rule keeps the server from starting, and is
// closed on a server that was started around that.
func TestE5MethodWithoutARule(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{unsafe: true, register: func(s *grpc.Server) { healthpb.RegisterHealthServer(s, health.NewServer()) }})
	defer l.fetchesNothing(t)()
	srv := grpc.NewServer(l.auth.ServerOptions()...)
	srv.Stop() // so that a Serve without the check would return, too
	healthpb.RegisterHealthServer(srv, health.NewServer())
	err := l.auth.Serve(srv, listen(t))
	if check, isCheck := errors.AsType[*policy.CheckError](err); !isCheck || len(check.Faults) != 1 || check.Faults[0].Service != "grpc.health.v1.Health" {
		t.Errorf("Serve: got %v, want a *policy.CheckError about grpc.health.v1.Health", err)
	}
	for range 2 { // the second token is remembered
		got := l.call(t, healthpb.Health_Check_FullMethodName, bearer(l.issuer.good()))
		if got.code != p || got.reason != serverauth.ReasonMethodNotAnnotated || len(got.challenge) != 0 {
			t.Errorf("started anyway: got %v %s %q, want PERMISSION_DENIED METHOD_NOT_ANNOTATED", got.code, got.reason, got.challenge)
		}
	}
	if got := l.call(t, healthpb.Health_Check_FullMethodName); got.code != u || got.reason != serverauth.ReasonTokenMissing {
		t.Errorf("without a token: got %v %s, want UNAUTHENTICATED TOKEN_MISSING", got.code, got.reason)
	}
}

// ruleStates is a service whose methods differ in their option alone.
func ruleStates(t *testing.T, options map[string]string) (protoreflect.FileDescriptor, *grpc.ServiceDesc) {
	t.Helper()
	service := &descriptorpb.ServiceDescriptorProto{Name: new("States")}
	desc := &grpc.ServiceDesc{ServiceName: "acme.States", HandlerType: (*any)(nil)}
	for name, text := range options {
		method := &descriptorpb.MethodDescriptorProto{
			Name: new(name), InputType: new(".google.protobuf.Empty"), OutputType: new(".google.protobuf.Empty"),
		}
		if text != "unset" {
			method.Options = &descriptorpb.MethodOptions{}
			if err := prototext.Unmarshal([]byte("[scopeauth.v1.method] {"+text+"}"), method.GetOptions()); err != nil {
				t.Fatal(err)
			}
		}
		service.Method = append(service.Method, method)
		full := "/acme.States/" + name
		desc.Methods = append(desc.Methods, grpc.MethodDesc{
			MethodName: name,
			Handler: func(_ any, ctx context.Context, _ func(any) error, icpt grpc.UnaryServerInterceptor) (any, error) {
				return icpt(ctx, nil, &grpc.UnaryServerInfo{FullMethod: full}, func(context.Context, any) (any, error) {
					return &filesv1.VersionResponse{}, nil
				})
			},
		})
	}
	file := &descriptorpb.FileDescriptorProto{
		Name: new("acme/states.proto"), Package: new("acme"), Syntax: new("proto3"),
		Dependency: []string{"google/protobuf/empty.proto", scopeauthv1.File_scopeauth_v1_scopeauth_proto.Path()},
		Service:    []*descriptorpb.ServiceDescriptorProto{service},
	}
	raw, err := proto.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	again := &descriptorpb.FileDescriptorProto{} // as a program gets it
	if err := proto.Unmarshal(raw, again); err != nil {
		t.Fatal(err)
	}
	fd, err := protodesc.NewFile(again, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return fd, desc
}

// E6: no option, public, and any valid token are three things; an option that says
// nothing is none of the last two.
func TestE6StatesOfTheOption(t *testing.T) {
	t.Parallel()
	states := map[string]string{
		"Unset":         "unset",
		"Empty":         "",
		"NoScope":       `scope: ""`,
		"NoScopes":      "scopes: {}",
		"Two":           `authenticated: {} public: { reason: "x" }`,
		"Public":        `public: { reason: "shows the state" }`,
		"Authenticated": "authenticated: {}",
		"One":           `scope: "demo/read.file"`,
	}
	fd, desc := ruleStates(t, states)
	rules, err := policy.New(policy.WithFiles(fd, filesv1.File_demo_files_v1_files_proto, echov1.File_demo_echo_v1_echo_proto))
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, setup{policy: rules, unsafe: true, register: func(s *grpc.Server) { s.RegisterService(desc, nil) }})
	defer l.fetchesNothing(t)()
	for _, method := range []string{"Empty", "NoScope", "NoScopes", "Two"} {
		if want := "a linked service has a faulty access rule; calls to it are refused\" service=acme.States method=" + method + " "; !strings.Contains(l.log.String(), want) {
			t.Errorf("%s: the log does not say that its rule is faulty:\n%s", method, l.log.String())
		}
	}
	none, one := l.issuer.token(goodHeader, with("scope", "")), l.issuer.good()
	for method, want := range map[string][3]codes.Code{ // without a token, with one without scopes, with a scope
		"Unset":         {u, p, p},
		"Empty":         {u, p, p},
		"NoScope":       {u, p, p},
		"NoScopes":      {u, p, p},
		"Two":           {u, p, p},
		"Public":        {ok, ok, ok},
		"Authenticated": {u, ok, ok},
		"One":           {u, p, ok},
	} {
		for i, headers := range [][]header{nil, {bearer(none)}, {bearer(one)}} {
			got := l.call(t, "/acme.States/"+method, headers...)
			reason := serverauth.Reason("")
			switch {
			case want[i] == u:
				reason = serverauth.ReasonTokenMissing
			case want[i] == p && method == "One":
				reason = serverauth.ReasonInsufficientScope
			case want[i] == p:
				reason = serverauth.ReasonMethodNotAnnotated
			}
			if got.code != want[i] || got.reason != reason {
				t.Errorf("%s, call %d: got %v %s, want %v %s", method, i, got.code, got.reason, want[i], reason)
			}
		}
	}
	srv := grpc.NewServer(l.auth.ServerOptions()...)
	srv.Stop()
	srv.RegisterService(desc, nil)
	check, isCheck := errors.AsType[*policy.CheckError](l.auth.Serve(srv, listen(t)))
	if !isCheck {
		t.Fatal("the server starts")
	}
	var faulty []string
	for _, f := range check.Faults {
		faulty = append(faulty, f.Method)
	}
	slices.Sort(faulty)
	if got, want := strings.Join(slices.Compact(faulty), " "), "Empty NoScope NoScopes Two Unset"; got != want {
		t.Errorf("the server does not start because of %s, want %s", got, want)
	}
}

const (
	reflectionV1      = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
	reflectionV1alpha = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
)

func registerInfrastructure(s *grpc.Server) {
	healthpb.RegisterHealthServer(s, health.NewServer())
	reflection.Register(s)
}

// E7: the services that come with gRPC are closed as all others, the streams among
// their methods too.
func TestE7InfrastructureIsClosed(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{unsafe: true, register: registerInfrastructure})
	defer l.fetchesNothing(t)()
	for _, method := range []string{
		healthpb.Health_Check_FullMethodName, healthpb.Health_Watch_FullMethodName, healthpb.Health_List_FullMethodName,
		reflectionV1, reflectionV1alpha,
	} {
		if got := l.call(t, method); got.code != u || got.reason != serverauth.ReasonTokenMissing || got.messages != 0 {
			t.Errorf("%s without a token: got %v %s, want UNAUTHENTICATED TOKEN_MISSING", method, got.code, got.reason)
		}
		if got := l.call(t, method, bearer(l.issuer.good())); got.code != p || got.reason != serverauth.ReasonMethodNotAnnotated || got.messages != 0 {
			t.Errorf("%s with a token: got %v %s, want PERMISSION_DENIED METHOD_NOT_ANNOTATED", method, got.code, got.reason)
		}
	}
}

// E7: what is listed by its exact name is open, and nothing else of the same service or
// of its other version.
func TestE7InfrastructureThatIsListed(t *testing.T) {
	t.Parallel()
	rules, err := policy.New(policy.WithRule(reflectionV1, policy.AllOf("demo/read.file")))
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, setup{
		unsafe: true, register: registerInfrastructure, policy: rules,
		options: []serverauth.Option{serverauth.PublicHealth()},
	})
	defer l.fetchesNothing(t)()
	with, without := bearer(l.issuer.good()), bearer(l.issuer.token(goodHeader, with("scope", "")))
	for _, row := range []struct {
		method  string
		headers []header
		code    codes.Code
	}{
		{healthpb.Health_Check_FullMethodName, nil, ok},
		{healthpb.Health_List_FullMethodName, nil, u},
		{healthpb.Health_List_FullMethodName, []header{without}, ok},
		{reflectionV1, nil, u},
		{reflectionV1, []header{without}, p},
		{reflectionV1, []header{with}, codes.InvalidArgument}, // its own answer to an empty question
		{reflectionV1alpha, nil, u},
		{reflectionV1alpha, []header{with}, p},
	} {
		if got := l.call(t, row.method, row.headers...); got.code != row.code {
			t.Errorf("%s with %d headers: got %v %s, want %v", row.method, len(row.headers), got.code, got.reason, row.code)
		}
	}
	c := l.dial(t) // Watch does not end
	defer c.close()
	c.open(t, healthpb.Health_Watch_FullMethodName)
	c.send(t, nil)
	c.closeSend(t)
	if !c.recv(t) {
		t.Errorf("Watch without a token: got %v, want a message", c.finish(t).code)
	}
}

// E8: a service that was registered after the check is decided by the same rules, so
// one without a rule is closed; nothing is open because nobody knew of it.
func TestE8RegisteredAfterTheCheck(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]serverauth.Option{"interceptors": nil, "header frame": {serverauth.RefuseBeforeDecoding()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, setup{options: options})
			defer l.fetchesNothing(t)()
			server, client := tlsConfigs(t)
			srv := grpc.NewServer(append(l.auth.ServerOptions(), grpc.Creds(credentials.NewTLS(server)))...)
			filesv1.RegisterFileReadServiceServer(srv, l.files)
			if err := l.auth.CheckServer(srv); err != nil {
				t.Fatal(err)
			}
			registerInfrastructure(srv)
			srv.RegisterService(&handMade, nil)
			echov1.RegisterEchoServiceServer(srv, echo{})
			lis := listen(t)
			done := make(chan error, 1)
			go func() { done <- srv.Serve(lis) }()
			t.Cleanup(func() { srv.Stop(); <-done })
			late := &lab{addr: lis.Addr().String(), tls: client}
			for _, row := range []struct {
				method, token string
				code          codes.Code
				wire          serverauth.Reason
			}{
				{whoAmI, l.issuer.good(), ok, ""},
				{"/acme.Hand/Do", "", u, serverauth.ReasonTokenMissing},
				{"/acme.Hand/Do", l.issuer.good(), p, serverauth.ReasonMethodNotAllowed}, // no descriptor
				{healthpb.Health_Check_FullMethodName, "", u, serverauth.ReasonTokenMissing},
				{healthpb.Health_Check_FullMethodName, l.issuer.good(), p, serverauth.ReasonMethodNotAnnotated},
				{healthpb.Health_Watch_FullMethodName, l.issuer.good(), p, serverauth.ReasonMethodNotAnnotated},
				{reflectionV1, l.issuer.good(), p, serverauth.ReasonMethodNotAnnotated},
				{echoOnce, "", u, serverauth.ReasonTokenMissing}, // it has a rule, which holds
				{echoOnce, l.issuer.good(), p, serverauth.ReasonInsufficientScope},
				{echoOnce, l.echoToken(), ok, ""},
			} {
				var headers []header
				if row.token != "" {
					headers = append(headers, bearer(row.token))
				}
				if got := late.call(t, row.method, headers...); got.code != row.code || got.reason != row.wire {
					t.Errorf("%s: got %v %s, want %v %s", row.method, got.code, got.reason, row.code, row.wire)
				}
			}
		})
	}
}

// cautious has handlers that ask for their caller themselves.
type cautious struct {
	files

	passed bool
}

func (c *cautious) WhoAmI(ctx context.Context, _ *filesv1.WhoAmIRequest) (*filesv1.WhoAmIResponse, error) {
	if _, err := serverauth.RequirePrincipal(ctx); err != nil {
		return nil, err
	}
	c.passed = true
	return &filesv1.WhoAmIResponse{}, nil
}

func (c *cautious) ReadFile(_ *filesv1.ReadFileRequest, s grpc.ServerStreamingServer[filesv1.ReadFileResponse]) error {
	if _, err := serverauth.RequirePrincipal(s.Context()); err != nil {
		return err
	}
	c.passed = true
	return nil
}

// E9: a server with one of the two interceptors. gRPC does not tell, so the handler's
// own question for its caller must fail for the kind of call that nobody looked at.
func TestE9OneInterceptorOnly(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	defer l.fetchesNothing(t)()
	server, client := tlsConfigs(t)
	for name, row := range map[string]struct {
		option          grpc.ServerOption
		guarded, around string
	}{
		"the unary one":  {grpc.ChainUnaryInterceptor(l.auth.UnaryServerInterceptor()), whoAmI, readFile},
		"the stream one": {grpc.ChainStreamInterceptor(l.auth.StreamServerInterceptor()), readFile, whoAmI},
	} {
		f := &cautious{}
		srv := grpc.NewServer(row.option, grpc.Creds(credentials.NewTLS(server)))
		filesv1.RegisterFileReadServiceServer(srv, f)
		lis := listen(t)
		done := make(chan error, 1)
		go func() { done <- srv.Serve(lis) }()
		half := &lab{addr: lis.Addr().String(), tls: client}
		for _, headers := range [][]header{nil, {bearer("junk")}, {bearer(l.issuer.good())}} {
			if got := half.call(t, row.around, headers...); got.code != u || got.reason != serverauth.ReasonTokenMissing {
				t.Errorf("%s, %s: got %v %s, want UNAUTHENTICATED TOKEN_MISSING of the handler", name, row.around, got.code, got.reason)
			}
		}
		if f.passed {
			t.Errorf("%s: the handler was reached without a caller", name)
		}
		if got := half.call(t, row.guarded, bearer(l.issuer.good())); got.code != ok || !f.passed {
			t.Errorf("%s, %s: got %v %s, want OK", name, row.guarded, got.code, got.reason)
		}
		srv.Stop()
		if err := <-done; err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("Serve: %v", err)
		}
	}
}
