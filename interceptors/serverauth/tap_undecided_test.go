// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// What cannot be decided without waiting passes the header frame, and the interceptors
// decide it as if there were nothing else.

func TestTapLeavesUnknownKeysToTheInterceptors(t *testing.T) {
	t.Parallel()
	l, reports := newTapLab(t, setup{})
	w := l.dialTap(t)
	defer w.close()
	l.issuer.publish("new key", l.issuer.stranger)
	token := sign(l.issuer.stranger, b64(`{"kid":"new key","alg":"RS256"}`)+"."+b64(goodClaims))
	id := w.header(t, whoAmI, bearer(token))
	if got := w.onHeader(t, id); got != nil {
		t.Fatalf("answered on the header frame: %v %s", got.code, got.reason)
	}
	if n := l.issuer.fetches.Load(); n != 1 {
		t.Errorf("keys were fetched %d times before the message, want the once at start", n)
	}
	w.message(t, id)
	if got := w.end(t, id); got.code != ok {
		t.Errorf("got %v %s, want OK", got.code, got.message)
	}
	if d := reports.only(t); d.Outcome != serverauth.OutcomeAllowed || d.Cached {
		t.Errorf("got the decision %+v, want one that allows", d)
	}
	// From then on the key is known, so nothing is left to the interceptors.
	if got := w.refused(t, deleteFile, bearer(token)); got.reason != serverauth.ReasonInsufficientScope {
		t.Errorf("another method: got %v %s, want INSUFFICIENT_SCOPE", got.code, got.reason)
	}
	// The old key is gone, and tokens of it have to be looked at from the start.
	if got := w.passed(t, whoAmI, bearer(l.issuer.good())); got.code != u || got.reason != invalid {
		t.Errorf("a token of the key that is gone: got %v %s, want TOKEN_INVALID", got.code, got.reason)
	}
}

// tapNoKeys is a network on which no key can be fetched.
type tapNoKeys struct{}

func (tapNoKeys) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no network")
}

func TestTapBeforeKeysAreLoaded(t *testing.T) {
	t.Parallel()
	l, reports := newTapLab(t, setup{verifier: []serverauth.VerifierOption{
		serverauth.LazyStart(), serverauth.WithHTTPClient(&http.Client{Transport: tapNoKeys{}}),
	}})
	w := l.dialTap(t)
	defer w.close()
	if got := w.passed(t, whoAmI, bearer(l.issuer.good())); got.code != codes.Unavailable || got.reason != serverauth.ReasonKeysUnavailable {
		t.Errorf("got %v %s, want KEYS_UNAVAILABLE", got.code, got.reason)
	}
	if d := reports.only(t); d.Stage != serverauth.StageCall || d.Reason != serverauth.ReasonKeysUnavailable {
		t.Errorf("got the decision %+v, want KEYS_UNAVAILABLE of the interceptor", d)
	}
	if got := w.refused(t, whoAmI, bearer(l.issuer.token(goodHeader, with("exp", "1")))); got.reason != invalid {
		t.Errorf("an expired token, which needs no key: got %v %s, want TOKEN_INVALID", got.code, got.reason)
	}
}

// A signature that is checked elsewhere at the moment is not waited for.
func TestTapDuringABurst(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		method string
		code   codes.Code
	}{{whoAmI, ok}, {deleteFile, p}} {
		l, reports := newTapLab(t, setup{})
		w := l.dialTap(t)
		defer w.close()
		finish, started := l.verifier.BeginCheck(l.issuer.good())
		if !started {
			t.Fatal("the check did not begin")
		}
		id := w.header(t, row.method, bearer(l.issuer.good()))
		if got := w.onHeader(t, id); got != nil {
			t.Fatalf("%s: answered on the header frame: %v %s", row.method, got.code, got.reason)
		}
		w.message(t, id)
		// Another call of the connection is not held up.
		if got := w.refused(t, whoAmI); got.reason != serverauth.ReasonTokenMissing {
			t.Errorf("another call: got %v %s, want TOKEN_MISSING", got.code, got.reason)
		}
		reports.take()
		finish()
		if got := w.end(t, id); got.code != row.code {
			t.Errorf("%s: got %v %s, want %v", row.method, got.code, got.message, row.code)
		}
		if d := reports.only(t); d.Stage != serverauth.StageCall {
			t.Errorf("%s: got the decision %+v, want one of the interceptor", row.method, d)
		}
	}
}

