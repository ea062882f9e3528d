// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// Tokens that open another server as well are refused, whatever the other scope looks
// like.
func TestOwnScopesOnly(t *testing.T) {
	t.Parallel()
	// The lab has the services of "demo" and "echo".
	l := newLab(t, setup{options: []serverauth.Option{serverauth.OwnScopesOnly(), serverauth.WithUnlimitedLog()}})
	for _, row := range []struct {
		scopes, foreign string
		method          string
	}{
		{"demo/read.file", "", readFile},
		{"demo/read.file echo/call echo/stream", "", readFile},
		{"demo/read.file demo/unknown.name", "", readFile},
		{"", "", whoAmI},
		{"demo/read.file billing/pay", "billing/pay", readFile},
		{"billing/pay demo/read.file", "billing/pay", readFile},
		{"demo/read.file openid", "openid", readFile},
		{"demo/read.file aws.cognito.signin.user.admin", "aws.cognito.signin.user.admin", readFile},
		{"demo/read.file demo", "demo", readFile},
		{"demo/read.file demo/nested/name", "demo/nested/name", readFile},
		{"demo/read.file Demo/read.file", "Demo/read.file", readFile},
		{"demo/read.file /read.file", "/read.file", readFile},
		{"demo/read.file scopeauth/v1/read.file", "scopeauth/v1/read.file", readFile},
		{"billing/pay", "billing/pay", whoAmI}, // for a method that needs no scope, too
	} {
		for _, state := range []string{"new", "remembered"} {
			before, log := l.files.ran.Load(), len(l.log.String())
			got := l.call(t, row.method, bearer(l.of(row.scopes)))
			if row.foreign == "" {
				if got.code != ok {
					t.Errorf("%q, %s: got %v %s, want OK", row.scopes, state, got.code, got.message)
				}
				continue
			}
			if got.code != p || got.reason != serverauth.ReasonForeignScope || l.files.ran.Load() != before {
				t.Errorf("%q, %s: got %v %s, want PERMISSION_DENIED FOREIGN_SCOPE", row.scopes, state, got.code, got.reason)
			}
			line := l.log.String()[log:]
			if !strings.Contains(line, "foreign_scope="+row.foreign) || !strings.Contains(line, `own="demo echo"`) || !strings.Contains(line, "ForMethods") {
				t.Errorf("%q, %s: the log lacks the scope, this server's own or what to do:\n%s", row.scopes, state, line)
			}
			if strings.Contains(got.trailer, row.foreign) && row.foreign != "demo" {
				t.Errorf("%q, %s: the caller learns how the server decides: %s", row.scopes, state, got.trailer)
			}
		}
	}
	// The missing scope comes first: the caller can mend that.
	if got := l.call(t, deleteFile, bearer(l.of("demo/read.file billing/pay"))); got.reason != serverauth.ReasonInsufficientScope {
		t.Errorf("without the scope and with a foreign one: got %s, want INSUFFICIENT_SCOPE", got.reason)
	}
	if got := l.call(t, version, bearer(l.of("billing/pay"))); got.code != ok {
		t.Errorf("a public method: got %v, want OK", got.code)
	}
}

// Scopes that the issuer may not grant open nothing here, and still say that the token
// was made for another server.
func TestOwnScopesOnlySeesWhatResourceServersFilteredOut(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{
		options: []serverauth.Option{serverauth.OwnScopesOnly()},
		issuers: func(base serverauth.Issuer) []serverauth.Issuer {
			base.ResourceServers = []string{"demo"}
			return []serverauth.Issuer{base}
		},
	})
	if got := l.call(t, readFile, bearer(l.of("demo/read.file"))); got.code != ok {
		t.Errorf("own scopes: got %v %s, want OK", got.code, got.message)
	}
	for _, foreign := range []string{"billing/pay", "openid"} {
		if got := l.call(t, readFile, bearer(l.of("demo/read.file "+foreign))); got.code != p || got.reason != serverauth.ReasonForeignScope {
			t.Errorf("with %s: got %v %s, want PERMISSION_DENIED FOREIGN_SCOPE", foreign, got.code, got.reason)
		}
	}
}

