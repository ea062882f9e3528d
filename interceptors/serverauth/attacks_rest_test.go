// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
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

// The rows of the table of attacks that need more than a header in a call: names of
// methods, servers that are set up wrong, and what only the transport can refuse.

// A9 and A10: what HTTP/2 forbids in a header field does not get as far as gRPC.
func TestA9A10HeadersThatTheTransportRefuses(t *testing.T) {
	t.Parallel()
	reports := &restReports{}
	l := newLab(t, setup{options: []serverauth.Option{serverauth.WithReporter(reports)}})
	defer l.fetchesNothing(t)()
	token := l.issuer.good()
	for name, headers := range map[string][]header{
		"A9/upper case":               {{"Authorization", "Bearer " + token}},
		"A9/upper case and lower":     {bearer(token), {"AUTHORIZATION", "Bearer " + token}},
		"A9/upper case and no other":  {{"X-Upper", "1"}, bearer(token)},
		"A10/CR":                      {{"authorization", "Bearer " + token + "\r"}},
		"A10/LF":                      {{"authorization", "Bearer " + token + "\nx-more: 1"}},
		"A10/NUL":                     {{"authorization", "Bearer \x00" + token}},
		"A10/NUL in another value":    {bearer(token), {"x-pad", "\x00"}},
		"A10/line break in a name":    {bearer(token), {"x\r\npad", "1"}},
		"A10/CR and LF before a name": {{"authorization", "\r\nBearer " + token}},
	} {
		got, err := l.tryCall(whoAmI, headers...)
		if err == nil || !strings.Contains(err.Error(), "the stream was reset: PROTOCOL_ERROR") {
			t.Errorf("%s: got %v %s, %v, want the stream to be reset", name, got.code, got.reason, err)
		}
	}
	if n := l.files.ran.Load() + int64(reports.count()); n != 0 {
		t.Errorf("%d times the handler ran or somebody decided", n)
	}
}

// restReports counts decisions.
type restReports struct {
	mu sync.Mutex
	n  int
}

// Report implements serverauth.Reporter.
func (r *restReports) Report(context.Context, serverauth.Decision) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
}

func (r *restReports) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// inMemory is the context of a call that no transport has looked at.
func inMemory(ctx context.Context, values ...string) context.Context {
	ctx = metadata.NewIncomingContext(ctx, metadata.MD{"authorization": values})
	return peer.NewContext(ctx, &peer.Peer{Addr: address{"bufconn", "bufconn"}})
}

// restStream is a stream as far as the interceptor looks at it.
type restStream struct {
	grpc.ServerStream

	ctx context.Context
}

func (s restStream) Context() context.Context { return s.ctx }

// A10 where no transport stands before the interceptors: the token's alphabet is checked.
func TestA10ValuesThatNoTransportRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	defer l.fetchesNothing(t)()
	token := l.issuer.good()
	half := len(token) / 2
	for name, row := range map[string]struct {
		value string
		fine  serverauth.Reason
	}{
		"CR at the end":    {"Bearer " + token + "\r", serverauth.ReasonTokenMalformed},
		"LF at the end":    {"Bearer " + token + "\n", serverauth.ReasonTokenMalformed},
		"LF inside":        {"Bearer " + token[:half] + "\n" + token[half:], serverauth.ReasonTokenMalformed},
		"CR and LF inside": {"Bearer " + token[:half] + "\r\n" + token[half:], serverauth.ReasonTokenMalformed},
		"NUL inside":       {"Bearer " + token[:half] + "\x00" + token[half:], serverauth.ReasonTokenMalformed},
		"NUL at the end":   {"Bearer " + token + "\x00", serverauth.ReasonTokenMalformed},
		"LF after Bearer":  {"Bearer\n" + token, serverauth.ReasonSchemeUnsupported},
		"NUL after Bearer": {"Bearer\x00 " + token, serverauth.ReasonSchemeUnsupported},
		"LF in front":      {"\nBearer " + token, serverauth.ReasonSchemeUnsupported},
	} {
		ctx := inMemory(t.Context(), row.value)
		_, unary := l.auth.UnaryServerInterceptor()(ctx, nil, &grpc.UnaryServerInfo{FullMethod: whoAmI}, func(context.Context, any) (any, error) {
			t.Errorf("%s: the handler of a unary call ran", name)
			return nil, nil
		})
		stream := l.auth.StreamServerInterceptor()(nil, restStream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: readFile}, func(any, grpc.ServerStream) error {
			t.Errorf("%s: the handler of a stream ran", name)
			return nil
		})
		for _, err := range []error{unary, stream} {
			refusal, isError := errors.AsType[*serverauth.Error](err)
			if !isError || refusal.Code() != u || refusal.Reason() != row.fine {
				t.Errorf("%s: got %v, want UNAUTHENTICATED %s", name, err, row.fine)
			}
		}
	}
	ran := false // the same context without them passes
	if _, err := l.auth.UnaryServerInterceptor()(inMemory(t.Context(), "Bearer "+token), nil, &grpc.UnaryServerInfo{FullMethod: whoAmI}, func(context.Context, any) (any, error) {
		ran = true
		return nil, nil
	}); err != nil || !ran {
		t.Errorf("a good value: got %v", err)
	}
}

