// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

// verdict is what a caller with the right key sees: the error of Parse, or else
// that of Verify.
func verdict(compact string) error {
	token, err := Parse(compact, 0)
	if err != nil {
		return err
	}
	return token.Verify(parsedKey())
}

// TestStructure has the rows of attacks on structure and header.
func TestStructure(t *testing.T) {
	t.Parallel()
	good := sign(goodHeader, goodPayload)
	part := strings.Split(good, ".")
	h, p, s := part[0], part[1], part[2]
	header := func(members string) string {
		return sign(`{"kid":"`+testKID+`","alg":"RS256"`+members+`}`, goodPayload)
	}
	unsigned := func(alg string) string { return b64(`{"kid":"x","alg":"`+alg+`"}`) + "." + p + "." }
	kid := func(value string) string { return sign(`{"alg":"RS256","kid":`+value+`}`, goodPayload) }
	alg := func(value string) string { return sign(`{"alg":`+value+`,"kid":"`+testKID+`"}`, goodPayload) }

	const (
		ok        = reason.Reason("")
		malformed = reason.TokenMalformed
		badHeader = reason.HeaderNotAllowed
		badAlg    = reason.AlgNotAllowed
		badKID    = reason.KIDInvalid
		crit      = reason.CritUnsupported
		badSig    = reason.SignatureInvalid
	)
	for _, row := range []struct {
		id    string
		token string
		want  reason.Reason
	}{
		{"good", good, ok},
		{"A11/non-ASCII", h + ".\xff" + p[1:] + "." + s, malformed},
		{"A12/too large", strings.Repeat("a", DefaultMaxBytes+1), reason.TokenTooLarge},
		{"A12/too large and not in the alphabet", strings.Repeat("{", DefaultMaxBytes+1), reason.TokenTooLarge},
		{"B1/empty", "", malformed},
		{"B1/1 segment", h, malformed},
		{"B1/2 segments", h + "." + p, malformed},
		{"B1/4 segments", good + "." + s, malformed},
		{"B1/5 segments", good + "." + s + "." + s, malformed},
		{"B1/empty header", "." + p + "." + s, malformed},
		{"B1/empty payload", h + ".." + s, malformed},
		{"B1/empty payload below none", b64(`{"alg":"none"}`) + "..", malformed},
		{"B1/leading dot", "." + good, malformed},
		{"B1/trailing dot", good + ".", malformed},
		{"B1/dots only", "..", malformed},
		{"B1/dots in the limit", strings.Repeat(".", DefaultMaxBytes), malformed},
		{"B2/flattened", `{"protected":"` + h + `","payload":"` + p + `","signature":"` + s + `"}`, malformed},
		{"B2/general", `{"payload":"` + p + `","signatures":[{"protected":"` + h + `","signature":"` + s + `"}]}`, malformed},
		{"B2/polyglot", `{"` + good + `":0,"protected":"` + h + `"}`, malformed},
		{"B3/leading space", " " + good, malformed},
		{"B3/trailing line break", good + "\n", malformed},
		{"B3/line break inside", h + "." + p[:40] + "\r\n" + p[40:] + "." + s, malformed},
		{"B3/line break in the signature", h + "." + p + "." + s[:40] + "\n" + s[40:], malformed},
		{"B4/padding", good + "=", malformed},
		{"B4/padded header", h + "=." + p + "." + s, malformed},
		{"B5/plus", h + "." + p + ".+" + s[1:], malformed},
		{"B5/slash", h + "." + p + "./" + s[1:], malformed},
		{"B6/header", signSegments(respell(t, h), p), malformed},
		{"B6/payload", signSegments(h, respell(t, p)), malformed},
		{"B4/padded payload", signSegments(h, b64(goodPayload+"  ")+"="), malformed},
		{"B6/signature", h + "." + p + "." + respell(t, s), malformed},
		{"B6/one sextet too many", h + "." + p + "." + s + "AAA", malformed},
		{"B7/not JSON", sign(`alg`, goodPayload), malformed},
		{"B7/array", sign(`[`+goodHeader+`]`, goodPayload), malformed},
		{"B7/null", sign(`null`, goodPayload), malformed},
		{"B7/string", sign(`"alg"`, goodPayload), malformed},
		{"B7/BOM", sign("\ufeff"+goodHeader, goodPayload), malformed},
		{"B7/invalid UTF-8", sign(`{"kid":"`+testKID+`","alg":"RS256","x":"`+"\xff"+`"}`, goodPayload), malformed},
		{"B7/trailing bytes", sign(goodHeader+"x", goodPayload), malformed},
		{"B7/trailing NUL", sign(goodHeader+"\x00", goodPayload), malformed},
		{"B7/second object", sign(goodHeader+goodHeader, goodPayload), malformed},
		{"B7/trailing comma", header(`,`), malformed},
		{"B7/white space", sign(" \t\r\n"+goodHeader+"\n", goodPayload), ok},
		{"B8/alg", header(`,"alg":"RS256"`), malformed},
		{"B8/alg escaped", header(`,"\u0061lg":"none"`), malformed},
		{"B8/unknown member", header(`,"x":1,"x":1`), malformed},
		{"B8/nested", header(`,"x":{"y":1,"y":2}`), malformed},
		{"B9/none", unsigned("none"), badAlg},
		{"B9/NONE", unsigned("NONE"), badAlg},
		{"B9/nOnE", unsigned("nOnE"), badAlg},
		{"B9/none with a signature", unsigned("none") + s, badAlg},
		{"B9/good signature below none", alg(`"none"`), badAlg},
		{"B10/HS256 with n", hs256(parsedKey().public.N.Bytes(), p), badAlg},
		{"B11/missing", sign(`{"kid":"`+testKID+`"}`, goodPayload), badAlg},
		{"B11/lower case", alg(`"rs256"`), badAlg},
		{"B11/space", alg(`"RS256 "`), badAlg},
		{"B11/number", alg(`256`), badAlg},
		{"B11/null", alg(`null`), badAlg},
		{"B11/array", alg(`["RS256"]`), badAlg},
		{"B11/upper case name", sign(`{"ALG":"RS256","kid":"`+testKID+`"}`, goodPayload), badAlg},
		{"B12/PS256", alg(`"PS256"`), badAlg},
		{"B12/RS512", alg(`"RS512"`), badAlg},
		{"B12/ES256", alg(`"ES256"`), badAlg},
		{"B13/missing", sign(`{"alg":"RS256"}`, goodPayload), badKID},
		{"B13/empty", kid(`""`), badKID},
		{"B13/number", kid(`1`), badKID},
		{"B13/null", kid(`null`), badKID},
		{"B13/array", kid(`["` + testKID + `"]`), badKID},
		{"B15/257 bytes", kid(`"` + strings.Repeat("k", 257) + `"`), badKID},
		{"B15/256 bytes", kid(`"` + strings.Repeat("k", 256) + `"`), reason.KeyNotFound},
		{"B15/256 bytes of 128 letters", kid(`"` + strings.Repeat("\u00e9", 128) + `"`), reason.KeyNotFound},
		{"B15/258 bytes of 129 letters", kid(`"` + strings.Repeat("\u00e9", 129) + `"`), badKID},
		{"B15/path", kid(`"../../x"`), reason.KeyNotFound},
		{"B15/NUL", kid(`"` + testKID + `\u0000"`), reason.KeyNotFound},
		{"B16/jku", header(`,"jku":"https://evil.test/jwks.json"`), badHeader},
		{"B16/x5u", header(`,"x5u":"https://evil.test/x5u"`), badHeader},
		{"B16/jwk", header(`,"jwk":{"kty":"RSA"}`), badHeader},
		{"B16/x5c", header(`,"x5c":["MII"]`), badHeader},
		{"B16/jku null", header(`,"jku":null`), badHeader},
		{"B16/jku escaped", header(`,"jk\u0075":null`), badHeader},
		{"B16/x5t is ignored", header(`,"x5t":"abc","x5t#S256":"def"`), ok},
		{"B17/crit", header(`,"crit":["exp"],"exp":1`), crit},
		{"B17/empty", header(`,"crit":[]`), crit},
		{"B17/string", header(`,"crit":"exp"`), crit},
		{"B17/null", header(`,"crit":null`), crit},
		{"B18/false", header(`,"b64":false`), badHeader},
		{"B18/true", header(`,"b64":true`), badHeader},
		{"B18/with crit", header(`,"b64":false,"crit":["b64"]`), crit},
		{"B19/JWT", header(`,"typ":"JWT"`), ok},
		{"B19/jwt", header(`,"typ":"jwt"`), ok},
		{"B19/at+jwt", header(`,"typ":"at+jwt"`), ok},
		{"B19/AT+JWT", header(`,"typ":"AT+JWT"`), ok},
		{"B19/application/jwt", header(`,"typ":"Application/jwt"`), ok},
		{"B19/application/at+jwt", header(`,"typ":"application/AT+jwt"`), ok},
		{"B19/dpop+jwt", header(`,"typ":"dpop+jwt"`), badHeader},
		{"B19/logout+jwt", header(`,"typ":"logout+jwt"`), badHeader},
		{"B19/secevent+jwt", header(`,"typ":"application/secevent+jwt"`), badHeader},
		{"B19/parameter", header(`,"typ":"JWT; x=y"`), badHeader},
		{"B19/empty", header(`,"typ":""`), badHeader},
		{"B19/number", header(`,"typ":1`), badHeader},
		{"B19/null", header(`,"typ":null`), badHeader},
		{"B20/cty", header(`,"cty":"JWT"`), badHeader},
		{"B20/enc", header(`,"enc":"A128GCM"`), badHeader},
		{"B20/zip", header(`,"zip":"DEF"`), badHeader},
		{"B20/nested JWS", sign(goodHeader, good), malformed},
		{"B21/header 16 deep", header(`,"x":` + strings.Repeat("[", 15) + strings.Repeat("]", 15)), ok},
		{"B21/header 17 deep", header(`,"x":` + strings.Repeat("[", 16) + strings.Repeat("]", 16)), malformed},
		{"B21/header 17 objects deep", header(`,"x":` + strings.Repeat(`{"x":`, 16) + "1" + strings.Repeat("}", 16)), malformed},
		{"B21/header of 64", header(members(62)), ok},
		{"B21/header of 65", header(members(63)), malformed},
		{"B21/payload 16 deep", sign(goodHeader, `{"x":`+strings.Repeat("[", 15)+strings.Repeat("]", 15)+`}`), ok},
		{"B21/payload 17 deep", sign(goodHeader, `{"x":`+strings.Repeat("[", 16)+strings.Repeat("]", 16)+`}`), malformed},
		{"B21/payload of 64", sign(goodHeader, `{"a":1`+members(63)+`}`), ok},
		{"B21/payload of 65", sign(goodHeader, `{"a":1`+members(64)+`}`), malformed},
		{"B22/bit flipped", h + "." + p + "." + flip(s), badSig},
		{"B22/payload changed", h + "." + b64(strings.Replace(goodPayload, "read", "writ", 1)) + "." + s, badSig},
		{"B22/header changed", b64(goodHeader+" ") + "." + p + "." + s, badSig},
		{"B22/truncated", h + "." + p + "." + s[:340], badSig},
		{"B22/zero-padded", h + "." + p + "." + b64("\x00"+unb64(s)), badSig},
		{"B22/zero behind", h + "." + p + "." + b64(unb64(s)+"\x00"), badSig},
		{"B22/empty", h + "." + p + ".", badSig},
		{"B22/s plus n", h + "." + p + "." + plusModulus(s), badSig},
		{"C1/payload null", sign(goodHeader, `null`), malformed},
		{"C1/payload array", sign(goodHeader, `[`+goodPayload+`]`), malformed},
		{"C1/payload white space", sign(goodHeader, ` `), malformed},
		{"C1/trailing data", sign(goodHeader, goodPayload+`{}`), malformed},
		{"C1/BOM", sign(goodHeader, "\ufeff"+goodPayload), malformed},
		{"C2/duplicate", sign(goodHeader, `{"exp":1,"exp":2}`), malformed},
		{"C2/duplicate escaped", sign(goodHeader, `{"exp":1,"e\u0078p":2}`), malformed},
		{"C2/duplicate unknown", sign(goodHeader, `{"a":1,"a":1}`), malformed},
		{"C2/duplicate nested", sign(goodHeader, `{"a":[{"b":1,"b":1}]}`), malformed},
		{"C2/duplicate late", sign(goodHeader, `{"a":1`+members(40)+`,"m39":1}`), malformed},
	} {
		t.Run(row.id, func(t *testing.T) {
			t.Parallel()
			wantReason(t, verdict(row.token), row.want)
		})
	}
}

