// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"maps"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// tapTarget is a server that answers on the header frame, and another that leaves all to
// its interceptors, for comparison.
type tapTarget struct {
	*lab

	reports *tapReports
	lines   tapLines
	plain   *lab
}

func newTapTarget(t *testing.T, s setup) tapTarget {
	t.Helper()
	target := tapTarget{lines: make(tapLines, 16), plain: newLab(t, s)}
	s.options = append(s.options, serverauth.WithUnlimitedLog(), serverauth.WithLogger(tapLogger(target.lines)))
	target.lab, target.reports = newTapLab(t, s)
	return target
}

// The whole table of attacks once more: what the interceptors refuse is refused on the
// header frame, with the same answer but for the challenge, unless a key must be fetched.
//
//nolint:tparallel // the rows share a server whose fetches of keys they count
func TestTapAttacks(t *testing.T) {
	t.Parallel()
	for _, rows := range [][]attack{metadataAttacks, jwsAttacks, claimAttacks} {
		target := newTapTarget(t, setup{})
		for _, row := range rows {
			t.Run(row.id+"/"+row.name, func(t *testing.T) { row.runTap(t, target) })
		}
	}
}

func (row attack) runTap(t *testing.T, target tapTarget) {
	t.Helper()
	if row.fetches > 0 { // a fetch for an unknown kid quiets the next ones: take a new server
		target = newTapTarget(t, setup{})
	}
	method := row.method
	if method == "" {
		method = whoAmI
	}
	headers := row.headers(target.issuer)
	fetched, ran := target.issuer.fetches.Load(), target.files.ran.Load()
	w := target.dialTap(t)
	defer w.close()
	switch {
	case row.code == ok:
		if got := w.passed(t, method, headers...); got.code != ok {
			t.Errorf("got %v %s, want OK", got.code, got.message)
		}
		if n := target.files.ran.Load() - ran; n != 1 {
			t.Errorf("the handler ran %d times, want once", n)
		}
		if d := target.reports.only(t); d.Outcome != serverauth.OutcomeAllowed || d.Stage != serverauth.StageCall {
			t.Errorf("got the decision %+v, want one that allows", d)
		}
		return
	case row.fetches > 0:
		if got := w.passed(t, method, headers...); got.code != row.code || len(got.challenge) != 1 {
			t.Errorf("got %v %q, want the interceptor to refuse with %v", got.code, got.challenge, row.code)
		}
		if d := target.reports.only(t); d.Stage != serverauth.StageCall || d.Reason != row.fine {
			t.Errorf("got the decision %+v, want %s of the interceptor", d, row.fine)
		}
	default:
		got := w.refused(t, method, headers...)
		target.checkRefusal(t, got, method, headers, row.fine)
		row.checkWire(t, got, method)
		line := <-target.lines
		if !strings.Contains(line, `msg="refused `+string(row.fine)+`"`) {
			t.Errorf("got the log line %s, want it to say %s", line, row.fine)
		}
		checkTapSilence(t, line+got.trailer, headers)
	}
	if n := target.files.ran.Load() - ran; n != 0 {
		t.Errorf("the handler ran %d times", n)
	}
	if n := target.issuer.fetches.Load() - fetched; n != row.fetches {
		t.Errorf("fetches of keys: got %d, want %d", n, row.fetches)
	}
}

// checkRefusal expects a refusal of the header stage alone, and the answer that the
// interceptors give.
func (target tapTarget) checkRefusal(t *testing.T, got answer, method string, headers []header, fine serverauth.Reason) {
	t.Helper()
	d := target.reports.only(t)
	if d.Outcome != serverauth.OutcomeDenied || d.Stage != serverauth.StageHeader || d.Reason != fine || d.Code != got.code || d.Method != method {
		t.Errorf("got the decision %+v, want %s of the header stage for %s", d, fine, method)
	}
	if refusal := target.lastRefusal(); refusal != nil {
		t.Errorf("the interceptors refused too: %s", refusal.Reason())
	}
	want := target.plain.call(t, method, headers...)
	if got.code != want.code || got.reason != want.reason || got.message != want.message || !maps.Equal(got.metadata, want.metadata) {
		t.Errorf("got %v %s %q %v, the interceptors answer %v %s %q %v",
			got.code, got.reason, got.message, got.metadata, want.code, want.reason, want.message, want.metadata)
	}
}

