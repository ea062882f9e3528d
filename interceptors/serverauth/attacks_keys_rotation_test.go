// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// D13: a kid comes back with other material, and its old tokens end.
func TestD13KidReused(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		old, next := e.good(), sign(e.stranger, b64(goodHeader)+"."+b64(goodClaims))
		l.refuses(t, "the new key's token before", next, serverauth.ReasonSignatureInvalid, 0)
		e.publish(goodKeyID, e.stranger)
		l.passes(t, "the old key's token before anybody knows", old, 0)
		time.Sleep(pastTheTimer)
		l.refuses(t, "the old key's token", old, serverauth.ReasonSignatureInvalid, 0)
		l.passes(t, "the new key's token", next, 0)
	})
}

// D14: a new key is fetched for its first token, or was by the timer.
func TestD14KeyAdded(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		e.publishNew()
		l.passes(t, "the first token of the new key", e.newToken(), 1)
		l.passes(t, "the next one", e.newToken(), 0)
		l.passes(t, "a token of the old key", e.good(), 0)
		e.publish(goodKeyID, e.access, "new", e.stranger, "newer", e.id)
		time.Sleep(pastTheTimer)
		l.passes(t, "a token of a key that the timer brought", sign(e.id, b64(`{"kid":"newer","alg":"RS256"}`)+"."+b64(goodClaims)), 0)
	})
}

// D15: tokens of a key that was removed end with the next refresh.
func TestD15KeyRemoved(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		e.publish(otherKeyID, e.id)
		l.passes(t, "before anybody knows", e.good(), 0)
		time.Sleep(pastTheTimer)
		l.refuses(t, "afterwards", e.good(), serverauth.ReasonKeyNotFound, 1) // an unknown kid by now
		l.refuses(t, "again", e.good(), serverauth.ReasonKeyNotFound, 0)      // that answer is final for 10 s
	})
}

// D16: at a rotation no token of the old key fails, and all first tokens of the new one
// wait for one fetch.
func TestD16RotationUnderTraffic(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		release := make(chan struct{})
		e.now(func(r *http.Request) (*http.Response, error) {
			<-release
			return e.testIssuer.RoundTrip(r)
		})
		e.publishNew()
		asked := e.asked.Load()
		calls := l.crowd(t, 60, func(i int) string {
			if i%2 == 0 {
				return e.newToken()
			}
			return e.good()
		})
		if n := e.asked.Load() - asked; n != 1 {
			t.Errorf("%d fetches, want one", n)
		}
		for i, c := range calls { // those of the old key were answered already
			if i%2 == 1 {
				if got := c.finish(t); got.code != ok {
					t.Errorf("a token of the old key: got %v %s, want OK", got.code, got.reason)
				}
			}
		}
		close(release)
		for i, c := range calls {
			if i%2 == 0 {
				if got := c.finish(t); got.code != ok {
					t.Errorf("a token of the new key: got %v %s, want OK", got.code, got.reason)
				}
			}
		}
		if n := e.asked.Load() - asked; n != 1 {
			t.Errorf("%d fetches, want one", n)
		}
	})
}

// D21: a kid is looked up among the keys of the token's own issuer.
func TestD21SameKidOfTwoIssuers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		const otherURL = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Other"
		mine, others := newKeysEndpoint(), newKeysEndpoint()
		others.publish(goodKeyID, others.stranger, "theirs", others.id) // the same kid, another key
		both := roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "other.test" {
				return others.RoundTrip(r)
			}
			return mine.RoundTrip(r)
		})
		s := mine.setup()
		s.verifier = append(s.verifier, serverauth.WithHTTPClient(&http.Client{Transport: both}))
		s.issuers = func(base serverauth.Issuer) []serverauth.Issuer {
			return []serverauth.Issuer{base, {URL: otherURL, JWKSURL: "https://other.test/keys", Clients: serverauth.AnyClient()}}
		}
		l := keysLab{newLab(t, s), mine}
		claims := with("iss", `"`+otherURL+`"`)
		l.passes(t, "mine", mine.good(), 0)
		l.passes(t, "the other's", sign(mine.stranger, b64(goodHeader)+"."+b64(claims)), 0)
		l.refuses(t, "the other's claims, my key", mine.token(goodHeader, claims), serverauth.ReasonSignatureInvalid, 0)
		l.refuses(t, "my claims, the other's key", sign(mine.stranger, b64(goodHeader)+"."+b64(goodClaims)), serverauth.ReasonSignatureInvalid, 0)
		// A kid of the other's is unknown among mine: my keys are fetched, the other's are not.
		asked := others.asked.Load()
		l.refuses(t, "my claims, a kid of the other's", sign(mine.id, b64(`{"kid":"theirs","alg":"RS256"}`)+"."+b64(goodClaims)), serverauth.ReasonKeyNotFound, 1)
		if others.asked.Load() != asked {
			t.Error("the other issuer's keys were fetched")
		}
	})
}

// D22: a step of the wall clock changes what is expired, and not when keys are fetched.
func TestD22WallClockSteps(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var step atomic.Int64
		e := newKeysEndpoint()
		s := e.setup()
		begin := time.Now()
		s.verifier = append(s.verifier, serverauth.WithClock(func() time.Time {
			return testNow().Add(time.Since(begin) + time.Duration(step.Load()))
		}))
		l := keysLab{newLab(t, s), e}
		token := e.good()
		l.passes(t, "before", token, 0)
		step.Store(int64(2 * time.Hour))
		l.refuses(t, "after a step of 2 hours", token, serverauth.ReasonTokenExpired, 0)
		step.Store(int64(-2 * time.Hour))
		l.refuses(t, "after a step back", token, serverauth.ReasonTokenNotYetValid, 0)
		step.Store(int64(48 * time.Hour)) // far beyond the life of keys
		late := e.token(goodHeader, with("iat", at(48*3600), "exp", at(49*3600)))
		l.passes(t, "a token of that time", late, 0)
		step.Store(0)
		l.passes(t, "put right", token, 0)
		if !errors.Is(l.verifier.Stats().Issuers[0].LastError, nil) {
			t.Error("a fetch failed")
		}
	})
}
