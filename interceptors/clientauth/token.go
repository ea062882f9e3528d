// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// TokenSource gives access tokens. [ClientCredentials] is one; a source of one's
// own may ask a sidecar or an agent. Implementations are safe for concurrent use,
// return when ctx ends, and cache: every attempt of every call asks.
//
// An error without a gRPC status reaches the caller as UNAVAILABLE.
type TokenSource interface {
	Token(ctx context.Context, req Request) (Token, error)
}

// Request says which token is wanted.
type Request struct {
	// Scopes are full scope names such as "demo/read.file", in any order. None
	// means all the scopes that the client has (RFC 6749, section 3.3; Cognito
	// documentation, "Token endpoint"). Sources do not change them: the calls of a
	// connection share them.
	Scopes []string

	// Rejected is a token that a server refused, or the zero Token. The source
	// returns another one or an error.
	Rejected Token
}

// Token is an access token. It is opaque: printed, logged or marshaled it shows as
// [redacted], and only [Token.Value] gives it away. Tokens are immutable. The zero
// Token is no token.
type Token struct {
	// A pointer, so that fmt prints an address where it cannot call methods, and
	// so that one token is one identity.
	p *tokenData
}

type tokenData struct {
	// A closure, so that printers that follow pointers find no string either.
	value  func() string
	expiry time.Time
}

// NewToken returns a token for a [TokenSource] of one's own. The expiry is when
// the token ends; the zero time means unknown.
func NewToken(value string, expiry time.Time) Token {
	return Token{p: &tokenData{value: func() string { return value }, expiry: expiry}}
}

// Value returns the token itself, for a header that the caller writes. The zero
// Token has none.
func (t Token) Value() string {
	if t.p == nil {
		return ""
	}
	return t.p.value()
}

// Expiry returns when the token ends by this machine's clock. Servers refuse it
// from then on; a source stops giving it out a little earlier.
func (t Token) Expiry() time.Time {
	if t.p == nil {
		return time.Time{}
	}
	return t.p.expiry
}

// IsZero reports whether t is no token.
func (t Token) IsZero() bool { return t.p == nil }

// same reports whether two tokens have the same value.
func (t Token) same(u Token) bool {
	return t.p == u.p || t.Value() == u.Value()
}

// redacted stands for a token or secret wherever one would be printed.
const redacted = "[redacted]"

// String returns [redacted].
func (Token) String() string { return redacted }

// GoString returns [redacted].
func (Token) GoString() string { return redacted }

// Format writes [redacted] for every verb.
func (Token) Format(f fmt.State, _ rune) { writeRedacted(f) }

// LogValue returns [redacted].
func (Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns [redacted].
func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns [redacted] as a JSON string.
func (Token) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

func writeRedacted(f fmt.State) {
	// A printer that cannot write has nobody to tell.
	_, _ = f.Write([]byte(redacted))
}
