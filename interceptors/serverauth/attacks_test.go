// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// The table of attacks. Each row goes as raw HTTP/2 frames over TLS to a real
// grpc.Server and names the status code, the fine reason that stays on the server,
// and the reason that crosses the wire.

const (
	whoAmI     = "/demo.files.v1.FileReadService/WhoAmI"      // any valid token
	statFile   = "/demo.files.v1.FileReadService/StatFile"    // read.file or write.file
	readFile   = "/demo.files.v1.FileReadService/ReadFile"    // read.file
	version    = "/demo.files.v1.FileReadService/Version"     // public
	deleteFile = "/demo.files.v1.FileWriteService/DeleteFile" // write.file
	writeFile  = "/demo.files.v1.FileWriteService/WriteFile"  // write.file
	appendFile = "/demo.files.v1.FileWriteService/AppendFile" // read.file and write.file
)

const (
	ok = codes.OK
	u  = codes.Unauthenticated
	p  = codes.PermissionDenied
)

type attack struct {
	id, name string
	headers  func(i *testIssuer) []header
	method   string // default WhoAmI
	code     codes.Code
	fine     serverauth.Reason
	wire     serverauth.Reason // default: fine
	fetches  int64             // of keys, caused by the call
	cause    string            // a part of what the server's log says, where the reason alone is too coarse
}

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
	{id: "C24", name: "one of two is enough for any", method: statFile, code: ok, headers: claimed("scope", `"demo/write.file"`)},
	{id: "C24", name: "none of two", method: statFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"demo/delete.file"`)},
	{id: "C24", name: "one of two is not enough for all", method: appendFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"demo/write.file"`)},
	{id: "C24", name: "the other of two is not enough for all", method: appendFile, code: p, fine: serverauth.ReasonInsufficientScope, headers: claimed("scope", `"demo/read.file"`)},
	{id: "C24", name: "both", method: appendFile, code: ok, headers: claimed("scope", `"demo/write.file demo/read.file"`)},
	{id: "C27", name: "bound to a key", code: u, fine: serverauth.ReasonTokenBound, wire: invalid, headers: claimed("cnf", `{"jkt":"x"}`)},
}

//nolint:tparallel // the rows share a server whose fetches of keys they count
func TestAttacks(t *testing.T) {
	t.Parallel()
	for _, rows := range [][]attack{metadataAttacks, jwsAttacks, claimAttacks} {
		l := newLab(t, setup{options: []serverauth.Option{serverauth.WithUnlimitedLog()}})
		for _, row := range rows {
			t.Run(row.id+"/"+row.name, func(t *testing.T) { row.run(t, l) })
		}
	}
}

func (row attack) run(t *testing.T, l *lab) {
	t.Helper()
	if row.fetches > 0 { // a fetch for an unknown kid quiets the next ones: take a new server
		l = newLab(t, setup{options: []serverauth.Option{serverauth.WithUnlimitedLog()}})
	}
	method := row.method
	if method == "" {
		method = whoAmI
	}
	headers := row.headers(l.issuer)
	ran, fetched := l.files.ran.Load(), l.issuer.fetches.Load()
	got := l.call(t, method, headers...)
	if got.code != row.code {
		t.Fatalf("code: got %v (%s, %s), want %v", got.code, got.reason, got.message, row.code)
	}
	if n := l.issuer.fetches.Load() - fetched; n != row.fetches {
		t.Errorf("fetches of keys: got %d, want %d", n, row.fetches)
	}
	wantRuns := int64(0)
	if row.code == ok {
		wantRuns = 1
	}
	if n := l.files.ran.Load() - ran; n != wantRuns {
		t.Errorf("the handler ran %d times, want %d", n, wantRuns)
	}
	if row.code == ok {
		return
	}
	row.checkRefusal(t, l, got)
	row.checkWire(t, got, method)
	checkSilence(t, l, headers, got)
}