func checkTapSilence(t *testing.T, text string, headers []header) {
	t.Helper()
	for _, h := range headers {
		if len(h.value) < 100 {
			continue
		}
		for _, part := range []string{h.value[len(h.value)-40:], h.value[20:60], h.value[len(h.value)/2:][:40]} {
			if strings.Contains(text, part) {
				t.Error("the log or the answer holds a part of the token")
			}
		}
	}
}

// Names of methods that are not registered, or that no HTTP/2 server should be asked for.
var tapStrangeMethods = []struct{ id, method string }{
	{"E1", "demo.files.v1.FileReadService/WhoAmI"},
	{"E1", ""},
	{"E1", "/"},
	{"E1", "WhoAmI"},
	{"E1", "/demo.files.v1.FileReadService"},
	{"E2", "//demo.files.v1.FileReadService/WhoAmI"},
	{"E2", "/demo.files.v1.FileReadService//WhoAmI"},
	{"E2", "/demo.files.v1.FileReadService/WhoAmI/"},
	{"E2", "/x/../demo.files.v1.FileReadService/WhoAmI"},
	{"E2", "/demo.files.v1.FileReadService/WhoAmI?a=b"},
	{"E2", "/demo.files.v1.FileReadService/Who%41mI"},
	{"E2", "/demo.files.v1.FileReadService/whoAmI"},
	{"E2", "/demo.files.v1.FileReadService/Version/"},
	{"E2", "//demo.files.v1.FileReadService/Version"},
	{"E4", "/demo.files.v1.FileReadService/Nope"},
	{"E4", "/acme.Unknown/Do"},
	{"E4", "/acme.Unknown/\xff\xc3\xa4\tDo"},
}

// Without a good token nobody finds out which methods there are; with one, gRPC itself
// says UNIMPLEMENTED.
func TestTapHidesWhichMethodsThereAre(t *testing.T) {
	t.Parallel()
	lines := make(tapLines, 16)
	l, reports := newTapLab(t, setup{options: []serverauth.Option{serverauth.WithUnlimitedLog(), serverauth.WithLogger(tapLogger(lines))}})
	w := l.dialTap(t)
	defer w.close()
	for _, row := range tapStrangeMethods {
		for headers, want := range map[header]serverauth.Reason{
			{"x-none", "x"}: serverauth.ReasonTokenMissing,
			bearer("junk"):  serverauth.ReasonTokenMalformed,
			bearer(l.issuer.token(goodHeader, with("client_id", `"stranger"`))): serverauth.ReasonClientNotAllowed,
		} {
			got := w.refused(t, row.method, headers)
			if got.reason != want || got.message != texts[want] || got.code == codes.Unimplemented {
				t.Errorf("%s %q: got %v %s %q, want %s", row.id, row.method, got.code, got.reason, got.message, want)
			}
			if named := got.metadata["method"]; named != strings.ToValidUTF8(row.method, "?") {
				t.Errorf("%s %q: ErrorInfo names the method %q", row.id, row.method, named)
			}
			if d := reports.only(t); d.Stage != serverauth.StageHeader || d.Reason != want || d.Method != row.method {
				t.Errorf("%s %q: got the decision %+v, want %s of the header stage", row.id, row.method, d, want)
			}
			if line := <-lines; strings.Count(line, "\n") != 1 || strings.Contains(line, "\xff") || strings.Contains(line, "\t") {
				t.Errorf("%s %q: got the log line %q", row.id, row.method, line)
			}
		}
		got := w.end(t, w.header(t, row.method, bearer(l.issuer.good())))
		if got.code != codes.Unimplemented || got.reason != "" {
			t.Errorf("%s %q with a good token: got %v %s, want gRPC's own UNIMPLEMENTED", row.id, row.method, got.code, got.reason)
		}
		if all := reports.take(); len(all) != 0 {
			t.Errorf("%s %q with a good token: got the decisions %+v, want none", row.id, row.method, all)
		}
	}
	if n := l.files.ran.Load(); n != 0 {
		t.Errorf("handlers ran %d times", n)
	}
}

// A very long name neither fills the log nor the answer.
func TestTapClipsMethodNames(t *testing.T) {
	t.Parallel()
	lines := make(tapLines, 1)
	l, _ := newTapLab(t, setup{options: []serverauth.Option{serverauth.WithLogger(tapLogger(lines))}})
	w := l.dialTap(t)
	defer w.close()
	got := w.refused(t, "/"+strings.Repeat("x", 20_000)+"/Do")
	if line := <-lines; len(line) > 600 {
		t.Errorf("got a log line of %d bytes", len(line))
	}
	if got.code != u || len(got.trailer) > 1000 {
		t.Errorf("got %v in %d bytes, want a short UNAUTHENTICATED", got.code, len(got.trailer))
	}
}

