// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"crypto"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// sent makes the headers of a row out of one authorization value.
func sent(value string) func(*testIssuer) []header {
	return func(*testIssuer) []header { return []header{{"authorization", value}} }
}

// withToken makes the headers of a row out of one bearer token.
func withToken(mint func(i *testIssuer) string) func(*testIssuer) []header {
	return func(i *testIssuer) []header { return []header{bearer(mint(i))} }
}

func withHeader(header string) func(*testIssuer) []header {
	return withToken(func(i *testIssuer) string { return i.token(header, goodClaims) })
}

func withPayload(payload string) func(*testIssuer) []header {
	return withToken(func(i *testIssuer) string { return i.token(goodHeader, payload) })
}

// claimed is a payload with some claims replaced.
func claimed(pairs ...string) func(*testIssuer) []header { return withPayload(with(pairs...)) }

func headerWith(member string) func(*testIssuer) []header {
	return withHeader(`{"kid":"` + goodKeyID + `","alg":"RS256",` + member + `}`)
}

const invalid = serverauth.ReasonTokenInvalid

var metadataAttacks = []attack{
	{id: "A1", name: "no authorization", headers: func(*testIssuer) []header { return nil }, code: u, fine: serverauth.ReasonTokenMissing},
	{id: "A2", name: "scheme only", headers: sent("Bearer"), code: u, fine: serverauth.ReasonTokenMalformed},
	{id: "A2", name: "scheme and a space", headers: sent("Bearer "), code: u, fine: serverauth.ReasonTokenMalformed},
	{id: "A2", name: "empty value", headers: sent(""), code: u, fine: serverauth.ReasonTokenMalformed},
	{id: "A3", name: "Basic", headers: sent("Basic dXNlcjpwYXNz"), code: u, fine: serverauth.ReasonSchemeUnsupported},
	{id: "A3", name: "DPoP", headers: withValue("DPoP %s"), code: u, fine: serverauth.ReasonSchemeUnsupported},
	{id: "A3", name: "no scheme", headers: withValue("%s"), code: u, fine: serverauth.ReasonSchemeUnsupported},
	{id: "A4", name: "bearer", headers: withValue("bearer %s"), code: ok},
	{id: "A4", name: "BEARER", headers: withValue("BEARER %s"), code: ok},
	{id: "A5", name: "two equal values", code: u, fine: serverauth.ReasonAuthorizationDuplicated, headers: func(i *testIssuer) []header {
		h := bearer(i.good())
		return []header{h, h}
	}},
	{id: "A5", name: "two different values", code: u, fine: serverauth.ReasonAuthorizationDuplicated, headers: func(i *testIssuer) []header {
		return []header{bearer(i.good()), {"authorization", "Basic dXNlcjpwYXNz"}}
	}},
	{id: "A6", name: "comma", code: u, fine: serverauth.ReasonTokenMalformed, headers: func(i *testIssuer) []header {
		return []header{{"authorization", "Bearer " + i.good() + ",Bearer " + i.good()}}
	}},
	{id: "A6", name: "comma and space", headers: withValue("Bearer %s, b"), code: u, fine: serverauth.ReasonTokenMalformed},
	{id: "A7", name: "several spaces", headers: withValue("Bearer    %s"), code: ok},
	{id: "A7", name: "tab", headers: withValue("Bearer\t%s"), code: u, fine: serverauth.ReasonSchemeUnsupported},
	{id: "A7", name: "space and tab", headers: withValue("Bearer \t%s"), code: u, fine: serverauth.ReasonTokenMalformed},
	{id: "A7", name: "leading space", headers: withValue(" Bearer %s"), code: u, fine: serverauth.ReasonSchemeUnsupported},
	{id: "A7", name: "trailing space", headers: withValue("Bearer %s "), code: u, fine: serverauth.ReasonTokenMalformed},
	// The usual spelling goes a short way, so the same again with others.
	{id: "A7", name: "lower case, several spaces", headers: withValue("bearer   %s"), code: ok},
	{id: "A7", name: "spaces and tab", headers: withValue("Bearer  \t%s"), code: u, fine: serverauth.ReasonTokenMalformed},
	{id: "A7", name: "upper case, space and tab", headers: withValue("BEARER \t%s"), code: u, fine: serverauth.ReasonTokenMalformed},
	{id: "A7", name: "several spaces, trailing space", headers: withValue("Bearer  %s "), code: u, fine: serverauth.ReasonTokenMalformed},
	{id: "A7", name: "lower case, trailing space", headers: withValue("bearer %s "), code: u, fine: serverauth.ReasonTokenMalformed},
	{id: "A7", name: "lower case, trailing tab", headers: withValue("bearer %s\t"), code: u, fine: serverauth.ReasonTokenMalformed},
	{id: "A8", name: "authorization-bin", code: u, fine: serverauth.ReasonTokenMissing, headers: func(i *testIssuer) []header {
		return []header{{"authorization-bin", base64.RawStdEncoding.EncodeToString([]byte("Bearer " + i.good()))}}
	}},
	{id: "A8", name: "cookie and others", code: u, fine: serverauth.ReasonTokenMissing, headers: func(i *testIssuer) []header {
		return []header{{"cookie", "authorization=" + i.good()}, {"access_token", i.good()}, {"proxy-authorization", "Bearer " + i.good()}}
	}},
	{id: "A11", name: "non-ASCII bytes", headers: withValue("Bearer %s\xff\xc3\xa4"), code: u, fine: serverauth.ReasonTokenMalformed},
	{id: "A12", name: "9 KiB", headers: sent("Bearer " + strings.Repeat("a", 9<<10)), code: u, fine: serverauth.ReasonTokenTooLarge},
	{id: "A12", name: "a good token over the limit", code: u, fine: serverauth.ReasonTokenTooLarge, headers: claimed("pad", `"`+strings.Repeat("a", 8<<10)+`"`)},
	{id: "A12", name: "30 KiB", headers: sent("Bearer " + strings.Repeat("a", 30<<10)), code: u, fine: serverauth.ReasonTokenTooLarge},
	{id: "A14", name: "a user's token forwarded, and the call's own", code: u, fine: serverauth.ReasonAuthorizationDuplicated, headers: func(i *testIssuer) []header {
		return []header{bearer(i.token(goodHeader, with("token_use", `"id"`))), bearer(i.good())}
	}},
	{id: "A14", name: "the call's own, and an empty one forwarded", code: u, fine: serverauth.ReasonAuthorizationDuplicated, headers: func(i *testIssuer) []header {
		return []header{bearer(i.good()), {"authorization", ""}}
	}},
	{id: "A14", name: "the gateway's copy does not count", code: ok, headers: func(i *testIssuer) []header {
		return []header{{"grpcgateway-authorization", "Bearer " + i.token(goodHeader, with("token_use", `"id"`))}, bearer(i.good())}
	}},
}