// TestOrder pins which rule decides when several are broken.
func TestOrder(t *testing.T) {
	t.Parallel()
	p := b64(goodPayload)
	for _, row := range []struct {
		id    string
		token string
		want  reason.Reason
	}{
		{"syntax of the payload before alg", b64(`{"alg":"none"}`) + ".A.", reason.TokenMalformed},
		{"syntax of the signature before alg", b64(`{"alg":"none"}`) + "." + p + ".A", reason.TokenMalformed},
		{"alg before crit", sign(`{"alg":"none","crit":[],"jku":1,"kid":1}`, goodPayload), reason.AlgNotAllowed},
		{"crit before jku", sign(`{"jku":1,"typ":1,"crit":[],"alg":"RS256","kid":1}`, goodPayload), reason.CritUnsupported},
		{"jku before kid", sign(`{"jku":1,"alg":"RS256","kid":1}`, goodPayload), reason.HeaderNotAllowed},
		{"typ before kid", sign(`{"typ":1,"alg":"RS256","kid":1}`, goodPayload), reason.HeaderNotAllowed},
		{"kid before an empty signature", b64(`{"alg":"RS256"}`) + "." + p + ".", reason.KIDInvalid},
		{"empty signature before the payload", b64(goodHeader) + "." + b64("null") + ".", reason.SignatureInvalid},
		{"header before the payload", sign(`{"alg":"RS256"}`, `null`), reason.KIDInvalid},
	} {
		t.Run(row.id, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(row.token, 0)
			wantReason(t, err, row.want)
		})
	}
}