// perCall sends a token as call credentials do.
type perCall string

func (c perCall) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(c)}, nil
}

func (perCall) RequireTransportSecurity() bool { return true }

// A14: a gateway forwards its caller's authorization, and the call has credentials of
// its own. Which one is meant cannot be known.
func TestA14ForwardedAndOwnCredentials(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	defer l.fetchesNothing(t)()
	conn, err := grpc.NewClient(l.addr, grpc.WithTransportCredentials(credentials.NewTLS(l.tls)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client, own := filesv1.NewFileReadServiceClient(conn), grpc.PerRPCCredentials(perCall(l.issuer.good()))
	for name, row := range map[string]struct {
		forwarded []string
		code      codes.Code
	}{
		"a user's":           {[]string{"authorization", "Bearer " + l.issuer.token(goodHeader, with("token_use", `"id"`))}, u},
		"the same":           {[]string{"authorization", "Bearer " + l.issuer.good()}, u},
		"of another kind":    {[]string{"authorization", "Basic dXNlcjpwYXNz"}, u},
		"empty":              {[]string{"authorization", ""}, u},
		"the gateway's copy": {[]string{"grpcgateway-authorization", "Bearer " + l.issuer.good()}, ok},
		"none":               {nil, ok},
	} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), row.forwarded...)
		_, err := client.WhoAmI(ctx, &filesv1.WhoAmIRequest{}, own)
		if got := status.Code(err); got != row.code {
			t.Errorf("%s: got %v, want %v", name, err, row.code)
		}
		if row.code != u {
			continue
		}
		if refusal := l.lastRefusal(); refusal == nil || refusal.Reason() != serverauth.ReasonAuthorizationDuplicated {
			t.Errorf("%s: got %v, want AUTHORIZATION_DUPLICATED", name, refusal)
		}
	}
	got := l.call(t, whoAmI, header{"grpcgateway-authorization", "Bearer " + l.issuer.good()})
	if got.code != u || got.reason != serverauth.ReasonTokenMissing {
		t.Errorf("the gateway's copy alone: got %v %s, want TOKEN_MISSING", got.code, got.reason)
	}
}

