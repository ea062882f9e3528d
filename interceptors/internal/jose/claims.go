// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// State says what became of a claim.
type State uint8

// The states. The zero value is the claim that is not there.
const (
	// Absent: the payload has no such claim.
	Absent State = iota
	// Present: the claim has a value of the right type.
	Present
	// WrongType: the claim has a value of another JSON type.
	WrongType
	// OutOfRange: the claim is a number, but not a time of our era.
	OutOfRange
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Absent:
		return "absent"
	case Present:
		return "present"
	case WrongType:
		return "wrong type"
	case OutOfRange:
		return "out of range"
	default:
		return "unknown"
	}
}

// Text is a claim that should be a string. Value is empty unless State is Present;
// it can be empty then, too.
type Text struct {
	Value string
	State State
}

// NumericDate is a claim that should be a JSON number of seconds since the epoch
// (RFC 7519 2). Fractions are rounded down. Seconds is 0 unless State is Present;
// 0 and negative numbers are times like others. A number further than
// [MaxNumericDate] from 0 is OutOfRange; so are milliseconds taken for seconds.
type NumericDate struct {
	Seconds int64
	State   State
}

// Audience is the claim aud: a string, or an array of strings (RFC 7519 4.1.3). An
// array with anything else in it has the state WrongType and no values. The values
// belong to the claims: do not change them.
type Audience struct {
	Values []string
	State  State
}

// Claims are the claims of a payload. The fields hold those that decide about
// access, by their exact names; all are the token's own words, true only after
// [Token.Verify]. Which state is acceptable is the caller's business. Claims are to
// be read only; they hold no part of the header or the signature.
//
//nolint:recvcheck // a copy must not print more than a pointer does
type Claims struct {
	Issuer   Text // iss
	Subject  Text // sub
	TokenUse Text // token_use, Cognito's own
	ClientID Text // client_id, RFC 9068 2.2
	TokenID  Text // jti
	// Scope is scope (RFC 8693 4.2), not split. A null counts as absent, since it
	// grants nothing; for every other claim null is a wrong type.
	Scope Text

	ExpiresAt NumericDate // exp
	NotBefore NumericDate // nbf
	IssuedAt  NumericDate // iat

	Audience Audience // aud
	// Bound reports whether there is a cnf, with whatever value: the token is then
	// bound to a key of its sender (RFC 7800, RFC 8705, RFC 9449).
	Bound bool

	members []member
}

// Lookup returns the value of the claim with exactly that name, one of the fields
// above or any other, and whether the payload has it. The value is a string, bool,
// nil, [json.Number], []any or map[string]any. Each call decodes anew: the result
// is the caller's own, and changing it changes nothing here.
func (c *Claims) Lookup(name string) (any, bool) {
	raw, ok := find(c.members, name)
	if !ok {
		return nil, false
	}
	dec := json.NewDecoder(strings.NewReader(raw)) // of a scanned value: exact names, no doubles
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, false
	}
	return v, true
}

// Format prints no claim, whatever the verb: a payload can hold personal data.
func (Claims) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "[claims]")
}

func parseClaims(doc string) (*Claims, *Error) {
	members, err := parseObject(doc)
	if err != nil {
		return nil, malformed("the payload: " + err.Error())
	}
	c := &Claims{members: members}
	for _, m := range members {
		c.set(m)
	}
	return c, nil
}

func (c *Claims) set(m member) {
	switch m.name {
	case "iss":
		c.Issuer = text(m.raw)
	case "sub":
		c.Subject = text(m.raw)
	case "token_use":
		c.TokenUse = text(m.raw)
	case "client_id":
		c.ClientID = text(m.raw)
	case "jti":
		c.TokenID = text(m.raw)
	case "scope":
		if m.raw != "null" {
			c.Scope = text(m.raw)
		}
	case "exp":
		c.ExpiresAt = numericDate(m.raw)
	case "nbf":
		c.NotBefore = numericDate(m.raw)
	case "iat":
		c.IssuedAt = numericDate(m.raw)
	case "aud":
		c.Audience = audience(m.raw)
	case "cnf":
		c.Bound = true
	}
}

func text(raw string) Text {
	s, ok := unquote(raw)
	if !ok {
		return Text{State: WrongType}
	}
	return Text{Value: s, State: Present}
}

func audience(raw string) Audience {
	if s, ok := unquote(raw); ok {
		return Audience{Values: []string{s}, State: Present}
	}
	list, ok := elements(raw)
	if !ok {
		return Audience{State: WrongType}
	}
	for i, element := range list {
		s, ok := unquote(element)
		if !ok {
			return Audience{State: WrongType}
		}
		list[i] = s
	}
	return Audience{Values: list, State: Present}
}