// startFiles starts a server of the lab's authorizer that has the file services alone.
func startFiles(t testing.TB, l *lab, checked bool) *lab {
	t.Helper()
	server, client := tlsConfigs(t)
	srv := grpc.NewServer(append(l.auth.ServerOptions(), grpc.Creds(credentials.NewTLS(server)))...)
	other := &lab{files: &files{}, tls: client}
	filesv1.RegisterFileReadServiceServer(srv, other.files)
	lis := listen(t)
	other.addr = lis.Addr().String()
	if checked {
		if err := l.auth.CheckServer(srv); err != nil {
			t.Fatal(err)
		}
	}
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

// The server's own resource servers are those of its registered services: that echo is
// linked into this program too counts for nothing.
func TestOwnScopesOnlyLearnsFromRegisteredServices(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{unsafe: true, options: []serverauth.Option{serverauth.OwnScopesOnly()}})
	// Nobody has told the authorizer about the server so far.
	got := l.call(t, readFile, bearer(l.of("demo/read.file")))
	if got.code != p || got.reason != serverauth.ReasonForeignScope || l.files.ran.Load() != 0 {
		t.Errorf("before it knows: got %v %s, want PERMISSION_DENIED FOREIGN_SCOPE", got.code, got.reason)
	}
	if log := l.log.String(); !strings.Contains(log, "start it with Authorizer.Serve, call CheckServer before, or name them") {
		t.Errorf("before it knows: the log does not say what to do:\n%s", log)
	}
	if refusal := l.lastRefusal(); errors.Unwrap(refusal) == nil {
		t.Error("before it knows: the refusal has no cause")
	}

	other := startFiles(t, l, true)
	for scopes, code := range map[string]codes.Code{
		"demo/read.file":           ok,
		"demo/read.file echo/call": p,
	} {
		if got := other.call(t, readFile, bearer(l.of(scopes))); got.code != code {
			t.Errorf("%q: got %v %s, want %v", scopes, got.code, got.reason, code)
		}
	}
}

// What the user names is what counts, whatever is registered.
func TestOwnScopesOnlyWithNames(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{options: []serverauth.Option{serverauth.OwnScopesOnly("demo", "https://api.example/v1")}})
	for scopes, code := range map[string]codes.Code{
		"demo/read.file": ok,
		"demo/read.file https://api.example/v1/read": ok,
		"demo/read.file https://api.example/read":    p,
		"demo/read.file echo/call":                   p, // registered, but not named
	} {
		if got := l.call(t, readFile, bearer(l.of(scopes))); got.code != code {
			t.Errorf("%q: got %v %s, want %v", scopes, got.code, got.reason, code)
		}
	}
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := serverauth.New(noVerifier(t), rules, serverauth.OwnScopesOnly("demo", " ")); err == nil || !strings.Contains(err.Error(), "OwnScopesOnly has an empty resource server") {
		t.Errorf("a blank name: got %v, want an error", err)
	}
}

// Names count as the stage maps them, and rules in Go count like those in files.
func TestOwnScopesOnlyFollowsThePolicy(t *testing.T) {
	t.Parallel()
	rules, err := policy.New(
		policy.MapResourceServer("demo", "demo-staging"),
		policy.WithRule(healthpb.Health_Check_FullMethodName, policy.AllOf("ops/probe")),
		policy.WithRule(healthpb.Health_List_FullMethodName, policy.AnyOf("ops/list", "audit/list")),
		policy.WithRule(healthpb.Health_Watch_FullMethodName, policy.Authenticated()),
	)
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, setup{
		policy: rules, options: []serverauth.Option{serverauth.OwnScopesOnly()},
		register: func(s *grpc.Server) { healthpb.RegisterHealthServer(s, health.NewServer()) },
	})
	for scopes, code := range map[string]codes.Code{
		"demo-staging/read.file":                      ok,
		"demo-staging/read.file ops/probe audit/list": ok,
		"demo-staging/read.file demo/read.file":       p,
	} {
		if got := l.call(t, readFile, bearer(l.of(scopes))); got.code != code {
			t.Errorf("%q: got %v %s, want %v", scopes, got.code, got.reason, code)
		}
	}
}

func TestOwnScopesOnlyIsAuthorization(t *testing.T) {
	t.Parallel()
	for _, what := range []policy.ReportOnly{
		{Authorization: true, Mandatory: "2027-03-31"},
		{Authentication: true, Mandatory: "2027-03-31"},
	} {
		told := &decisions{}
		l := newLab(t, setup{options: []serverauth.Option{serverauth.OwnScopesOnly(), serverauth.ReportOnly(what), serverauth.WithReporter(told)}})
		got := l.call(t, readFile, bearer(l.of("demo/read.file billing/pay")))
		want := serverauth.Decision{
			Method: readFile, Outcome: serverauth.OutcomeWouldDeny, Stage: serverauth.StageCall, Reason: serverauth.ReasonForeignScope, Code: p,
			Issuer: issuerURL, ClientID: clientID,
		}
		code := ok
		if !what.Authorization {
			want.Outcome, code = serverauth.OutcomeDenied, p
		}
		if got.code != code {
			t.Errorf("%+v: got %v %s, want %v", what, got.code, got.reason, code)
		}
		told.expect(t, "a foreign scope", want)
		if caller := l.files.caller.Load(); what.Authorization && (caller == nil || caller.ClientID() != clientID) {
			t.Errorf("%+v: the handler saw %v, want the caller", what, caller)
		}
	}
}
