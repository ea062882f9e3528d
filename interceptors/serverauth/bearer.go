// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"errors"
	"strings"
)

// authorizationKey is where gRPC callers put credentials, unless [MetadataKey] says
// otherwise. Other places, such as authorization-bin, a cookie or the message, are not
// looked at (RFC 6750 section 2: one method per request).
const authorizationKey = "authorization"

const usualScheme = "Bearer"

var (
	errNoAuthorization = errors.New("the call has no authorization metadata")
	errNotBearer       = errors.New("the authorization value does not start with Bearer and a space")
	errNoToken         = errors.New("there is no token after Bearer")
	errTokenTooLong    = errors.New("the token is longer than the limit")
	errTokenAlphabet   = errors.New("the token has characters that no bearer token has")
)

// bearerToken takes the token out of a call's metadata. It refuses more than one
// value, even equal ones, because two readers of one call could otherwise take two
// different ones; and it bounds the size before anything looks at the content. The
// token's characters are still to be checked: see [checkAlphabet].
func bearerToken(values []string, maxBytes int) (string, *Error) {
	switch len(values) {
	case 0:
		return "", NewError(ReasonTokenMissing, errNoAuthorization)
	case 1:
	default:
		return "", NewError(ReasonAuthorizationDuplicated, nil)
	}
	return cutAuthorization(values[0], maxBytes)
}

// cutAuthorization reads `Bearer 1*SP b64token` (RFC 6750 section 2.1) up to the token.
// The scheme's case does not matter (RFC 9110 section 11.1); nothing is trimmed.
func cutAuthorization(value string, maxBytes int) (string, *Error) {
	// What nearly all calls have, without the stack that the rest takes.
	if token, ok := strings.CutPrefix(value, usualScheme+" "); ok && token != "" && token[0] != ' ' && len(token) <= maxBytes {
		return token, nil
	}
	return cutUnusual(value, maxBytes)
}

// cutUnusual is cutAuthorization in full.
func cutUnusual(value string, maxBytes int) (string, *Error) {
	if value == "" {
		return "", NewError(ReasonTokenMalformed, errNoToken)
	}
	name, rest, spaced := strings.Cut(value, " ")
	if name != usualScheme && !strings.EqualFold(name, usualScheme) {
		return "", NewError(ReasonSchemeUnsupported, errNotBearer)
	}
	if !spaced {
		return "", NewError(ReasonTokenMalformed, errNoToken)
	}
	token := strings.TrimLeft(rest, " ")
	if token == "" {
		return "", NewError(ReasonTokenMalformed, errNoToken)
	}
	if len(token) > maxBytes {
		return "", NewError(ReasonTokenTooLarge, errTokenTooLong)
	}
	return token, nil
}

// checkAlphabet refuses what no bearer token has, before a TokenVerifier of the user's
// own sees it. Our own has a narrower alphabet and looks for itself.
func checkAlphabet(token string) *Error {
	for i := range len(token) {
		if !b64token[token[i]] {
			return NewError(ReasonTokenMalformed, errTokenAlphabet)
		}
	}
	return nil
}

// b64token is the alphabet of RFC 6750 section 2.1. The comma is not in it, so that
// "Bearer a,Bearer b" is one malformed value and is never split.
var b64token = func() (set [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") {
		set[c] = true
	}
	return set
}()
