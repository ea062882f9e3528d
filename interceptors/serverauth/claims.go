// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
)

// claimFacts is what the checks of the claims found out on their way.
type claimFacts struct {
	clientID            string
	issuedAt, expiresAt time.Time
	// validFrom and validUntil bound the time in which the token is taken: nbf, or no
	// bound, and the earlier of exp and the longest age, each with the clock skew.
	validFrom, validUntil time.Time
}

// tokenUseAccess tells Cognito's access tokens from its ID tokens, which the same
// keys sign (RFC 8725 section 3.12).
const tokenUseAccess = "access"

// issuer returns the issuer of the iss claim, which must be one of the configured
// ones byte by byte. No key is fetched for another.
func (v *Verifier) issuer(claims *jose.Claims) (*trustedIssuer, *Error) {
	if claims.Issuer.State != jose.Present {
		return nil, claimError("iss", "it must be a string")
	}
	if i, ok := v.issuers[claims.Issuer.Value]; ok {
		return i, nil
	}
	refusal := NewError(ReasonIssuerMismatch, nil)
	accepts := make([]string, 0, len(v.issuers))
	for url := range v.issuers {
		accepts = append(accepts, url)
	}
	slices.Sort(accepts)
	refusal.details = []detail{
		{"token_iss(unverified)", clip(claims.Issuer.Value)},
		{"accepts", strings.Join(accepts, " ")},
		{"hint", issuerHint(claims.Issuer.Value, accepts)},
	}
	return nil, refusal
}

// issuerHint names the usual mistakes. The two forms of Cognito's issuer differ in
// their host only (API reference, IssuerConfigurationType).
func issuerHint(got string, accepts []string) string {
	for _, want := range accepts {
		switch {
		case strings.Replace(want, "https://cognito-idp.", "https://issuer-cognito-idp.", 1) == got:
			return "same pool, other issuer form: use UserPoolUpdated"
		case strings.Replace(want, "https://issuer-cognito-idp.", "https://cognito-idp.", 1) == got:
			return "same pool, other issuer form: use UserPool"
		case strings.EqualFold(strings.TrimRight(got, "/"), want):
			return "the issuer is compared byte by byte: mind the slash at the end and the case"
		}
	}
	return "the token is from another user pool: does the caller use the token URL of this one?"
}

// checkClaims checks everything in the claims but the issuer and the client. It can
// only refuse: what it passes is believed after the signature has been checked.
func checkClaims(c *jose.Claims, issuer *trustedIssuer, now time.Time, cfg *verifierConfig) (claimFacts, *Error) {
	facts, refusal := checkTimes(c, now, cfg)
	if refusal != nil {
		return facts, refusal
	}
	if c.TokenUse.State != jose.Present || c.TokenUse.Value != tokenUseAccess {
		refusal := NewError(ReasonTokenUseMismatch, nil)
		refusal.details = []detail{{"token_use(unverified)", clip(c.TokenUse.Value)}}
		if c.TokenUse.Value == "id" {
			refusal.details = append(refusal.details, detail{"hint", "the caller sends its ID token: it must send the access token"})
		}
		return facts, refusal
	}
	if c.Bound {
		return facts, NewError(ReasonTokenBound, errors.New("the token has a cnf claim, so it is of use only together with a proof that is not checked here"))
	}
	if c.ClientID.State != jose.Present || c.ClientID.Value == "" {
		return facts, claimError("client_id", "it must be a string that is not empty")
	}
	facts.clientID = c.ClientID.Value
	if refusal := checkAudience(c, issuer.Audiences); refusal != nil {
		return facts, refusal
	}
	if c.Scope.State == jose.WrongType {
		return facts, claimError("scope", "it must be a string")
	}
	if c.TokenID.State == jose.WrongType {
		return facts, claimError("jti", "it must be a string")
	}
	return facts, nil
}

