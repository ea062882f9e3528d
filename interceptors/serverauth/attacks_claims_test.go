// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// at is a NumericDate so many seconds after the tests' clock.
func at(seconds int64) string { return strconv.FormatInt(testNow().Unix()+seconds, 10) }

var claimAttacks = []attack{
	{id: "C1", name: "not an object", code: u, fine: serverauth.ReasonTokenMalformed, headers: withPayload(`[1]`)},
	{id: "C1", name: "null", code: u, fine: serverauth.ReasonTokenMalformed, headers: withPayload(`null`)},
	{id: "C1", name: "trailing data", code: u, fine: serverauth.ReasonTokenMalformed, headers: withPayload(goodClaims + `{"scope":"demo/write.file"}`)},
	{id: "C1", name: "trailing comma", code: u, fine: serverauth.ReasonTokenMalformed, headers: withPayload(strings.TrimSuffix(goodClaims, "}") + ",}")},
	{id: "C2", name: "scope twice", code: u, fine: serverauth.ReasonTokenMalformed, headers: withPayload(`{"scope":"demo/write.file",` + goodClaims[1:])},
	{id: "C2", name: "exp twice, once escaped", code: u, fine: serverauth.ReasonTokenMalformed, headers: withPayload(`{"\u0065xp":1890000000,` + goodClaims[1:])},
	{id: "C3", name: "EXP does not replace exp", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("exp", "", "EXP", at(600))},
	{id: "C3", name: "Scope does not replace scope", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("Scope", `"demo/write.file"`)},
	{id: "C3", name: "\u017fcope does not replace scope", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("\u017fcope", `"demo/write.file"`)},
	{id: "C3", name: "to\u212aen_use does not replace token_use", code: u, fine: serverauth.ReasonTokenUseMismatch, wire: invalid, headers: claimed("token_use", "", "to\u212aen_use", `"access"`)},
	{id: "C3", name: "unknown names are ignored", code: ok, headers: claimed("EXP", "1", "Iss", `"x"`)},
	{id: "C4", name: "exp missing", cause: "exp: it is missing", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("exp", "")},
	{id: "C4", name: "iat missing", cause: "iat: it is missing", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("iat", "")},
	{id: "C5", name: "exp a string", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("exp", `"`+at(600)+`"`)},
	{id: "C5", name: "exp RFC 3339", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("exp", `"2036-01-01T00:00:00Z"`)},
	{id: "C5", name: "exp a bool", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("exp", "true")},
	{id: "C5", name: "exp null", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("exp", "null")},
	{id: "C5", name: "exp an array", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("exp", "["+at(600)+"]")},
	{id: "C6", name: "exp fractional", code: ok, headers: claimed("exp", at(600)+".5")},
	{id: "C6", name: "exp fractional is cut down", code: u, fine: serverauth.ReasonTokenExpired, wire: invalid, headers: claimed("exp", at(-30)+".9")},
	{id: "C7", name: "exp 0", code: u, fine: serverauth.ReasonTokenExpired, wire: invalid, headers: claimed("exp", "0")},
	{id: "C7", name: "exp negative", code: u, fine: serverauth.ReasonTokenExpired, wire: invalid, headers: claimed("exp", "-1")},
	{id: "C8", name: "exp 1e18", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("exp", "1e18")},
	{id: "C8", name: "exp 2^63", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("exp", "9223372036854775808")},
	{id: "C8", name: "exp 1e300", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("exp", "1e300")},
	{id: "C8", name: "exp - iat over a day", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("iat", at(0), "exp", at(24*3600+1))},
	{id: "C8", name: "exp - iat a day", code: ok, headers: claimed("iat", at(0), "exp", at(24*3600))},
	{id: "C9", name: "now is exp and skew", code: u, fine: serverauth.ReasonTokenExpired, wire: invalid, headers: claimed("exp", at(-30))},
	{id: "C9", name: "a second before", code: ok, headers: claimed("exp", at(-29))},
	{id: "C10", name: "nbf beyond skew", code: u, fine: serverauth.ReasonTokenNotYetValid, wire: invalid, headers: claimed("nbf", at(31))},
	{id: "C10", name: "nbf within skew", code: ok, headers: claimed("nbf", at(30))},
	{id: "C10", name: "nbf a string", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("nbf", `"`+at(0)+`"`)},
	{id: "C11", name: "iat beyond skew", code: u, fine: serverauth.ReasonTokenNotYetValid, wire: invalid, headers: claimed("iat", at(31))},
	{id: "C11", name: "iat a string", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("iat", `"`+at(0)+`"`)},
	{id: "C12", name: "clock wrong by 29 s", code: ok, headers: claimed("iat", at(29), "exp", at(29+300))},
	{id: "C12", name: "clock wrong by 31 s", code: u, fine: serverauth.ReasonTokenNotYetValid, wire: invalid, headers: claimed("iat", at(31), "exp", at(31+300))},
	{id: "C13", name: "iss with a slash", code: u, fine: serverauth.ReasonIssuerMismatch, wire: invalid, headers: claimed("iss", `"`+issuerURL+`/"`)},
	{id: "C13", name: "iss in upper case", code: u, fine: serverauth.ReasonIssuerMismatch, wire: invalid, headers: claimed("iss", `"https://COGNITO-idp.eu-central-1.amazonaws.com/`+poolID+`"`)},
	{id: "C13", name: "iss http", code: u, fine: serverauth.ReasonIssuerMismatch, wire: invalid, headers: claimed("iss", `"http://cognito-idp.eu-central-1.amazonaws.com/`+poolID+`"`)},
	{id: "C13", name: "iss of another pool", code: u, fine: serverauth.ReasonIssuerMismatch, wire: invalid, headers: claimed("iss", `"https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_TestPool2"`)},
	{id: "C13", name: "iss with the pool id as a prefix", code: u, fine: serverauth.ReasonIssuerMismatch, wire: invalid, headers: claimed("iss", `"`+issuerURL+`x"`)},
	{id: "C13", name: "iss in the other form", code: u, fine: serverauth.ReasonIssuerMismatch, wire: invalid, headers: claimed("iss", `"https://issuer-cognito-idp.eu-central-1.amazonaws.com/`+poolID+`"`)},
	{id: "C13", name: "iss of a stranger with an unknown kid", code: u, fine: serverauth.ReasonIssuerMismatch, wire: invalid, headers: withToken(func(i *testIssuer) string {
		return sign(i.stranger, b64(`{"kid":"evil","alg":"RS256"}`)+"."+b64(with("iss", `"https://evil.example"`)))
	})},
	{id: "C14", name: "iss an array", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("iss", `["`+issuerURL+`"]`)},
	{id: "C14", name: "iss a number", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("iss", "1")},
	{id: "C14", name: "no iss", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("iss", "")},
	{id: "C15", name: "an ID token", code: u, fine: serverauth.ReasonTokenUseMismatch, wire: invalid, headers: claimed("token_use", `"id"`)},
	{id: "C15", name: "missing", code: u, fine: serverauth.ReasonTokenUseMismatch, wire: invalid, headers: claimed("token_use", "")},
	{id: "C15", name: "ACCESS", code: u, fine: serverauth.ReasonTokenUseMismatch, wire: invalid, headers: claimed("token_use", `"ACCESS"`)},
	{id: "C15", name: "an array", code: u, fine: serverauth.ReasonTokenUseMismatch, wire: invalid, headers: claimed("token_use", `["access"]`)},
	{id: "C16", name: "not allowed", code: p, fine: serverauth.ReasonClientNotAllowed, headers: claimed("client_id", `"2strangers23456789abcdefgh"`)},
	{id: "C16", name: "missing", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("client_id", "")},
	{id: "C16", name: "empty", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("client_id", `""`)},
	{id: "C16", name: "an array", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("client_id", `["`+clientID+`"]`)},
	{id: "C16", name: "the subject does not count", code: p, fine: serverauth.ReasonClientNotAllowed, headers: claimed("client_id", `"x"`, "sub", `"`+clientID+`"`)},
	{id: "C17", name: "aud is ignored", code: ok, headers: claimed("aud", `"https://somebody.example"`)},
	{id: "C17", name: "aud of a wrong type is ignored", code: ok, headers: claimed("aud", `1`)},
	{id: "C18", name: "no scope authenticates", code: ok, headers: claimed("scope", "")},
	{id: "C18", name: "no scope", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", "")},
	{id: "C18", name: "empty scope", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `""`)},
	{id: "C18", name: "scope null", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", "null")},
	{id: "C19", name: "scope an array", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("scope", `["demo/write.file"]`)},
	{id: "C19", name: "scope an object", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("scope", `{"demo/write.file":true}`)},
	{id: "C19", name: "jti an array", code: u, fine: serverauth.ReasonClaimInvalid, wire: invalid, headers: claimed("jti", `["x"]`)},
	{id: "C20", name: "duplicates and spaces", method: deleteFile, code: ok, headers: claimed("scope", `" demo/write.file  demo/write.file "`)},
	{id: "C20", name: "a tab does not separate", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"x\tdemo/write.file"`)},
	{id: "C20", name: "a line break does not separate", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"x\ndemo/write.file"`)},
	{id: "C20", name: "a no-break space does not separate", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"x\u00a0demo/write.file"`)},
	{id: "C21", name: "upper case", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"demo/WRITE.file"`)},
	{id: "C21", name: "full width", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"demo/\uff57rite.file"`)},
	{id: "C21", name: "zero width", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"demo/write\u200b.file"`)},
	{id: "C21", name: "NFKC twin", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"demo/write.\ufb01le"`)},
	{id: "C22", name: "longer", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"demo/write.files"`)},
	{id: "C22", name: "shorter", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"demo/write.fil demo/write"`)},
	{id: "C22", name: "prefixed", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"xdemo/write.file"`)},
	{id: "C22", name: "trailing slash", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"demo/write.file/"`)},
	{id: "C22", name: "wildcards", method: deleteFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"demo/* * demo/ demo write.file"`)},
	{id: "C23", name: "1,500 scopes", code: ok, headers: claimed("scope", `"`+manyScopes(1500)+`"`)},
	{id: "C23", name: "5,000 scopes", code: u, fine: serverauth.ReasonTokenTooLarge, headers: claimed("scope", `"`+manyScopes(5000)+`"`)},
	{id: "C24", name: "one of two is enough for any", method: statFile, code: ok, headers: claimed("scope", `"demo/write.file"`)},
	{id: "C24", name: "none of two", method: statFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"demo/delete.file"`)},
	{id: "C24", name: "one of two is not enough for all", method: appendFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"demo/write.file"`)},
	{id: "C24", name: "the other of two is not enough for all", method: appendFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"demo/read.file"`)},
	{id: "C24", name: "both", method: appendFile, code: ok, headers: claimed("scope", `"demo/write.file demo/read.file"`)},
	{id: "C27", name: "bound to a key", code: u, fine: serverauth.ReasonTokenBound, wire: invalid, headers: claimed("cnf", `{"jkt":"x"}`)},
}

// C15: the server's log says what to do about a caller that sends its ID token, and about
// no other.
func TestC15HintForAnIDToken(t *testing.T) {
	t.Parallel()
	for use, want := range map[string]bool{`"id"`: true, `"ACCESS"`: false, "": false} {
		l := newLab(t, setup{})
		if got := l.call(t, whoAmI, bearer(l.issuer.token(goodHeader, with("token_use", use)))); got.code != u {
			t.Errorf("token_use %s: got %v, want UNAUTHENTICATED", use, got.code)
		}
		if hinted := strings.Contains(l.log.String(), `hint="the caller sends its ID token: it must send the access token"`); hinted != want {
			t.Errorf("token_use %s: the log is\n%swant the hint: %v", use, l.log.String(), want)
		}
	}
}

// C12: whoever looks for a clock that is wrong finds in the log by how much, and what the
// server allows for.
func TestC12LogNamesTheSkew(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ token, want string }{
		"exp": {with("exp", at(-31)), "off_by=31s clock_skew=30s"},
		"iat": {with("iat", at(31), "exp", at(31+300)), "off_by=31s clock_skew=30s"},
		"nbf": {with("nbf", at(45)), "off_by=45s clock_skew=30s"},
	} {
		l := newLab(t, setup{})
		if got := l.call(t, whoAmI, bearer(l.issuer.token(goodHeader, row.token))); got.code != u {
			t.Errorf("%s: got %v, want UNAUTHENTICATED", name, got.code)
		}
		if !strings.Contains(l.log.String(), name+"(unverified)=") || !strings.Contains(l.log.String(), row.want) {
			t.Errorf("%s: the log is\n%swant it to say %s", name, l.log.String(), row.want)
		}
	}
}

// C23: with the limit raised a token of 5,000 scopes is taken. They are split and looked
// through once, and then remembered with the token.
func TestC23ThousandsOfScopes(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{verifier: []serverauth.VerifierOption{serverauth.MaxTokenBytes(30 << 10)}})
	defer l.fetchesNothing(t)()
	token := l.issuer.token(goodHeader, with("scope", `"`+manyScopes(5000)+`demo/write.file"`))
	for range 3 {
		if got := l.call(t, deleteFile, bearer(token)); got.code != ok {
			t.Fatalf("got %v %s, want OK", got.code, got.message)
		}
	}
	if n := len(l.files.caller.Load().Scopes()); n != 5001 {
		t.Errorf("the handler saw %d scopes, want 5,001", n)
	}
	if s := l.verifier.Stats().Cache; s.Misses != 1 || s.Entries != 1 {
		t.Errorf("%d misses and %d entries, want one of each", s.Misses, s.Entries)
	}
	got := l.call(t, readFile, bearer(token))
	if got.code != p || got.reason != serverauth.ReasonInsufficientScope || len(got.trailer) > 8<<10 {
		t.Errorf("without the scope: got %v %s in %d bytes, want a short INSUFFICIENT_SCOPE", got.code, got.reason, len(got.trailer))
	}
}
