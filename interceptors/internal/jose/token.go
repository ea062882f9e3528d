// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

// DefaultMaxBytes is the limit of [Parse] when none is given. A token of Cognito
// has about 900 bytes.
const DefaultMaxBytes = 8192

// strict refuses non-zero unused bits, but skips CR and LF as every decoder of
// encoding/base64: only what passed the alphabet scan may come here.
var strict = base64.RawURLEncoding.Strict()

// Token is a token that [Parse] accepted. It is immutable and safe for concurrent
// use. It prints as "[token]".
//
//nolint:recvcheck // a copy must not print more than a pointer does
type Token struct {
	signed    string // header and payload as received, with the dot between them
	signature []byte
	alg       string
	kid       string
	claims    *Claims
}

// Parse reads a compact token of at most maxBytes bytes, or [DefaultMaxBytes] if
// maxBytes is not positive. It checks everything that needs no key, in the order
// that the package comment gives. Every error is an [*Error].
func Parse(compact string, maxBytes int) (*Token, error) {
	if maxBytes <= 0 {
		maxBytes = DefaultMaxBytes
	}
	if len(compact) > maxBytes {
		return nil, refuse(reason.TokenTooLarge, fmt.Sprintf("%d bytes, at most %d are accepted", len(compact), maxBytes))
	}
	firstDot, lastDot, e := scanSegments(compact)
	if e != nil {
		return nil, e
	}
	header, e := decodeSegment(compact[:firstDot], "header")
	if e != nil {
		return nil, e
	}
	payload, e := decodeSegment(compact[firstDot+1:lastDot], "payload")
	if e != nil {
		return nil, e
	}
	signature, e := decodeSegment(compact[lastDot+1:], "signature")
	if e != nil {
		return nil, e
	}
	kid, e := parseHeader(string(header))
	if e != nil {
		return nil, e
	}
	if len(signature) == 0 {
		return nil, refuse(reason.SignatureInvalid, "the signature is empty")
	}
	claims, e := parseClaims(string(payload))
	if e != nil {
		return nil, e
	}
	return &Token{signed: compact[:lastDot], signature: signature, alg: algRS256, kid: kid, claims: claims}, nil
}

// KeyID returns the header's kid, 1 to 256 bytes that anybody can have chosen: it
// is for a look-up in a key set, for nothing else.
func (t *Token) KeyID() string {
	return t.kid
}

// Claims returns the payload's claims. They are unverified before [Token.Verify]
// returned nil.
func (t *Token) Claims() *Claims {
	return t.claims
}

// Verify checks the signature over the received bytes with k, which must be the
// issuer's key of the token's kid. An [*Error] says ALG_NOT_ALLOWED if token and
// key are not both for RS256, KEY_NOT_FOUND if k is nil or has another kid, and
// SIGNATURE_INVALID otherwise.
func (t *Token) Verify(k *Key) error {
	switch {
	case k == nil || k.id != t.kid:
		return refuse(reason.KeyNotFound, "the key is not the one that the token names")
	case t.alg != algRS256 || k.alg != algRS256:
		return refuse(reason.AlgNotAllowed, "the key is not for the token's algorithm")
	case len(t.signature) != k.public.Size():
		return refuse(reason.SignatureInvalid,
			fmt.Sprintf("a signature of %d bytes wanted, got %d", k.public.Size(), len(t.signature)))
	}
	if err := rs256.Verify([]byte(t.signed), t.signature, k.public); err != nil {
		return refuse(reason.SignatureInvalid, "the signature does not fit the key")
	}
	return nil
}

// Format prints no byte of the token, whatever the verb.
func (Token) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "[token]")
}

// scanSegments finds the two dots in one pass over the bytes. It splits nothing,
// so that a token of many dots costs no memory. The third segment may be empty.
func scanSegments(compact string) (firstDot, lastDot int, e *Error) {
	dots := 0
	for i := range len(compact) {
		switch class[compact[i]] {
		case letter:
		case dot:
			if dots == 0 {
				firstDot = i
			}
			lastDot = i
			dots++
		default:
			return 0, 0, malformed(fmt.Sprintf("byte %d is not in the alphabet of a token", i))
		}
	}
	switch {
	case dots != 2:
		return 0, 0, malformed(fmt.Sprintf("3 segments wanted, got %d", dots+1))
	case firstDot == 0:
		return 0, 0, malformed("the header is empty")
	case lastDot == firstDot+1:
		return 0, 0, malformed("the payload is empty")
	}
	return firstDot, lastDot, nil
}

func decodeSegment(segment, name string) ([]byte, *Error) {
	b, err := strict.DecodeString(segment)
	if err != nil {
		return nil, malformed("the " + name + " is not strict base64url")
	}
	return b, nil
}

const (
	letter = 1 + iota
	dot
)

// class says which bytes a token consists of (RFC 7515 2, RFC 4648 5).
var class = func() (c [256]uint8) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, b := range []byte(alphabet) {
		c[b] = letter
	}
	c['.'] = dot
	return c
}()

// lowerASCII maps A-Z only: Unicode has letters that fold to ASCII ones.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, s)
}