func (row attack) checkRefusal(t *testing.T, l *lab, got answer) {
	t.Helper()
	wire := row.wire
	if wire == "" {
		wire = row.fine
	}
	if got.reason != wire {
		t.Errorf("wire reason: got %s, want %s", got.reason, wire)
	}
	if refusal := l.lastRefusal(); refusal == nil || refusal.Reason() != row.fine {
		t.Errorf("fine reason: got %v, want %s", refusal, row.fine)
	}
	if refusal := l.lastRefusal(); row.cause != "" && !strings.Contains(fmt.Sprint(errors.Unwrap(refusal)), row.cause) {
		t.Errorf("cause: got %v, want it to say %q", errors.Unwrap(refusal), row.cause)
	}
	want := `Bearer error="invalid_token"`
	switch row.fine {
	case serverauth.ReasonTokenMissing:
		want = "Bearer"
	case serverauth.ReasonSchemeUnsupported, serverauth.ReasonAuthorizationDuplicated:
		want = `Bearer error="invalid_request"`
	case serverauth.ReasonInsufficientScope:
		want = `Bearer error="insufficient_scope", scope="`
	case serverauth.ReasonClientNotAllowed:
		want = ""
	}
	if want == "" != (len(got.challenge) == 0) || want != "" && (len(got.challenge) != 1 || !strings.HasPrefix(got.challenge[0], want)) {
		t.Errorf("www-authenticate: got %q, want one value that starts with %q", got.challenge, want)
	}
}

// checkSilence looks for parts of the token in everything that was written and answered.
func checkSilence(t *testing.T, l *lab, headers []header, got answer) {
	t.Helper()
	log := l.log.String()
	if !strings.Contains(log, "refused ") {
		t.Error("the log was not captured")
	}
	for _, h := range headers {
		if len(h.value) < 100 {
			continue
		}
		for _, part := range []string{h.value[len(h.value)-40:], h.value[20:60], h.value[len(h.value)/2:][:40]} {
			if strings.Contains(log, part) || strings.Contains(got.trailer, part) {
				t.Error("the log or the answer holds a part of the token")
			}
		}
	}
}

// texts is what a peer reads for each wire reason, word for word.
var texts = map[serverauth.Reason]string{
	"TOKEN_MISSING":            "a bearer token is needed in the authorization metadata",
	"SCHEME_UNSUPPORTED":       "the authorization metadata must have the form: Bearer TOKEN",
	"AUTHORIZATION_DUPLICATED": "the call has more than one authorization value",
	"TOKEN_TOO_LARGE":          "the token is too large",
	"TOKEN_MALFORMED":          "the token is malformed",
	"TOKEN_INVALID":            "invalid token",
	"CLIENT_NOT_ALLOWED":       "this client is not allowed here",
}

// checkWire expects nothing on the wire but what everybody may know.
func (row attack) checkWire(t *testing.T, got answer, method string) {
	t.Helper()
	keys := []string{"content-type", ":status", "grpc-status", "grpc-message", "grpc-status-details-bin", "www-authenticate"}
	for _, key := range got.keys {
		if !slices.Contains(keys, key) {
			t.Errorf("the answer has a field %q", key)
		}
	}
	if got.metadata["method"] != method {
		t.Errorf("ErrorInfo names the method %q, want %q", got.metadata["method"], method)
	}
	if row.fine == serverauth.ReasonInsufficientScope {
		return // its text depends on the token: TestInsufficientScopeTellsWhatIsNeeded
	}
	if got.message != texts[got.reason] || got.message == "" {
		t.Errorf("message of %s: got %q, want %q", got.reason, got.message, texts[got.reason])
	}
	if len(got.metadata) != 1 {
		t.Errorf("ErrorInfo metadata: got %v, want the method alone", got.metadata)
	}
}

func manyScopes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strconv.FormatInt(int64(i), 36) + " ")
	}
	return b.String()
}

func TestAttackTableIsComplete(t *testing.T) {
	t.Parallel()
	have := map[string]bool{}
	for _, rows := range [][]attack{metadataAttacks, jwsAttacks, claimAttacks} {
		for _, row := range rows {
			have[row.id] = true
		}
	}
	want := map[byte][]int{
		'A': {1, 2, 3, 4, 5, 6, 7, 8, 11, 12},
		'B': {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22},
		'C': {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24},
	}
	for letter, numbers := range want {
		for _, n := range numbers {
			if id := fmt.Sprintf("%c%d", letter, n); !have[id] {
				t.Errorf("row %s is missing", id)
			}
		}
	}
}
