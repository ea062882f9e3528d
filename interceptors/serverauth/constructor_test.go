// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// roundTripper is an http.RoundTripper made of a func.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var errNoNetwork = errors.New("this test may not use the network")

func noNetwork() serverauth.VerifierOption {
	return serverauth.WithHTTPClient(&http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, errNoNetwork
	})})
}

func TestForUserPool(t *testing.T) {
	t.Parallel()
	issuer := newTestIssuer(t)
	var asked string
	client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		asked = r.URL.String()
		r = r.Clone(r.Context())
		r.URL.Host = strings.TrimPrefix(issuer.server.URL, "https://")
		return issuer.server.Client().Transport.RoundTrip(r)
	})}
	a, err := serverauth.ForUserPool(t.Context(), poolID, serverauth.AnyClient(), serverauth.PublicHealth(),
		serverauth.WithHTTPClient(client), serverauth.WithClock(testNow), serverauth.WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if want := issuerURL + "/.well-known/jwks.json"; asked != want {
		t.Errorf("keys were fetched from %s, want %s", asked, want)
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func TestUserPoolIssuers(t *testing.T) {
	t.Parallel()
	if got, want := serverauth.UserPool("us-gov-west-1_abcDEF123").URL, "https://cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_abcDEF123"; got != want {
		t.Errorf("UserPool: got %s, want %s", got, want)
	}
	if got, want := serverauth.UserPoolUpdated(poolID).URL, "https://issuer-cognito-idp.eu-central-1.amazonaws.com/"+poolID; got != want {
		t.Errorf("UserPoolUpdated: got %s, want %s", got, want)
	}
}

// A pool of the type UPDATED: its tokens pass, those of the original form do not.
func TestUpdatedIssuer(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{issuers: func(base serverauth.Issuer) []serverauth.Issuer {
		base.URL = serverauth.UserPoolUpdated(poolID).URL
		return []serverauth.Issuer{base}
	}})
	updated := l.issuer.token(goodHeader, with("iss", `"https://issuer-cognito-idp.eu-central-1.amazonaws.com/`+poolID+`"`))
	if got := l.call(t, whoAmI, bearer(updated)); got.code != ok {
		t.Errorf("the updated form: got %v %s, want OK", got.code, got.message)
	}
	if got := l.call(t, whoAmI, bearer(l.issuer.good())); got.code != u {
		t.Errorf("the original form: got %v, want UNAUTHENTICATED", got.code)
	}
	if log := l.log.String(); !strings.Contains(log, "same pool, other issuer form: use UserPool") {
		t.Errorf("the log gives no hint:\n%s", log)
	}
}

// What is missing or wrong is an error of the constructor, before the network is asked.
func TestConstructorsRefuse(t *testing.T) {
	t.Parallel()
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	one := serverauth.Clients("one")
	verifier := func(issuers ...serverauth.Issuer) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := serverauth.NewVerifier(ctx, issuers, noNetwork())
			return err
		}
	}
	issuer := func(url, jwks string) func(context.Context) error {
		return verifier(serverauth.Issuer{URL: url, JWKSURL: jwks, Clients: one})
	}
	pool := func(id string, clients serverauth.ClientSet, opts ...serverauth.Option) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := serverauth.ForUserPool(ctx, id, clients, append(opts, noNetwork())...)
			return err
		}
	}
	authorizer := func(v serverauth.TokenVerifier, p *policy.Policy, opts ...serverauth.Option) func(context.Context) error {
		return func(context.Context) error {
			_, err := serverauth.New(v, p, opts...)
			return err
		}
	}
	stub := noVerifier(t)
	for _, row := range []struct {
		name string
		make func(context.Context) error
		want string
	}{
		{"no issuer", verifier(), "no issuer"},
		{"an issuer without a URL", issuer("", ""), "Issuer.URL is empty"},
		{"plain http", issuer("http://cognito.example/pool", ""), "must be https"},
		{"keys over plain http", issuer(issuerURL, "http://keys.example/"), "must be https"},
		{"a slash at the end", issuer(issuerURL+"/", ""), "ends with a slash"},
		{"a query", issuer(issuerURL+"?x=1", ""), "without user, query or fragment"},
		{"an upper-case host", issuer("https://COGNITO.example/pool", ""), "lower case"},
		{"no scheme", issuer("cognito.example", ""), "must be https://host/path"},
		{"no host", issuer("https:///pool", ""), "must be https://host/path"},
		{"what cannot be parsed", issuer("https://u:s3cret@[::1/pool", ""), "Issuer.URL is not a URL"},
		{"a password", issuer("https://u:s3cret@cognito.example/pool", ""), "without user, query or fragment"},
		{"a fragment", issuer("https://cognito.example/pool#x", ""), "without user, query or fragment"},
		{"another scheme", issuer("ftp://cognito.example/pool", ""), "must be https; http is for loopback only"},
		{"plain http to an address", issuer("http://10.0.0.1/pool", ""), "must be https; http is for loopback only"},
		{"an issuer twice", verifier(serverauth.Issuer{URL: issuerURL, Clients: one}, serverauth.Issuer{URL: issuerURL, Clients: one}), "given twice"},
		{"no decision about clients", verifier(serverauth.UserPool(poolID)), "no decision about app clients"},
		{"a pool id that is none", pool("demo", one), `"demo" does not look like`},
		{"an empty pool id", pool("", one), "does not look like"},
		{"a pool id with a host in it", pool("eu-central-1.evil.example/_x", one), "does not look like"},
		{"a pool id that is too long", pool("eu-central-1_"+strings.Repeat("x", 43), one), "does not look like"},
		{"a pool id that is none, without a decision", pool("demo", serverauth.ClientSet{}), "no decision about app clients"},
		{"a pool without a decision", pool(poolID, serverauth.ClientSet{}), "no decision about app clients"},
		{"an empty list of clients", pool(poolID, serverauth.Clients()), "Clients() has no client id"},
		{"an empty client id", pool(poolID, serverauth.Clients("")), "is empty"},
		{"a client id with a space", pool(poolID, serverauth.Clients("a ")), "spaces around"},
		{"a client id twice", pool(poolID, serverauth.Clients("a", "a")), "given twice"},
		{"no named client", pool(poolID, serverauth.NamedClients(nil)), "NamedClients has no client"},
		{"an empty named client", pool(poolID, serverauth.NamedClients(map[string]string{"billing": ""})), `"billing" is empty`},
		{"a blank name", pool(poolID, serverauth.NamedClients(map[string]string{" ": "id"})), "blank name"},
		{"two names for one client", pool(poolID, serverauth.NamedClients(map[string]string{"a": "x", "b": "x"})), "given twice"},
		{"a nil policy option", pool(poolID, one, serverauth.WithPolicy(nil)), "WithPolicy(nil)"},
		{"insecure without a reason", pool(poolID, one, serverauth.AllowInsecureTransport(" ")), "needs a reason"},
		{"a silly skew", pool(poolID, one, serverauth.ClockSkew(time.Hour)), "ClockSkew must be"},
		{"a negative skew", pool(poolID, one, serverauth.ClockSkew(-1)), "ClockSkew must be"},
		{"looks without a pause", pool(poolID, one, serverauth.RecheckStreams(0)), "RecheckStreams must be"},
		{"looks too often", pool(poolID, one, serverauth.RecheckStreams(100*time.Millisecond-1)), "RecheckStreams must be"},
		{"a cache without tokens", pool(poolID, one, serverauth.CacheLimits(0, 1)), "CacheLimits must be"},
		{"a cache without bytes", pool(poolID, one, serverauth.CacheLimits(1, 0)), "CacheLimits must be"},
		{"a cache beyond measure", pool(poolID, one, serverauth.CacheLimits(10_000_001, 1)), "CacheLimits must be"},
		{"no room for a token", pool(poolID, one, serverauth.MaxTokenBytes(0)), "MaxTokenBytes must be"},
		{"tokens larger than headers", pool(poolID, one, serverauth.MaxTokenBytes(30<<10+1)), "MaxTokenBytes must be"},
		{"a nil option", pool(poolID, one, nil), "an option is nil"},
		{"a nil option of the verifier", func(ctx context.Context) error {
			_, err := serverauth.NewVerifier(ctx, []serverauth.Issuer{{URL: issuerURL, Clients: one}}, noNetwork(), nil)
			return err
		}, "an option is nil"},
		{"an empty audience", verifier(serverauth.Issuer{URL: issuerURL, Clients: one, Audiences: []string{""}}), "has an empty entry"},
		{"an empty resource server", verifier(serverauth.Issuer{URL: issuerURL, Clients: one, ResourceServers: []string{"a", " "}}), "has an empty entry"},
		{"no verifier", authorizer(nil, rules), "needs a TokenVerifier"},
		{"a nil verifier", authorizer((*serverauth.Verifier)(nil), rules), "needs a TokenVerifier"},
		{"no policy", authorizer(stub, nil, serverauth.PublicHealth()), "needs a policy"},
		{"two policies", authorizer(stub, rules, serverauth.WithPolicy(rules)), "WithPolicy is for ForUserPool"},
		{"a verifier's option", authorizer(stub, rules, serverauth.ClockSkew(0)), "give it to NewVerifier"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			err := row.make(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), "serverauth: ") || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want an error of serverauth with %q", err, row.want)
			}
			if errors.Is(err, errNoNetwork) {
				t.Error("the network was asked")
			}
			if strings.Contains(fmt.Sprint(err), "s3cret") {
				t.Errorf("the error tells a password: %v", err)
			}
		})
	}
}

