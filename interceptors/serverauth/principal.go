// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// Principal is the verified caller of a call: the app client that the token was
// issued to, and what the token says. It is immutable, safe for concurrent use,
// and holds no token. A nil Principal is nobody.
type Principal struct {
	clientID, clientName string
	issuer, tokenID      string
	scopes               []string // those that count
	tokenScopes          []string // all that the token carries
	issuedAt, expiresAt  time.Time
	claims               claimSource
}

// claimSource looks up any claim of a token: jose.Claims, or what a test gave.
type claimSource interface {
	Lookup(name string) (any, bool)
}

type claimMap map[string]any

// Lookup implements claimSource.
func (m claimMap) Lookup(name string) (any, bool) {
	v, ok := m[name]
	return v, ok
}

// PrincipalSpec lists what a [Principal] is made of, for tests of handlers and for
// a [TokenVerifier] of the user's own.
type PrincipalSpec struct {
	// ClientID is the app client's id. Without one a TokenVerifier's principal is nobody,
	// and its call is refused.
	ClientID string
	// ClientName is the name given to the client by [NamedClients], if any.
	ClientName string
	// Scopes are full names, such as demo/read.file, in the form of the access rules.
	Scopes []string
	// Issuer is the iss claim. [AccessFile] needs it.
	Issuer string
	// TokenID is the jti claim, if there is one.
	TokenID string
	// IssuedAt is the iat claim. It is only passed on.
	IssuedAt time.Time
	// ExpiresAt is the exp claim. The caller's streams end then; the zero time is no end.
	// Whether the token has expired when a call begins is for the TokenVerifier to check.
	ExpiresAt time.Time
	// Claims is what [Principal.Claim] returns.
	Claims map[string]any
}

// NewPrincipal returns the principal that spec describes. The slices and maps of
// spec are copied, the values in Claims are not.
func NewPrincipal(spec PrincipalSpec) *Principal {
	scopes := slices.Clone(spec.Scopes)
	return &Principal{
		clientID:    spec.ClientID,
		clientName:  spec.ClientName,
		issuer:      spec.Issuer,
		tokenID:     spec.TokenID,
		scopes:      scopes,
		tokenScopes: scopes,
		issuedAt:    spec.IssuedAt,
		expiresAt:   spec.ExpiresAt,
		claims:      claimMap(maps.Clone(spec.Claims)),
	}
}

// orNone makes a nil Principal one that is nobody and may nothing: a handler that
// forgets to look whether there is a caller must not end the process.
func (p *Principal) orNone() *Principal {
	if p == nil {
		return &Principal{}
	}
	return p
}

// ClientID returns the app client's id. Ids are unique within an issuer only.
func (p *Principal) ClientID() string { return p.orNone().clientID }

// ClientName returns the name that [NamedClients] gave to the client, or "".
func (p *Principal) ClientName() string { return p.orNone().clientName }

// Scopes returns the token's scopes, each once, in the order of the token, without those
// that its issuer may not grant (Issuer.ResourceServers). The slice is a copy.
func (p *Principal) Scopes() []string { return slices.Clone(p.orNone().scopes) }

// HasScope reports whether [Principal.Scopes] has the scope, compared byte by byte
// (RFC 6749 section 3.3).
func (p *Principal) HasScope(scope string) bool { return slices.Contains(p.orNone().scopes, scope) }

// Issuer returns the token's iss claim, such as [UserPool] has it as URL.
func (p *Principal) Issuer() string { return p.orNone().issuer }

// TokenID returns the token's jti claim, or "".
func (p *Principal) TokenID() string { return p.orNone().tokenID }

// IssuedAt returns the token's iat claim, or the zero time if a principal was made
// without.
func (p *Principal) IssuedAt() time.Time { return p.orNone().issuedAt }

// ExpiresAt returns the token's exp claim, or the zero time if a principal was made
// without.
func (p *Principal) ExpiresAt() time.Time { return p.orNone().expiresAt }

// Claim returns any claim of the token by its exact name, such as one that a pre
// token generation trigger added. JSON numbers come as [encoding/json.Number],
// objects as map[string]any, arrays as []any. Do not change what it returns.
func (p *Principal) Claim(name string) (any, bool) {
	if p == nil || p.claims == nil {
		return nil, false
	}
	return p.claims.Lookup(name)
}

type principalKey struct{}

// ContextWithPrincipal returns a context that carries p. The interceptors do it
// for each call, and hide a principal that was put into its context before; handlers'
// tests may do it too. A nil p takes the principal away.
func ContextWithPrincipal(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFromContext returns the verified caller, in a stream's handler from the
// context of the stream. There is none in a call to a public method, whatever the caller
// sent, nor in one that [ReportOnly] let pass without a valid token.
func PrincipalFromContext(ctx context.Context) (*Principal, bool) {
	switch v := ctx.Value(principalKey{}).(type) {
	case *callContext: // of the interceptors
		if v.who == nil {
			return nil, false
		}
		return v.who.principal, true
	case *Principal:
		return v, v != nil
	default:
		return nil, false
	}
}

var errNoPrincipal = errors.New("no verified caller in the context: the method is public, or the server was built without Authorizer.ServerOptions")

// RequirePrincipal returns the verified caller, or an [Error] with UNAUTHENTICATED,
// TOKEN_MISSING, that a handler can return as it is. It is the handler's own check for the case that
// it is reached on a way around the interceptors.
func RequirePrincipal(ctx context.Context) (*Principal, error) {
	if p, ok := PrincipalFromContext(ctx); ok {
		return p, nil
	}
	return nil, NewError(ReasonTokenMissing, errNoPrincipal)
}
