// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"errors"
	"strings"

	"google.golang.org/grpc/metadata"
)

// metadataKey is where gRPC callers put credentials. Other places, such as
// authorization-bin, a cookie or the message, are not looked at (RFC 6750 section
// 2: one method per request).
const metadataKey = "authorization"

const scheme = "bearer"

var (
	errNoAuthorization = errors.New("the call has no authorization metadata")
	errNotBearer       = errors.New("the authorization value does not start with Bearer and a space")
	errNoToken         = errors.New("there is no token after Bearer")
	errTokenTooLong    = errors.New("the token is longer than the limit")
	errTokenAlphabet   = errors.New("the token has characters that no bearer token has")
)

// bearerToken takes the token out of a call's metadata. It refuses more than one
// value, even equal ones, because two readers of one call could otherwise take two
// different ones; and it bounds the size before anything looks at the content.
func bearerToken(md metadata.MD, maxBytes int) (string, *Error) {
	values := md[metadataKey]
	switch len(values) {
	case 0:
		return "", NewError(ReasonTokenMissing, errNoAuthorization)
	case 1:
	default:
		return "", NewError(ReasonAuthorizationDuplicated, nil)
	}
	return parseAuthorization(values[0], maxBytes)
}

// parseAuthorization reads `Bearer 1*SP b64token` (RFC 6750 section 2.1). The
// scheme's case does not matter (RFC 9110 section 11.1); nothing is trimmed.
func parseAuthorization(value string, maxBytes int) (string, *Error) {
	if value == "" {
		return "", NewError(ReasonTokenMalformed, errNoToken)
	}
	name, rest, spaced := strings.Cut(value, " ")
	if !strings.EqualFold(name, scheme) {
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
	for i := range len(token) {
		if !b64token[token[i]] {
			return "", NewError(ReasonTokenMalformed, errTokenAlphabet)
		}
	}
	return token, nil
}

// b64token is the alphabet of RFC 6750 section 2.1. The comma is not in it, so that
// "Bearer a,Bearer b" is one malformed value and is never split.
var b64token = func() (set [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") {
		set[c] = true
	}
	return set
}()
