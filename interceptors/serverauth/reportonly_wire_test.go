// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

const mandatory = "2027-03-31"

func reportAuthentication(methods ...string) policy.ReportOnly {
	return policy.ReportOnly{Authentication: true, Methods: methods, Mandatory: mandatory}
}

func reportAuthorization(methods ...string) policy.ReportOnly {
	return policy.ReportOnly{Authorization: true, Methods: methods, Mandatory: mandatory}
}

func reportBoth(methods ...string) policy.ReportOnly {
	return policy.ReportOnly{Authentication: true, Authorization: true, Methods: methods, Mandatory: mandatory}
}

// insight keeps what code behind the interceptors learns of a call's caller.
type insight struct {
	mu       sync.Mutex
	caller   *serverauth.Principal
	required error
}

// last returns what the last call showed: nil and an error if it showed nobody.
func (i *insight) last() (*serverauth.Principal, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.caller, i.required
}

func (i *insight) see(ctx context.Context) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.caller, _ = serverauth.PrincipalFromContext(ctx)
	_, i.required = serverauth.RequirePrincipal(ctx)
}

// serverOptions puts somebody into the context before the interceptors, as a mistaken
// interceptor could, and looks behind them.
func (i *insight) serverOptions() []grpc.ServerOption {
	intruder := serverauth.NewPrincipal(serverauth.PrincipalSpec{ClientID: "intruder", Scopes: []string{"demo/write.file"}})
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			return h(serverauth.ContextWithPrincipal(ctx, intruder), req)
		}),
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			i.see(ctx)
			return h(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			i.see(ss.Context())
			return h(srv, ss)
		}),
	}
}

// Calls without a valid token pass where only that is reported on, and nobody behind
// the interceptors sees a caller. What else is wrong is refused as ever.
func TestReportOnlyAuthentication(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		told, seen := &decisions{}, &insight{}
		options := []serverauth.Option{
			serverauth.ReportOnly(reportAuthentication()), serverauth.WithReporter(told), serverauth.WithUnlimitedLog(),
		}
		if early {
			options = append(options, serverauth.RefuseBeforeDecoding())
		}
		l := newLab(t, setup{options: options, server: seen.serverOptions()})
		good := l.issuer.good()
		for _, row := range []struct {
			name    string
			headers []header
			reason  serverauth.Reason
			client  string
		}{
			{"no token", nil, serverauth.ReasonTokenMissing, ""},
			{"another scheme", []header{{"authorization", "Basic eDp5"}}, serverauth.ReasonSchemeUnsupported, ""},
			{"two values", []header{bearer(good), bearer(good)}, serverauth.ReasonAuthorizationDuplicated, ""},
			{"a long token", []header{bearer(strings.Repeat("a", 8193))}, serverauth.ReasonTokenTooLarge, ""},
			{"junk", []header{bearer("junk")}, serverauth.ReasonTokenMalformed, ""},
			{"a forged token", []header{bearer(sign(l.issuer.stranger, b64(goodHeader)+"."+b64(goodClaims)))}, serverauth.ReasonSignatureInvalid, ""},
			{"alg none", []header{bearer(b64(`{"alg":"none","kid":"x"}`) + "." + b64(goodClaims) + ".")}, serverauth.ReasonAlgNotAllowed, ""},
			{"an expired token", []header{bearer(l.issuer.token(goodHeader, with("iat", at(-3600), "exp", at(-1800))))}, serverauth.ReasonTokenExpired, ""},
			{"an ID token", []header{bearer(l.issuer.token(goodHeader, with("token_use", `"id"`)))}, serverauth.ReasonTokenUseMismatch, ""},
			{"another issuer's", []header{bearer(l.issuer.token(goodHeader, with("iss", `"https://issuer.example"`)))}, serverauth.ReasonIssuerMismatch, ""},
			{"a client that may not come", []header{bearer(l.issuer.token(goodHeader, with("client_id", `"another"`)))}, serverauth.ReasonClientNotAllowed, "another"},
		} {
			for _, method := range []string{whoAmI, deleteFile, readFile} {
				name := fmt.Sprintf("%s, %s, header frames decided early: %v", row.name, method, early)
				before, log := l.files.ran.Load(), len(l.log.String())
				if got := l.call(t, method, row.headers...); got.code != ok || l.files.ran.Load() != before+1 {
					t.Errorf("%s: got %v %s, want OK", name, got.code, got.message)
				}
				caller, required := seen.last()
				if refusal, isRefusal := errors.AsType[*serverauth.Error](required); caller != nil || !isRefusal || refusal.Code() != u {
					t.Errorf("%s: the handler saw the caller %v, and RequirePrincipal returned %v", name, caller, required)
				}
				want := serverauth.Decision{
					Method: method, Outcome: serverauth.OutcomeWouldDeny, Stage: serverauth.StageCall, Reason: row.reason,
					Code: serverauth.NewError(row.reason, nil).Code(), ClientID: row.client,
				}
				if row.client != "" {
					want.Issuer = issuerURL
				}
				told.expect(t, name, want)
				line := l.log.String()[log:]
				if strings.Count(line, "would refuse "+string(row.reason)) != 1 || strings.Contains(line, `msg="refused`) || !strings.Contains(line, "method="+method) {
					t.Errorf("%s: the log should say that it would refuse, once:\n%s", name, line)
				}
			}
		}
		for part := range strings.SplitSeq(good, ".") {
			if strings.Contains(l.log.String(), part) {
				t.Error("the log has a part of a token")
			}
		}
		// A verified caller that may not do this is refused, and one that may is seen.
		if got := l.call(t, deleteFile, bearer(good)); got.code != p || got.reason != serverauth.ReasonInsufficientScope {
			t.Errorf("a token without the scope: got %v %s, want PERMISSION_DENIED INSUFFICIENT_SCOPE", got.code, got.reason)
		}
		if got := l.call(t, readFile, bearer(good)); got.code != ok {
			t.Errorf("a good token: got %v %s, want OK", got.code, got.message)
		}
		if caller, required := seen.last(); caller.ClientID() != clientID || required != nil {
			t.Errorf("a good token: the handler saw %v, and RequirePrincipal returned %v", caller, required)
		}
		stage := serverauth.StageCall
		if early {
			stage = serverauth.StageHeader
		}
		told.expect(t, "enforced",
			serverauth.Decision{
				Method: deleteFile, Outcome: serverauth.OutcomeDenied, Stage: stage, Reason: serverauth.ReasonInsufficientScope, Code: p,
				Issuer: issuerURL, ClientID: clientID,
			},
			serverauth.Decision{Method: readFile, Outcome: serverauth.OutcomeAllowed, Stage: serverauth.StageCall, Issuer: issuerURL, ClientID: clientID, Cached: true})
	}
}

