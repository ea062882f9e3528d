// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// One decision is reported of each call, and whether its token was remembered says what
// the header frame's look-up found: no second one is made.
func TestTapReportsEachCallOnce(t *testing.T) {
	t.Parallel()
	l, reports := newTapLab(t, setup{})
	w := l.dialTap(t)
	defer w.close()
	for n, method := range []string{whoAmI, statFile, readFile, echoOnce, repeat, count, chat, writeFile, appendFile} {
		claims := with("jti", fmt.Sprintf(`"call-%d"`, n), "scope", `"demo/read.file demo/write.file echo/call echo/stream"`)
		token := l.issuer.token(goodHeader, claims)
		for _, cached := range []bool{false, true} {
			id := w.header(t, method, bearer(token))
			if method == repeat {
				// A message that asks for one answer, so that the stream ends.
				if err := w.framer.WriteData(id, true, frame([]byte{0x10, 0x01})); err != nil {
					t.Fatal(err)
				}
			} else {
				w.message(t, id)
			}
			if got := w.end(t, id); got.code != ok {
				t.Errorf("%s: got %v %s, want OK", method, got.code, got.message)
			}
			d := reports.only(t)
			if d.Outcome != serverauth.OutcomeAllowed || d.Stage != serverauth.StageCall || d.Cached != cached || d.ClientID != clientID || d.Method != method {
				t.Errorf("%s: got the decision %+v, want one that allows the caller, cached: %v", method, d, cached)
			}
		}
	}
}

// The interceptor does not look for the token again: it may be forgotten by then.
func TestTapDecisionIsNotRepeated(t *testing.T) {
	t.Parallel()
	l, reports := newTapLab(t, setup{verifier: []serverauth.VerifierOption{serverauth.CacheLimits(1, 1<<20)}})
	w := l.dialTap(t)
	defer w.close()
	misses := func() uint64 { return l.auth.Stats().Verifier.Cache.Misses }
	first, second := l.issuer.good(), l.issuer.token(goodHeader, with("jti", `"another"`))
	a := w.header(t, whoAmI, bearer(first))
	b := w.header(t, whoAmI, bearer(second)) // takes the only place
	w.settle(t)
	if n := misses(); n != 2 {
		t.Fatalf("after two header frames: %d misses, want 2", n)
	}
	for _, id := range []uint32{a, b} {
		w.message(t, id)
		if got := w.end(t, id); got.code != ok {
			t.Errorf("got %v %s, want OK", got.code, got.message)
		}
		if d := reports.only(t); d.Outcome != serverauth.OutcomeAllowed || d.Cached {
			t.Errorf("got the decision %+v, want one that allows, of a new token", d)
		}
	}
	if n := misses(); n != 2 {
		t.Errorf("%d misses, want 2: a token was verified again", n)
	}
}

// What one Authorizer decided on the header frame is nothing to another on the same
// server, which trusts another issuer: it decides itself, and the other way round.
func TestTapDecisionIsNotForAnotherAuthorizer(t *testing.T) {
	t.Parallel()
	const otherURL = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Other"
	other, otherReports := newTapLab(t, setup{issuers: func(base serverauth.Issuer) []serverauth.Issuer {
		base.URL = otherURL
		return []serverauth.Issuer{base}
	}})
	l, reports := newTapLab(t, setup{server: []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(other.auth.UnaryServerInterceptor()), grpc.ChainStreamInterceptor(other.auth.StreamServerInterceptor()),
	}})
	w := l.dialTap(t)
	defer w.close()
	for _, method := range []string{whoAmI, readFile} {
		id := w.header(t, method, bearer(l.issuer.good()))
		w.message(t, id)
		if got := w.end(t, id); got.code != u || got.reason != invalid {
			t.Errorf("%s: got %v %s, want the second authorizer's refusal", method, got.code, got.reason)
		}
		if d := reports.only(t); d.Outcome != serverauth.OutcomeAllowed {
			t.Errorf("%s: the first authorizer decided %+v, want it to allow", method, d)
		}
		if d := otherReports.only(t); d.Reason != serverauth.ReasonIssuerMismatch || d.Stage != serverauth.StageCall {
			t.Errorf("%s: the second authorizer decided %+v, want ISSUER_MISMATCH", method, d)
		}
		w.refused(t, method, bearer(l.issuer.token(goodHeader, with("iss", `"`+otherURL+`"`))))
		if d := reports.only(t); d.Reason != serverauth.ReasonIssuerMismatch || d.Stage != serverauth.StageHeader {
			t.Errorf("%s: the first authorizer decided %+v, want ISSUER_MISMATCH", method, d)
		}
	}
	if n := l.files.ran.Load(); n != 0 {
		t.Errorf("handlers ran %d times", n)
	}
}