func TestMaxBytes(t *testing.T) {
	t.Parallel()
	good := sign(goodHeader, goodPayload)
	_, err := Parse(good, len(good))
	wantReason(t, err, "")
	_, err = Parse(good, len(good)-1)
	wantReason(t, err, reason.TokenTooLarge)
	_, err = Parse(strings.Repeat("a", DefaultMaxBytes+1), -1)
	wantReason(t, err, reason.TokenTooLarge)
	big := sign(goodHeader, `{"scope":"`+strings.Repeat("demo/read.file ", 5000)+`"}`)
	_, err = Parse(big, 0)
	wantReason(t, err, reason.TokenTooLarge)
	_, err = Parse(big, len(big)) // C23
	wantReason(t, err, "")
}

// TestVerifyKey checks what Verify asks of the key, which Parse and ParseKeySet
// already grant: neither relies on the other.
func TestVerifyKey(t *testing.T) {
	t.Parallel()
	token, err := Parse(sign(goodHeader, goodPayload), 0)
	wantReason(t, err, "")
	with := func(change func(*Key)) *Key {
		k := *parsedKey()
		change(&k)
		return &k
	}
	for _, row := range []struct {
		id   string
		key  *Key
		want reason.Reason
	}{
		{"the key", parsedKey(), ""},
		{"none", nil, reason.KeyNotFound},
		{"zero", new(Key), reason.KeyNotFound},
		{"B14/another kid", with(func(k *Key) { k.id = "other" }), reason.KeyNotFound},
		{"B11/alg of the key", with(func(k *Key) { k.alg = "RS512" }), reason.AlgNotAllowed},
		{"B11/key without alg", with(func(k *Key) { k.alg = "" }), reason.AlgNotAllowed},
	} {
		t.Run(row.id, func(t *testing.T) {
			t.Parallel()
			wantReason(t, token.Verify(row.key), row.want)
		})
	}
	other := *token
	other.alg = "none"
	wantReason(t, other.Verify(parsedKey()), reason.AlgNotAllowed)
}

