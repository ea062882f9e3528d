// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package model

import "time"

// Form is what a call's authorization metadata looks like from outside.
type Form int

// The forms.
const (
	WellFormed   Form = iota // one value, Bearer and a token of the right syntax
	NoValue                  // no authorization metadata
	TwoValues                // two values, equal or not
	OtherScheme              // not Bearer
	TooLong                  // longer than a token may be
	BrokenSyntax             // no compact JWS in its one spelling
)

// Foreign is the issuer that no server accepts.
const Foreign = -1

// Answer is what the server's function for revocation says about a token.
type Answer int

// The answers.
const (
	NotRevoked Answer = iota
	Revoked
	Unanswered // the function returned an error
)

// Token says how a token was made.
type Token struct {
	Made string // in words, for a report
	Form Form
	// Unacceptable says that the header or the claims have something that no token for
	// the servers may have. It is seen before the key is looked for.
	Unacceptable bool
	Issuer       int // the index in [Server.Issuers], or Foreign
	KeyID        string
	SignedWith   string // the name of the key, "" for nobody's
	ClientID     string
	TokenID      string
	Scopes       []string
	Expires      time.Time // a whole second of the clock on the wall
	// Revocation is what the server's function says about the token; nil: never revoked.
	Revocation *History[Answer]
}

// expired says whether the token may be, and whether it must be, expired at the instant
// at which the server looks. The clock on the wall decides.
func (t *Token) expired(s Span, skew time.Duration) (may, must bool) {
	end := t.Expires.Add(skew).UnixNano()
	return s.To.UnixNano() >= end, s.From.UnixNano() >= end
}

// answers returns what may be said about the token's revocation.
func (t *Token) answers(s Span) []Answer {
	if t.Revocation == nil {
		return []Answer{NotRevoked}
	}
	return t.Revocation.During(s)
}