// What the caller does to its lists later changes nothing.
func TestIssuerIsCopied(t *testing.T) {
	t.Parallel()
	audiences, servers := []string{"https://files.example"}, []string{"demo"}
	l := newLab(t, setup{issuers: func(base serverauth.Issuer) []serverauth.Issuer {
		base.Audiences, base.ResourceServers = audiences, servers
		return []serverauth.Issuer{base}
	}})
	audiences[0], servers[0] = "https://else.example", "else"
	if got := l.call(t, readFile, bearer(l.issuer.token(goodHeader, with("aud", `"https://files.example"`)))); got.code != ok {
		t.Errorf("got %v %s, want OK", got.code, got.message)
	}
	if got := l.call(t, whoAmI, bearer(l.issuer.token(goodHeader, with("aud", `"https://else.example"`)))); got.code != u {
		t.Errorf("another audience: got %v, want UNAUTHENTICATED", got.code)
	}
}

// Plain http is for keys on this machine, as in development.
func TestIssuersOnLoopback(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"localhost", "localhost:9229", "127.0.0.1", "127.8.9.1:9229", "[::1]:9229"} {
		v, err := serverauth.NewVerifier(t.Context(), []serverauth.Issuer{{URL: "http://" + host + "/pool", Clients: serverauth.Clients("one")}},
			noNetwork(), serverauth.LazyStart(), serverauth.WithLogger(nil))
		if err != nil {
			t.Errorf("%s: got %v, want no error", host, err)
			continue
		}
		if err := v.Close(); err != nil {
			t.Errorf("%s: Close: %v", host, err)
		}
	}
}

