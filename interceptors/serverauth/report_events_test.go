// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// One decision is one event with every field right. Who calls is told only once the
// signature has proven it, never because a token claims it.
func TestReporterIsToldEachDecisionOnce(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		told := &decisions{}
		options := []serverauth.Option{
			serverauth.WithReporter(told),
			serverauth.AccessFile(newAccessFile(t, `{"deny": [{"token_ids": ["denied"]}, {"clients": ["`+clientID+`"], "methods": ["`+statFile+`"]}]}`)),
			serverauth.CheckRevoked(func(_ context.Context, p *serverauth.Principal) (bool, error) {
				if p.TokenID() == "unknown" {
					return false, errors.New("down")
				}
				return p.TokenID() == "revoked", nil
			}),
			serverauth.CheckCall(func(_ context.Context, method string, _ *serverauth.Principal, _ any) error {
				if method == appendFile {
					return errors.New("no")
				}
				return nil
			}),
			serverauth.OwnScopesOnly(),
		}
		atOnce := serverauth.StageCall // where what needs no function of the user's is decided
		if early {
			options = append(options, serverauth.RefuseBeforeDecoding())
			atOnce = serverauth.StageHeader
		}
		named := serverauth.NamedClients(map[string]string{"billing": clientID})
		l := newLab(t, setup{clients: &named, options: options})
		const (
			allowed = serverauth.OutcomeAllowed
			denied  = serverauth.OutcomeDenied
			call    = serverauth.StageCall
		)
		nobody := serverauth.Decision{}
		caller := serverauth.Decision{Issuer: issuerURL, ClientID: clientID, ClientName: "billing"}
		stranger := serverauth.Decision{Issuer: issuerURL, ClientID: "another"}
		good, all := l.issuer.good(), l.of("demo/read.file demo/write.file")
		claims := func(pairs ...string) string { return b64(with(pairs...)) }
		for _, row := range []struct {
			name, method string
			headers      []header
			outcome      serverauth.Outcome
			stage        serverauth.Stage
			reason       serverauth.Reason
			code         codes.Code
			who          serverauth.Decision
			cached       bool
		}{
			{"public", version, nil, allowed, call, "", ok, nobody, false},
			{"public, with a token", version, []header{bearer(good)}, allowed, call, "", ok, nobody, false},
			{"a new token", whoAmI, []header{bearer(good)}, allowed, call, "", ok, caller, false},
			{"a remembered token", whoAmI, []header{bearer(good)}, allowed, call, "", ok, caller, true},
			{"a stream", readFile, []header{bearer(good)}, allowed, call, "", ok, caller, true},
			{"a stream, a new token", writeFile, []header{bearer(all)}, allowed, call, "", ok, caller, false},
			{"no scope", deleteFile, []header{bearer(good)}, denied, atOnce, serverauth.ReasonInsufficientScope, p, caller, true},
			{"no scope, a stream, a new token", writeFile, []header{bearer(l.of("demo/read.file", "jti", `"2"`))}, denied, atOnce, serverauth.ReasonInsufficientScope, p, caller, false},
			{"no token", whoAmI, nil, denied, atOnce, serverauth.ReasonTokenMissing, u, nobody, false},
			{"no token, a stream", readFile, nil, denied, atOnce, serverauth.ReasonTokenMissing, u, nobody, false},
			{"two tokens", whoAmI, []header{bearer(good), bearer(good)}, denied, atOnce, serverauth.ReasonAuthorizationDuplicated, u, nobody, false},
			{"a client that may not come", whoAmI, []header{bearer(l.of("", "client_id", `"another"`))}, denied, atOnce, serverauth.ReasonClientNotAllowed, p, stranger, false},
			{"a method denied to the client", statFile, []header{bearer(good)}, denied, atOnce, serverauth.ReasonClientNotAllowed, p, caller, true},
			{"a denied token", whoAmI, []header{bearer(l.of("", "jti", `"denied"`))}, denied, atOnce, serverauth.ReasonTokenRevoked, u, caller, false},
			{"a foreign scope", whoAmI, []header{bearer(l.of("a/b"))}, denied, atOnce, serverauth.ReasonForeignScope, p, caller, false},
			{"a revoked token", whoAmI, []header{bearer(l.of("", "jti", `"revoked"`))}, denied, call, serverauth.ReasonTokenRevoked, u, caller, false},
			{"a revoked token again, a stream", readFile, []header{bearer(l.of("demo/read.file", "jti", `"revoked"`))}, denied, call, serverauth.ReasonTokenRevoked, u, caller, false},
			{"nobody knows", whoAmI, []header{bearer(l.of("", "jti", `"unknown"`))}, denied, call, serverauth.ReasonRevocationUnavailable, ua, caller, false},
			{"the server's own check", appendFile, []header{bearer(all)}, denied, call, serverauth.ReasonCallRefused, p, caller, true},
			// Tokens that only claim to be the client's.
			{"forged", whoAmI, []header{bearer(sign(l.issuer.stranger, b64(goodHeader)+"."+claims()))}, denied, atOnce, serverauth.ReasonSignatureInvalid, u, nobody, false},
			{"forged, of a client that may not come", whoAmI, []header{bearer(sign(l.issuer.stranger, b64(goodHeader)+"."+claims("client_id", `"another"`)))}, denied, atOnce, serverauth.ReasonSignatureInvalid, u, nobody, false},
			{"expired", whoAmI, []header{bearer(l.issuer.token(goodHeader, with("iat", at(-3600), "exp", at(-600))))}, denied, atOnce, serverauth.ReasonTokenExpired, u, nobody, false},
			{"alg none", whoAmI, []header{bearer(b64(`{"alg":"none","kid":"`+goodKeyID+`"}`) + "." + claims() + ".")}, denied, atOnce, serverauth.ReasonAlgNotAllowed, u, nobody, false},
			{"another issuer", whoAmI, []header{bearer(l.issuer.token(goodHeader, with("iss", `"https://issuer.example"`)))}, denied, atOnce, serverauth.ReasonIssuerMismatch, u, nobody, false},
			{"an unknown key", whoAmI, []header{bearer(l.issuer.token(`{"kid":"unknown","alg":"RS256"}`, goodClaims))}, denied, call, serverauth.ReasonKeyNotFound, u, nobody, false},
		} {
			name := fmt.Sprintf("%s, header frames decided early: %v", row.name, early)
			if got := l.call(t, row.method, row.headers...); got.code != row.code {
				t.Errorf("%s: got %v %s, want %v", name, got.code, got.message, row.code)
			}
			want := row.who
			want.Method, want.Outcome, want.Stage, want.Reason, want.Code, want.Cached = row.method, row.outcome, row.stage, row.reason, row.code, row.cached
			list := told.take()
			if len(list) != 1 || list[0].Latency <= 0 {
				t.Errorf("%s: the reporter was told %+v, want one event that took its time", name, list)
				continue
			}
			list[0].Latency = 0
			if list[0] != want {
				t.Errorf("%s: the reporter was told\n\t%+v\nwant\n\t%+v", name, list[0], want)
			}
		}
	}
}

