// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
	"github.com/scopeauth/scopeauth/interceptors/internal/jwks"
)

// verify is Verify with all that is known of the token, and whether it was remembered.
//
// The cheap checks of claims come before the signature: they can only refuse, and
// they spare the RSA operation and any fetch of keys. Nothing is believed before
// the signature holds.
func (v *Verifier) verify(ctx context.Context, token string) (who *verified, cached bool, refusal *Error) {
	who, refusal = v.remembered(token)
	if who != nil || refusal != nil {
		return who, true, refusal
	}
	now := v.cfg.now()
	c, refusal := v.examine(token, now)
	if refusal != nil {
		return nil, false, refusal
	}
	if c.key, c.generation, _ = c.issuer.keys.LookupWithGeneration(c.parsed.KeyID()); c.key == nil {
		// The generation is older than what Key returns, or the same: then it is
		// compared by the key's fingerprint.
		key, err := c.issuer.keys.Key(ctx, c.parsed.KeyID())
		if err != nil {
			return nil, false, keyError(ctx, c.issuer, c.parsed.KeyID(), err)
		}
		c.key = key
	}
	running, own, found := v.join(c)
	switch {
	case found != nil:
		return found, true, nil
	case running != nil:
		who, refusal = running.wait(ctx)
		return who, false, refusal
	default:
		who, refusal = v.prove(c, own, now)
		return who, false, refusal
	}
}

// verifyAtOnce is verify for a place that must not wait: undecided says that the key
// would have to be fetched, or that the signature is checked elsewhere at the moment.
func (v *Verifier) verifyAtOnce(token string) (who *verified, cached, undecided bool, refusal *Error) {
	who, refusal = v.remembered(token)
	if who != nil || refusal != nil {
		return who, true, false, refusal
	}
	now := v.cfg.now()
	c, refusal := v.examine(token, now)
	if refusal != nil {
		return nil, false, false, refusal
	}
	if c.key, c.generation, _ = c.issuer.keys.LookupWithGeneration(c.parsed.KeyID()); c.key == nil {
		return nil, false, true, nil
	}
	running, own, found := v.join(c)
	switch {
	case found != nil:
		return found, true, false, nil
	case running != nil:
		return nil, false, true, nil
	default:
		who, refusal = v.prove(c, own, now)
		return who, false, false, refusal
	}
}

// remembered returns what the cache has of the token, if that is still good, or the
// refusal of a token whose time is over. A token whose key or client has gone is as
// one that was never seen.
func (v *Verifier) remembered(token string) (*verified, *Error) {
	e := v.cache.get(token)
	if e == nil {
		return nil, nil // neither remembered nor refused
	}
	refusal, same := e.isGood(&v.clock)
	if same && refusal == nil {
		return e, nil
	}
	v.cache.stale.Add(1)
	v.cache.drop(e)
	return nil, refusal
}

// isGood is recheck by the clock. Near the begin and the end of a token's time the last
// reading may be too old to tell, so that there the machine's own clock decides.
func (e *verified) isGood(c *clock) (refusal *Error, same bool) {
	now := c.unixNano()
	if now < e.validFrom || now >= e.validUntil-nearEnd {
		now = c.now().UnixNano()
	}
	return e.recheck(now)
}

// recheck says whether a verified token is still good: its time is not over, its
// issuer still publishes the key that its signature was checked with, and its client
// may still come. same is false if the last two have to be looked at from the start.
func (e *verified) recheck(now int64) (refusal *Error, same bool) {
	if now >= e.validUntil || now < e.validFrom {
		return e.untimely(now), true
	}
	if e.issuer == nil { // made by a TokenVerifier of the user's own
		return nil, true
	}
	if !e.issuer.keys.Current(e.generation.Load()) && !e.keyStays() {
		return nil, false
	}
	if allowed := e.issuer.clients.Load(); allowed != e.clients.Load() {
		name, ok := allowed.allows(e.principal.clientID)
		if !ok || name != e.principal.clientName {
			return nil, false
		}
		e.clients.Store(allowed)
	}
	return nil, true
}