// Verified callers without the scope pass where only that is reported on, as who they
// are. Calls without a valid token are refused as ever.
func TestReportOnlyAuthorization(t *testing.T) {
	t.Parallel()
	var answer error
	told, seen := &decisions{}, &insight{}
	l := newLab(t, setup{options: []serverauth.Option{
		serverauth.ReportOnly(reportAuthorization()), serverauth.WithReporter(told), serverauth.WithUnlimitedLog(),
		serverauth.CheckCall(func(context.Context, string, *serverauth.Principal, any) error { return answer }),
	}, server: seen.serverOptions()})
	good := bearer(l.issuer.good())
	l.call(t, whoAmI, good) // from here on the token is remembered
	told.take()
	for _, row := range []struct {
		name, method string
		answer       error
		reason       serverauth.Reason
		code         codes.Code
		passes       bool
	}{
		{"without the scope", deleteFile, nil, serverauth.ReasonInsufficientScope, p, true},
		{"without the scope, a stream", writeFile, nil, serverauth.ReasonInsufficientScope, p, true},
		{"without the scope, and CheckCall would refuse as well", deleteFile, errors.New("no"), serverauth.ReasonInsufficientScope, p, true},
		{"CheckCall", whoAmI, errors.New("no"), serverauth.ReasonCallRefused, p, true},
		{"CheckCall, a stream", readFile, errors.New("no"), serverauth.ReasonCallRefused, p, true},
		{"CheckCall with a reason of authentication", whoAmI, serverauth.NewError(serverauth.ReasonClientNotAllowed, nil), serverauth.ReasonClientNotAllowed, p, true},
		{"CheckCall with an UNAUTHENTICATED one", whoAmI, serverauth.NewError(serverauth.ReasonTokenExpired, nil), serverauth.ReasonTokenExpired, u, true},
		{"CheckCall on purpose", whoAmI, serverauth.NewError(serverauth.ReasonTokenRevoked, nil), serverauth.ReasonTokenRevoked, u, false},
		{"CheckCall, which closes the method", whoAmI, serverauth.NewError(serverauth.ReasonMethodNotAllowed, nil), serverauth.ReasonMethodNotAllowed, p, false},
		{"CheckCall, which misses a rule", whoAmI, serverauth.NewError(serverauth.ReasonMethodNotAnnotated, nil), serverauth.ReasonMethodNotAnnotated, p, false},
		{"CheckCall, which does not know", whoAmI, serverauth.NewError(serverauth.ReasonRevocationUnavailable, nil), serverauth.ReasonRevocationUnavailable, ua, false},
	} {
		answer = row.answer
		before, log := l.files.ran.Load(), len(l.log.String())
		got := l.call(t, row.method, good)
		outcome, verb := serverauth.OutcomeDenied, `msg="refused `
		if row.passes {
			outcome, verb = serverauth.OutcomeWouldDeny, `msg="would refuse `
			caller, _ := seen.last()
			if got.code != ok || l.files.ran.Load() != before+1 || caller.ClientID() != clientID {
				t.Errorf("%s: got %v %s, and the handler saw %v; want OK and the caller", row.name, got.code, got.message, caller)
			}
		} else if got.code != row.code || l.files.ran.Load() != before {
			t.Errorf("%s: got %v, want %v", row.name, got.code, row.code)
		}
		told.expect(t, row.name, serverauth.Decision{
			Method: row.method, Outcome: outcome, Stage: serverauth.StageCall, Reason: row.reason, Code: row.code,
			Issuer: issuerURL, ClientID: clientID, Cached: true,
		})
		if line := l.log.String()[log:]; strings.Count(line, verb+string(row.reason)) != 1 || strings.Count(line, "\n") != 1 {
			t.Errorf("%s: the log lacks %s%s:\n%s", row.name, verb, row.reason, line)
		}
	}
	for name, headers := range map[string][]header{
		"no token":                   nil,
		"junk":                       {bearer("junk")},
		"a client that may not come": {bearer(l.issuer.token(goodHeader, with("client_id", `"another"`)))},
	} {
		if got := l.call(t, whoAmI, headers...); got.code == ok {
			t.Errorf("%s: got OK, want a refusal", name)
		}
	}
}