// The latency is what the decision took, functions of the user's included, and not what
// the handler takes.
func TestReporterIsToldHowLongADecisionTook(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		told := &decisions{}
		l := newLab(t, setup{memory: true, options: []serverauth.Option{
			serverauth.WithReporter(told), serverauth.ReportOnly(reportBoth(deleteFile)),
			serverauth.CheckRevoked(func(_ context.Context, p *serverauth.Principal) (bool, error) {
				time.Sleep(150 * time.Millisecond)
				return p.TokenID() == "revoked", nil
			}),
			serverauth.CheckCall(func(context.Context, string, *serverauth.Principal, any) error {
				time.Sleep(50 * time.Millisecond)
				return nil
			}),
			serverauth.RefuseBeforeDecoding(),
		}})
		for _, row := range []struct {
			name, method, token string
			latency             time.Duration
		}{
			{"allowed", whoAmI, l.issuer.good(), 200 * time.Millisecond},
			{"allowed, a stream", readFile, l.issuer.good(), 200 * time.Millisecond},
			{"denied", whoAmI, l.of("", "jti", `"revoked"`), 150 * time.Millisecond},
			{"denied at once", statFile, l.of(""), 0},
			{"would be denied", deleteFile, l.issuer.good(), 150 * time.Millisecond},
			{"public", version, "", 0},
		} {
			l.call(t, row.method, bearer(row.token))
			if list := told.take(); len(list) != 1 || list[0].Latency != row.latency {
				t.Errorf("%s: the reporter was told %+v, want one event that took %v", row.name, list, row.latency)
			}
		}
	})
}

