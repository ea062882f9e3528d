// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"regexp"
	"strings"
	"testing"
)

// threeSegments is a compact JWS (RFC 7515 7.1); the signature may be missing here.
var threeSegments = regexp.MustCompile(`^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)$`)

// strictToken takes a token apart, and false if Parse should refuse it.
func strictToken(compact string) (kid string, payload map[string]any, signature []byte, ok bool) {
	part := threeSegments.FindStringSubmatch(compact)
	if part == nil || len(compact) > 8192 {
		return "", nil, nil, false
	}
	header, headerOK := strictBase64(part[1])
	body, bodyOK := strictBase64(part[2])
	signature, signatureOK := strictBase64(part[3])
	if !headerOK || !bodyOK || !signatureOK || len(signature) == 0 {
		return "", nil, nil, false
	}
	kid, headerOK = strictHeader(string(header))
	payload, bodyOK = strictObject(string(body))
	return kid, payload, signature, headerOK && bodyOK
}

// FuzzParse: a token is accepted if and only if a strict reading with the standard
// library accepts it, with the same content, and its signature is checked over the
// bytes that came.
func FuzzParse(f *testing.F) {
	good := sign(goodHeader, goodPayload)
	f.Add(good)
	f.Add(good + "=")
	f.Add(good[:100] + "\r\n" + good[100:])
	f.Add(sign(goodHeader, `{"scope":"`+strings.Repeat("a", DefaultMaxBytes)+`"}`))
	f.Fuzz(func(t *testing.T, compact string) {
		token, err := Parse(compact, 0)
		kid, payload, signature, want := strictToken(compact)
		if got := err == nil; got != want {
			t.Fatalf("got %v, want accepted %v", err, want)
		}
		if err != nil {
			checkPlace(t, compact, err)
			return
		}
		if token.KeyID() != kid {
			t.Fatalf("kid: got %q, want %q", token.KeyID(), kid)
		}
		checkClaims(t, token.Claims(), payload)
		digest := sha256.Sum256([]byte(compact[:strings.LastIndexByte(compact, '.')]))
		genuine := rsa.VerifyPKCS1v15(&signer().PublicKey, crypto.SHA256, digest[:], signature) == nil
		key := *parsedKey()
		key.id = token.KeyID()
		if got := token.Verify(&key) == nil; got != genuine {
			t.Fatalf("Verify: got %v, want %v", got, genuine)
		}
	})
}

// checkPlace wants the refusal of a token whose segments are not all base64url in its
// one spelling to name the first that is not.
func checkPlace(t *testing.T, compact string, err error) {
	t.Helper()
	part := threeSegments.FindStringSubmatch(compact)
	if part == nil || len(compact) > 8192 {
		return
	}
	for i, name := range []string{"header", "payload", "signature"} {
		if _, ok := strictBase64(part[i+1]); ok {
			continue
		}
		if want := "jose: TOKEN_MALFORMED: the " + name + " is not strict base64url"; err.Error() != want {
			t.Fatalf("got %v, want %s", err, want)
		}
		return
	}
}

// FuzzHeader: the same for the header alone, which is reached without base64.
func FuzzHeader(f *testing.F) {
	f.Add(goodHeader)
	f.Fuzz(func(t *testing.T, doc string) {
		kid, refusal := parseHeader(doc)
		want, ok := strictHeader(doc)
		if (refusal == nil) != ok {
			t.Fatalf("got %v, want accepted %v", refusal, ok)
		}
		if ok && kid != want {
			t.Fatalf("kid: got %q, want %q", kid, want)
		}
	})
}
