// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// pastTheTimer is a time after which the keys were fetched once more.
const pastTheTimer = 17 * time.Minute

// D13: the kid of a remembered token comes back with other material.
func TestCacheD13KidReused(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		bubble(t, func(t *testing.T) {
			l := start(t, setup{memory: true})
			token := l.issuer.good()
			l.passes(t, token, false)
			l.issuer.publish(goodKeyID, l.issuer.stranger)
			l.passes(t, token, true)
			time.Sleep(pastTheTimer)
			l.refuses(t, token, u, serverauth.ReasonSignatureInvalid, serverauth.ReasonTokenInvalid)
			l.passes(t, sign(l.issuer.stranger, b64(goodHeader)+"."+b64(goodClaims)), false)
			if s := l.stats(); s.Stale != 1 || s.Entries != 1 {
				t.Errorf("got %+v, want one stale token and one entry", s)
			}
			l.issuer.publish(goodKeyID, l.issuer.access) // and back: the token was forgotten, not hidden
			time.Sleep(pastTheTimer)
			l.passes(t, token, false)
			l.passes(t, token, true)
		})
	})
}

// D14: a key is added, by the timer's fetch or by that of the first unknown kid.
// Remembered tokens stay, and their signatures are not checked again.
func TestCacheD14KeyAdded(t *testing.T) {
	t.Parallel()
	const newHeader = `{"kid":"new","alg":"RS256"}`
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		for name, unknown := range map[string]bool{"timer": false, "unknown kid": true} {
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					l := start(t, setup{memory: true})
					token := l.issuer.good()
					l.passes(t, token, false)
					l.issuer.publish(otherKeyID, l.issuer.id, goodKeyID, l.issuer.access, "new", l.issuer.stranger)
					if !unknown {
						time.Sleep(pastTheTimer)
					}
					l.passes(t, sign(l.issuer.stranger, b64(newHeader)+"."+b64(goodClaims)), false)
					if s := l.verifier.Stats().Issuers[0]; len(s.KeyIDs) != 3 || s.KIDFetches != map[bool]uint64{true: 1}[unknown] {
						t.Fatalf("keys %q, %d fetches for an unknown kid", s.KeyIDs, s.KIDFetches)
					}
					before := l.stats()
					for range 3 {
						l.passes(t, token, true)
					}
					if after := l.stats(); after != before || after.Stale != 0 {
						t.Errorf("the figures went from %+v to %+v, want no change", before, after)
					}
				})
			})
		}
	})
}

// D15: the key of a remembered token is removed. The next call is refused at the same
// instant.
func TestCacheD15KeyRemoved(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		bubble(t, func(t *testing.T) {
			rotated := make(chan time.Time, 1)
			l := start(t, setup{memory: true, verifier: []serverauth.VerifierOption{
				serverauth.OnKeysRotated(func(string, []string, []string) { rotated <- time.Now() }),
			}})
			token := l.issuer.good()
			l.passes(t, token, false)
			l.issuer.publish(otherKeyID, l.issuer.id)
			time.Sleep(time.Minute)
			l.passes(t, token, true) // nobody knows yet
			swapped := <-rotated
			l.refuses(t, token, u, serverauth.ReasonKeyNotFound, serverauth.ReasonTokenInvalid)
			if took := time.Since(swapped); took != 0 {
				t.Errorf("refused %v after the swap, want the same instant", took)
			}
			if s := l.stats(); s.Stale != 1 || s.Entries != 0 {
				t.Errorf("got %+v, want one stale token and none left", s)
			}
		})
	})
}

