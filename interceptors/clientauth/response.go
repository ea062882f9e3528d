// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The bounds of what is taken for a token and its life.
const (
	// maxToken is the longest token, in bytes: servers plan 8 KiB for all headers.
	maxToken = 8 << 10
	// largeToken is where the log begins to warn, in bytes.
	largeToken = 6 << 10
	minLife    = time.Second
	// maxLife is the longest that Cognito gives (Cognito documentation, "Token
	// expiration").
	maxLife = 24 * time.Hour
	// defaultLife is taken when neither the answer nor the token says more. It is
	// the shortest that Cognito gives.
	defaultLife = 5 * time.Minute
)

// response is a usable token response (RFC 6749, section 5.1).
type response struct {
	token string
	// life is how long the token lives, counted from before the request.
	life time.Duration
	// lifeKnown is false if nobody said how long.
	lifeKnown bool
	// missing are the scopes that were asked for and not granted. It is only
	// meaningful if scopesKnown.
	missing     []string
	scopesKnown bool
}

// tokenMembers are the members of a token response that are used.
type tokenMembers struct {
	token string
	// life is 0 if expires_in is missing or null.
	life time.Duration
	// scopes is nil if scope is missing or not a string. Cognito sends none.
	scopes map[string]struct{}
}

var (
	errNotJSONObject = errors.New("the body is not one JSON object")
	errTokenType     = errors.New(`token_type is not "Bearer" (RFC 6749, section 7.1)`)
	errNoTokenType   = errors.New("token_type is missing (RFC 6749, section 5.1, requires it)")
	errNoToken       = errors.New("access_token is missing or not a string")
	errTokenChars    = errors.New("access_token is empty or has characters other than printable ASCII without spaces")
	errTokenTooLong  = fmt.Errorf("access_token is longer than %d bytes", maxToken)
	errExpiresIn     = errors.New("expires_in is not a positive number of seconds")
)

// parseResponse reads the body of a successful token response. untyped takes one without
// token_type.
func parseResponse(body []byte, untyped bool) (tokenMembers, error) {
	members, err := object(body)
	if err != nil {
		return tokenMembers{}, err
	}
	var tokenType, token *string
	_, typed := members["token_type"]
	switch {
	case !typed && untyped:
	case json.Unmarshal(members["token_type"], &tokenType) != nil || tokenType == nil:
		return tokenMembers{}, errNoTokenType
	case !strings.EqualFold(*tokenType, "bearer"):
		return tokenMembers{}, errTokenType
	}
	if json.Unmarshal(members["access_token"], &token) != nil || token == nil {
		return tokenMembers{}, errNoToken
	}
	if err := checkToken(*token); err != nil {
		return tokenMembers{}, err
	}
	life, err := parseExpiresIn(members["expires_in"])
	if err != nil {
		return tokenMembers{}, err
	}
	return tokenMembers{token: *token, life: life, scopes: scopeSet(members["scope"])}, nil
}

// checkToken refuses what gRPC could not send or a server would not read: it would
// fail each call with INTERNAL.
func checkToken(token string) error {
	if len(token) > maxToken {
		return errTokenTooLong
	}
	for _, c := range []byte(token) {
		if c <= ' ' || c > '~' {
			return errTokenChars
		}
	}
	if token == "" {
		return errTokenChars
	}
	return nil
}

// parseExpiresIn returns 0 if the answer does not say. Some endpoints send a
// string of digits or a fraction; both are clear. Zero and less are not: a token
// that is already over would make each call fetch another.
func parseExpiresIn(raw json.RawMessage) (time.Duration, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return 0, nil
	}
	text := string(raw)
	if raw[0] == '"' {
		if json.Unmarshal(raw, &text) != nil || text == "" || strings.Trim(text, "0123456789") != "" {
			return 0, errExpiresIn
		}
	}
	seconds, err := strconv.ParseFloat(text, 64)
	// A number out of range is infinite, which is a very long life.
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, errExpiresIn
	}
	seconds = math.Floor(seconds)
	switch {
	case !(seconds >= 1): // in this form also for NaN
		return 0, errExpiresIn
	case seconds > maxLife.Seconds():
		return maxLife, nil
	}
	return time.Duration(seconds) * time.Second, nil
}

// object reads exactly one JSON object. Member names count exactly, unlike in the
// decoding of a struct.
func object(body []byte) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil || members == nil {
		return nil, errNotJSONObject
	}
	return members, nil
}

// oauthCode returns the OAuth error code in a body, or "". Only what looks like a
// code is one: the text goes into errors and logs.
func oauthCode(body []byte) string {
	members, err := object(body)
	if err != nil {
		return ""
	}
	var code string
	if json.Unmarshal(members["error"], &code) != nil || len(code) > 40 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return ""
	}
	return code
}

// parseRetryAfter returns how long to wait, or 0 if the header is missing, garbage
// or in the past (RFC 9110, section 10.2.3).
func parseRetryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if header != "" && strings.Trim(header, "0123456789") == "" {
		seconds, err := strconv.ParseInt(header, 10, 64)
		if err != nil || seconds > int64(maxLife/time.Second) {
			return maxLife
		}
		return time.Duration(seconds) * time.Second
	}
	date, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), maxLife)
}