// The first fetch of keys ends after 10 s whatever the caller's context allows.
func TestStartIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
		start := time.Now()
		patient, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := serverauth.ForUserPool(patient, poolID, serverauth.AnyClient(), serverauth.WithHTTPClient(hang), serverauth.WithLogger(nil))
		if took := time.Since(start); err == nil || took > 10*time.Second {
			t.Errorf("got %v after %v, want an error within 10 s", err, took)
		}
		if !strings.Contains(err.Error(), issuerURL) {
			t.Errorf("the error does not name the issuer: %v", err)
		}
	})
}

// fakeServer has services as a grpc.Server would report them.
type fakeServer map[string]grpc.ServiceInfo

func (s fakeServer) GetServiceInfo() map[string]grpc.ServiceInfo { return s }

func TestCheckServer(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	srv := grpc.NewServer()
	filesv1.RegisterFileReadServiceServer(srv, l.files)
	if err := l.auth.CheckServer(srv); err != nil {
		t.Errorf("a server whose methods all have rules: got %v", err)
	}
	healthpb.RegisterHealthServer(srv, health.NewServer())
	reflection.RegisterV1(srv)
	srv.RegisterService(&handMade, nil)
	err := l.auth.CheckServer(srv)
	check, isCheck := errors.AsType[*policy.CheckError](err)
	if !isCheck {
		t.Fatalf("got %v, want a *policy.CheckError", err)
	}
	for _, want := range []string{
		"scopeauth: not started",
		"grpc.health.v1.Health: add serverauth.PublicHealth()",
		"grpc.reflection.v1.ServerReflection: give it a rule in Go",
		"acme.Hand",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
	if len(check.Faults) != 3 {
		t.Errorf("got %d faults, want one for each of 3 services:\n%v", len(check.Faults), err)
	}
}

// A method that was registered and that the descriptor does not have.
func TestCheckServerFindsUndescribedMethods(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	err := l.auth.CheckServer(fakeServer{"demo.files.v1.FileReadService": {
		Methods: []grpc.MethodInfo{{Name: "StatFile"}, {Name: "FormatDisk"}},
	}})
	if err == nil || !strings.Contains(err.Error(), "demo.files.v1.FileReadService/FormatDisk") || strings.Contains(err.Error(), "StatFile") {
		t.Errorf("got %v, want an error that names FormatDisk alone", err)
	}
}

// Nobody can write into the .proto file of a service that comes without annotations, so
// it is one fault, with what can be written instead. What else is wrong with it is told
// as it is.
func TestCheckServerOfInfrastructure(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	err := l.auth.CheckServer(fakeServer{
		"acme.grpc.Own":                       {Methods: []grpc.MethodInfo{{Name: "Do"}}},
		"envoy.service.auth.v3.Authorization": {Methods: []grpc.MethodInfo{{Name: "Check"}}},
		"grpc.channelz.v1.Channelz":           {Methods: []grpc.MethodInfo{{Name: "GetServers"}, {Name: "GetSocket"}}},
		"grpc.health.v1.Health":               {Methods: []grpc.MethodInfo{{Name: "Check"}, {Name: "Watch"}, {Name: "Forge"}}},
		"xds.service.orca.v3.OpenRcaService":  {Methods: []grpc.MethodInfo{{Name: "StreamCoreMetrics"}}},
	})
	check, isCheck := errors.AsType[*policy.CheckError](err)
	if !isCheck {
		t.Fatalf("got %v, want a *policy.CheckError", err)
	}
	want := map[string]string{ // the beginning of the fix
		"acme.grpc.Own/":                       "it has no descriptor",
		"envoy.service.auth.v3.Authorization/": `give it a rule in Go: policy.WithRule("envoy.service.auth.v3.Authorization",`,
		"grpc.channelz.v1.Channelz/":           `give it a rule in Go: policy.WithRule("grpc.channelz.v1.Channelz",`,
		"grpc.health.v1.Health/":               "add serverauth.PublicHealth()",
		"grpc.health.v1.Health/Forge":          "register what the code generator made",
		"xds.service.orca.v3.OpenRcaService/":  `give it a rule in Go: policy.WithRule("xds.service.orca.v3.OpenRcaService",`,
	}
	for _, f := range check.Faults {
		if fix, wanted := want[f.Service+"/"+f.Method]; !wanted || !strings.HasPrefix(f.Fix, fix) {
			t.Errorf("got the fault %v, want %q", f, fix)
		}
	}
	if len(check.Faults) != len(want) {
		t.Errorf("got %d faults, want %d:\n%v", len(check.Faults), len(want), err)
	}
}

// A server whose author forgot the interceptors does not start.
func TestServeWantsItsInterceptors(t *testing.T) {
	t.Parallel()
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func(*serverauth.Authorizer){
		"nothing":        func(*serverauth.Authorizer) {},
		"the unary one":  func(a *serverauth.Authorizer) { a.UnaryServerInterceptor() },
		"the stream one": func(a *serverauth.Authorizer) { a.StreamServerInterceptor() },
	} {
		a, err := serverauth.New(noVerifier(t), rules)
		if err != nil {
			t.Fatal(err)
		}
		ask(a)
		srv := grpc.NewServer()
		filesv1.RegisterFileReadServiceServer(srv, &files{})
		srv.Stop() // so that a Serve without the check would return, too
		lis := listen(t)
		if err := a.Serve(srv, lis); err == nil || !strings.Contains(err.Error(), "nothing protects the server") {
			t.Errorf("after asking for %s: got %v, want a refusal to start", name, err)
		}
		if err := lis.Close(); !errors.Is(err, net.ErrClosed) { // somebody else may have its port by now
			t.Errorf("after asking for %s: the listener is still open", name)
		}
	}
}

// Serve does not start, and closes the listener, when a method has no rule.
func TestServeRefusesToStart(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	srv := grpc.NewServer(l.auth.ServerOptions()...)
	srv.Stop() // so that a Serve without the check would return, too
	healthpb.RegisterHealthServer(srv, health.NewServer())
	lis := listen(t)
	err := l.auth.Serve(srv, lis)
	if _, isCheck := errors.AsType[*policy.CheckError](err); !isCheck {
		t.Fatalf("got %v, want a *policy.CheckError", err)
	}
	if err := lis.Close(); !errors.Is(err, net.ErrClosed) { // somebody else may have its port by now
		t.Error("the listener is still open")
	}
}
