// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// C25: the function is asked for each call of a verified caller, remembered tokens
// included, and nothing passes that it did not let pass.
func TestC25CheckRevoked(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var (
			answer func(context.Context) (bool, error)
			asked  int
			caller *serverauth.Principal
		)
		l := newLab(t, setup{memory: true, options: []serverauth.Option{serverauth.WithUnlimitedLog(), serverauth.CheckRevoked(
			func(ctx context.Context, p *serverauth.Principal) (bool, error) {
				asked++
				caller = p
				if seen, ok := serverauth.PrincipalFromContext(ctx); !ok || seen != p {
					t.Errorf("the context carries %v, want the caller", seen)
				}
				return answer(ctx)
			})}})
		defer l.fetchesNothing(t)()
		no := func(context.Context) (bool, error) { return false, nil }
		yes := func(context.Context) (bool, error) { return true, nil }
		broken := func(context.Context) (bool, error) { return false, errors.New("the table of revoked tokens is gone") }
		confused := func(context.Context) (bool, error) { return true, errors.New("yes and no") }
		panics := func(context.Context) (bool, error) { panic("a bug in the look-up") }
		panicsWithError := func(context.Context) (bool, error) {
			var nobody *decisions
			nobody.Report(context.Background(), serverauth.Decision{})
			return false, nil
		}
		const (
			revoked     = serverauth.ReasonTokenRevoked
			unavailable = serverauth.ReasonRevocationUnavailable
		)
		token := l.of("demo/read.file")
		for _, row := range []struct {
			name   string
			answer func(context.Context) (bool, error)
			method string
			code   codes.Code
			reason serverauth.Reason
			log    string
		}{
			{"no, a new token", no, whoAmI, ok, "", ""},
			{"no, a remembered token", no, whoAmI, ok, "", ""},
			{"yes, a remembered token", yes, whoAmI, u, revoked, ""},
			{"yes, a stream", yes, readFile, u, revoked, ""},
			{"no again", no, readFile, ok, "", ""},
			{"an error", broken, whoAmI, ua, unavailable, "CheckRevoked: the table of revoked tokens is gone"},
			{"an error, a stream", broken, readFile, ua, unavailable, "CheckRevoked: the table of revoked tokens is gone"},
			{"yes and an error", confused, whoAmI, ua, unavailable, "yes and no"},
			{"a panic", panics, whoAmI, ua, unavailable, `panic="a bug in the look-up"`},
			{"a panic of the runtime, a stream", panicsWithError, readFile, ua, unavailable, "nil pointer"},
			{"no in the end", no, whoAmI, ok, "", ""},
		} {
			answer, asked, caller = row.answer, 0, nil
			before, log := l.files.ran.Load(), len(l.log.String())
			got := l.call(t, row.method, bearer(token))
			if got.code != row.code || got.reason != row.reason {
				t.Errorf("%s: got %v %s, want %v %s", row.name, got.code, got.reason, row.code, row.reason)
			}
			if ran := l.files.ran.Load() != before; ran != (row.code == ok) {
				t.Errorf("%s: the handler ran: %v", row.name, ran)
			}
			if asked != 1 || caller == nil || caller.ClientID() != clientID || caller.TokenID() == "" || caller.Issuer() != issuerURL {
				t.Errorf("%s: asked %d times, about %v", row.name, asked, caller)
			}
			synctest.Wait()
			line := l.log.String()[log:]
			if !strings.Contains(line, row.log) || row.code != ok && !strings.Contains(line, "client_id="+clientID) {
				t.Errorf("%s: the log lacks %q or the client:\n%s", row.name, row.log, line)
			}
			if strings.Contains(row.name, "panic") && (!strings.Contains(line, "scopeauth: CheckRevoked panicked") || !strings.Contains(line, "hooks_revoked_test.go")) {
				t.Errorf("%s: the log does not say that or where it panicked:\n%s", row.name, line)
			}
			if row.log != "" && strings.Contains(got.trailer, row.log) {
				t.Errorf("%s: the caller learns the cause: %s", row.name, got.trailer)
			}
		}
		// Of calls that are public or refused anyway it is not asked.
		answer, asked = yes, 0
		for method, headers := range map[string][]header{
			version:    {bearer(token)},
			whoAmI:     nil,
			statFile:   {bearer("junk")},
			deleteFile: {bearer(token)},
		} {
			l.call(t, method, headers...)
		}
		if asked != 0 {
			t.Errorf("asked %d times about calls that are public or refused anyway", asked)
		}
	})
}

