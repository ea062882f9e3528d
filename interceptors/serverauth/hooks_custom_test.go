// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// A caller that a TokenVerifier of the user's own made is checked like any other: by the
// access file, by the functions, and its streams end when it says.
func TestHooksOfACustomVerifier(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		begin := time.Now()
		verifier := stubVerifier(func(_ context.Context, token string) (*serverauth.Principal, error) {
			spec := serverauth.PrincipalSpec{
				ClientID: token, ClientName: "name-" + token, Issuer: issuerURL, TokenID: "id-" + token,
				Scopes: []string{"echo/call", "echo/stream"},
			}
			switch token {
			case "for-an-hour":
				spec.ExpiresAt = begin.Add(time.Hour)
			case "for-ages":
				spec.ExpiresAt = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
			case "long-gone":
				spec.ExpiresAt = time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC)
			}
			return serverauth.NewPrincipal(spec), nil
		})
		told := &decisions{}
		l := startCustom(t, verifier, setup{memory: true, options: []serverauth.Option{
			serverauth.AccessFile(newAccessFile(t, `{"deny": [{"clients": ["denied"]}, {"token_ids": ["id-denied-token"]}]}`)),
			serverauth.CheckRevoked(func(_ context.Context, p *serverauth.Principal) (bool, error) { return p.ClientID() == "revoked", nil }),
			serverauth.OwnScopesOnly(), serverauth.WithReporter(told),
		}})
		for client, reason := range map[string]serverauth.Reason{
			"good": "", "denied": serverauth.ReasonTokenRevoked, "denied-token": serverauth.ReasonTokenRevoked, "revoked": serverauth.ReasonTokenRevoked,
		} {
			want := serverauth.Decision{
				Method: echoOnce, Outcome: serverauth.OutcomeAllowed, Stage: serverauth.StageCall, Reason: reason,
				Issuer: issuerURL, ClientID: client, ClientName: "name-" + client,
			}
			if reason != "" {
				want.Outcome, want.Code = serverauth.OutcomeDenied, u
			}
			if got := l.call(t, echoOnce, bearer(client)); got.code != want.Code || got.reason != reason {
				t.Errorf("%s: got %v %s, want %v %s", client, got.code, got.reason, want.Code, reason)
			}
			told.expect(t, client, want)
		}
		gone := l.dial(t)
		defer gone.close()
		gone.open(t, chat, bearer("long-gone"))
		synctest.Wait()
		gone.send(t, nil)
		if got := gone.lastWord(t); got.code != u || got.reason != serverauth.ReasonTokenExpired {
			t.Errorf("a caller whose end lies in 1600: got %v %s, want UNAUTHENTICATED TOKEN_EXPIRED", got.code, got.reason)
		}
		streams := map[string]*rawCall{}
		for _, token := range []string{"for-an-hour", "for-ages", "for-ever"} {
			c := l.dial(t)
			defer c.close()
			c.open(t, chat, bearer(token))
			streams[token] = c
		}
		time.Sleep(time.Hour - time.Millisecond)
		for token, c := range streams {
			c.send(t, nil)
			if !c.recv(t) {
				t.Errorf("%s: ended within the hour: %+v", token, c.finish(t))
			}
		}
		time.Sleep(2 * time.Millisecond) // past the moment itself, in which the timer fires
		streams["for-an-hour"].send(t, nil)
		if got := streams["for-an-hour"].lastWord(t); got.code != u || got.reason != serverauth.ReasonTokenExpired {
			t.Errorf("after the hour: got %v %s, want UNAUTHENTICATED TOKEN_EXPIRED", got.code, got.reason)
		}
		time.Sleep(30 * time.Minute)
		for _, token := range []string{"for-ages", "for-ever"} {
			streams[token].send(t, nil)
			streams[token].closeSend(t)
			if got := streams[token].finish(t); got.code != codes.OK || got.messages != 2 {
				t.Errorf("%s: got %v %s after %d messages, want OK after 2", token, got.code, got.reason, got.messages)
			}
		}
	})
}
