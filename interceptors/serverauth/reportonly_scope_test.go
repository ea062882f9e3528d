// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// Methods and services are reported on one by one; the others refuse.
func TestReportOnlySomeMethods(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		methods  []string
		logged   string
		reported []string
	}{
		{"all", nil, "methods=all ", []string{whoAmI, statFile, deleteFile, writeFile, echoOnce}},
		{"a method", []string{deleteFile}, "methods=[" + deleteFile + "] ", []string{deleteFile}},
		{"a service", []string{"demo.files.v1.FileWriteService"}, "methods=[demo.files.v1.FileWriteService] ", []string{deleteFile, writeFile}},
		{"a method and a service", []string{whoAmI, "demo.echo.v1.EchoService"}, `methods="[` + whoAmI + ` demo.echo.v1.EchoService]" `, []string{whoAmI, echoOnce}},
	} {
		l := newLab(t, setup{options: []serverauth.Option{serverauth.ReportOnly(reportBoth(row.methods...))}})
		if !strings.Contains(l.log.String(), row.logged) {
			t.Errorf("%s: the log at start lacks %s:\n%s", row.name, row.logged, l.log.String())
		}
		for _, method := range []string{whoAmI, statFile, deleteFile, writeFile, echoOnce} {
			authentication, authorization := u, p
			if method == whoAmI {
				authorization = ok // it needs no scope
			}
			for _, reported := range row.reported {
				if reported == method {
					authentication, authorization = ok, ok
				}
			}
			if got := l.call(t, method); got.code != authentication {
				t.Errorf("%s: %s without a token: got %v, want %v", row.name, method, got.code, authentication)
			}
			if got := l.call(t, method, bearer(l.of("other/scope"))); got.code != authorization {
				t.Errorf("%s: %s without the scope: got %v, want %v", row.name, method, got.code, authorization)
			}
		}
	}
}

// The list of methods is the one that the option was given, whatever becomes of the
// caller's slice.
func TestReportOnlyKeepsItsMethods(t *testing.T) {
	t.Parallel()
	methods := []string{deleteFile}
	option := serverauth.ReportOnly(reportBoth(methods...))
	l := newLab(t, setup{options: []serverauth.Option{option}})
	methods[0] = whoAmI
	if got := l.call(t, whoAmI); got.code != u {
		t.Errorf("a method that was not named: got %v, want UNAUTHENTICATED", got.code)
	}
	if got := l.call(t, deleteFile); got.code != ok {
		t.Errorf("the method that was named: got %v, want OK", got.code)
	}
}

func TestReportOnlyMistakesAreErrorsOfTheConstructor(t *testing.T) {
	t.Parallel()
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		what policy.ReportOnly
		want string
	}{
		"a misspelled method":    {reportBoth("/demo.files.v1.FileReadService/Whoami"), `names "/demo.files.v1.FileReadService/Whoami"`},
		"a misspelled service":   {reportBoth(whoAmI, "demo.files.v1.FileReader"), `names "demo.files.v1.FileReader"`},
		"no slash":               {reportBoth("demo.files.v1.FileReadService/WhoAmI"), "which is no known method"},
		"a blank method":         {reportBoth(""), `names ""`},
		"nothing to report on":   {policy.ReportOnly{Mandatory: mandatory}, "reports on nothing"},
		"no date":                {policy.ReportOnly{Authorization: true}, "Mandatory"},
		"a date of another form": {policy.ReportOnly{Authorization: true, Mandatory: "31.3.2027"}, `"31.3.2027"`},
	} {
		if _, err := serverauth.New(noVerifier(t), rules, serverauth.ReportOnly(row.what)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, row.want)
		}
	}
	twice := serverauth.ReportOnly(reportBoth())
	if _, err := serverauth.New(noVerifier(t), rules, twice, twice); err == nil || !strings.Contains(err.Error(), "given twice") {
		t.Errorf("twice: got %v, want an error", err)
	}
	// Methods that the server's policy adds are known.
	a, err := serverauth.New(noVerifier(t), rules, serverauth.PublicHealth(), serverauth.WithLogger(nil), serverauth.ReportOnly(reportBoth("/grpc.health.v1.Health/List")))
	if err != nil {
		t.Errorf("a method of PublicHealth: %v", err)
	} else if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// The mandatory date is for people and for CI: a running server does not change its mind
