// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
)

func BenchmarkParse(b *testing.B) {
	compact := sign(goodHeader, goodPayload)
	b.SetBytes(int64(len(compact)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(compact, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	token, err := Parse(sign(goodHeader, goodPayload), 0)
	if err != nil {
		b.Fatal(err)
	}
	key := parsedKey()
	b.ReportAllocs()
	for b.Loop() {
		if err := token.Verify(key); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBareRSA is the part of a verification that nobody can save.
func BenchmarkBareRSA(b *testing.B) {
	compact := sign(goodHeader, goodPayload)
	dot := strings.LastIndexByte(compact, '.')
	signature, err := base64.RawURLEncoding.DecodeString(compact[dot+1:])
	if err != nil {
		b.Fatal(err)
	}
	public := parsedKey().public
	b.ReportAllocs()
	for b.Loop() {
		digest := sha256.Sum256([]byte(compact[:dot]))
		if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature); err != nil {
			b.Fatal(err)
		}
	}
}
