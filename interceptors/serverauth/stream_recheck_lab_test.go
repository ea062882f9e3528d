// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

const (
	recheckEvery = 10 * time.Second
	// keysKnown is when a change of the issuer's keys is known at the latest: a refresh
	// each 15 min, and a tenth of that for jitter. A tenth earlier it can be.
	keysKnown = 16*time.Minute + 30*time.Second
	// listKnown is when a change of the access file is.
	listKnown = 2 * time.Second
)

// recheckLab is a lab whose keys, clients, access file and revocations change.
type recheckLab struct {
	*streamLab

	list    string // the access file
	revoked *atomic.Pointer[serverauth.RevokedFunc]
}

// newRecheckLab has an access file if listed, and a function of CheckRevoked if asked.
func newRecheckLab(t testing.TB, listed, asked bool, s setup) *recheckLab {
	t.Helper()
	l := &recheckLab{revoked: &atomic.Pointer[serverauth.RevokedFunc]{}}
	if listed {
		l.list = filepath.Join(t.TempDir(), "access.json")
		l.deny(t, "")
		s.options = append(s.options, serverauth.AccessFile(l.list))
	}
	if asked {
		s.options = append(s.options, serverauth.CheckRevoked(func(ctx context.Context, p *serverauth.Principal) (bool, error) {
			if f := l.revoked.Load(); f != nil {
				return (*f)(ctx, p)
			}
			return false, nil
		}))
	}
	l.streamLab = newStreamLab(t, s)
	return l
}

// deny replaces the access file by one with this entry.
func (l *recheckLab) deny(t testing.TB, entry string) {
	t.Helper()
	next := l.list + ".next"
	if err := errors.Join(os.WriteFile(next, []byte(`{"deny": [`+entry+`]}`), 0o600), os.Rename(next, l.list)); err != nil {
		t.Fatal(err)
	}
}

func (l *recheckLab) setClients(t testing.TB, clients serverauth.ClientSet) {
	t.Helper()
	if err := l.verifier.SetClients(issuerURL, clients); err != nil {
		t.Fatal(err)
	}
}

// answerRevoked makes f the function of CheckRevoked.
func (l *recheckLab) answerRevoked(f serverauth.RevokedFunc)   { l.revoked.Store(&f) }
func yes(context.Context, *serverauth.Principal) (bool, error) { return true, nil }

// mindful does not answer before its context ends.
func mindful(ctx context.Context, _ *serverauth.Principal) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

// mindless minds no context, and answers at the end of the test.
func mindless(t testing.TB) serverauth.RevokedFunc {
	t.Helper()
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	return func(context.Context, *serverauth.Principal) (bool, error) {
		<-end
		return false, nil
	}
}

// change is something that ends a stream, or does not.
type change struct {
	name          string
	listed, asked bool // there is an access file, or a function of CheckRevoked
	do            func(t testing.TB, l *recheckLab)
	known         time.Duration // when the server knows at the latest
	not           time.Duration // until when it cannot know
	takes         time.Duration // what the look takes
	refusal       refusal
}

var (
	revokedRefusal     = refusal{code: u, fine: serverauth.ReasonTokenRevoked}
	unavailableRefusal = refusal{code: codes.Unavailable, fine: serverauth.ReasonRevocationUnavailable}
	keyRefusal         = refusal{code: u, fine: serverauth.ReasonKeyNotFound, wire: serverauth.ReasonTokenInvalid}
	clientRefusal      = refusal{code: p, fine: serverauth.ReasonClientNotAllowed}
)

var endingChanges = []change{
	{
		name: "the key is removed", known: keysKnown, not: 12 * time.Minute, refusal: keyRefusal,
		do: func(_ testing.TB, l *recheckLab) { l.issuer.publish(otherKeyID, l.issuer.id) },
	},
	{
		name: "the key is another one", known: keysKnown, not: 12 * time.Minute, refusal: keyRefusal,
		do: func(_ testing.TB, l *recheckLab) {
			l.issuer.publish(goodKeyID, l.issuer.stranger, otherKeyID, l.issuer.id)
		},
	},
	{
		name: "the client is removed", refusal: clientRefusal,
		do: func(t testing.TB, l *recheckLab) { t.Helper(); l.setClients(t, serverauth.Clients("another")) },
	},
	{
		name: "the client is renamed and then removed", refusal: clientRefusal,
		do: func(t testing.TB, l *recheckLab) {
			t.Helper()
			l.setClients(t, serverauth.NamedClients(map[string]string{"billing": clientID}))
			time.Sleep(3 * recheckEvery)
			l.setClients(t, serverauth.Clients("another"))
		},
	},
	{
		name: "the verifier is closed", refusal: refusal{code: codes.Unavailable, fine: serverauth.ReasonKeysUnavailable},
		do: func(t testing.TB, l *recheckLab) {
			t.Helper()
			if err := l.verifier.Close(); err != nil {
				t.Error(err)
			}
		},
	},
	{
		name: "the token is revoked", asked: true, refusal: revokedRefusal,
		do: func(_ testing.TB, l *recheckLab) { l.answerRevoked(yes) },
	},
	{
		name: "CheckRevoked fails", asked: true, refusal: unavailableRefusal,
		do: func(_ testing.TB, l *recheckLab) {
			l.answerRevoked(func(context.Context, *serverauth.Principal) (bool, error) { return false, errors.New("down") })
		},
	},
	{
		name: "CheckRevoked takes too long", asked: true, takes: 5 * time.Second, refusal: unavailableRefusal,
		do: func(_ testing.TB, l *recheckLab) { l.answerRevoked(mindful) },
	},
	{
		name: "CheckRevoked never returns", asked: true, takes: 5 * time.Second, refusal: unavailableRefusal,
		do: func(t testing.TB, l *recheckLab) { t.Helper(); l.answerRevoked(mindless(t)) },
	},
	{
		name: "CheckRevoked panics", asked: true, refusal: unavailableRefusal,
		do: func(_ testing.TB, l *recheckLab) {
			l.answerRevoked(func(context.Context, *serverauth.Principal) (bool, error) { panic("the function's") })
		},
	},
	{
		name: "CheckRevoked ends its goroutine", asked: true, refusal: unavailableRefusal,
		do: func(_ testing.TB, l *recheckLab) {
			l.answerRevoked(func(context.Context, *serverauth.Principal) (bool, error) {
				runtime.Goexit()
				return false, nil
			})
		},
	},
	{
		name: "the access file denies the client", listed: true, known: listKnown, refusal: revokedRefusal,
		do: func(t testing.TB, l *recheckLab) {
			t.Helper()
			l.deny(t, `{"clients": ["`+clientID+`"], "issuer": "`+issuerURL+`"}`)
		},
	},
	{
		name: "the access file denies the token", listed: true, known: listKnown, refusal: revokedRefusal,
		do: func(t testing.TB, l *recheckLab) {
			t.Helper()
			l.deny(t, `{"token_ids": ["8dcf56f9-0000-4000-8000-000000000000"]}`)
		},
	},
	{
		name: "the access file denies the method", listed: true, known: listKnown, refusal: clientRefusal,
		do: func(t testing.TB, l *recheckLab) { t.Helper(); l.deny(t, `{"methods": ["`+chat+`"]}`) },
	},
}