// A check of the server's own is authorization: where only authentication is reported
// on, it refuses, whatever reason it gives.
func TestReportOnlyAuthenticationDoesNotWaiveChecksOfTheServersOwn(t *testing.T) {
	t.Parallel()
	var answer error
	l := newLab(t, setup{options: []serverauth.Option{
		serverauth.ReportOnly(reportAuthentication()),
		serverauth.CheckCall(func(context.Context, string, *serverauth.Principal, any) error { return answer }),
	}})
	for _, answer = range []error{
		errors.New("no"),
		serverauth.NewError(serverauth.ReasonClientNotAllowed, nil),
		serverauth.NewError(serverauth.ReasonTokenMissing, nil),
		serverauth.NewError(serverauth.ReasonTransportInsecure, nil),
	} {
		if got := l.call(t, whoAmI, bearer(l.issuer.good())); got.code == ok || l.files.ran.Load() != 0 {
			t.Errorf("CheckCall says %v: got OK, want a refusal", answer)
		}
	}
}

// What a verifier of the user's own refuses is authentication, whatever reason it gives:
// there is no caller.
func TestReportOnlyAuthorizationDoesNotWaiveAVerifiersRefusal(t *testing.T) {
	t.Parallel()
	for _, reason := range []serverauth.Reason{serverauth.ReasonInsufficientScope, serverauth.ReasonForeignScope, serverauth.ReasonCallRefused} {
		verifier := stubVerifier(func(context.Context, string) (*serverauth.Principal, error) {
			return nil, serverauth.NewError(reason, nil)
		})
		for what, code := range map[*policy.ReportOnly]codes.Code{
			{Authorization: true, Mandatory: mandatory}:  p,
			{Authentication: true, Mandatory: mandatory}: ok,
		} {
			seen := &insight{}
			l := startCustom(t, verifier, setup{options: []serverauth.Option{serverauth.ReportOnly(*what)}, server: seen.serverOptions()})
			got := l.call(t, whoAmI, bearer("t"))
			if caller, _ := seen.last(); got.code != code || caller != nil {
				t.Errorf("%s, %+v: got %v and the caller %v, want %v and none", reason, *what, got.code, caller, code)
			}
		}
	}
}

