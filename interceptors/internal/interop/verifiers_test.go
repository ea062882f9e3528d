// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	jwxt "github.com/lestrrat-go/jwx/v3/jwt"
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
	cache, err := jwk.NewCache(t.Context(), httprc.NewClient())
	if err != nil {
		t.Fatal(err)
	}
	if err := cache.Register(t.Context(), url, jwk.WithHTTPClient(way)); err != nil {
		t.Fatal(err)
	}
	keys, err := cache.CachedSet(url)
	if err != nil {
		t.Fatal(err)
	}
	once := func(token string) (*accessClaims, error) {
		checked, err := jwxt.Parse([]byte(token), jwxt.WithKeySet(keys), jwxt.WithIssuer(issuer))
		switch {
		case errors.Is(err, jwxt.InvalidIssuerError()):
			return nil, errIssuer
		case errors.Is(err, jwxt.TokenExpiredError()):
			return nil, errExpired
		case errors.Is(err, jws.VerifyError()):
			return nil, errSignature
		case err != nil:
			return nil, err
		}
		claims := new(accessClaims)
		for name, member := range map[string]*string{"token_use": &claims.TokenUse, "client_id": &claims.ClientID, "scope": &claims.Scope} {
			_ = checked.Get(name, member) // what is missing stays empty
		}
		return claims, nil
	}
	return func(token string) (*accessClaims, error) {
		claims, err := once(token)
		if errors.Is(err, errSignature) { // an unknown kid, perhaps: this cache leaves that to the application
			if _, err := cache.Refresh(t.Context(), url); err != nil {
				return nil, err
			}
			claims, err = once(token)
		}
		return claims, err
	}
}
