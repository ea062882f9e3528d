// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

const otherIssuerURL = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Other"

// twoIssuers trusts a second pool beside the usual one, and every client of both.
func twoIssuers(base serverauth.Issuer) []serverauth.Issuer {
	base.Clients = serverauth.AnyClient()
	other := base
	other.URL = otherIssuerURL
	return []serverauth.Issuer{base, other}
}

const accessFileOfAllKinds = `{
  "deny": [
    {"clients": ["leaked"], "reason": "key found in a build log"},
    {"token_ids": ["one-token"]},
    {"clients": ["of-the-first"], "issuer": "` + issuerURL + `"},
    {"clients": ["reader"], "methods": ["` + readFile + `", "demo.files.v1.FileWriteService"]},
    {"methods": ["` + echoOnce + `", "` + version + `"]}
  ],
  "allow": [
    {"clients": ["monitor"], "methods": ["` + whoAmI + `"]},
    {"clients": ["monitor-of-other"], "issuer": "` + otherIssuerURL + `", "methods": ["demo.files.v1.FileReadService"]}
  ]
}`

// C25: each kind of entry, with a token that is new and one that is remembered.
func TestC25AccessFile(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{
		issuers: twoIssuers,
		options: []serverauth.Option{serverauth.AccessFile(newAccessFile(t, accessFileOfAllKinds)), serverauth.WithUnlimitedLog()},
	})
	defer l.fetchesNothing(t)()
	const (
		revoked    = serverauth.ReasonTokenRevoked
		notAllowed = serverauth.ReasonClientNotAllowed
	)
	for _, row := range []struct {
		name, client, jti, issuer, method string
		code                              codes.Code
		reason                            serverauth.Reason
		entry                             string
	}{
		{"a client", "leaked", "x", issuerURL, whoAmI, u, revoked, "deny[0]"},
		{"a client, of another issuer too", "leaked", "x", otherIssuerURL, readFile, u, revoked, "deny[0]"},
		{"a client, at a method without a scope of its token", "leaked", "x", issuerURL, deleteFile, u, revoked, "deny[0]"},
		{"a token", "any", "one-token", issuerURL, whoAmI, u, revoked, "deny[1]"},
		{"a token, of another issuer too", "any", "one-token", otherIssuerURL, chat, u, revoked, "deny[1]"},
		{"another token of the client", "any", "other-token", issuerURL, whoAmI, ok, "", ""},
		{"a client of the issuer", "of-the-first", "x", issuerURL, whoAmI, u, revoked, "deny[2]"},
		{"the same id at another issuer", "of-the-first", "x", otherIssuerURL, whoAmI, ok, "", ""},
		{"a method to a client", "reader", "x", issuerURL, readFile, p, notAllowed, "deny[3]"},
		{"a service to a client", "reader", "x", issuerURL, deleteFile, p, notAllowed, "deny[3]"},
		{"a stream of that service", "reader", "x", issuerURL, writeFile, p, notAllowed, "deny[3]"},
		{"another method", "reader", "x", issuerURL, whoAmI, ok, "", ""},
		{"a method to everybody", "any", "x", issuerURL, echoOnce, p, notAllowed, "deny[4]"},
		{"an allowed method", "monitor", "x", issuerURL, whoAmI, ok, "", ""},
		{"a method that is not allowed", "monitor", "x", issuerURL, readFile, p, notAllowed, "allow[0]"},
		{"an allowed service of the issuer", "monitor-of-other", "x", otherIssuerURL, readFile, ok, "", ""},
		{"what is not allowed at the issuer", "monitor-of-other", "x", otherIssuerURL, chat, p, notAllowed, "allow[1]"},
		{"the same id where no entry allows less", "monitor-of-other", "x", issuerURL, chat, ok, "", ""},
	} {
		token := l.of("demo/read.file echo/call echo/stream", "client_id", `"`+row.client+`"`, "jti", `"`+row.jti+`"`, "iss", `"`+row.issuer+`"`)
		for _, state := range []string{"new", "remembered"} {
			before := l.files.ran.Load()
			log := len(l.log.String())
			got := l.call(t, row.method, bearer(token))
			if got.code != row.code || got.reason != row.reason {
				t.Errorf("%s, %s: got %v %s, want %v %s", row.name, state, got.code, got.reason, row.code, row.reason)
			}
			if row.code == ok {
				continue
			}
			if l.files.ran.Load() != before {
				t.Errorf("%s, %s: the handler ran", row.name, state)
			}
			line := l.log.String()[log:]
			for _, want := range []string{"refused " + string(row.reason), "access_file=" + row.entry, "client_id=" + row.client, `hint="the access file says so"`} {
				if !strings.Contains(line, want) {
					t.Errorf("%s, %s: the log lacks %s:\n%s", row.name, state, want, line)
				}
			}
			if row.entry == "deny[0]" && !strings.Contains(line, `why="key found in a build log"`) {
				t.Errorf("%s, %s: the log does not say why:\n%s", row.name, state, line)
			}
			if strings.Contains(got.trailer, row.entry) || strings.Contains(got.trailer, "build log") {
				t.Errorf("%s, %s: the caller learns what is in the file: %s", row.name, state, got.trailer)
			}
		}
	}
	// What needs no token is nobody's call.
	if got := l.call(t, version, bearer(l.of("", "client_id", `"leaked"`))); got.code != ok {
		t.Errorf("a public method: got %v, want OK", got.code)
	}
	if stats := l.auth.Stats().AccessFile; stats == nil || stats.Entries != 7 || stats.LastError != nil {
		t.Errorf("Stats: got %+v, want 7 entries and no error", stats)
	}
}

