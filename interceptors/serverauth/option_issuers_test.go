// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// keysByHost serves the keys of several issuers, each at its own host.
type keysByHost map[string]*testIssuer

// RoundTrip implements http.RoundTripper.
func (k keysByHost) RoundTrip(r *http.Request) (*http.Response, error) {
	issuer, ok := k[r.URL.Host]
	if !ok {
		return nil, errNoNetwork
	}
	return issuer.RoundTrip(r)
}

// pools are two issuers with keys of their own, in memory.
type pools struct{ first, second *testIssuer }

func newPools() pools {
	p := pools{first: newMemoryIssuer(), second: newMemoryIssuer()}
	p.second.access = p.second.stranger // the same kid, another key
	p.second.id = p.second.stranger
	return p
}

// setup trusts both, and fetches the keys of each from where they are.
func (p pools) setup(s setup) setup {
	s.memory = true
	s.issuers = func(base serverauth.Issuer) []serverauth.Issuer {
		base.JWKSURL = "https://first.test/keys"
		second := base
		second.URL, second.JWKSURL = otherIssuerURL, "https://second.test/keys"
		return []serverauth.Issuer{base, second}
	}
	s.verifier = append([]serverauth.VerifierOption{serverauth.WithHTTPClient(&http.Client{
		Transport: keysByHost{"first.test": p.first, "second.test": p.second},
	})}, s.verifier...)
	return s
}

func (p pools) ofFirst(pairs ...string) string { return p.first.token(goodHeader, with(pairs...)) }

func (p pools) ofSecond(pairs ...string) string {
	return p.second.token(goodHeader, with(append([]string{"iss", `"` + otherIssuerURL + `"`}, pairs...)...))
}

// keySet is a key set document with one key.
func keySet(kid string, key *rsa.PrivateKey) []byte {
	doc, err := json.Marshal(map[string]any{"keys": []any{jwk(kid, &key.PublicKey)}})
	if err != nil {
		panic(err)
	}
	return doc
}

// D21: one key id in the sets of two issuers is two keys. A token counts with its own
// issuer's alone, also while the other's is remembered.
func TestD21OneKeyIDAtTwoIssuers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := newPools()
		l := newLab(t, p.setup(setup{}))
		for range 2 {
			for _, row := range []struct {
				name, token string
				code        codes.Code
				fine        serverauth.Reason
			}{
				{"the first issuer's token", p.ofFirst(), ok, ""},
				{"the second issuer's token", p.ofSecond(), ok, ""},
				{"the second's claims under the first's key", p.first.token(goodHeader, with("iss", `"`+otherIssuerURL+`"`)), u, serverauth.ReasonSignatureInvalid},
				{"the first's claims under the second's key", p.second.token(goodHeader, goodClaims), u, serverauth.ReasonSignatureInvalid},
			} {
				got := l.call(t, whoAmI, bearer(row.token))
				if got.code != row.code {
					t.Errorf("%s: got %v %s, want %v", row.name, got.code, got.message, row.code)
				}
				if refusal := l.lastRefusal(); row.code != ok && (refusal == nil || refusal.Reason() != row.fine) {
					t.Errorf("%s: got %v, want %s", row.name, refusal, row.fine)
				}
			}
		}
		// A key that the first issuer has and the second has not is unknown there.
		p.first.publish(goodKeyID, p.first.access, "only-first", p.first.stranger)
		header := `{"kid":"only-first","alg":"RS256"}`
		if got := l.call(t, whoAmI, bearer(sign(p.first.stranger, b64(header)+"."+b64(goodClaims)))); got.code != ok {
			t.Errorf("a new key of the first issuer: got %v %s, want OK", got.code, got.message)
		}
		of := sign(p.first.stranger, b64(header)+"."+b64(with("iss", `"`+otherIssuerURL+`"`)))
		if got := l.call(t, whoAmI, bearer(of)); got.code != u {
			t.Errorf("the same key id in a token of the second: got %v, want UNAUTHENTICATED", got.code)
		}
		if refusal := l.lastRefusal(); refusal == nil || refusal.Reason() != serverauth.ReasonKeyNotFound {
			t.Errorf("the same key id in a token of the second: got %v, want KEY_NOT_FOUND", refusal)
		}
	})
}

