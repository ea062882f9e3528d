// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// Bounds of a usable RSA key. RFC 7518 3.3 demands 2048 bits; the upper ones keep a
// check from taking long.
const (
	minModulusBits = 2048
	maxModulusBits = 8192
	minExponent    = 3
	maxExponent    = 1<<31 - 1
)

// rs256 checks signatures: rsa.VerifyPKCS1v15 over SHA-256. It has no state.
var rs256, errRS256 = jws.NewVerifier(jwa.RS256)

var errKey = errors.New("jose: key")

// Key is a public RSA key for RS256. It is immutable and safe for concurrent use.
type Key struct {
	id          string
	alg         string
	public      *rsa.PublicKey
	fingerprint [sha256.Size]byte
}

// ID returns the key's kid.
func (k *Key) ID() string {
	return k.id
}

// Fingerprint returns the SHA-256 of the modulus and the exponent: two keys are the
// same material if and only if the fingerprints are equal.
func (k *Key) Fingerprint() [sha256.Size]byte {
	return k.fingerprint
}

// newKey builds the key of the given modulus and exponent, both strict base64url as
// they stand in the entry. The result is false if they are no usable key; why says
// what is wrong.
func newKey(id, n, e string) (k *Key, why string, err error) {
	nBytes, why := keyInteger(n, "n")
	if why != "" {
		return nil, why, nil
	}
	eBytes, why := keyInteger(e, "e")
	if why != "" {
		return nil, why, nil
	}
	modulus, exponent := new(big.Int).SetBytes(nBytes), new(big.Int).SetBytes(eBytes)
	switch bits := modulus.BitLen(); {
	case bits < minModulusBits || bits > maxModulusBits:
		return nil, fmt.Sprintf("n has %d bits, %d to %d wanted", bits, minModulusBits, maxModulusBits), nil
	case modulus.Bit(0) == 0:
		return nil, "n is even", nil
	case !exponent.IsInt64() || exponent.Int64() < minExponent || exponent.Int64() > maxExponent:
		return nil, "e is not within 3 and 2^31-1", nil
	case exponent.Bit(0) == 0:
		return nil, "e is even", nil
	}
	public, err := readEntry(n, e)
	if err != nil {
		return nil, "", err
	}
	if public.N.Cmp(modulus) != 0 || int64(public.E) != exponent.Int64() {
		return nil, "", fmt.Errorf("%w: the library read another key than the entry holds", errKey)
	}
	return &Key{id: id, alg: algRS256, public: public, fingerprint: fingerprint(nBytes, eBytes)}, "", nil
}

// keyInteger decodes a Base64urlUInt, which has no leading zero octets (RFC 7518 2).
func keyInteger(s, name string) (b []byte, why string) {
	for i := range len(s) {
		if class[s[i]] != letter {
			return nil, name + " is not strict base64url"
		}
	}
	b, err := strict.DecodeString(s)
	switch {
	case err != nil:
		return nil, name + " is not strict base64url"
	case len(b) == 0:
		return nil, name + " is empty"
	case b[0] == 0:
		return nil, name + " has leading zero octets"
	}
	return b, ""
}

// readEntry lets jwx read the entry that n and e make. The other members are left
// out: they have been judged already, and jwx would fail on some that do not matter.
func readEntry(n, e string) (*rsa.PublicKey, error) {
	entry, err := jwk.ParseKey([]byte(`{"kty":"RSA","n":"` + n + `","e":"` + e + `"}`)) //nolint:forbidigo // one entry, scanned and checked before
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errKey, err)
	}
	var public rsa.PublicKey
	if err := entry.Raw(&public); err != nil {
		return nil, fmt.Errorf("%w: %w", errKey, err)
	}
	return &public, errRS256
}

// fingerprint hashes n with its length before it, so that no other split into n
// and e gives the same bytes.
func fingerprint(n, e []byte) [sha256.Size]byte {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(n)))
	return sha256.Sum256(bytes.Join([][]byte{length[:], n, e}, nil))
}