// A call that the file cannot decide on is refused, and not as the caller's fault.
func TestAccessFileThatCannotDecideRefuses(t *testing.T) {
	t.Parallel()
	nameless := stubVerifier(func(context.Context, string) (*serverauth.Principal, error) {
		return serverauth.NewPrincipal(serverauth.PrincipalSpec{ClientID: "client-without-issuer"}), nil
	})
	l := startCustom(t, nameless, setup{options: []serverauth.Option{serverauth.AccessFile(newAccessFile(t, `{}`))}})
	got := l.call(t, whoAmI, bearer("t"))
	if got.code != ua || got.reason != serverauth.ReasonRevocationUnavailable || l.files.ran.Load() != 0 {
		t.Errorf("a caller without an issuer: got %v %s, want UNAVAILABLE REVOCATION_UNAVAILABLE", got.code, got.reason)
	}
	if log := l.log.String(); !strings.Contains(log, "no client id or no issuer") || !strings.Contains(log, "the access file cannot be asked") {
		t.Errorf("the log does not say why:\n%s", log)
	}

	named := newLab(t, setup{options: []serverauth.Option{serverauth.AccessFile(newAccessFile(t, `{}`))}})
	if got := named.call(t, whoAmI, bearer(named.issuer.good())); got.code != ok {
		t.Fatalf("before Close: got %v, want OK", got.code)
	}
	if err := named.auth.Close(); err != nil {
		t.Fatal(err)
	}
	got = named.call(t, whoAmI, bearer(named.issuer.good()))
	if got.code != ua || got.reason != serverauth.ReasonRevocationUnavailable {
		t.Errorf("after Close: got %v %s, want UNAVAILABLE REVOCATION_UNAVAILABLE", got.code, got.reason)
	}
	if stats := named.auth.Stats().AccessFile; stats == nil || stats.LastError == nil || stats.Age != 0 {
		t.Errorf("Stats after Close: got %+v, want an error and no age", stats)
	}
}

// An access file changes nothing about how methods that no rule knows are refused.
func TestE3UnknownMethodsWithAnAccessFile(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{
		options: []serverauth.Option{serverauth.AccessFile(newAccessFile(t, `{}`))},
		server: []grpc.ServerOption{grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
			t.Error("the handler of unknown services ran")
			return nil
		})},
	})
	for _, method := range []string{"//demo.files.v1.FileReadService/Version", "/demo.files.v1.FileReadService/WhoAmI/", "/acme.Unknown/Do"} {
		got := l.call(t, method, bearer(l.issuer.good()))
		if got.code != p || got.reason != serverauth.ReasonMethodNotAllowed {
			t.Errorf("%s: got %v %s, want PERMISSION_DENIED METHOD_NOT_ALLOWED", method, got.code, got.reason)
		}
	}
}

// A caller that sends its header frame, is denied, and only then sends the message does
// not get through, although its header frame was in order.
func TestAccessFileIsAskedAgainWhenTheMessageIsThere(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			told := &decisions{}
			path := newAccessFile(t, `{}`)
			options := []serverauth.Option{serverauth.AccessFile(path), serverauth.WithReporter(told)}
			if early {
				options = append(options, serverauth.RefuseBeforeDecoding())
			}
			l := newLab(t, setup{memory: true, options: options})
			c := l.dial(t)
			defer c.close()
			c.open(t, whoAmI, bearer(l.issuer.good()))
			time.Sleep(10 * time.Second)
			replaceFile(t, path, `{"deny": [{"clients": ["`+clientID+`"]}]}`)
			time.Sleep(2 * time.Second)
			c.send(t, nil)
			c.closeSend(t)
			got := c.finish(t)
			if got.code != u || got.reason != serverauth.ReasonTokenRevoked || l.files.ran.Load() != 0 {
				t.Errorf("header frames decided early: %v: got %v %s, want UNAUTHENTICATED TOKEN_REVOKED", early, got.code, got.reason)
			}
			synctest.Wait()
			told.expect(t, "a call denied at its message", serverauth.Decision{
				Method: whoAmI, Outcome: serverauth.OutcomeDenied, Stage: serverauth.StageCall, Reason: serverauth.ReasonTokenRevoked, Code: u,
				Issuer: issuerURL, ClientID: clientID, Cached: false,
			})
		})
	}
}