// B23 and B24: there is one algorithm, so the others' weak forms are refused by name,
// before any key is looked at.
func TestB23B24NoOtherAlgorithm(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(alg string) string {
		return b64(`{"kid":"`+goodKeyID+`","alg":"`+alg+`"}`) + "." + b64(goodClaims)
	}
	sum := sha256.Sum256([]byte(signed("ES256")))
	der, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	fixed := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	encoded := base64.RawURLEncoding.EncodeToString
	for name, token := range map[string]string{
		"B23/ES256, 64 bytes":             signed("ES256") + "." + encoded(fixed),
		"B23/ES256, DER":                  signed("ES256") + "." + encoded(der),
		"B23/ES256, r and s of 0":         signed("ES256") + "." + encoded(make([]byte, 64)),
		"B23/ES384":                       signed("ES384") + "." + encoded(fixed),
		"B23/EdDSA":                       signed("EdDSA") + "." + encoded(fixed),
		"B24/PS256, salt of the hash":     signPSS(l.issuer.access, signed("PS256")),
		"B24/PS384":                       signPSS(l.issuer.access, signed("PS384")),
		"B24/PS256, an RS256 signature":   sign(l.issuer.access, signed("PS256")),
		"B24/PS256, of another key's kid": signPSS(l.issuer.stranger, signed("PS256")),
	} {
		fetched := l.issuer.fetches.Load()
		got := l.call(t, whoAmI, bearer(token))
		if refusal := l.lastRefusal(); got.code != u || got.reason != invalid || refusal.Reason() != serverauth.ReasonAlgNotAllowed {
			t.Errorf("%s: got %v %s (%s), want UNAUTHENTICATED TOKEN_INVALID (ALG_NOT_ALLOWED)", name, got.code, got.reason, refusal.Reason())
		}
		if l.issuer.fetches.Load() != fetched {
			t.Errorf("%s: keys were fetched", name)
		}
	}
}

// remoteListener makes all connections come from another machine.
type remoteListener struct{ net.Listener }

type remoteConn struct{ net.Conn }

func (l remoteListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return remoteConn{conn}, nil
}

func (remoteConn) RemoteAddr() net.Addr { return address{"tcp", "192.0.2.1:50000"} }

