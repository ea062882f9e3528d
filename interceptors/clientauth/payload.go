// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// payload is what a token says about itself. Nothing of it is verified, which is
// the server's task: it serves to keep a token no longer than it lives, and to tell
// the operator which scopes Cognito left out.
type payload struct {
	// life is exp - iat, or 0 if one of them is missing. A difference needs no
	// clock, so it is right also where this machine's clock is not.
	life time.Duration
	// scopes is nil if the scope claim is missing or not a string.
	scopes map[string]struct{}
}

var errTokenOver = errors.New("the token's exp is not after its iat")

// decodePayload reads the payload of a JWT (RFC 7519). It is false for a token that
// is no JWT: a token is opaque to a client, so that is no fault.
func decodePayload(token string) (payload, bool) {
	if len(token) > maxToken || strings.Count(token, ".") != 2 {
		return payload{}, false
	}
	_, rest, _ := strings.Cut(token, ".")
	encoded, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return payload{}, false
	}
	claims, err := object(text)
	if err != nil {
		return payload{}, false
	}
	var result payload
	exp, okExp := numericDate(claims["exp"])
	iat, okIat := numericDate(claims["iat"])
	if okExp && okIat {
		seconds := min(exp-iat, maxLife.Seconds())
		if seconds < 1 {
			seconds = -1 // already over when it was issued
		}
		result.life = time.Duration(seconds * float64(time.Second))
	}
	result.scopes = scopeSet(claims["scope"])
	return result, true
}

// scopeSet reads scopes in one string (RFC 6749, section 3.3), or returns nil if there
// is no string.
func scopeSet(raw json.RawMessage) map[string]struct{} {
	var scope *string
	if json.Unmarshal(raw, &scope) != nil || scope == nil {
		return nil
	}
	scopes := map[string]struct{}{}
	for name := range strings.SplitSeq(*scope, " ") {
		scopes[name] = struct{}{}
	}
	return scopes
}

// numericDate reads seconds since 1970 (RFC 7519, section 2).
func numericDate(raw json.RawMessage) (float64, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] == '"' {
		return 0, false
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.Abs(seconds) > 1<<53 {
		return 0, false
	}
	return seconds, true
}
