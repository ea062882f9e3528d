// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"time"
)

// maxAnswer is how long the server waits for the function for revocation.
const maxAnswer = 5 * time.Second

// Look is one time that the server asked whether an open stream's token is revoked.
type Look struct {
	At     time.Time
	Answer Answer // what it was told
}

// Ends returns with which refusals the server may end a stream that it had let open,
// at an instant of the call's span. looks are those that are known.
func (s *Server) Ends(c Call, looks []Look) Outcomes {
	var outcomes Outcomes
	if may, _ := c.Token.expired(c.Span, s.ClockSkew); may {
		outcomes.add(TokenExpired) // the signature is proven, so the caller is told
	}
	s.stays(c, &outcomes)
	s.barred(c, &outcomes)
	revoked(c, &outcomes)
	before := c.From
	if n := len(looks); n > 1 {
		before = looks[n-2].At
	}
	if c.To.Sub(before) >= maxAnswer {
		outcomes.add(RevocationUnavailable) // whoever was asked last may have been that late
	}
	return outcomes
}

// stays is about the key and the client of an open stream: nothing is fetched for it.
func (s *Server) stays(c Call, outcomes *Outcomes) (passes bool) {
	names, lacking := s.Issuers[c.Token.Issuer].Keys.lookup(c.Token.KeyID, c.Span)
	for _, name := range names {
		if name == c.Token.SignedWith {
			passes = true
		} else {
			lacking = true
		}
	}
	if lacking {
		outcomes.add(TokenInvalid)
	}
	return s.welcome(c, outcomes) && passes
}

// CheckLooks returns what is wrong with the looks at one stream. The first is that of
// its opening. Before each later one the server asked the access file, the clock, and
// about the key and the client; it did so after the look before the last, since it waits
// for one answer at a time. It does not look again if one of them is against the stream.
func (s *Server) CheckLooks(c Call, looks []Look) []string {
	var faults []string
	opened := c.From
	for i := 1; i < len(looks); i++ {
		fault := func(what string) {
			faults = append(faults, fmt.Sprintf("look %d of %d, %v after the opening: the stream lived on although %s", i+1, len(looks), looks[i].At.Sub(opened), what))
		}
		if looks[i-1].Answer != NotRevoked {
			fault("its token was revoked")
		}
		c.Span = Span{looks[max(i-2, 0)].At, looks[i].At}
		if _, must := c.Token.expired(c.Span, s.ClockSkew); must {
			fault("its token had expired")
		}
		var ignored Outcomes
		if !s.stays(c, &ignored) {
			fault("its key or its client had gone")
		}
		if !s.barred(c, &ignored) {
			fault("the access file was against it")
		}
	}
	return faults
}
