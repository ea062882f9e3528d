// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// serveTapHTTP puts a grpc.Server with the lab's options behind net/http. It returns a
// raw client's view of it, and the server.
func serveTapHTTP(t *testing.T, l *lab) (*lab, *httptest.Server) {
	t.Helper()
	behind := &lab{files: &files{}, issuer: l.issuer, log: &lockedBuffer{}}
	srv := grpc.NewServer(l.auth.ServerOptions()...)
	filesv1.RegisterFileReadServiceServer(srv, behind.files)
	filesv1.RegisterFileWriteServiceServer(srv, behind.files)
	web := httptest.NewUnstartedServer(srv)
	web.EnableHTTP2 = true
	web.Config.ErrorLog = log.New(behind.log, "", 0)
	web.StartTLS()
	t.Cleanup(func() {
		web.Close()
		srv.Stop()
	})
	behind.addr = web.Listener.Addr().String()
	transport, ok := web.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("the test server's client has another transport")
	}
	behind.tls = &tls.Config{RootCAs: transport.TLSClientConfig.RootCAs, ServerName: "example.com", MinVersion: tls.VersionTLS12}
	return behind, web
}

// Behind net/http gRPC runs no tap handle: the interceptors alone refuse, and refuse the
// same. net/http lets no www-authenticate trailer out (RFC 9110 section 6.5.1).
func TestTapIsNotNeededBehindServeHTTP(t *testing.T) {
	t.Parallel()
	l, reports := newTapLab(t, setup{})
	behind, _ := serveTapHTTP(t, l)
	for _, row := range []struct {
		name, method string
		headers      []header
		fine         serverauth.Reason
	}{
		{"no token", whoAmI, nil, serverauth.ReasonTokenMissing},
		{"no token on a stream", readFile, nil, serverauth.ReasonTokenMissing},
		{"two values", whoAmI, []header{bearer(l.issuer.good()), bearer(l.issuer.good())}, serverauth.ReasonAuthorizationDuplicated},
		{"junk", whoAmI, []header{bearer("junk")}, serverauth.ReasonTokenMalformed},
		{"expired", whoAmI, []header{bearer(l.issuer.token(goodHeader, with("exp", at(-60))))}, serverauth.ReasonTokenExpired},
		{"no scope", deleteFile, []header{bearer(l.issuer.good())}, serverauth.ReasonInsufficientScope},
		{"not allowed", whoAmI, []header{bearer(l.issuer.token(goodHeader, with("client_id", `"stranger"`)))}, serverauth.ReasonClientNotAllowed},
	} {
		got := behind.call(t, row.method, row.headers...)
		want := l.call(t, row.method, row.headers...)
		if got.code != want.code || got.reason != want.reason || got.message != want.message || !maps.Equal(got.metadata, want.metadata) {
			t.Errorf("%s: got %v %s %q, want %v %s %q", row.name, got.code, got.reason, got.message, want.code, want.reason, want.message)
		}
		all := reports.take()
		if len(all) != 2 || all[0].Stage != serverauth.StageCall || all[1].Stage != serverauth.StageHeader || all[0].Reason != row.fine || all[1].Reason != row.fine {
			t.Errorf("%s: got the decisions %+v, want %s of the interceptor, and without net/http of the header stage", row.name, all, row.fine)
		}
	}
	if n := behind.files.ran.Load(); n != 0 {
		t.Errorf("handlers ran %d times", n)
	}
	for method, headers := range map[string][]header{whoAmI: {bearer(l.issuer.good())}, readFile: {bearer(l.issuer.good())}, version: nil} {
		if got := behind.call(t, method, headers...); got.code != ok {
			t.Errorf("%s: got %v %s, want OK", method, got.code, got.message)
		}
	}
	if n := l.auth.Stats().HeldRefusals; n != 0 {
		t.Errorf("%d refusals are held, want none", n)
	}
	if log := behind.log.String(); strings.Contains(log, "trailer") {
		t.Errorf("net/http logs that it takes a trailer for invalid:\n%s", log)
	}
}

// A9: net/http hands the key over as Authorization, and gRPC makes it lower-case again.
func TestA9UpperCaseBehindServeHTTP(t *testing.T) {
	t.Parallel()
	l, _ := newTapLab(t, setup{})
	behind, web := serveTapHTTP(t, l)
	call := func(headers http.Header) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+whoAmI, bytes.NewReader(frame(nil)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = headers
		r.Header.Set("Content-Type", "application/grpc")
		r.Header.Set("TE", "trailers")
		resp, err := web.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.Header.Get("Grpc-Status") + resp.Trailer.Get("Grpc-Status")
	}
	good := "Bearer " + l.issuer.good()
	for _, row := range []struct {
		headers http.Header
		status  string
	}{
		{http.Header{"Authorization": {good}}, "0"},
		{http.Header{"AUTHORIZATION": {good}}, "0"},
		{http.Header{"Authorization": {good}, "AUTHORIZATION": {good}}, "16"},
		{http.Header{}, "16"},
	} {
		if got := call(row.headers); got != row.status {
			t.Errorf("%d authorization values: got the status %s, want %s", len(row.headers)-2, got, row.status)
		}
	}
	if n := behind.files.ran.Load(); n != 2 {
		t.Errorf("the handler ran %d times, want twice", n)
	}
}

// A9: on the wire an upper-case key is a protocol error, on either server, and no tap
// handle sees it.
func TestA9UpperCaseOnTheWire(t *testing.T) {
	t.Parallel()
	l, reports := newTapLab(t, setup{})
	behind, _ := serveTapHTTP(t, l)
	for name, server := range map[string]*lab{"gRPC's own transport": l, "net/http": behind} {
		c := server.dial(t)
		defer c.close()
		c.open(t, whoAmI, header{"Authorization", "Bearer " + l.issuer.good()})
		got, err := c.tryFinish()
		if err == nil || !strings.Contains(err.Error(), http2.ErrCodeProtocol.String()) {
			t.Errorf("%s: got %+v and %v, want PROTOCOL_ERROR", name, got, err)
		}
		if n := server.files.ran.Load(); n != 0 {
			t.Errorf("%s: the handler ran %d times", name, n)
		}
	}
	if all := reports.take(); len(all) != 0 {
		t.Errorf("got the decisions %+v, want none", all)
	}
}