// when it comes, and one that starts after it does not either. It says what is left.
func TestReportOnlyDoesNotEndByTheCalendar(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		day := func(n int) time.Time { return time.Date(2000, 1, n, 0, 0, 0, 0, time.UTC) }
		if !time.Now().Equal(day(1)) {
			t.Fatalf("the bubble begins at %v", time.Now())
		}
		what := reportBoth()
		what.Mandatory = "2000-01-03"
		told := &decisions{}
		l := newLab(t, setup{
			memory: true, options: []serverauth.Option{serverauth.ReportOnly(what), serverauth.WithReporter(told)},
			issuers: func(base serverauth.Issuer) []serverauth.Issuer {
				base.StaticJWKS, base.Offline = keySet(goodKeyID, newMemoryIssuer().access), true // no fetches in all these days
				return []serverauth.Issuer{base}
			},
			verifier: []serverauth.VerifierOption{serverauth.WithClock(time.Now)},
		})
		for _, want := range []string{
			"level=WARN", "refusals are only reported, calls pass", "authentication=true", "authorization=true", "methods=all", "mandatory=2000-01-03", "days_left=2",
		} {
			if !strings.Contains(l.log.String(), want) {
				t.Errorf("the log at start lacks %s:\n%s", want, l.log.String())
			}
		}
		for _, row := range []struct {
			at   time.Time
			left int
		}{
			{day(1), 2},
			{day(1).Add(12 * time.Hour), 2},
			{day(2), 1},
			{day(3).Add(-time.Second), 1},
			{day(3), 0},
			{day(3).Add(time.Second), 0},
			{day(4), -1},
			{day(400), -397},
		} {
			time.Sleep(time.Until(row.at))
			if got := l.call(t, deleteFile); got.code != ok {
				t.Errorf("%v: got %v %s, want OK", row.at, got.code, got.message)
			}
			told.expect(t, row.at.String(), serverauth.Decision{
				Method: deleteFile, Outcome: serverauth.OutcomeWouldDeny, Stage: serverauth.StageCall, Reason: serverauth.ReasonTokenMissing, Code: u,
			})
			if got := l.auth.Stats().ReportOnly; got == nil || got.DaysLeft != row.left {
				t.Errorf("%v: Stats: got %+v, want %d days left", row.at, got, row.left)
			}
		}
		rules, err := policy.New()
		if err != nil {
			t.Fatal(err)
		}
		late := &lockedBuffer{}
		a, err := serverauth.New(noVerifier(t), rules, serverauth.ReportOnly(what), serverauth.WithLogger(textLogger(late)))
		if err != nil {
			t.Fatalf("a start after the date: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if !strings.Contains(late.String(), "days_left=-397") {
			t.Errorf("the log at a start after the date lacks the days:\n%s", late.String())
		}
	})
	l := newLab(t, setup{})
	if got := l.auth.Stats().ReportOnly; got != nil {
		t.Errorf("without ReportOnly: Stats: got %+v", got)
	}
	if strings.Contains(l.log.String(), "only reported") {
		t.Errorf("without ReportOnly: the log at start:\n%s", l.log.String())
	}
}

// AuthFunc reports like the interceptors, and shows nobody either.
func TestReportOnlyBehindAuthFunc(t *testing.T) {
	t.Parallel()
	told := &decisions{}
	l := newLab(t, setup{options: []serverauth.Option{serverauth.ReportOnly(reportBoth(whoAmI, readFile, deleteFile)), serverauth.WithReporter(told)}})
	other := startAuthFunc(t, l)
	for _, row := range []struct {
		method  string
		headers []header
		code    codes.Code
		caller  bool
	}{
		{whoAmI, nil, ok, false},
		{readFile, []header{bearer("junk")}, ok, false},
		{deleteFile, []header{bearer(l.issuer.good())}, ok, true},
		{statFile, nil, u, false},
		{writeFile, []header{bearer(l.issuer.good())}, p, false},
	} {
		other.files.caller.Store(nil)
		if got := other.call(t, row.method, row.headers...); got.code != row.code {
			t.Errorf("%s: got %v %s, want %v", row.method, got.code, got.message, row.code)
		}
		if caller := other.files.caller.Load(); (caller != nil) != row.caller {
			t.Errorf("%s: the handler saw %v", row.method, caller)
		}
		outcome := serverauth.OutcomeDenied
		if row.code == ok {
			outcome = serverauth.OutcomeWouldDeny
		}
		if list := told.take(); len(list) != 1 || list[0].Outcome != outcome || list[0].Stage != serverauth.StageCall {
			t.Errorf("%s: the reporter was told %+v, want one %s", row.method, list, outcome)
		}
	}
}