// E3: a handler for unknown services changes nothing for strangers, and the interceptors
// refuse everybody else.
func TestE3TapWithAnUnknownServiceHandler(t *testing.T) {
	t.Parallel()
	l, reports := newTapLab(t, setup{server: []grpc.ServerOption{grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		t.Error("the handler of unknown services ran")
		return nil
	})}})
	w := l.dialTap(t)
	defer w.close()
	for _, row := range tapStrangeMethods {
		if got := w.refused(t, row.method); got.code != u || got.reason != serverauth.ReasonTokenMissing {
			t.Errorf("%s %q without a token: got %v %s, want TOKEN_MISSING", row.id, row.method, got.code, got.reason)
		}
		reports.take()
		got := w.end(t, w.header(t, row.method, bearer(l.issuer.good())))
		if row.id == "E1" && got.code == codes.Unimplemented { // gRPC itself: a malformed name
			continue
		}
		if got.code != p || got.reason != serverauth.ReasonMethodNotAllowed {
			t.Errorf("%s %q with a good token: got %v %s, want METHOD_NOT_ALLOWED", row.id, row.method, got.code, got.reason)
			continue
		}
		if d := reports.only(t); d.Stage != serverauth.StageCall || d.Reason != serverauth.ReasonMethodNotAllowed {
			t.Errorf("%s %q: got the decision %+v, want METHOD_NOT_ALLOWED of the interceptor", row.id, row.method, d)
		}
	}
}

// A registered method without a rule is refused by the interceptors, so that it is with
// the challenge's trailer as ever, and for strangers it is like any other.
func TestTapMethodsWithoutARule(t *testing.T) {
	t.Parallel()
	l, reports := newTapLab(t, setup{unsafe: true, register: func(s *grpc.Server) {
		healthpb.RegisterHealthServer(s, health.NewServer())
		s.RegisterService(&handMade, nil)
	}})
	if err := l.auth.CheckServer(tapServices{"grpc.health.v1.Health": {Methods: []grpc.MethodInfo{{Name: "Check"}}}}); err == nil {
		t.Fatal("CheckServer found nothing")
	}
	w := l.dialTap(t)
	defer w.close()
	for method, want := range map[string]serverauth.Reason{
		"/grpc.health.v1.Health/Check": serverauth.ReasonMethodNotAnnotated,
		"/acme.Hand/Do":                serverauth.ReasonMethodNotAllowed,
	} {
		if got := w.refused(t, method); got.reason != serverauth.ReasonTokenMissing {
			t.Errorf("%s without a token: got %v %s, want TOKEN_MISSING", method, got.code, got.reason)
		}
		reports.take()
		if got := w.passed(t, method, bearer(l.issuer.good())); got.code != p || got.reason != want {
			t.Errorf("%s with a good token: got %v %s, want %s", method, got.code, got.reason, want)
		}
		if d := reports.only(t); d.Stage != serverauth.StageCall || d.Reason != want {
			t.Errorf("%s: got the decision %+v, want %s of the interceptor", method, d, want)
		}
	}
}

// Which methods a server has is not known if nothing ever checked it. What has a rule is
// then refused on the header frame all the same.
func TestTapWithoutCheckOfTheServer(t *testing.T) {
	t.Parallel()
	l, reports := newTapLab(t, setup{unsafe: true})
	w := l.dialTap(t)
	defer w.close()
	if got := w.refused(t, deleteFile, bearer(l.issuer.good())); got.code != p || got.reason != serverauth.ReasonInsufficientScope {
		t.Errorf("got %v %s, want INSUFFICIENT_SCOPE", got.code, got.reason)
	}
	if d := reports.only(t); d.Stage != serverauth.StageHeader || d.Reason != serverauth.ReasonInsufficientScope {
		t.Errorf("got the decision %+v, want INSUFFICIENT_SCOPE of the header stage", d)
	}
}

// tapServices is what a server says of itself.
type tapServices map[string]grpc.ServiceInfo

func (s tapServices) GetServiceInfo() map[string]grpc.ServiceInfo { return s }
