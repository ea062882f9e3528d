// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// B23 and B24: there is one algorithm, so the others' weak forms are refused by name,
// before any key is looked at.
func TestB23B24NoOtherAlgorithm(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(alg string) string {
		return b64(`{"kid":"`+goodKeyID+`","alg":"`+alg+`"}`) + "." + b64(goodClaims)
	}
	sum := sha256.Sum256([]byte(signed("ES256")))
	der, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	fixed := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	encoded := base64.RawURLEncoding.EncodeToString
	for name, token := range map[string]string{
		"B23/ES256, 64 bytes":             signed("ES256") + "." + encoded(fixed),
		"B23/ES256, DER":                  signed("ES256") + "." + encoded(der),
		"B23/ES256, r and s of 0":         signed("ES256") + "." + encoded(make([]byte, 64)),
		"B23/ES384":                       signed("ES384") + "." + encoded(fixed),
		"B23/EdDSA":                       signed("EdDSA") + "." + encoded(fixed),
		"B24/PS256, salt of the hash":     signPSS(l.issuer.access, signed("PS256")),
		"B24/PS384":                       signPSS(l.issuer.access, signed("PS384")),
		"B24/PS256, an RS256 signature":   sign(l.issuer.access, signed("PS256")),
		"B24/PS256, of another key's kid": signPSS(l.issuer.stranger, signed("PS256")),
	} {
		fetched := l.issuer.fetches.Load()
		got := l.call(t, whoAmI, bearer(token))
		if refusal := l.lastRefusal(); got.code != u || got.reason != invalid || refusal.Reason() != serverauth.ReasonAlgNotAllowed {
			t.Errorf("%s: got %v %s (%s), want UNAUTHENTICATED TOKEN_INVALID (ALG_NOT_ALLOWED)", name, got.code, got.reason, refusal.Reason())
		}
		if l.issuer.fetches.Load() != fetched {
			t.Errorf("%s: keys were fetched", name)
		}
	}
}