// A stream is two decisions if it does not end by itself: one at its start and one at its
// end.
func TestReporterAndStreams(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		told := &decisions{}
		l := newLab(t, setup{memory: true, options: []serverauth.Option{serverauth.WithReporter(told)}})
		start := serverauth.Decision{Method: chat, Outcome: serverauth.OutcomeAllowed, Stage: serverauth.StageCall, Issuer: issuerURL, ClientID: clientID}

		short := l.dial(t)
		defer short.close()
		short.open(t, chat, bearer(l.echoToken()))
		short.closeSend(t)
		if got := short.finish(t); got.code != ok {
			t.Fatalf("got %v %s", got.code, got.message)
		}
		synctest.Wait()
		told.expect(t, "a stream that ends by itself", start)

		start.Cached = true
		long := l.dial(t)
		defer long.close()
		long.open(t, chat, bearer(l.echoToken()))
		synctest.Wait()
		told.expect(t, "the start of a stream", start)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		told.expect(t, "an idle stream beyond its token")
		long.send(t, nil)
		if got := long.lastWord(t); got.code != u {
			t.Fatalf("got %v %s", got.code, got.message)
		}
		end := start
		end.Outcome, end.Stage, end.Reason, end.Code = serverauth.OutcomeDenied, serverauth.StageStream, serverauth.ReasonTokenExpired, u
		told.expect(t, "the end of a stream", end)
	})
}

// panicky is a Reporter that fails.
type panicky struct{}

func (panicky) Report(context.Context, serverauth.Decision) { panic("a bug in the metrics") }

// A Reporter that panics changes no decision, keeps no other Reporter from being told,
// and is logged, wherever it is called: in the call, on the header frame, and in the
// timer of a stream.
func TestReporterThatPanics(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		told := &decisions{}
		l := newLab(t, setup{memory: true, options: []serverauth.Option{
			serverauth.WithReporter(panicky{}), serverauth.WithReporter(told), serverauth.RefuseBeforeDecoding(),
			serverauth.ReportOnly(reportAuthentication(chat)), serverauth.RecheckStreams(time.Second),
		}})
		for _, row := range []struct {
			name, method string
			headers      []header
			code         codes.Code
			stage        serverauth.Stage
		}{
			{"allowed", whoAmI, []header{bearer(l.issuer.good())}, ok, serverauth.StageCall},
			{"public", version, nil, ok, serverauth.StageCall},
			{"denied on the header frame", whoAmI, nil, u, serverauth.StageHeader},
			{"would be denied", chat, nil, ok, serverauth.StageCall},
		} {
			if got := l.call(t, row.method, row.headers...); got.code != row.code {
				t.Errorf("%s: got %v %s, want %v", row.name, got.code, got.message, row.code)
			}
			if list := told.take(); len(list) != 1 || list[0].Stage != row.stage || list[0].Code != codes.OK && list[0].Outcome == serverauth.OutcomeAllowed {
				t.Errorf("%s: the next reporter was told %+v, want one event of stage %s", row.name, list, row.stage)
			}
		}
		c := l.dial(t)
		defer c.close()
		c.open(t, chat, bearer(l.echoToken()))
		time.Sleep(2 * time.Hour) // its end is only reported, by the stream's timer
		synctest.Wait()
		if list := told.take(); len(list) != 2 || list[1].Stage != serverauth.StageStream || list[1].Outcome != serverauth.OutcomeWouldDeny {
			t.Errorf("in a stream's timer: the next reporter was told %+v, want two events", list)
		}
		c.send(t, nil)
		if !c.recv(t) {
			t.Errorf("the stream ended: %+v", c.finish(t))
		}
		synctest.Wait()
		log := l.log.String()
		if n := strings.Count(log, `msg="scopeauth: a Reporter panicked"`); n != 6 {
			t.Errorf("the log says %d times that a Reporter panicked, want 6:\n%s", n, log)
		}
		if !strings.Contains(log, `panic="a bug in the metrics"`) || !strings.Contains(log, "report_events_test.go") {
			t.Errorf("the log lacks the panic or where it was:\n%s", log)
		}
		// A flood of panics is no flood of lines.
		time.Sleep(time.Hour)
		client := filesv1.NewFileReadServiceClient(l.hooksConn(t))
		for range 500 {
			if _, err := client.Version(t.Context(), &filesv1.VersionRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := strings.Count(l.log.String(), `msg="scopeauth: a Reporter panicked"`); n != 6+10 {
			t.Errorf("the log has %d lines after a flood, want 16", n)
		}
		time.Sleep(time.Second)
		l.call(t, version)
		synctest.Wait()
		if !strings.Contains(l.log.String(), "same_not_logged=490") {
			t.Errorf("the log does not count what was left out:\n%s", l.log.String()[len(l.log.String())-500:])
		}
	})
}

func TestReporterMustBeOne(t *testing.T) {
	t.Parallel()
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := serverauth.New(noVerifier(t), rules, serverauth.WithReporter(nil)); err == nil || !strings.Contains(err.Error(), "WithReporter(nil)") {
		t.Errorf("got %v, want an error", err)
	}
}
