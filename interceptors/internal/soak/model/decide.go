// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"time"
)

// Server is a server's world.
type Server struct {
	ClockSkew time.Duration
	Issuers   []*Issuer
	Access    *History[*AccessList]
	// Needs has the scopes of each method; all of them are needed.
	Needs map[string][]string
}

// Issuer is an issuer as one server sees it.
type Issuer struct {
	URL     string
	Keys    KeySet
	Clients *History[[]string] // who may come
}

// Call is one call, as its caller sees it.
type Call struct {
	Span

	Method string
	Token  *Token
	// Offered is when the token came to this server first, in this call or another.
	Offered time.Time
	// Waiting is how many calls at most may have waited for the issuer's keys at a time.
	Waiting int
}

// Decide returns the outcomes that are right for a unary call, or for the opening of a
// stream. The set is empty if everything depends on a fetch that has not ended.
func (s *Server) Decide(c Call) Outcomes {
	switch c.Token.Form {
	case NoValue:
		return Outcomes{TokenMissing}
	case TwoValues:
		return Outcomes{AuthorizationDuplicated}
	case OtherScheme:
		return Outcomes{SchemeUnsupported}
	case TooLong:
		return Outcomes{TokenTooLarge}
	case BrokenSyntax:
		return Outcomes{TokenMalformed}
	case WellFormed:
	}
	if c.Token.Issuer == Foreign || c.Token.Unacceptable {
		return Outcomes{TokenInvalid}
	}
	var outcomes Outcomes
	if may, must := c.Token.expired(c.Span, s.ClockSkew); may {
		outcomes.add(TokenInvalid)
		if _, neverGood := c.Token.expired(At(c.Offered), s.ClockSkew); !neverGood {
			outcomes.add(TokenExpired)
		}
		if must {
			return outcomes
		}
	}
	if !s.proven(c, &outcomes) {
		return outcomes
	}
	if !s.barred(c, &outcomes) {
		return outcomes
	}
	for _, need := range s.Needs[c.Method] {
		if !slices.Contains(c.Token.Scopes, need) {
			outcomes.add(InsufficientScope)
			return outcomes
		}
	}
	if revoked(c, &outcomes) {
		outcomes.add(Passes)
	}
	return outcomes
}

// proven adds what may end the call at the key, the signature or the client, and
// reports whether it may go on.
func (s *Server) proven(c Call, outcomes *Outcomes) bool {
	issuer := s.Issuers[c.Token.Issuer]
	names, lacking := issuer.Keys.lookup(c.Token.KeyID, c.Span)
	if lacking {
		outcomes.add(issuer.Keys.unknown(c.Span, c.Waiting)...)
	}
	good := false
	for _, name := range names {
		if name == c.Token.SignedWith {
			good = true
		} else {
			outcomes.add(TokenInvalid)
		}
	}
	return good && s.welcome(c, outcomes)
}

// welcome is about the client.
func (s *Server) welcome(c Call, outcomes *Outcomes) (passes bool) {
	for _, clients := range s.Issuers[c.Token.Issuer].Clients.During(c.Span) {
		if slices.Contains(clients, c.Token.ClientID) {
			passes = true
		} else {
			outcomes.add(ClientNotAllowed)
		}
	}
	return passes
}

// barred is about the access file.
func (s *Server) barred(c Call, outcomes *Outcomes) (passes bool) {
	for _, list := range s.Access.During(c.Span) {
		if verdict := list.verdict(s.Issuers[c.Token.Issuer].URL, c.Token, c.Method); verdict == Passes {
			passes = true
		} else {
			outcomes.add(verdict)
		}
	}
	return passes
}

// revoked is about the server's function for revocation.
func revoked(c Call, outcomes *Outcomes) (passes bool) {
	for _, answer := range c.Token.answers(c.Span) {
		switch answer {
		case NotRevoked:
			passes = true
		case Revoked:
			outcomes.add(TokenRevoked)
		case Unanswered:
			outcomes.add(RevocationUnavailable)
		}
	}
	return passes
}