// Something that goes on to another method within the same call, as a gateway in the
// process does, meets that method's rule.
func TestTapDecisionIsNotForAnotherMethod(t *testing.T) {
	t.Parallel()
	var l *lab
	within := make(chan error, 1)
	l, _ = newTapLab(t, setup{server: []grpc.ServerOption{grpc.ChainUnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			inner := grpc.NewContextWithServerTransportStream(ctx, wire(deleteFile))
			_, err := l.auth.UnaryServerInterceptor()(inner, req, &grpc.UnaryServerInfo{FullMethod: deleteFile}, func(context.Context, any) (any, error) {
				t.Error("the handler of the inner method ran")
				return struct{}{}, nil
			})
			within <- err
			return h(ctx, req)
		})}})
	w := l.dialTap(t)
	defer w.close()
	if got := w.passed(t, whoAmI, bearer(l.issuer.good())); got.code != ok {
		t.Errorf("got %v %s, want OK", got.code, got.message)
	}
	if err := <-within; status.Code(err) != p {
		t.Errorf("the inner method: got %v, want PERMISSION_DENIED", err)
	}
}

// A caller chooses when the message follows the header frame. What was good then has to be
// good still when the handler would run.
//
//nolint:tparallel // bubbles cannot be parallel, and the rows share a file
func TestTapDecisionDoesNotOutliveTheToken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.json")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name string
		wait func(t *testing.T, l *lab)
		fine serverauth.Reason
	}{
		{"the token expires", func(*testing.T, *lab) { time.Sleep(time.Hour) }, serverauth.ReasonTokenExpired},
		{"the client is taken off the list", func(t *testing.T, l *lab) {
			t.Helper()
			if err := l.verifier.SetClients(issuerURL, serverauth.Clients("another")); err != nil {
				t.Error(err)
			}
		}, serverauth.ReasonClientNotAllowed},
		{"the key is taken away", func(_ *testing.T, l *lab) {
			l.issuer.publish(otherKeyID, l.issuer.id)
			time.Sleep(20 * time.Minute)
		}, serverauth.ReasonKeyNotFound},
		{"the access file denies the client", func(*testing.T, *lab) {
			write(`{"deny": [{"clients": ["` + clientID + `"]}]}`)
			time.Sleep(2 * time.Second)
		}, serverauth.ReasonTokenRevoked},
	} {
		t.Run(row.name, func(t *testing.T) {
			write(`{"deny": []}`)
			bubble(t, func(t *testing.T) {
				t.Helper()
				l, reports := newTapLab(t, setup{memory: true}, serverauth.AccessFile(path))
				w := l.dialTap(t)
				defer w.close()
				id := w.header(t, whoAmI, bearer(l.issuer.good()))
				if got := w.onHeader(t, id); got != nil {
					t.Fatalf("answered on the header frame: %v %s", got.code, got.reason)
				}
				row.wait(t, l)
				w.message(t, id)
				if got := w.end(t, id); got.code == ok || l.files.ran.Load() != 0 {
					t.Errorf("got %v and the handler ran %d times, want %s", got.code, l.files.ran.Load(), row.fine)
				}
				if d := reports.only(t); d.Reason != row.fine || d.Stage != serverauth.StageCall {
					t.Errorf("got the decision %+v, want %s of the interceptor", d, row.fine)
				}
			})
		})
	}
}
