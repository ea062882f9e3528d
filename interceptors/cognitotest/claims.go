// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// member is a member of a JSON object whose order matters.
type member struct {
	name  string
	value json.RawMessage
}

// object writes members in their order. Values are written as they are: tokens
// that are wrong on purpose may carry anything.
func object(members []member) []byte {
	var buf bytes.Buffer
	buf.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			buf.WriteByte(',')
		}
		buf.Write(rawJSON(m.name))
		buf.WriteByte(':')
		buf.Write(m.value)
	}
	buf.WriteByte('}')
	return buf.Bytes()
}

// rawJSON encodes a string or number. Most strings of a token need no escape:
// an encoder for each would cost more than all the rest of a token but its signature.
func rawJSON(v any) json.RawMessage {
	switch v := v.(type) {
	case int64:
		return strconv.AppendInt(nil, v, 10)
	case string:
		if plain(v) {
			return append(append(append(make([]byte, 0, len(v)+2), '"'), v...), '"')
		}
	}
	raw, err := encodeJSON(v)
	if err != nil {
		return json.RawMessage("null") // strings and integers cannot fail
	}
	return raw
}

// plain reports whether s is its own JSON encoding between quotes.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// issue signs an access token. A token has the claims of now and the pool's present key.
func (p *UserPool) issue(c *client, made customization, fault *Fault) (string, error) {
	pair, err := p.keys.current()
	if err != nil {
		return "", err
	}
	claims := append(p.accessClaims(c.id, made.scopes, p.server.clock(), c.lifetime), made.claims...)
	if len(made.scopes) == 0 {
		claims = edit(claims, map[string]json.RawMessage{"scope": nil})
	}
	return compact(pair.access, object(header(fault.keyID(pair.access.id))), object(claims))
}

func header(kid string) []member {
	return []member{{"kid", rawJSON(kid)}, {"alg", rawJSON("RS256")}}
}

// accessClaims are the claims of a machine-to-machine token in Cognito's order.
// There is no aud and no username.
func (p *UserPool) accessClaims(clientID string, scopes []string, issued time.Time, lifetime time.Duration) []member {
	iat := issued.Unix()
	return []member{
		{"sub", rawJSON(clientID)},
		{"token_use", rawJSON("access")},
		{"scope", rawJSON(strings.Join(scopes, " "))},
		{"auth_time", rawJSON(iat)},
		{"iss", rawJSON(p.Issuer())},
		{"exp", rawJSON(issued.Add(lifetime).Unix())},
		{"iat", rawJSON(iat)},
		{"version", rawJSON(2)},
		{"jti", rawJSON(newUUID())},
		{"client_id", rawJSON(clientID)},
	}
}

// compact makes a JWS in the compact form (RFC 7515, section 7.1).
func compact(key signingKey, header, payload []byte) (string, error) {
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := key.sign([]byte(input))
	if err != nil {
		return "", err
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
