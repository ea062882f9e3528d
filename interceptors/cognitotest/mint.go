// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// MintSpec describes a token that the token endpoint would not issue. The zero
// value is a right one: an access token of the pool's first client with all its scopes.
type MintSpec struct {
	// Client is the name or id of the app client. Empty: the pool's first.
	Client string
	// Scopes is the scope claim, whatever the client may have. Nil: all custom
	// scopes that the client has.
	Scopes []string
	// IDToken makes an ID token of a user instead: other claims, and the pool's ID token key.
	IDToken bool
	// IssuedAt is the iat claim. Zero: the server's clock.
	IssuedAt time.Time
	// Lifetime is exp minus iat; it may be negative. Zero: the client's.
	Lifetime time.Duration
	// Expired issues the token so early that it ended an hour ago. Not together with IssuedAt.
	Expired bool

	// Claims replaces, adds or, where the value is nil, removes single claims.
	// Values are written as they are and need not be JSON. What is added comes
	// at the end, in alphabetical order.
	Claims map[string]json.RawMessage
	// Header does the same with the members of the header.
	Header map[string]json.RawMessage
	// RawPayload is the payload, byte for byte. Not together with Claims.
	RawPayload []byte
	// RawHeader is the header, byte for byte. Not together with Header and Alg.
	RawHeader []byte

	// Alg replaces the alg label; the signature stays RS256.
	Alg string
	// Key signs instead of the pool's key, under the pool's key id: a forgery.
	Key *rsa.PrivateKey
	// IDTokenKey signs with the pool's other key, and under its key id. The
	// signature is right; Cognito would not use this key for an access token.
	IDTokenKey bool
	// Signature says what becomes of the signature.
	Signature Signature
}

// Signature says what becomes of a minted token's third part.
type Signature int

const (
	// SignatureValid leaves it right for the key that signed.
	SignatureValid Signature = iota
	// SignatureEmpty leaves the third part empty.
	SignatureEmpty
	// SignatureBroken changes its first bits.
	SignatureBroken
)

// Mint returns a token in the compact form, right or wrong as described. It is
// not counted as a token request.
func (p *UserPool) Mint(spec MintSpec) (string, error) {
	if err := spec.check(); err != nil {
		return "", err
	}
	key, err := p.mintKey(&spec)
	if err != nil {
		return "", err
	}
	head, payload := spec.RawHeader, spec.RawPayload
	if head == nil {
		members := header(key.id)
		if spec.Alg != "" {
			members = edit(members, map[string]json.RawMessage{"alg": rawJSON(spec.Alg)})
		}
		head = object(edit(members, spec.Header))
	}
	if payload == nil {
		claims, err := p.mintClaims(&spec)
		if err != nil {
			return "", err
		}
		payload = object(edit(claims, spec.Claims))
	}
	if spec.Key != nil {
		key.key = spec.Key
	}
	token, err := compact(key, head, payload)
	if err != nil {
		return "", fmt.Errorf("cognitotest: mint: %w", err)
	}
	return spec.Signature.spoil(token), nil
}

func (m *MintSpec) check() error {
	switch {
	case m.RawHeader != nil && (m.Header != nil || m.Alg != ""):
		return failf("mint: RawHeader leaves no place for Header and Alg")
	case m.RawPayload != nil && m.Claims != nil:
		return failf("mint: RawPayload leaves no place for Claims")
	case m.Expired && !m.IssuedAt.IsZero():
		return failf("mint: Expired chooses IssuedAt itself")
	case m.Key != nil && m.IDTokenKey:
		return failf("mint: Key and IDTokenKey are two keys for one signature")
	case m.Signature < SignatureValid || m.Signature > SignatureBroken:
		return failf("mint: no such Signature: %d", int(m.Signature))
	}
	return nil
}

func (p *UserPool) mintKey(spec *MintSpec) (signingKey, error) {
	pair, err := p.keys.current()
	if err != nil {
		return signingKey{}, err
	}
	if spec.IDToken || spec.IDTokenKey {
		return pair.id, nil
	}
	return pair.access, nil
}

func (p *UserPool) mintClaims(spec *MintSpec) ([]member, error) {
	var c *client
	if spec.Client != "" {
		c = p.find(spec.Client)
	} else if clients := p.allClients(); len(clients) > 0 {
		c = clients[0]
	}
	if c == nil {
		return nil, failf("mint: pool %s has no client %q", p.Name(), spec.Client)
	}
	lifetime := spec.Lifetime
	if lifetime == 0 {
		lifetime = c.lifetime
	}
	issued := spec.IssuedAt
	switch {
	case spec.Expired:
		issued = p.server.clock().Add(-lifetime - time.Hour)
	case issued.IsZero():
		issued = p.server.clock()
	}
	if spec.IDToken {
		return p.idClaims(c.id, issued, lifetime), nil
	}
	scopes := spec.Scopes
	if scopes == nil {
		for _, s := range c.allowed {
			if p.hasScope(s) {
				scopes = append(scopes, s)
			}
		}
	}
	return p.accessClaims(c.id, scopes, issued, lifetime), nil
}

// idClaims are the claims of an ID token of a user that does not exist
// (developer guide, "Understanding the identity (ID) token").
func (p *UserPool) idClaims(clientID string, issued time.Time, lifetime time.Duration) []member {
	user, iat := newUUID(), issued.Unix()
	return []member{
		{"sub", rawJSON(user)},
		{"iss", rawJSON(p.Issuer())},
		{"cognito:username", rawJSON(user)},
		{"origin_jti", rawJSON(newUUID())},
		{"aud", rawJSON(clientID)},
		{"event_id", rawJSON(newUUID())},
		{"token_use", rawJSON("id")},
		{"auth_time", rawJSON(iat)},
		{"exp", rawJSON(issued.Add(lifetime).Unix())},
		{"iat", rawJSON(iat)},
		{"jti", rawJSON(newUUID())},
	}
}

// edit replaces, removes and appends members.
func edit(members []member, changes map[string]json.RawMessage) []member {
	var out []member
	done := make(map[string]bool)
	for _, m := range members {
		if value, ok := changes[m.name]; ok {
			done[m.name] = true
			m.value = value
		}
		if m.value != nil {
			out = append(out, m)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		if !done[name] && changes[name] != nil {
			out = append(out, member{name, changes[name]})
		}
	}
	return out
}

// spoil changes the third part of a compact token.
func (s Signature) spoil(token string) string {
	cut := strings.LastIndexByte(token, '.') + 1
	switch s {
	case SignatureEmpty:
		return token[:cut]
	case SignatureBroken:
		// The first character carries six bits of the signature, so any other
		// one is another signature of the same length.
		other := byte('A')
		if token[cut] == other {
			other = 'B'
		}
		return token[:cut] + string(other) + token[cut+1:]
	case SignatureValid:
	}
	return token
}

// Sign returns the RS256 signature of data by the key that signs the pool's
// access tokens now, for tokens that a test composes by hand: data is
// base64url(header) + "." + base64url(payload).
func (p *UserPool) Sign(data []byte) ([]byte, error) {
	pair, err := p.keys.current()
	if err != nil {
		return nil, err
	}
	signature, err := pair.access.sign(data)
	if err != nil {
		return nil, fmt.Errorf("cognitotest: sign: %w", err)
	}
	return signature, nil
}

// KeyIDs returns the kid of the key that signs access tokens now, and that of
// the ID token key.
func (p *UserPool) KeyIDs() (accessToken, idToken string, err error) {
	pair, err := p.keys.current()
	if err != nil {
		return "", "", err
	}
	return pair.access.id, pair.id.id, nil
}
