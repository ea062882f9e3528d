// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// testKID looks like Cognito's: standard base64, with padding.
const testKID = "puiYGpmj+bwwO/PjKvLlYp8Tt4XXv9y0AaBbPxwZ48w="

const (
	goodHeader  = `{"kid":"` + testKID + `","alg":"RS256"}`
	goodPayload = `{"sub":"c1","token_use":"access","scope":"demo/read.file","iss":"https://issuer.test/pool","exp":1700003600,"iat":1700000000,"jti":"j1","client_id":"c1"}`
)

var signer = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// parsedKey is the signer's public key, read from a key set.
var parsedKey = sync.OnceValue(func() *Key {
	set, err := ParseKeySet([]byte(`{"keys":[` + entry(testKID, &signer().PublicKey, "") + `]}`))
	if err != nil {
		panic(err)
	}
	return set.Keys[0]
})

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign makes a token of any two texts with a good signature.
func sign(header, payload string) string {
	return signSegments(b64(header), b64(payload))
}

// signSegments signs segments that are encoded already, well or not.
func signSegments(header, payload string) string {
	signed := header + "." + payload
	digest := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(nil, signer(), crypto.SHA256, digest[:])
	if err != nil {
		panic(err)
	}
	return signed + "." + b64(string(sig))
}

// entry makes a key set entry; more begins with a comma.
func entry(kid string, k *rsa.PublicKey, more string) string {
	return fmt.Sprintf(`{"kty":"RSA","kid":%q,"n":%q,"e":%q%s}`, kid,
		b64(string(k.N.Bytes())), b64(string(big.NewInt(int64(k.E)).Bytes())), more)
}

// wantReason fails unless err is an *Error of that reason; none means no error.
func wantReason(t *testing.T, err error, want reason.Reason) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Fatalf("got error %v, want none", err)
		}
		return
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got error %v, want an *Error %s", err, want)
	}
	if e.Reason != want {
		t.Fatalf("got %v, want %s", e, want)
	}
}

func unb64(s string) string {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// respell changes an unused bit of the last sextet.
func respell(t *testing.T, s string) string {
	t.Helper()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(s)%4 == 0 {
		s = b64(unb64(s) + " ") // JSON may end in white space
	}
	last := strings.IndexByte(alphabet, s[len(s)-1])
	twin := s[:len(s)-1] + string(alphabet[last^1])
	if unb64(twin) != unb64(s) {
		t.Fatal("the twin is not a twin")
	}
	return twin
}

// flip changes one bit in the middle of a decoded segment.
func flip(s string) string {
	b := []byte(unb64(s))
	b[len(b)/2] ^= 1
	return b64(string(b))
}

// plusModulus is the same signature modulo n, written with another number.
func plusModulus(s string) string {
	n := new(big.Int).SetBytes([]byte(unb64(s)))
	return b64(string(n.Add(n, signer().N).Bytes()))
}

// members returns n members, each with a comma before it.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":%d`, i, i)
	}
	return b.String()
}