// TestSignatureLength checks that our own length check comes before the library's.
func TestSignatureLength(t *testing.T) {
	t.Parallel()
	good := sign(goodHeader, goodPayload)
	err := verdict(good[:len(good)-2])
	wantReason(t, err, reason.SignatureInvalid)
	if want := "a signature of 256 bytes wanted, got 255"; !strings.Contains(err.Error(), want) {
		t.Errorf("got %q, want it to hold %q", err, want)
	}
}

// TestNothingLeaks checks that neither errors nor formatting show bytes of a token.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	const secret = "qqqSECRETqqq"
	good := sign(`{"kid":"`+secret+`","alg":"RS256"}`, `{"jti":"`+secret+`"}`)
	token, err := Parse(good, 0)
	wantReason(t, err, "")
	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		printed = append(printed, fmt.Sprintf(verb, token), fmt.Sprintf(verb, *token),
			fmt.Sprintf(verb, token.Claims()), fmt.Sprintf(verb, *token.Claims()))
	}
	for _, bad := range []string{
		secret, secret + "." + secret, secret + "!." + secret + ".",
		sign(`{"`+secret+`":1,"`+secret+`":2}`, "{}"),
		sign(`{"alg":"`+secret+`"}`, "{}"), sign(`{"alg":"RS256","typ":"`+secret+`"}`, "{}"),
		sign(goodHeader, `{"`+secret+`":`+secret+`}`), sign(goodHeader, secret),
	} {
		_, err := Parse(bad, 0)
		if err == nil {
			t.Fatalf("Parse accepted %q", bad)
		}
		printed = append(printed, err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err))
	}
	printed = append(printed, token.Verify(parsedKey()).Error())
	for _, text := range printed {
		for _, leak := range []string{secret, fmt.Sprintf("%x", secret), b64(secret)[:12], good[:20], good[len(good)-20:]} {
			if strings.Contains(text, leak) {
				t.Errorf("%q shows bytes of the token", text)
			}
		}
	}
}

// hs256 signs with HMAC, keyed by a public value.
func hs256(secret []byte, payload string) string {
	signed := b64(`{"kid":"`+testKID+`","alg":"HS256"}`) + "." + payload
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + b64(string(mac.Sum(nil)))
}