// What is closed on purpose stays closed.
func TestReportOnlyNeverWaives(t *testing.T) {
	t.Parallel()
	var answer error
	told := &decisions{}
	l := newLab(t, setup{
		unsafe: true,
		issuers: func(base serverauth.Issuer) []serverauth.Issuer {
			base.Clients = serverauth.Clients(clientID, "denied", "part", "revoked")
			return []serverauth.Issuer{base}
		},
		options: []serverauth.Option{
			serverauth.ReportOnly(reportBoth()), serverauth.WithReporter(told),
			serverauth.AccessFile(newAccessFile(t, `{"deny": [{"clients": ["denied", "denied-and-no-client"]}, {"clients": ["part"], "methods": ["demo.files.v1.FileWriteService"]}]}`)),
			serverauth.CheckRevoked(func(_ context.Context, p *serverauth.Principal) (bool, error) {
				return strings.HasPrefix(p.ClientID(), "revoked"), answer
			}),
		},
		register: func(s *grpc.Server) {
			healthpb.RegisterHealthServer(s, health.NewServer())
			s.RegisterService(&handMade, nil)
		},
	})
	of := func(client string) header { return bearer(l.of("demo/read.file", "client_id", `"`+client+`"`)) }
	down := errors.New("down")
	for _, row := range []struct {
		name, method string
		token        header
		answer       error
		code         codes.Code
		reason       serverauth.Reason
	}{
		{"a method without a rule", healthpb.Health_Check_FullMethodName, of(clientID), nil, p, serverauth.ReasonMethodNotAnnotated},
		{"a method that no descriptor has", "/acme.Hand/Do", of(clientID), nil, p, serverauth.ReasonMethodNotAllowed},
		{"a client on the deny list", whoAmI, of("denied"), nil, u, serverauth.ReasonTokenRevoked},
		{"a client on the deny list, without the scope", deleteFile, of("denied"), nil, u, serverauth.ReasonTokenRevoked},
		{"a client on the deny list that may not come anyway", whoAmI, of("denied-and-no-client"), nil, u, serverauth.ReasonTokenRevoked},
		{"a client and a method on the deny list", deleteFile, of("part"), nil, p, serverauth.ReasonClientNotAllowed},
		{"a revoked token", whoAmI, of("revoked"), nil, u, serverauth.ReasonTokenRevoked},
		{"a revoked token, without the scope", deleteFile, of("revoked"), nil, u, serverauth.ReasonTokenRevoked},
		{"a revoked token of a client that may not come", whoAmI, of("revoked-too"), nil, u, serverauth.ReasonTokenRevoked},
		{"nobody knows", whoAmI, of(clientID), down, ua, serverauth.ReasonRevocationUnavailable},
		{"nobody knows, without the scope", deleteFile, of(clientID), down, ua, serverauth.ReasonRevocationUnavailable},
	} {
		answer = row.answer
		for _, state := range []string{"new", "remembered"} {
			got := l.call(t, row.method, row.token)
			if got.code != row.code || got.reason != row.reason {
				t.Errorf("%s, %s: got %v %s, want %v %s", row.name, state, got.code, got.reason, row.code, row.reason)
			}
			if list := told.take(); len(list) != 1 || list[0].Outcome != serverauth.OutcomeDenied || list[0].Reason != row.reason || list[0].ClientID == "" {
				t.Errorf("%s, %s: the reporter was told %+v, want one denial of a known client", row.name, state, list)
			}
		}
	}
	if l.files.ran.Load() != 0 {
		t.Error("a handler ran")
	}
	for _, method := range []string{healthpb.Health_Check_FullMethodName, "/acme.Hand/Do"} {
		if got := l.call(t, method); got.code != u {
			t.Errorf("%s without a token: got %v, want UNAUTHENTICATED", method, got.code)
		}
	}
	// The rest is only reported.
	answer = nil
	for _, headers := range [][]header{nil, {of(clientID)}, {of("part")}, {of("no-client")}} {
		if got := l.call(t, whoAmI, headers...); got.code != ok {
			t.Errorf("%v: got %v %s, want OK", headers, got.code, got.message)
		}
	}
	if got := l.call(t, deleteFile, of(clientID)); got.code != ok {
		t.Errorf("without the scope: got %v %s, want OK", got.code, got.message)
	}
}