// The same client id at two issuers is two clients: in the cache, for reporters and
// handlers, and for who may come.
func TestOneClientIDAtTwoIssuersIsTwoClients(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := newPools()
		told := &decisions{}
		l := newLab(t, p.setup(setup{options: []serverauth.Option{serverauth.WithReporter(told)}}))
		if err := l.verifier.SetClients(issuerURL, serverauth.NamedClients(map[string]string{"billing": clientID})); err != nil {
			t.Fatal(err)
		}
		if err := l.verifier.SetClients(otherIssuerURL, serverauth.NamedClients(map[string]string{"reports": clientID})); err != nil {
			t.Fatal(err)
		}
		for issuer, row := range map[string]struct{ token, name string }{
			issuerURL:      {p.ofFirst(), "billing"},
			otherIssuerURL: {p.ofSecond(), "reports"},
		} {
			if got := l.call(t, whoAmI, bearer(row.token)); got.code != ok {
				t.Fatalf("%s: got %v %s", issuer, got.code, got.message)
			}
			if caller := l.files.caller.Load(); caller.Issuer() != issuer || caller.ClientName() != row.name {
				t.Errorf("%s: the handler saw %s %q", issuer, caller.Issuer(), caller.ClientName())
			}
			told.expect(t, issuer, serverauth.Decision{
				Method: whoAmI, Outcome: serverauth.OutcomeAllowed, Stage: serverauth.StageCall,
				Issuer: issuer, ClientID: clientID, ClientName: row.name,
			})
		}
		if n := l.verifier.Stats().Cache.Clients; n != 2 {
			t.Errorf("the cache has %d clients, want 2", n)
		}
		// Who may not come at one may at the other.
		if err := l.verifier.SetClients(otherIssuerURL, serverauth.Clients("another")); err != nil {
			t.Fatal(err)
		}
		if got := l.call(t, whoAmI, bearer(p.ofSecond())); got.reason != serverauth.ReasonClientNotAllowed {
			t.Errorf("the second issuer's client: got %v %s, want CLIENT_NOT_ALLOWED", got.code, got.reason)
		}
		if got := l.call(t, whoAmI, bearer(p.ofFirst())); got.code != ok {
			t.Errorf("the first issuer's client: got %v %s, want OK", got.code, got.reason)
		}
	})
}

// What one issuer's tokens can grant is bound to its resource servers: a scope of the
// same name from another issuer opens nothing.
func TestIssuersGrantTheirOwnResourceServersOnly(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := newPools()
		s := p.setup(setup{})
		both := s.issuers
		s.issuers = func(base serverauth.Issuer) []serverauth.Issuer {
			issuers := both(base)
			issuers[0].ResourceServers = []string{"demo"}
			issuers[1].ResourceServers = []string{"echo"}
			return issuers
		}
		l := newLab(t, s)
		const all = `"demo/read.file echo/call demo/read.file/x demo"`
		for _, row := range []struct {
			name, token, method string
			code                codes.Code
			scopes              string
		}{
			{"the first, its own", p.ofFirst("scope", all), readFile, ok, "[demo/read.file]"},
			{"the first, the second's", p.ofFirst("scope", all), echoOnce, codes.PermissionDenied, ""},
			{"the second, its own", p.ofSecond("scope", all), whoAmI, ok, "[echo/call]"},
			{"the second, its own, by scope", p.ofSecond("scope", all), echoOnce, ok, ""},
			{"the second, the first's", p.ofSecond("scope", all), readFile, codes.PermissionDenied, ""},
		} {
			for range 2 { // new and remembered
				if got := l.call(t, row.method, bearer(row.token)); got.code != row.code {
					t.Errorf("%s: got %v %s, want %v", row.name, got.code, got.message, row.code)
				}
				if row.scopes == "" {
					continue
				}
				caller := l.files.caller.Load()
				if got := fmt.Sprint(caller.Scopes()); got != row.scopes || caller.HasScope("demo") || caller.HasScope("demo/read.file") != (row.method == readFile) {
					t.Errorf("%s: the handler saw the scopes %s, want %s", row.name, got, row.scopes)
				}
			}
		}
	})
}

// One issuer's outage is no outage of the other, at no time.
func TestOneIssuersOutageLeavesTheOthersCallersAlone(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := newPools()
		l := newLab(t, p.setup(setup{}))
		expect := func(when string, first, second codes.Code, ready bool) {
			t.Helper()
			// Tokens of the hour: made when they are sent.
			times := l.validFor(time.Hour)
			if got := l.call(t, whoAmI, bearer(p.ofFirst(times...))); got.code != first {
				t.Errorf("%s: the first issuer's caller: got %v %s, want %v", when, got.code, got.message, first)
			}
			got := l.call(t, whoAmI, bearer(p.ofSecond(times...)))
			if got.code != second || second == ua && got.reason != serverauth.ReasonKeysUnavailable {
				t.Errorf("%s: the second issuer's caller: got %v %s, want %v", when, got.code, got.reason, second)
			}
			if l.verifier.Ready() != ready {
				t.Errorf("%s: Ready: got %v, want %v", when, !ready, ready)
			}
		}
		expect("both up", ok, ok, true)
		p.second.down.Store(true)
		expect("the second just down", ok, ok, true)
		time.Sleep(23 * time.Hour)
		expect("the second down for 23 h", ok, ok, true)
		time.Sleep(2 * time.Hour)
		expect("the second down for 25 h", ok, ua, true)
		p.first.down.Store(true)
		time.Sleep(25 * time.Hour)
		expect("both down for long", ua, ua, false)
		p.second.down.Store(false)
		time.Sleep(10 * time.Minute)
		expect("the second back", ua, ok, true)
		p.first.down.Store(false)
		time.Sleep(10 * time.Minute)
		expect("both back", ok, ok, true)
	})
}