// What the server itself cannot check is only reported too: plaintext, and keys that
// are not there.
func TestReportOnlyWithoutTransportOrKeys(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{options: []serverauth.Option{serverauth.ReportOnly(reportAuthentication())}})
	other := startPlaintext(t, l)
	if got := other.call(t, whoAmI, bearer(l.issuer.good())); got.code != ok || other.files.caller.Load() != nil {
		t.Errorf("in plaintext: got %v %s and the caller %v, want OK and none", got.code, got.message, other.files.caller.Load())
	}
	bubble(t, func(t *testing.T) {
		issuer := newMemoryIssuer()
		issuer.down.Store(true)
		l := newLab(t, setup{memory: true, options: []serverauth.Option{serverauth.ReportOnly(reportAuthentication())}, verifier: []serverauth.VerifierOption{
			serverauth.LazyStart(), serverauth.WithHTTPClient(&http.Client{Transport: issuer}),
		}})
		if got := l.call(t, whoAmI, bearer(l.issuer.good())); got.code != ok || l.files.caller.Load() != nil {
			t.Errorf("without keys: got %v %s and the caller %v, want OK and none", got.code, got.message, l.files.caller.Load())
		}
	})
}

// The end of a stream's token is only reported, once; a revoked token ends the stream all
// the same.
func TestReportOnlyInOpenStreams(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		told := &decisions{}
		var revoked atomic.Bool
		l := newLab(t, setup{memory: true, options: []serverauth.Option{
			serverauth.ReportOnly(reportAuthentication()), serverauth.WithReporter(told), serverauth.RecheckStreams(time.Second),
			serverauth.CheckRevoked(func(context.Context, *serverauth.Principal) (bool, error) { return revoked.Load(), nil }),
		}})
		c := l.dial(t)
		defer c.close()
		c.open(t, chat, bearer(l.echoToken()))
		for range 3 { // the token lives for an hour
			time.Sleep(time.Hour)
			c.send(t, nil)
			if !c.recv(t) {
				t.Fatalf("ended: %+v", c.finish(t))
			}
		}
		synctest.Wait()
		decision := serverauth.Decision{Method: chat, Outcome: serverauth.OutcomeAllowed, Stage: serverauth.StageCall, Issuer: issuerURL, ClientID: clientID}
		late := decision
		late.Outcome, late.Stage, late.Reason, late.Code = serverauth.OutcomeWouldDeny, serverauth.StageStream, serverauth.ReasonTokenExpired, u
		told.expect(t, "a stream beyond its token", decision, late)
		if n := strings.Count(l.log.String(), "would refuse TOKEN_EXPIRED"); n != 1 {
			t.Errorf("the log says %d times that it would refuse, want once:\n%s", n, l.log.String())
		}
		revoked.Store(true)
		time.Sleep(2 * time.Second)
		c.send(t, nil)
		if got := c.lastWord(t); got.code != u || got.reason != serverauth.ReasonTokenRevoked {
			t.Errorf("a revoked token: got %v %s, want UNAUTHENTICATED TOKEN_REVOKED", got.code, got.reason)
		}
		end := late
		end.Outcome, end.Reason = serverauth.OutcomeDenied, serverauth.ReasonTokenRevoked
		told.expect(t, "a revoked token", end)
	})
}

// A remembered token whose time is over is known to be the client's: a client that the
// access file denies does not pass with it, although tokens are not needed.
func TestReportOnlyAndTheExpiredTokenOfADeniedClient(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		path := newAccessFile(t, `{}`)
		told := &decisions{}
		l := newLab(t, setup{memory: true, options: []serverauth.Option{
			serverauth.ReportOnly(reportBoth()), serverauth.AccessFile(path), serverauth.WithReporter(told),
		}})
		token := l.issuer.token(goodHeader, with(l.validFor(time.Minute)...))
		if got := l.call(t, whoAmI, bearer(token)); got.code != ok {
			t.Fatalf("got %v %s", got.code, got.message)
		}
		told.take()
		time.Sleep(2 * time.Minute)
		replaceFile(t, path, `{"deny": [{"clients": ["`+clientID+`"]}]}`)
		time.Sleep(2 * time.Second)
		if got := l.call(t, whoAmI, bearer(token)); got.code != u || got.reason != serverauth.ReasonTokenRevoked {
			t.Errorf("got %v %s, want UNAUTHENTICATED TOKEN_REVOKED", got.code, got.reason)
		}
		told.expect(t, "a denied client", serverauth.Decision{
			Method: whoAmI, Outcome: serverauth.OutcomeDenied, Stage: serverauth.StageCall, Reason: serverauth.ReasonTokenRevoked, Code: u,
			Issuer: issuerURL, ClientID: clientID, Cached: true,
		})
	})
}
