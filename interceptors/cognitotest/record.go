// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Counts says how often a pool or server was asked. Token requests are those to
// the token endpoint and those for GetClientToken.
type Counts struct {
	// TokenRequests is TokensIssued, TokensRefused and TokensFaulted together.
	TokenRequests int64
	// TokensIssued counts answers with a token.
	TokensIssued int64
	// TokensRefused counts all other answers, those of TokensThrottled too.
	TokensRefused int64
	// TokensThrottled counts the requests that [WithThrottle] refused.
	TokensThrottled int64
	// TokensFaulted counts requests that a [Fault] answered, or left unanswered.
	TokensFaulted int64
	// JWKSRequests counts fetches of the public keys, faulty ones too.
	JWKSRequests int64
	// DiscoveryRequests counts fetches of openid-configuration, faulty ones too.
	DiscoveryRequests int64
}

// stats counts the requests of one pool, or of a server.
type stats struct {
	issued, refused, throttled, faulted atomic.Int64
	jwks, discovery                     atomic.Int64
}

func (s *stats) token(e *TokenRequest) {
	switch {
	case e.Fault:
		s.faulted.Add(1)
	case e.Status == http.StatusOK:
		s.issued.Add(1)
	default:
		s.refused.Add(1)
		if e.Throttled {
			s.throttled.Add(1)
		}
	}
}

func (s *stats) counts() Counts {
	c := Counts{
		TokensIssued:      s.issued.Load(),
		TokensRefused:     s.refused.Load(),
		TokensThrottled:   s.throttled.Load(),
		TokensFaulted:     s.faulted.Load(),
		JWKSRequests:      s.jwks.Load(),
		DiscoveryRequests: s.discovery.Load(),
	}
	c.TokenRequests = c.TokensIssued + c.TokensRefused + c.TokensFaulted
	return c
}

// TokenRequest records one request to a token endpoint, or one for
// GetClientToken: what was asked and what came of it. It holds no secret and no token.
type TokenRequest struct {
	// Time is the server's clock.
	Time time.Time
	// Pool is the pool's id. Empty: GetClientToken, which names no pool, named no client of any.
	Pool string
	// ClientID and Client are id and name of the client. Empty if the request
	// named no client of the pool: what a stranger writes is not kept.
	ClientID, Client string
	// Asked holds the scopes of the request, at most 50. Nil: it named none.
	Asked []string
	// Granted holds the scopes of the token.
	Granted []string
	// Status is the HTTP status; 0 if there was no answer.
	Status int
	// Error is the code of a refusal, for example "invalid_client", or the type of
	// GetClientToken's, for example "NotAuthorizedException".
	Error string
	// TriggerError is what made the trigger of [WithPreTokenGeneration] fail, in its own words.
	TriggerError string
	// Throttled says that [WithThrottle] refused it.
	Throttled bool
	// Fault says that a [Fault] answered it.
	Fault bool
}

// Dropped returns the scopes that were asked for and not granted although a
// token was issued.
func (t TokenRequest) Dropped() []string {
	if t.Status != http.StatusOK || t.Fault {
		return nil
	}
	var dropped []string
	for _, s := range t.Asked {
		if !slices.Contains(t.Granted, s) && !slices.Contains(dropped, s) {
			dropped = append(dropped, s)
		}
	}
	return dropped
}

const (
	recordLimit = 1000
	askedLimit  = 50
	scopeLimit  = 2*256 + 1 // the longest scope that can exist
)

// askedScopes splits a scope parameter for the record, within bounds.
func askedScopes(scope string) []string {
	var asked []string
	for s := range strings.SplitSeq(scope, " ") {
		if s == "" {
			continue
		}
		if len(asked) == askedLimit {
			break
		}
		asked = append(asked, strings.Clone(s[:min(len(s), scopeLimit)]))
	}
	return asked
}

// requestLog is a ring of the last requests. It is safe for concurrent use.
type requestLog struct {
	mu      sync.Mutex
	entries []TokenRequest
	next    int   // where the oldest is, once the ring is full
	added   int64 // how many there were ever
}

func (l *requestLog) add(e TokenRequest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.added++
	if len(l.entries) < recordLimit {
		l.entries = append(l.entries, e)
		return
	}
	l.entries[l.next] = e
	l.next = (l.next + 1) % recordLimit
}

func (l *requestLog) all() []TokenRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]TokenRequest, 0, len(l.entries))
	for _, e := range append(l.entries[l.next:len(l.entries):len(l.entries)], l.entries[:l.next]...) {
		e.Asked, e.Granted = slices.Clone(e.Asked), slices.Clone(e.Granted)
		out = append(out, e)
	}
	return out
}

// throttle allows so many requests in a second, after an idle second all at
// once. The nil throttle allows everything. It is safe for concurrent use.
type throttle struct {
	mu     sync.Mutex
	cost   time.Duration // of a request
	most   time.Duration // what can be saved up
	credit time.Duration
	last   time.Time
}

func newThrottle(perSecond int) *throttle {
	if perSecond <= 0 {
		return nil
	}
	cost := time.Second / time.Duration(perSecond)
	most := cost * time.Duration(perSecond)
	return &throttle{cost: cost, most: most, credit: most}
}

func (t *throttle) allow(now time.Time) bool {
	if t == nil {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.last.IsZero() && now.After(t.last) {
		t.credit += min(now.Sub(t.last), t.most-t.credit)
	}
	t.last = now
	if t.credit < t.cost {
		return false
	}
	t.credit -= t.cost
	return true
}
