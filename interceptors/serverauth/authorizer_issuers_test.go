// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

func TestIssuerGrantsScopesOfItsResourceServersOnly(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{issuers: func(base serverauth.Issuer) []serverauth.Issuer {
		base.ResourceServers = []string{"other", "https://api.example/v1"}
		return []serverauth.Issuer{base}
	}})
	token := l.issuer.token(goodHeader, with("scope", `"demo/write.file other/x other/y/z https://api.example/v1/read plain"`))
	if got := l.call(t, deleteFile, bearer(token)); got.code != p {
		t.Errorf("a scope of another resource server: got %v, want PERMISSION_DENIED", got.code)
	}
	if got := l.call(t, whoAmI, bearer(token)); got.code != ok {
		t.Fatalf("got %v %s", got.code, got.message)
	}
	if got, want := fmt.Sprint(l.files.caller.Load().Scopes()), "[other/x https://api.example/v1/read]"; got != want {
		t.Errorf("scopes: got %s, want %s", got, want)
	}
}

func TestKeysUnavailable(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	l.issuer.down.Store(true)
	unknown := l.issuer.token(`{"kid":"new","alg":"RS256"}`, goodClaims)
	got := l.call(t, whoAmI, bearer(unknown))
	if got.code != codes.Unavailable || got.reason != serverauth.ReasonKeysUnavailable || len(got.challenge) != 0 {
		t.Errorf("an unknown kid while the key server is down: got %v %s %q, want UNAVAILABLE KEYS_UNAVAILABLE", got.code, got.reason, got.challenge)
	}
	if got := l.call(t, whoAmI, bearer(l.issuer.good())); got.code != ok {
		t.Errorf("a known kid while the key server is down: got %v %s, want OK", got.code, got.message)
	}
	if !l.verifier.Ready() {
		t.Error("Ready: got false with usable keys")
	}
}

func TestSeveralIssuersAreKeptApart(t *testing.T) {
	t.Parallel()
	other := newTestIssuer(t)
	other.access, other.stranger = other.stranger, other.access // same kid, other key
	const otherURL = "https://issuer-cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Other"
	l := newLab(t, setup{issuers: func(base serverauth.Issuer) []serverauth.Issuer {
		return []serverauth.Issuer{base, {URL: otherURL, JWKSURL: other.server.URL, Clients: serverauth.Clients("other-client")}}
	}, verifier: []serverauth.VerifierOption{serverauth.WithHTTPClient(other.server.Client())}})
	otherClaims := with("iss", `"`+otherURL+`"`, "client_id", `"other-client"`)
	for _, row := range []struct {
		name, token string
		code        codes.Code
		fine        serverauth.Reason
	}{
		{"the first issuer's token", l.issuer.good(), ok, ""},
		{"the second issuer's token", other.token(goodHeader, otherClaims), ok, ""},
		{"the second's claims under the first's key", l.issuer.token(goodHeader, otherClaims), u, serverauth.ReasonSignatureInvalid},
		{"the first's claims under the second's key", other.token(goodHeader, goodClaims), u, serverauth.ReasonSignatureInvalid},
		{"the first's client from the second issuer", other.token(goodHeader, with("iss", `"`+otherURL+`"`)), p, serverauth.ReasonClientNotAllowed},
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

func TestConfiguredAudience(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{issuers: func(base serverauth.Issuer) []serverauth.Issuer {
		base.Audiences = []string{"https://files.example", "https://more.example"}
		return []serverauth.Issuer{base}
	}})
	for aud, code := range map[string]codes.Code{
		`"https://files.example"`:               ok,
		`["https://x", "https://more.example"]`: ok,
		`"https://files.example/"`:              u,
		`["https://x"]`:                         u,
		`[]`:                                    u,
		`""`:                                    u,
		``:                                      u,
		`1`:                                     u,
		`["https://files.example", 1]`:          u,
	} {
		if got := l.call(t, whoAmI, bearer(l.issuer.token(goodHeader, with("aud", aud)))); got.code != code {
			t.Errorf("aud %s: got %v %s, want %v", aud, got.code, got.reason, code)
		}
	}
}

func TestLimitsCanBeSet(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{verifier: []serverauth.VerifierOption{serverauth.MaxTokenBytes(20000), serverauth.ClockSkew(0)}})
	long := l.issuer.token(goodHeader, with("pad", `"`+strings.Repeat("a", 9000)+`"`))
	if got := l.call(t, whoAmI, bearer(long)); got.code != ok {
		t.Errorf("a token of %d bytes: got %v %s, want OK", len(long), got.code, got.message)
	}
	if got := l.call(t, whoAmI, bearer(l.issuer.token(goodHeader, with("exp", at(0))))); got.code != u {
		t.Errorf("a token at its expiry without skew: got %v, want UNAUTHENTICATED", got.code)
	}
	if got := l.call(t, whoAmI, bearer(l.issuer.token(goodHeader, with("exp", at(1))))); got.code != ok {
		t.Errorf("a token a second before its expiry: got %v %s, want OK", got.code, got.message)
	}
}

// The longest token that a server can be told to take fits into the headers of a call,
// beside what calls have otherwise.
func TestLongestTokenFitsIntoTheHeaders(t *testing.T) {
	t.Parallel()
	const longest = 30 << 10
	l := newLab(t, setup{verifier: []serverauth.VerifierOption{serverauth.MaxTokenBytes(longest)}})
	padded := func(n int) string { return l.issuer.token(goodHeader, with("pad", `"`+strings.Repeat("a", n)+`"`)) }
	n := (longest - len(padded(0))) * 3 / 4
	for len(padded(n+1)) <= longest {
		n++
	}
	others := []header{
		{"user-agent", "grpc-go/1.85.0"},
		{"grpc-accept-encoding", "gzip"},
		{"grpc-timeout", "1000m"},
		{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		{"baggage", strings.Repeat("b", 512)},
	}
	if got := l.call(t, whoAmI, append(others, bearer(padded(n)))...); got.code != ok {
		t.Errorf("a token of %d bytes: got %v %s, want OK", len(padded(n)), got.code, got.message)
	}
	got := l.call(t, whoAmI, append(others, bearer(padded(n+4)))...)
	if got.code != u || got.reason != serverauth.ReasonTokenTooLarge {
		t.Errorf("a token of %d bytes: got %v %s, want TOKEN_TOO_LARGE", len(padded(n+4)), got.code, got.reason)
	}
}
