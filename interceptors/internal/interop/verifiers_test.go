// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v2/jwk"
	jwxt "github.com/lestrrat-go/jwx/v2/jwt"
	"golang.org/x/time/rate"
)

// What a verifier refuses a token for. Libraries that know nothing of Cognito leave
// the last two to the application.
var (
	errSignature = errors.New("signature or key")
	errIssuer    = errors.New("issuer")
	errExpired   = errors.New("expired")
	errTokenUse  = errors.New("token_use")
	errClient    = errors.New("client_id")
)

// accessClaims is what an application reads from an access token.
type accessClaims struct {
	jwt.RegisteredClaims

	TokenUse string `json:"token_use"`
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
}

// check makes the checks that the developer guide ("Verifying JSON web tokens") adds
// to signature, issuer and expiry.
func (c *accessClaims) check(clientID string) error {
	switch {
	case c.TokenUse != "access":
		return errTokenUse
	case c.ClientID != clientID:
		return errClient
	}
	return nil
}

// verify checks a token. The error is one of those above, or unknown to them.
type verify func(token string) (*accessClaims, error)

// verifiers make a verify for an issuer of which nothing is known but its URL. Each is as its
// library's documentation shows it.
var verifiers = map[string]func(t *testing.T, way *http.Client, issuer string) verify{
	"go-oidc": goOIDC,
	"keyfunc": golangJWT,
	"jwx":     jwx,
}

func goOIDC(t *testing.T, way *http.Client, issuer string) verify {
	t.Helper()
	ctx := oidc.ClientContext(t.Context(), way)
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		t.Fatal(err)
	}
	// Machine-to-machine tokens have no aud.
	verifier := provider.VerifierContext(ctx, &oidc.Config{SkipClientIDCheck: true})
	return func(token string) (*accessClaims, error) {
		checked, err := verifier.Verify(ctx, token)
		if err != nil {
			_, isExpired := errors.AsType[*oidc.TokenExpiredError](err)
			switch text := err.Error(); {
			case isExpired:
				return nil, errExpired
			case strings.Contains(text, "different provider"):
				return nil, errIssuer
			case strings.Contains(text, "verify signature") || strings.Contains(text, "malformed jwt"):
				return nil, errSignature
			}
			return nil, err
		}
		claims := new(accessClaims)
		return claims, checked.Claims(claims)
	}
}

func golangJWT(t *testing.T, way *http.Client, issuer string) verify {
	t.Helper()
	keys, err := keyfunc.NewDefaultOverrideCtx(t.Context(), []string{issuer + "/.well-known/jwks.json"}, keyfunc.Override{
		Client:            way,
		RefreshUnknownKID: rate.NewLimiter(rate.Inf, 1), // the default pauses for five minutes
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(token string) (*accessClaims, error) {
		claims := new(accessClaims)
		_, err := jwt.ParseWithClaims(token, claims, keys.Keyfunc, jwt.WithValidMethods([]string{"RS256"}),
			jwt.WithIssuer(issuer), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
		switch {
		case errors.Is(err, jwt.ErrTokenSignatureInvalid) || errors.Is(err, jwt.ErrTokenUnverifiable):
			return nil, errSignature
		case errors.Is(err, jwt.ErrTokenInvalidIssuer) || errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
			return nil, errIssuer
		case errors.Is(err, jwt.ErrTokenExpired):
			return nil, errExpired
		}
		return claims, err
	}
}

func jwx(t *testing.T, way *http.Client, issuer string) verify {
	t.Helper()
	url := issuer + "/.well-known/jwks.json"
	cache := jwk.NewCache(t.Context())
	if err := cache.Register(url, jwk.WithHTTPClient(way)); err != nil {
		t.Fatal(err)
	}
	once := func(token string) (*accessClaims, error) {
		checked, err := jwxt.Parse([]byte(token), jwxt.WithKeySet(jwk.NewCachedSet(cache, url)), jwxt.WithIssuer(issuer), jwxt.WithValidate(true))
		switch {
		case errors.Is(err, jwxt.ErrInvalidIssuer()):
			return nil, errIssuer
		case errors.Is(err, jwxt.ErrTokenExpired()):
			return nil, errExpired
		case err != nil && (strings.Contains(err.Error(), "verify message") || strings.Contains(err.Error(), "failed to find key")):
			return nil, errSignature
		case err != nil:
			return nil, err
		}
		claims := new(accessClaims)
		for name, member := range map[string]*string{"token_use": &claims.TokenUse, "client_id": &claims.ClientID, "scope": &claims.Scope} {
			value, _ := checked.Get(name)
			*member, _ = value.(string)
		}
		return claims, nil
	}
	return func(token string) (*accessClaims, error) {
		claims, err := once(token)
		if errors.Is(err, errSignature) { // an unknown kid, perhaps: this cache leaves that to the application
			if _, err := cache.Refresh(context.WithoutCancel(t.Context()), url); err != nil {
				return nil, err
			}
			claims, err = once(token)
		}
		return claims, err
	}
}