// A TokenVerifier of the user's own may wait, so it is never asked on the header frame.
// What can be said without it is.
func TestTapNeverAsksACustomVerifier(t *testing.T) {
	t.Parallel()
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	verifier := stubVerifier(func(_ context.Context, token string) (*serverauth.Principal, error) {
		asked.Add(1)
		if token == "bad" {
			return nil, serverauth.NewError(serverauth.ReasonTokenRevoked, nil)
		}
		return serverauth.NewPrincipal(serverauth.PrincipalSpec{ClientID: "somebody", Scopes: []string{"demo/read.file"}}), nil
	})
	reports := &tapReports{}
	l := &lab{files: &files{}, log: &lockedBuffer{}}
	if l.auth, err = serverauth.New(verifier, rules, serverauth.RefuseBeforeDecoding(), serverauth.WithReporter(reports), serverauth.WithLogger(nil)); err != nil {
		t.Fatal(err)
	}
	l.serve(t, setup{})
	w := l.dialTap(t)
	defer w.close()
	for _, row := range []struct {
		method, token string
		code          codes.Code
	}{{whoAmI, "good", ok}, {whoAmI, "bad", u}, {deleteFile, "good", p}} {
		before := asked.Load()
		id := w.header(t, row.method, bearer(row.token))
		if got := w.onHeader(t, id); got != nil || asked.Load() != before {
			t.Fatalf("%s with %q: answered %v on the header frame, the verifier was asked %d times", row.method, row.token, got, asked.Load()-before)
		}
		w.message(t, id)
		if got := w.end(t, id); got.code != row.code || asked.Load() != before+1 {
			t.Errorf("%s with %q: got %v, the verifier was asked %d times, want %v after one", row.method, row.token, got.code, asked.Load()-before, row.code)
		}
		if d := reports.only(t); d.Stage != serverauth.StageCall {
			t.Errorf("%s with %q: got the decision %+v, want one of the interceptor", row.method, row.token, d)
		}
	}
	before := asked.Load()
	for value, want := range map[string]serverauth.Reason{
		"Bearer":       serverauth.ReasonTokenMalformed,
		"Bearer a\"b":  serverauth.ReasonTokenMalformed,
		"Basic dXNlcg": serverauth.ReasonSchemeUnsupported,

		"Bearer " + strings.Repeat("a", 8193): serverauth.ReasonTokenTooLarge,
	} {
		if got := w.refused(t, whoAmI, header{"authorization", value}); got.reason != want {
			t.Errorf("%.20q: got %v %s, want %s", value, got.code, got.reason, want)
		}
	}
	if got := w.refused(t, whoAmI); got.reason != serverauth.ReasonTokenMissing || asked.Load() != before {
		t.Errorf("no token: got %v %s, the verifier was asked %d times", got.code, got.reason, asked.Load()-before)
	}
}

// The functions of CheckRevoked and CheckCall may wait too: they are asked before the
// handler, and not about calls that are refused on the header frame.
func TestTapNeverRunsTheUsersChecks(t *testing.T) {
	t.Parallel()
	calls := &tapCalls{}
	var refuse atomic.Bool
	l, reports := newTapLab(t, setup{},
		serverauth.CheckRevoked(func(context.Context, *serverauth.Principal) (bool, error) {
			calls.add("revoked")
			return refuse.Load(), nil
		}),
		serverauth.CheckCall(func(_ context.Context, _ string, _ *serverauth.Principal, req any) error {
			calls.add("call")
			if req == nil {
				t.Error("CheckCall got no message")
			}
			return nil
		}))
	w := l.dialTap(t)
	defer w.close()
	for _, row := range []struct {
		revoked bool
		code    codes.Code
		asked   int
	}{{false, ok, 2}, {true, u, 1}} {
		refuse.Store(row.revoked)
		id := w.header(t, whoAmI, bearer(l.issuer.good()))
		if got := w.onHeader(t, id); got != nil {
			t.Fatalf("answered on the header frame: %v %s", got.code, got.reason)
		}
		if all := calls.take(); len(all) != 0 {
			t.Errorf("on the header frame %q were asked", all)
		}
		w.message(t, id)
		if got := w.end(t, id); got.code != row.code {
			t.Errorf("got %v %s, want %v", got.code, got.reason, row.code)
		}
		if all := calls.take(); len(all) != row.asked {
			t.Errorf("%q were asked, want %d", all, row.asked)
		}
		if d := reports.only(t); d.Stage != serverauth.StageCall || d.Code != row.code {
			t.Errorf("got the decision %+v, want %v of the interceptor", d, row.code)
		}
	}
	w.refused(t, deleteFile, bearer(l.issuer.good()))
	w.refused(t, whoAmI)
	if all := calls.take(); len(all) != 0 {
		t.Errorf("about refused calls %q were asked", all)
	}
}

// A call that is only reported on is not refused on the header frame; all others are.
func TestTapReportOnly(t *testing.T) {
	t.Parallel()
	l, reports := newTapLab(t, setup{}, serverauth.ReportOnly(policy.ReportOnly{
		Authentication: true, Mandatory: "2099-12-31", Methods: []string{whoAmI, deleteFile},
	}))
	w := l.dialTap(t)
	defer w.close()
	stranger := bearer(l.issuer.token(goodHeader, with("client_id", `"stranger"`)))
	for name, headers := range map[string][]header{"no token": nil, "junk": {bearer("junk")}, "a client that is not allowed": {stranger}} {
		if got := w.passed(t, whoAmI, append(headers, header{"grpc-timeout", "1H"})...); got.code != ok {
			t.Errorf("%s: got %v %s, want OK", name, got.code, got.reason)
		}
		if n := l.auth.Stats().HeldRefusals; n != 0 {
			t.Errorf("%s: %d refusals are held, want none", name, n)
		}
		if d := reports.only(t); d.Outcome != serverauth.OutcomeWouldDeny || d.Stage != serverauth.StageCall {
			t.Errorf("%s: got the decision %+v, want one that would deny", name, d)
		}
	}
	for method, headers := range map[string][]header{
		statFile:                              nil,                       // a method that is not named
		"/demo.files.v1.FileReadService/Nope": nil,                       // no method at all
		deleteFile:                            {bearer(l.issuer.good())}, // authorization is enforced
	} {
		w.refused(t, method, headers...)
		if d := reports.only(t); d.Outcome != serverauth.OutcomeDenied || d.Stage != serverauth.StageHeader {
			t.Errorf("%s: got the decision %+v, want one that denies", method, d)
		}
	}
}