// C26: whoever has the token may use it, on any connection; but not over the network
// in plaintext, where the token is not even read.
func TestC26ReplayAndPlaintext(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	defer l.fetchesNothing(t)()
	token := l.issuer.good()
	for range 3 { // each call has a connection of its own
		if got := l.call(t, whoAmI, bearer(token)); got.code != ok {
			t.Errorf("on another connection: got %v %s, want OK", got.code, got.reason)
		}
	}
	srv := grpc.NewServer(l.auth.ServerOptions()...)
	filesv1.RegisterFileReadServiceServer(srv, l.files)
	lis := listen(t)
	done := make(chan error, 1)
	go func() { done <- l.auth.Serve(srv, remoteListener{lis}) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	plain := &lab{addr: lis.Addr().String()}
	for name, row := range map[string]struct {
		method  string
		headers []header
		code    codes.Code
	}{
		"a good token": {whoAmI, []header{bearer(token)}, p},
		"junk":         {whoAmI, []header{bearer("junk")}, p},
		"no token":     {whoAmI, nil, p},
		"unknown key":  {whoAmI, []header{bearer(l.issuer.token(strangeHeader, goodClaims))}, p},
		"a stream":     {readFile, []header{bearer(token)}, p},
		"public":       {version, []header{bearer(token)}, ok},
	} {
		ran := l.files.ran.Load()
		got := plain.call(t, row.method, row.headers...)
		if got.code != row.code || row.code == p && got.reason != serverauth.ReasonTransportInsecure {
			t.Errorf("%s in plaintext: got %v %s, want %v", name, got.code, got.reason, row.code)
		}
		if passed := l.files.ran.Load() != ran; passed != (row.code == ok) {
			t.Errorf("%s in plaintext: the handler ran: %v", name, passed)
		}
	}
}

// strangeHeader names a key that the issuer does not have.
const strangeHeader = `{"kid":"strange","alg":"RS256"}`

// strangePaths are names of methods that are near to those of a registered method.
var strangePaths = []struct{ id, path string }{
	{"E1", "demo.files.v1.FileReadService/WhoAmI"},
	{"E1", "demo.files.v1.FileReadService/Version"},
	{"E1", ""},
	{"E1", "WhoAmI"},
	{"E1", "*"},
	{"E2", "//demo.files.v1.FileReadService/WhoAmI"},
	{"E2", "//demo.files.v1.FileReadService/Version"},
	{"E2", "/demo.files.v1.FileReadService//WhoAmI"},
	{"E2", "/demo.files.v1.FileReadService/WhoAmI/"},
	{"E2", "/demo.files.v1.FileReadService/Version/"},
	{"E2", "/x/../demo.files.v1.FileReadService/WhoAmI"},
	{"E2", "/./demo.files.v1.FileReadService/WhoAmI"},
	{"E2", "/demo.files.v1.FileReadService/WhoAmI?a=b"},
	{"E2", "/demo.files.v1.FileReadService/Version?a=b"},
	{"E2", "/demo.files.v1.FileReadService/WhoAmI#x"},
	{"E2", "/demo.files.v1.FileReadService/Who%41mI"},
	{"E2", "/demo%2Efiles.v1.FileReadService/WhoAmI"},
	{"E2", "/demo.files.v1.FileReadService%2FWhoAmI"},
	{"E2", "/demo.files.v1.FileReadService/whoAmI"},
	{"E2", "/demo.files.v1.FileReadService/version"},
	{"E2", "/Demo.Files.V1.FileReadService/WhoAmI"},
	{"E2", "/demo.files.v1.FileReadService/WhoAmI\t"},
	{"E2", "/demo.files.v1.FileReadService/WhoAmI%00"},
	{"E4", "/demo.files.v1.FileReadService/Nope"},
	{"E4", "/demo.files.v1.FileReadService/"},
	{"E4", "/demo.files.v1.NoService/WhoAmI"},
	{"E4", "/demo.files.v1/WhoAmI"},
	{"E4", "/"},
}

// E1, E2 and E4: of names that are not registered gRPC itself says UNIMPLEMENTED, to
// everybody, and nobody is asked. RefuseBeforeDecoding hides which there are.
func TestE1E2E4NamesThatAreNotRegistered(t *testing.T) {
	t.Parallel()
	reports := &restReports{}
	l := newLab(t, setup{options: []serverauth.Option{serverauth.WithReporter(reports)}})
	defer l.fetchesNothing(t)()
	for _, row := range strangePaths {
		for name, headers := range map[string][]header{
			"no token": nil, "a good token": {bearer(l.issuer.good())}, "junk": {bearer("junk")}, "an unknown key": {bearer(l.issuer.token(strangeHeader, goodClaims))},
		} {
			got, err := l.tryCall(row.path, headers...)
			if err != nil || got.code != codes.Unimplemented || got.reason != "" {
				t.Errorf("%s %q with %s: got %v %s, %v, want gRPC's own UNIMPLEMENTED", row.id, row.path, name, got.code, got.reason, err)
			}
		}
	}
	if n := l.files.ran.Load() + int64(reports.count()); n != 0 {
		t.Errorf("%d times a handler ran or somebody decided", n)
	}
}

// E3: with a handler for unknown services the interceptors see such names, and refuse
// them, whatever the token opens.
func TestE3UnknownServiceHandler(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{server: []grpc.ServerOption{grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		t.Error("the handler of unknown services ran")
		return nil
	})}})
	defer l.fetchesNothing(t)()
	token := l.issuer.token(goodHeader, with("scope", `"demo/read.file demo/write.file echo/call echo/stream"`))
	for _, row := range strangePaths {
		got := l.call(t, row.path)
		if !strings.HasPrefix(row.path, "/") || strings.Count(row.path, "/") < 2 {
			if got.code != codes.Unimplemented { // gRPC's own answer to a malformed name
				t.Errorf("%s %q: got %v %s, want UNIMPLEMENTED", row.id, row.path, got.code, got.reason)
			}
			continue
		}
		if got.code != u || got.reason != serverauth.ReasonTokenMissing {
			t.Errorf("%s %q without a token: got %v %s, want UNAUTHENTICATED TOKEN_MISSING", row.id, row.path, got.code, got.reason)
		}
		got = l.call(t, row.path, bearer(token))
		if got.code != p || got.reason != serverauth.ReasonMethodNotAllowed {
			t.Errorf("%s %q with a good token: got %v %s, want PERMISSION_DENIED METHOD_NOT_ALLOWED", row.id, row.path, got.code, got.reason)
		}
	}
	if n := l.files.ran.Load(); n != 0 {
		t.Errorf("handlers ran %d times", n)
	}
}

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