// checkTimes applies RFC 7519 sections 4.1.4 to 4.1.6 with the configured skew. A
// token is expired at exp and after it.
func checkTimes(c *jose.Claims, now time.Time, cfg *verifierConfig) (claimFacts, *Error) {
	var facts claimFacts
	for _, date := range []struct {
		name     string
		value    jose.NumericDate
		required bool
	}{
		{"exp", c.ExpiresAt, true}, {"iat", c.IssuedAt, true}, {"nbf", c.NotBefore, false},
	} {
		switch {
		case date.value.State == jose.Present:
		case date.value.State == jose.Absent && !date.required:
		case date.value.State == jose.Absent:
			return facts, claimError(date.name, "it is missing")
		default:
			return facts, claimError(date.name, "it must be a number of seconds within reason")
		}
	}
	facts.expiresAt = time.Unix(c.ExpiresAt.Seconds, 0)
	facts.issuedAt = time.Unix(c.IssuedAt.Seconds, 0)
	facts.validUntil = facts.expiresAt.Add(cfg.clockSkew)
	facts.validFrom = facts.issuedAt.Add(-cfg.clockSkew)
	switch {
	case !now.Before(facts.validUntil):
		return facts, timeError(ReasonTokenExpired, "exp", facts.expiresAt, now, cfg)
	case now.Before(facts.validFrom):
		return facts, timeError(ReasonTokenNotYetValid, "iat", facts.issuedAt, now, cfg)
	case facts.expiresAt.Sub(facts.issuedAt) > cfg.maxLifetime:
		return facts, claimError("exp", "it lies further after iat than the longest validity that Cognito gives")
	}
	if c.NotBefore.State == jose.Present {
		notBefore := time.Unix(c.NotBefore.Seconds, 0)
		if now.Before(notBefore.Add(-cfg.clockSkew)) {
			return facts, timeError(ReasonTokenNotYetValid, "nbf", notBefore, now, cfg)
		}
		if from := notBefore.Add(-cfg.clockSkew); from.After(facts.validFrom) {
			facts.validFrom = from
		}
	}
	if cfg.maxTokenAge > 0 {
		end := facts.issuedAt.Add(cfg.maxTokenAge).Add(cfg.clockSkew)
		if !now.Before(end) {
			refusal := timeError(ReasonTokenExpired, "iat", facts.issuedAt, now, cfg)
			refusal.details = append(refusal.details, detail{"max_token_age", cfg.maxTokenAge.String()})
			return facts, refusal
		}
		if end.Before(facts.validUntil) {
			facts.validUntil = end
		}
	}
	return facts, nil
}

func timeError(r Reason, claim string, value, now time.Time, cfg *verifierConfig) *Error {
	refusal := NewError(r, nil)
	refusal.details = []detail{
		{claim + "(unverified)", value.UTC().Format(time.RFC3339)},
		{"off_by", now.Sub(value).Abs().String()},
		{"clock_skew", cfg.clockSkew.String()},
	}
	return refusal
}

// checkAudience asks for one of the configured audiences, if there are any. Cognito's
// M2M tokens have no aud claim, so by default whatever is there is not looked at.
func checkAudience(c *jose.Claims, audiences []string) *Error {
	if len(audiences) == 0 {
		return nil
	}
	for _, got := range c.Audience.Values {
		if slices.Contains(audiences, got) {
			return nil
		}
	}
	return claimError("aud", "it must be, or have, one of the configured audiences")
}

// splitScopes splits at single spaces only (RFC 6749 section 3.3), drops empty parts
// and duplicates, and keeps the order. No other character separates.
func splitScopes(scope string) []string {
	var (
		scopes []string
		seen   map[string]bool // a token can have thousands
	)
	for s := range strings.SplitSeq(scope, " ") {
		if s == "" || seen[s] || seen == nil && slices.Contains(scopes, s) {
			continue
		}
		scopes = append(scopes, s)
		switch {
		case seen != nil:
			seen[s] = true
		case len(scopes) > fewScopes:
			seen = make(map[string]bool, 2*len(scopes))
			for _, s := range scopes {
				seen[s] = true
			}
		}
	}
	return scopes
}

// fewScopes is how many are compared one by one, without a map.
const fewScopes = 16

// grantable drops the scopes that no resource server of the list has: their issuer may
// not grant them. An empty list bounds nothing.
func grantable(scopes, resourceServers []string) []string {
	if len(resourceServers) == 0 {
		return scopes
	}
	var granted []string
	for _, s := range scopes {
		if mayGrant(resourceServers, s) {
			granted = append(granted, s)
		}
	}
	return granted
}

// mayGrant takes what stands before the last slash, which no scope's name can have.
func mayGrant(resourceServers []string, scope string) bool {
	i := strings.LastIndexByte(scope, '/')
	return i >= 0 && slices.Contains(resourceServers, scope[:i])
}

func claimError(name, problem string) *Error {
	return NewError(ReasonClaimInvalid, fmt.Errorf("claim %s: %s", name, problem))
}