// The end of the call itself is no fault of the function.
func TestCheckRevokedAndTheEndOfTheCall(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var hooks atomic.Int64
		l := newLab(t, setup{memory: true, options: []serverauth.Option{
			serverauth.CheckRevoked(func(ctx context.Context, _ *serverauth.Principal) (bool, error) {
				hooks.Add(1)
				<-ctx.Done()
				return false, ctx.Err()
			}),
			// The call has not passed, and what is only reported does not let it either.
			serverauth.ReportOnly(policy.ReportOnly{Authentication: true, Authorization: true, Mandatory: "2027-03-31"}),
		}})
		c := l.dial(t)
		defer c.close()
		c.open(t, whoAmI, bearer(l.issuer.good()), header{"grpc-timeout", "3S"})
		c.send(t, nil)
		c.closeSend(t)
		_, _ = c.tryFinish() // gRPC resets the stream at its deadline
		synctest.Wait()
		if refusal := l.lastRefusal(); refusal == nil || !ofContext(refusal.Code()) || refusal.Reason() != serverauth.ReasonRevocationUnavailable {
			t.Errorf("a call whose deadline passed: got %v, want the context's code and REVOCATION_UNAVAILABLE", refusal)
		}

		gone := l.dial(t)
		gone.open(t, whoAmI, bearer(l.issuer.good()))
		gone.send(t, nil)
		gone.closeSend(t)
		eventually(t, "the question", func() bool { return hooks.Load() == 2 })
		gone.close()
		synctest.Wait()
		if refusal := l.lastRefusal(); refusal == nil || refusal.Code() != codes.Canceled || refusal.Reason() != serverauth.ReasonRevocationUnavailable {
			t.Errorf("a call whose caller has gone: got %v, want CANCELED REVOCATION_UNAVAILABLE", refusal)
		}
		if l.files.ran.Load() != 0 {
			t.Error("a handler ran")
		}
	})
}

// C25: an open stream whose token is revoked, or about which nobody knows, ends; and a
// panic in the timer of a stream does not end the process.
func TestC25CheckRevokedInOpenStreams(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		answer func() (bool, error)
		code   codes.Code
		reason serverauth.Reason
	}{
		{"revoked", func() (bool, error) { return true, nil }, u, serverauth.ReasonTokenRevoked},
		{"an error", func() (bool, error) { return false, errors.New("gone") }, ua, serverauth.ReasonRevocationUnavailable},
		{"a panic", func() (bool, error) { panic("a bug") }, ua, serverauth.ReasonRevocationUnavailable},
	} {
		bubble(t, func(t *testing.T) {
			told := &decisions{}
			var closed atomic.Bool
			l := newLab(t, setup{memory: true, options: []serverauth.Option{
				serverauth.WithReporter(told), serverauth.RecheckStreams(time.Second),
				serverauth.CheckRevoked(func(context.Context, *serverauth.Principal) (bool, error) {
					if closed.Load() {
						return row.answer()
					}
					return false, nil
				}),
			}})
			c := l.dial(t)
			defer c.close()
			c.open(t, chat, bearer(l.echoToken()))
			for range 5 {
				c.send(t, nil)
				if !c.recv(t) {
					t.Fatalf("%s: ended early: %v", row.name, c.finish(t))
				}
				time.Sleep(time.Second)
			}
			closed.Store(true)
			time.Sleep(time.Second + time.Millisecond)
			c.send(t, nil)
			if got := c.lastWord(t); got.code != row.code || got.reason != row.reason || got.messages != 5 {
				t.Errorf("%s: got %v %s after %d messages, want %v %s after 5", row.name, got.code, got.reason, got.messages, row.code, row.reason)
			}
			told.expect(t, row.name,
				serverauth.Decision{Method: chat, Outcome: serverauth.OutcomeAllowed, Stage: serverauth.StageCall, Issuer: issuerURL, ClientID: clientID},
				serverauth.Decision{
					Method: chat, Outcome: serverauth.OutcomeDenied, Stage: serverauth.StageStream, Reason: row.reason, Code: row.code,
					Issuer: issuerURL, ClientID: clientID,
				})
		})
	}
}

func TestCheckRevokedIsOneFunction(t *testing.T) {
	t.Parallel()
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	f := func(context.Context, *serverauth.Principal) (bool, error) { return false, nil }
	for name, options := range map[string][]serverauth.Option{
		"nil":   {serverauth.CheckRevoked(nil)},
		"twice": {serverauth.CheckRevoked(f), serverauth.CheckRevoked(f)},
	} {
		if _, err := serverauth.New(noVerifier(t), rules, options...); err == nil || !strings.Contains(err.Error(), "CheckRevoked needs one function, once") {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
}