func withValue(format string) func(*testIssuer) []header {
	return func(i *testIssuer) []header { return []header{{"authorization", fmt.Sprintf(format, i.good())}} }
}

// edited signs a good token and then changes it.
func edited(edit func(i *testIssuer, token string) string) func(*testIssuer) []header {
	return withToken(func(i *testIssuer) string { return edit(i, i.good()) })
}

// segments edits the three parts of a good token.
func segments(edit func(s []string) []string) func(*testIssuer) []header {
	return edited(func(_ *testIssuer, token string) string { return strings.Join(edit(strings.Split(token, ".")), ".") })
}

var jwsAttacks = []attack{
	{id: "B1", name: "1 segment", code: u, fine: serverauth.ReasonTokenMalformed, headers: segments(func(s []string) []string { return s[:1] })},
	{id: "B1", name: "2 segments", code: u, fine: serverauth.ReasonTokenMalformed, headers: segments(func(s []string) []string { return s[:2] })},
	{id: "B1", name: "4 segments", code: u, fine: serverauth.ReasonTokenMalformed, headers: segments(func(s []string) []string { return append(s, "AA") })},
	{id: "B1", name: "5 segments", code: u, fine: serverauth.ReasonTokenMalformed, headers: segments(func(s []string) []string { return append(s, "AA", "AA") })},
	{id: "B1", name: "empty header", code: u, fine: serverauth.ReasonTokenMalformed, headers: segments(func(s []string) []string { return []string{"", s[1], s[2]} })},
	{id: "B1", name: "empty payload", code: u, fine: serverauth.ReasonTokenMalformed, headers: segments(func(s []string) []string { return []string{s[0], "", s[2]} })},
	{id: "B1", name: "leading dot", code: u, fine: serverauth.ReasonTokenMalformed, headers: edited(func(_ *testIssuer, t string) string { return "." + t })},
	{id: "B1", name: "trailing dot", code: u, fine: serverauth.ReasonTokenMalformed, headers: edited(func(_ *testIssuer, t string) string { return t + "." })},
	{id: "B1", name: "8000 dots", code: u, fine: serverauth.ReasonTokenMalformed, headers: sent("Bearer " + strings.Repeat(".", 8000))},
	{id: "B2", name: "general JSON serialization", code: u, fine: serverauth.ReasonTokenMalformed, headers: segments(func(s []string) []string {
		return []string{fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, s[1], s[0], s[2])}
	})},
	{id: "B2", name: "flattened JSON serialization", code: u, fine: serverauth.ReasonTokenMalformed, headers: segments(func(s []string) []string {
		return []string{fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, s[1], s[0], s[2])}
	})},
	{id: "B2", name: "polyglot", code: u, fine: serverauth.ReasonTokenMalformed, headers: segments(func(s []string) []string {
		return []string{fmt.Sprintf(`{"%s.%s.%s":"x","payload":%q,"protected":%q,"signature":%q}`, s[0], s[1], s[2], s[1], s[0], s[2])}
	})},
	{id: "B3", name: "space inside", code: u, fine: serverauth.ReasonTokenMalformed, headers: segments(func(s []string) []string { return []string{s[0], " " + s[1], s[2]} })},
	{id: "B3", name: "tab before", code: u, fine: serverauth.ReasonTokenMalformed, headers: edited(func(_ *testIssuer, t string) string { return "\t" + t })},
	{id: "B4", name: "padding", code: u, fine: serverauth.ReasonTokenMalformed, headers: edited(func(_ *testIssuer, t string) string { return t + "==" })},
	{id: "B4", name: "padded payload", code: u, fine: serverauth.ReasonTokenMalformed, headers: withToken(func(i *testIssuer) string {
		return sign(i.access, b64(goodHeader)+"."+base64.URLEncoding.EncodeToString([]byte(with("pad", `"x"`))))
	})},
	{id: "B5", name: "standard alphabet", code: u, fine: serverauth.ReasonTokenMalformed, headers: withToken(func(i *testIssuer) string {
		return sign(i.access, base64.RawStdEncoding.EncodeToString([]byte(`{"kid":"`+goodKeyID+`","alg":"RS256","x":"???>>>"}`))+"."+b64(goodClaims))
	})},
	{id: "B6", name: "unused bits in the signature", code: u, fine: serverauth.ReasonTokenMalformed, headers: edited(func(_ *testIssuer, t string) string { return setUnusedBits(t) })},
	{id: "B6", name: "unused bits in the payload", code: u, fine: serverauth.ReasonTokenMalformed, headers: withToken(func(i *testIssuer) string {
		payload := goodClaims
		for len(payload)%3 != 1 {
			payload = strings.Replace(payload, "{", "{ ", 1)
		}
		return sign(i.access, b64(goodHeader)+"."+setUnusedBits(b64(payload)))
	})},
	{id: "B7", name: "header is an array", code: u, fine: serverauth.ReasonTokenMalformed, headers: withHeader(`["RS256"]`)},
	{id: "B7", name: "byte order mark", code: u, fine: serverauth.ReasonTokenMalformed, headers: withHeader("\ufeff" + goodHeader)},
	{id: "B7", name: "invalid UTF-8", code: u, fine: serverauth.ReasonTokenMalformed, headers: headerWith("\"x\":\"\xff\"")},
	{id: "B7", name: "trailing bytes", code: u, fine: serverauth.ReasonTokenMalformed, headers: withHeader(goodHeader + "{}")},
	{id: "B7", name: "no JSON", code: u, fine: serverauth.ReasonTokenMalformed, headers: withHeader("RS256")},
	{id: "B8", name: "alg twice", code: u, fine: serverauth.ReasonTokenMalformed, headers: headerWith(`"alg":"RS256"`)},
	{id: "B8", name: "alg twice, once escaped", code: u, fine: serverauth.ReasonTokenMalformed, headers: headerWith(`"\u0061lg":"none"`)},
	{id: "B8", name: "unknown member twice", code: u, fine: serverauth.ReasonTokenMalformed, headers: headerWith(`"x":1,"x":1`)},
	{id: "B9", name: "none, empty signature", code: u, fine: serverauth.ReasonAlgNotAllowed, wire: invalid, headers: unsigned("none")},
	{id: "B9", name: "NONE, empty signature", code: u, fine: serverauth.ReasonAlgNotAllowed, wire: invalid, headers: unsigned("NONE")},
	{id: "B9", name: "nOnE, empty signature", code: u, fine: serverauth.ReasonAlgNotAllowed, wire: invalid, headers: unsigned("nOnE")},
	{id: "B9", name: "none, good RS256 signature", code: u, fine: serverauth.ReasonAlgNotAllowed, wire: invalid, headers: withAlg(`"none"`)},
	{id: "B10", name: "HS256 keyed with the PEM", code: u, fine: serverauth.ReasonAlgNotAllowed, wire: invalid, headers: hmacKeyed(func(i *testIssuer) []byte { return publicPEM(&i.access.PublicKey) })},
	{id: "B10", name: "HS256 keyed with the DER", code: u, fine: serverauth.ReasonAlgNotAllowed, wire: invalid, headers: hmacKeyed(func(i *testIssuer) []byte { return publicDER(&i.access.PublicKey) })},
	{id: "B10", name: "HS256 keyed with n", code: u, fine: serverauth.ReasonAlgNotAllowed, wire: invalid, headers: hmacKeyed(func(i *testIssuer) []byte { return i.access.N.Bytes() })},
	{id: "B11", name: "wrong case", code: u, fine: serverauth.ReasonAlgNotAllowed, wire: invalid, headers: withAlg(`"rs256"`)},
	{id: "B11", name: "missing", code: u, fine: serverauth.ReasonAlgNotAllowed, wire: invalid, headers: withHeader(`{"kid":"` + goodKeyID + `"}`)},
	{id: "B11", name: "not a string", code: u, fine: serverauth.ReasonAlgNotAllowed, wire: invalid, headers: withAlg(`["RS256"]`)},
	{id: "B11", name: "null", code: u, fine: serverauth.ReasonAlgNotAllowed, wire: invalid, headers: withAlg(`null`)},
	{id: "B12", name: "PS256", code: u, fine: serverauth.ReasonAlgNotAllowed, wire: invalid, headers: withToken(func(i *testIssuer) string {
		return signPSS(i.access, b64(`{"kid":"`+goodKeyID+`","alg":"PS256"}`)+"."+b64(goodClaims))
	})},
	{id: "B12", name: "RS512", code: u, fine: serverauth.ReasonAlgNotAllowed, wire: invalid, headers: withToken(func(i *testIssuer) string {
		return signHash(i.access, b64(`{"kid":"`+goodKeyID+`","alg":"RS512"}`)+"."+b64(goodClaims), crypto.SHA512)
	})},
	{id: "B12", name: "ES256", code: u, fine: serverauth.ReasonAlgNotAllowed, wire: invalid, headers: withAlg(`"ES256"`)},
	{id: "B12", name: "PSS under RS256", code: u, fine: serverauth.ReasonSignatureInvalid, wire: invalid, headers: withToken(func(i *testIssuer) string {
		return signPSS(i.access, b64(goodHeader)+"."+b64(goodClaims))
	})},
	{id: "B13", name: "kid missing", code: u, fine: serverauth.ReasonKIDInvalid, wire: invalid, headers: withHeader(`{"alg":"RS256"}`)},
	{id: "B13", name: "kid empty", code: u, fine: serverauth.ReasonKIDInvalid, wire: invalid, headers: withHeader(`{"kid":"","alg":"RS256"}`)},
	{id: "B13", name: "kid a number", code: u, fine: serverauth.ReasonKIDInvalid, wire: invalid, headers: withHeader(`{"kid":1,"alg":"RS256"}`)},
	{id: "B13", name: "kid an array", code: u, fine: serverauth.ReasonKIDInvalid, wire: invalid, headers: withHeader(`{"kid":["` + goodKeyID + `"],"alg":"RS256"}`)},
	{id: "B14", name: "unknown kid", code: u, fine: serverauth.ReasonKeyNotFound, wire: invalid, fetches: 1, headers: withHeader(`{"kid":"unknown","alg":"RS256"}`)},
	{id: "B15", name: "kid too long", code: u, fine: serverauth.ReasonKIDInvalid, wire: invalid, headers: withHeader(`{"kid":"` + strings.Repeat("k", 257) + `","alg":"RS256"}`)},
	{id: "B15", name: "kid a path", code: u, fine: serverauth.ReasonKeyNotFound, wire: invalid, fetches: 1, headers: withHeader(`{"kid":"../../x","alg":"RS256"}`)},
	{id: "B15", name: "kid SQL, NUL and a line break", code: u, fine: serverauth.ReasonKeyNotFound, wire: invalid, fetches: 1, headers: withHeader(`{"kid":"' OR 1=1 --\u0000\n","alg":"RS256"}`)},
	{id: "B15", name: "kid a URL", code: u, fine: serverauth.ReasonKeyNotFound, wire: invalid, fetches: 1, headers: withHeader(`{"kid":"https://evil.example/keys","alg":"RS256"}`)},
	{id: "B15", name: "kid a homoglyph", code: u, fine: serverauth.ReasonKeyNotFound, wire: invalid, fetches: 1, headers: withHeader(`{"kid":"` + strings.Replace(goodKeyID, "c", "с", 1) + `","alg":"RS256"}`)},
	{id: "B16", name: "jku", code: u, fine: serverauth.ReasonHeaderNotAllowed, wire: invalid, headers: headerWith(`"jku":"https://evil.example/keys"`)},
	{id: "B16", name: "x5u", code: u, fine: serverauth.ReasonHeaderNotAllowed, wire: invalid, headers: headerWith(`"x5u":"https://evil.example/cert"`)},
	{id: "B16", name: "jwk", code: u, fine: serverauth.ReasonHeaderNotAllowed, wire: invalid, headers: headerWith(`"jwk":{"kty":"RSA"}`)},
	{id: "B16", name: "x5c", code: u, fine: serverauth.ReasonHeaderNotAllowed, wire: invalid, headers: headerWith(`"x5c":["MIIB"]`)},
	{id: "B17", name: "crit", code: u, fine: serverauth.ReasonCritUnsupported, wire: invalid, headers: headerWith(`"crit":["exp"],"exp":1`)},
	{id: "B17", name: "empty crit", code: u, fine: serverauth.ReasonCritUnsupported, wire: invalid, headers: headerWith(`"crit":[]`)},
	{id: "B17", name: "crit not an array", code: u, fine: serverauth.ReasonCritUnsupported, wire: invalid, headers: headerWith(`"crit":"exp"`)},
	{id: "B18", name: "b64 true", code: u, fine: serverauth.ReasonHeaderNotAllowed, wire: invalid, headers: headerWith(`"b64":true`)},
	{id: "B18", name: "b64 false", code: u, fine: serverauth.ReasonHeaderNotAllowed, wire: invalid, headers: headerWith(`"b64":false`)},
	{id: "B19", name: "typ absent", code: ok, headers: withHeader(goodHeader)},
	{id: "B19", name: "typ JWT", code: ok, headers: headerWith(`"typ":"JWT"`)},
	{id: "B19", name: "typ at+jwt", code: ok, headers: headerWith(`"typ":"at+jwt"`)},
	{id: "B19", name: "typ application/at+jwt", code: ok, headers: headerWith(`"typ":"application/at+jwt"`)},
	{id: "B19", name: "typ dpop+jwt", code: u, fine: serverauth.ReasonHeaderNotAllowed, wire: invalid, headers: headerWith(`"typ":"dpop+jwt"`)},
	{id: "B19", name: "typ logout+jwt", code: u, fine: serverauth.ReasonHeaderNotAllowed, wire: invalid, headers: headerWith(`"typ":"logout+jwt"`)},
	{id: "B19", name: "typ a number", code: u, fine: serverauth.ReasonHeaderNotAllowed, wire: invalid, headers: headerWith(`"typ":1`)},
	{id: "B20", name: "cty JWT", code: u, fine: serverauth.ReasonHeaderNotAllowed, wire: invalid, headers: headerWith(`"cty":"JWT"`)},
	{id: "B20", name: "enc", code: u, fine: serverauth.ReasonHeaderNotAllowed, wire: invalid, headers: headerWith(`"enc":"A128GCM"`)},
	{id: "B20", name: "zip", code: u, fine: serverauth.ReasonHeaderNotAllowed, wire: invalid, headers: headerWith(`"zip":"DEF"`)},
	{id: "B20", name: "nested JWS", code: u, fine: serverauth.ReasonTokenMalformed, headers: withToken(func(i *testIssuer) string { return i.token(goodHeader, i.good()) })},
	{id: "B21", name: "nested too deep", code: u, fine: serverauth.ReasonTokenMalformed, headers: claimed("x", strings.Repeat("[", 17)+strings.Repeat("]", 17))},
	{id: "B22", name: "one bit of the signature", code: u, fine: serverauth.ReasonSignatureInvalid, wire: invalid, headers: editedSignature(func(sig []byte) []byte { sig[100] ^= 1; return sig })},
	{id: "B22", name: "truncated", code: u, fine: serverauth.ReasonSignatureInvalid, wire: invalid, headers: editedSignature(func(sig []byte) []byte { return sig[:255] })},
	{id: "B22", name: "zero in front", code: u, fine: serverauth.ReasonSignatureInvalid, wire: invalid, headers: editedSignature(func(sig []byte) []byte { return append([]byte{0}, sig...) })},
	{id: "B22", name: "zero behind", code: u, fine: serverauth.ReasonSignatureInvalid, wire: invalid, headers: editedSignature(func(sig []byte) []byte { return append(sig, 0) })},
	{id: "B22", name: "empty", code: u, fine: serverauth.ReasonSignatureInvalid, wire: invalid, headers: editedSignature(func([]byte) []byte { return nil })},
	{id: "B22", name: "payload of another token", code: u, fine: serverauth.ReasonSignatureInvalid, wire: invalid, headers: segments(func(s []string) []string {
		return []string{s[0], b64(with("scope", `"demo/write.file"`)), s[2]}
	})},
	{id: "B22", name: "another key under a good kid", code: u, fine: serverauth.ReasonSignatureInvalid, wire: invalid, headers: withToken(func(i *testIssuer) string {
		return sign(i.stranger, b64(goodHeader)+"."+b64(goodClaims))
	})},
	{id: "B22", name: "the other key's kid", code: u, fine: serverauth.ReasonSignatureInvalid, wire: invalid, headers: withHeader(`{"kid":"` + otherKeyID + `","alg":"RS256"}`)},
}

func setUnusedBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[last|1])
}

func withAlg(alg string) func(*testIssuer) []header {
	return withHeader(`{"kid":"` + goodKeyID + `","alg":` + alg + `}`)
}

func unsigned(alg string) func(*testIssuer) []header {
	return sent("Bearer " + b64(`{"kid":"`+goodKeyID+`","alg":"`+alg+`"}`) + "." + b64(goodClaims) + ".")
}

func hmacKeyed(secret func(i *testIssuer) []byte) func(*testIssuer) []header {
	return withToken(func(i *testIssuer) string {
		return signHMAC(secret(i), b64(`{"kid":"`+goodKeyID+`","alg":"HS256"}`)+"."+b64(goodClaims))
	})
}

func editedSignature(edit func(sig []byte) []byte) func(*testIssuer) []header {
	return segments(func(s []string) []string {
		sig, err := base64.RawURLEncoding.DecodeString(s[2])
		if err != nil {
			panic(err)
		}
		return []string{s[0], s[1], base64.RawURLEncoding.EncodeToString(edit(sig))}
	})
}