// A client that is taken off the list ends at once, with all its remembered tokens; a
// client that stays keeps them.
func TestCacheAfterSetClients(t *testing.T) {
	t.Parallel()
	const other = "2other3456789abcdefghijklm"
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		clients := serverauth.NamedClients(map[string]string{"billing": clientID, "reports": other})
		l := start(t, setup{clients: &clients})
		set := func(s serverauth.ClientSet) {
			t.Helper()
			if err := l.verifier.SetClients(issuerURL, s); err != nil {
				t.Fatal(err)
			}
		}
		token, others := l.issuer.good(), l.issuer.token(goodHeader, with("client_id", `"`+other+`"`))
		named := func(token string, remembered bool, want string) {
			t.Helper()
			if d := l.passes(t, token, remembered); d.ClientName != want {
				t.Errorf("the client's name is %q, want %q", d.ClientName, want)
			}
		}
		named(token, false, "billing")
		named(others, false, "reports")
		named(token, true, "billing")

		set(serverauth.NamedClients(map[string]string{"billing": clientID})) // removes the other
		l.refuses(t, others, p, serverauth.ReasonClientNotAllowed, serverauth.ReasonClientNotAllowed)
		named(token, true, "billing") // kept
		named(token, true, "billing")
		if s := l.stats(); s.Stale != 1 || s.Entries != 1 {
			t.Errorf("got %+v, want one stale token and one entry", s)
		}

		set(serverauth.NamedClients(map[string]string{"invoices": clientID, "reports": other})) // renames, and lets the other in
		named(token, false, "invoices")
		named(token, true, "invoices")
		named(others, false, "reports")

		set(serverauth.AnyClient())
		named(token, false, "") // it has no name any more
		set(serverauth.Clients(other))
		l.refuses(t, token, p, serverauth.ReasonClientNotAllowed, serverauth.ReasonClientNotAllowed)
		named(others, false, "") // renamed twice meanwhile
		set(serverauth.Clients(other, clientID))
		named(others, true, "")
		named(token, false, "")

		if err := l.verifier.SetClients(issuerURL, serverauth.ClientSet{}); err == nil {
			t.Error("SetClients took no decision for one")
		}
		if err := l.verifier.SetClients(issuerURL+"x", serverauth.AnyClient()); err == nil {
			t.Error("SetClients took an unknown issuer")
		}
		named(token, true, "")
	})
}

// D2: after 24 hours without keys remembered tokens are refused as all others.
func TestCacheD2KeysTooOld(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		bubble(t, func(t *testing.T) {
			l := start(t, setup{memory: true})
			l.issuer.down.Store(true)
			const life = 24 * 3600
			token := l.issuer.token(goodHeader, with("iat", at(life-3600), "exp", at(life+3600)))
			time.Sleep((life - 1800) * time.Second)
			l.passes(t, token, false)
			time.Sleep(1799 * time.Second)
			l.passes(t, token, true)
			time.Sleep(2 * time.Second)
			l.refuses(t, token, codes.Unavailable, serverauth.ReasonKeysUnavailable, serverauth.ReasonKeysUnavailable)
			l.refuses(t, token, codes.Unavailable, serverauth.ReasonKeysUnavailable, serverauth.ReasonKeysUnavailable)
			l.issuer.down.Store(false)
			time.Sleep(6 * time.Minute) // the longest back-off, and some
			l.passes(t, token, false)
			l.passes(t, token, true)
		})
	})
}

func TestCacheOfAClosedVerifier(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		l := start(t, setup{})
		token := l.issuer.good()
		l.passes(t, token, false)
		if err := l.verifier.Close(); err != nil {
			t.Fatal(err)
		}
		for _, token := range []string{token, l.numbered("never seen")} {
			l.refuses(t, token, codes.Unavailable, serverauth.ReasonKeysUnavailable, serverauth.ReasonKeysUnavailable)
		}
	})
}

// D21 of remembered tokens: clients and keys of two issuers are kept apart.
func TestCacheD21SeveralIssuers(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		other := newTestIssuer(t)
		other.access, other.stranger = other.stranger, other.access // same kid, other key
		const otherURL = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Other"
		l := start(t, setup{issuers: func(base serverauth.Issuer) []serverauth.Issuer {
			return []serverauth.Issuer{base, {URL: otherURL, JWKSURL: other.server.URL, Clients: serverauth.Clients(clientID)}}
		}, verifier: []serverauth.VerifierOption{serverauth.WithHTTPClient(other.server.Client())}})
		mine, others := l.issuer.good(), other.token(goodHeader, with("iss", `"`+otherURL+`"`))
		for n := range 2 {
			if d := l.passes(t, mine, n > 0); d.Issuer != issuerURL {
				t.Errorf("issuer %s", d.Issuer)
			}
			if d := l.passes(t, others, n > 0); d.Issuer != otherURL {
				t.Errorf("issuer %s", d.Issuer)
			}
		}
		if s := l.stats(); s.Entries != 2 || s.Clients != 2 {
			t.Errorf("got %+v, want two entries of two clients", s)
		}
		if err := l.verifier.SetClients(otherURL, serverauth.Clients("nobody")); err != nil {
			t.Fatal(err)
		}
		l.passes(t, mine, true)
		l.refuses(t, others, p, serverauth.ReasonClientNotAllowed, serverauth.ReasonClientNotAllowed)
	})
}