// keyStays reports whether the issuer's keys changed and the token's key did not.
func (e *verified) keyStays() bool {
	key, generation, ok := e.issuer.keys.LookupWithGeneration(e.kid)
	if !ok || key.Fingerprint() != e.fingerprint {
		return false
	}
	e.generation.Store(generation)
	return true
}

// untimely is the refusal of a token that was good before: that it is the issuer's own
// is known, so the caller is told what is wrong.
func (e *verified) untimely(now int64) *Error {
	r := ReasonTokenExpired
	if now < e.validFrom {
		r = ReasonTokenNotYetValid // the clock was set back
	}
	refusal := provenError(r, e.principal)
	refusal.details = append(refusal.details, detail{"exp", e.principal.expiresAt.UTC().Format(time.RFC3339)})
	return refusal
}

// candidate is a token that passed all checks that need no key.
type candidate struct {
	token      string
	parsed     *jose.Token
	issuer     *trustedIssuer
	facts      claimFacts
	key        *jose.Key
	generation uint64
}

func (v *Verifier) examine(token string, now time.Time) (*candidate, *Error) {
	if v.cache != nil {
		v.cache.misses.Add(1)
	}
	parsed, err := jose.Parse(token, v.cfg.maxTokenBytes)
	if err != nil {
		return nil, joseError(err)
	}
	issuer, refusal := v.issuer(parsed.Claims())
	if refusal != nil {
		return nil, refusal
	}
	facts, refusal := checkClaims(parsed.Claims(), issuer, now, &v.cfg)
	if refusal != nil {
		return nil, refusal
	}
	return &candidate{token: token, parsed: parsed, issuer: issuer, facts: facts}, nil
}

func (v *Verifier) join(c *candidate) (running, own *check, found *verified) {
	return v.burst.join(burstKey{c.token, c.key}, func() *verified {
		e, _ := v.remembered(c.token)
		return e
	})
}

// prove checks the signature, for all who wait for it. What the token says is true
// from then on.
func (v *Verifier) prove(c *candidate, own *check, now time.Time) (*verified, *Error) {
	defer v.burst.finish(burstKey{c.token, c.key}, own)
	own.result, own.refusal = v.believe(c)
	if own.result != nil {
		v.cache.put(own.result, now)
	}
	return own.result, own.refusal
}

func (v *Verifier) believe(c *candidate) (*verified, *Error) {
	if err := c.parsed.Verify(c.key); err != nil {
		return nil, joseError(err)
	}
	claims := c.parsed.Claims()
	scopes := splitScopes(claims.Scope.Value)
	who := &verified{
		principal: &Principal{
			clientID:    c.facts.clientID,
			issuer:      c.issuer.URL,
			tokenID:     claims.TokenID.Value,
			tokenScopes: scopes,
			scopes:      grantable(scopes, c.issuer.ResourceServers),
			issuedAt:    c.facts.issuedAt,
			expiresAt:   c.facts.expiresAt,
			claims:      claims,
		},
		validFrom:   c.facts.validFrom.UnixNano(),
		validUntil:  c.facts.validUntil.UnixNano(),
		issuer:      c.issuer,
		kid:         c.key.ID(),
		fingerprint: c.key.Fingerprint(),
		token:       c.token,
	}
	who.generation.Store(c.generation)
	allowed := c.issuer.clients.Load()
	who.clients.Store(allowed)
	name, ok := allowed.allows(c.facts.clientID)
	if !ok {
		return nil, provenError(ReasonClientNotAllowed, who.principal)
	}
	who.principal.clientName = name
	return who, nil
}

// joseError passes the reason of the strict parser on.
func joseError(err error) *Error {
	if e, ok := errors.AsType[*jose.Error](err); ok {
		return NewError(e.Reason, err)
	}
	return NewError(ReasonTokenInvalid, err)
}

func keyError(ctx context.Context, issuer *trustedIssuer, kid string, err error) *Error {
	r := ReasonKeysUnavailable
	if errors.Is(err, jwks.ErrUnknownKey) {
		r = ReasonKeyNotFound
	}
	refusal := NewError(r, err)
	if r == ReasonKeysUnavailable {
		refusal = contextError(ctx, r, err) // the caller may not have waited for the keys
	}
	refusal.details = []detail{{"issuer", issuer.URL}, {"kid(unverified)", clip(kid)}}
	return refusal
}
