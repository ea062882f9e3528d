// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Config says which app client asks where. Scopes are not here: each connection
// chooses its own.
type Config struct {
	// TokenURL is the token endpoint of the user pool's domain, see the function
	// [TokenURL]. It must be https; http is taken for a loopback host.
	TokenURL string
	// UserPoolAPI, in place of TokenURL, is the Cognito API of the user pool's region,
	// see the function [UserPoolAPI]. The tokens then come from its operation
	// GetClientToken, with which a user pool needs no domain. ExplicitAuthFlows of the
	// app client must be ALLOW_CLIENT_TOKEN_AUTH alone. Tokens, their price and the
	// quota are the same. One of the two must be set, and not both.
	UserPoolAPI string
	// ClientID is the app client's id. Required.
	ClientID string
	// Secret reads the app client's secret. Required.
	Secret SecretFunc
	// NextSecret reads a second secret, which is tried when the first is refused
	// as invalid_client or cannot be read: an app client can have two while one
	// replaces the other (API reference, AddUserPoolClientSecret). Once it has worked it
	// is tried first, until it fails. One that cannot be read changes nothing: what came
	// of the first stands. Optional.
	NextSecret SecretFunc
}

// The environment variables that [FromEnv] reads.
const (
	envTokenURL   = "COGNITO_TOKEN_URL"
	envAPI        = "COGNITO_USER_POOL_API"
	envClientID   = "COGNITO_CLIENT_ID"
	envSecret     = "COGNITO_CLIENT_SECRET"
	envSecretFile = "COGNITO_CLIENT_SECRET_FILE"
)

// FromEnv returns the source that the environment describes:
//
//	COGNITO_TOKEN_URL           https://PREFIX.auth.REGION.amazoncognito.com/oauth2/token, or
//	COGNITO_USER_POOL_API       https://cognito-idp.REGION.amazonaws.com (see [Config])
//	COGNITO_CLIENT_ID           the app client's id
//	COGNITO_CLIENT_SECRET       its secret, read now and never again, or
//	COGNITO_CLIENT_SECRET_FILE  a file with its secret, read at every token request
//
// Variables that are missing or contradict each other, and a file that cannot be
// read now, are errors; all of them are reported at once. No token is fetched: see
// [ClientCredentials.Warm].
func FromEnv(opts ...Option) (*ClientCredentials, error) {
	cfg := Config{TokenURL: os.Getenv(envTokenURL), UserPoolAPI: os.Getenv(envAPI), ClientID: os.Getenv(envClientID)}
	var errs []error
	switch {
	case cfg.TokenURL == "" && cfg.UserPoolAPI == "":
		errs = append(errs, usageErrorf("clientauth: set %s to the token endpoint, such as https://PREFIX.auth.REGION.amazoncognito.com/oauth2/token, or %s to the API, such as https://cognito-idp.REGION.amazonaws.com", envTokenURL, envAPI))
	case cfg.TokenURL != "" && cfg.UserPoolAPI != "":
		errs = append(errs, usageErrorf("clientauth: %s and %s are both set: unset one of them", envTokenURL, envAPI))
	}
	if cfg.ClientID == "" {
		errs = append(errs, usageErrorf("clientauth: set %s to the app client's id", envClientID))
	}
	secret, err := secretFromEnv()
	if err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	cfg.Secret = secret
	return NewClientCredentials(cfg, opts...)
}

func secretFromEnv() (SecretFunc, error) {
	value, path := os.Getenv(envSecret), os.Getenv(envSecretFile)
	switch {
	case value != "" && path != "":
		return nil, usageErrorf("clientauth: %s and %s are both set: unset one of them", envSecret, envSecretFile)
	case path != "":
		secret := SecretFromFile(path)
		if _, err := secret(context.Background()); err != nil {
			return nil, fmt.Errorf("%w (from %s)", err, envSecretFile)
		}
		return secret, nil
	case value != "":
		secret, err := SecretFromEnv(envSecret)(context.Background())
		if err != nil {
			return nil, err
		}
		return func(context.Context) (Secret, error) { return secret, nil }, nil
	default:
		return nil, usageErrorf("clientauth: set %s to the app client's secret, or %s to a file that holds it", envSecret, envSecretFile)
	}
}
