// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// read judges an answer of the token endpoint whose body was read up to one byte
// over the limit.
func (x *exchange) read(answer *http.Response, body []byte, scopes []string) (response, *Error) {
	mediaType, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	isJSON := err == nil && x.isJSON(mediaType)
	fail := &Error{
		code:       codes.Unavailable,
		transient:  true,
		httpStatus: answer.StatusCode,
		retryAfter: parseRetryAfter(answer.Header.Get("Retry-After"), time.Now()),
	}
	// refuse completes fail. The body itself may hold anything, so it is only
	// identified.
	refuse := func(reason Reason, what string, hint string) *Error {
		fail.reason, fail.hint = reason, hint
		sum := sha256.Sum256(body)
		size := fmt.Sprintf("%d bytes", len(body))
		if len(body) > maxBody {
			size = fmt.Sprintf("more than %d bytes", maxBody)
		}
		fail.text = fmt.Sprintf("token endpoint %s: %s (HTTP status %d, body of %s, sha256 %s)",
			x.endpoint.shown, what, answer.StatusCode, size, hex.EncodeToString(sum[:8]))
		return fail
	}

	switch status := answer.StatusCode; {
	case status == http.StatusTooManyRequests:
		// Whatever the body is: to ask again at once would make it worse.
		return response{}, refuse(ReasonThrottled, "too many requests", hintThrottled)
	case len(body) > maxBody:
		return response{}, refuse(ReasonResponse, "the answer is too large", hintNotCognito)
	case status == http.StatusOK:
		fail.billed = paid(x.tokenBody(body))
		fail.transient = !fail.billed
		if !isJSON {
			return response{}, refuse(ReasonResponse, "the answer is not application/json", hintHTML(mediaType))
		}
	case status >= 300 && status < 400:
		return response{}, refuse(ReasonRedirect, "a redirect, which is not followed so that the secret reaches no other server", hintRedirect)
	case x.api && status >= 400 && status < 500 && apiErrorType(answer.Header, body, isJSON) != "":
		fail.apiErrorType = apiErrorType(answer.Header, body, isJSON)
		why := apiFailure(fail.apiErrorType)
		if why == ReasonRefused {
			fail.code, fail.transient = codes.Unauthenticated, false
		}
		return response{}, refuse(why, fail.apiErrorType, hintAPI(fail.apiErrorType, scopes))
	case x.api && status >= 400 && status < 500:
		return response{}, refuse(ReasonHTTPStatus, "no error of the API", hintHTML(mediaType))
	case status == http.StatusMethodNotAllowed:
		return response{}, refuse(ReasonHTTPStatus, "method not allowed", hintMethodNotAllowed)
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout:
		if code := oauthCode(body); isJSON && code != "" {
			fail.oauthCode = code
			if passing(code) {
				return response{}, refuse(ReasonHTTPStatus, code, "")
			}
			fail.code, fail.transient = codes.Unauthenticated, false
			return response{}, refuse(ReasonRefused, code, x.hintOAuth(code, scopes))
		}
		return response{}, refuse(ReasonHTTPStatus, "no OAuth error", hintHTML(mediaType))
	default:
		return response{}, refuse(ReasonHTTPStatus, "no token", hintHTML(mediaType))
	}

	members, err := parseResponse(x.tokenBody(body), x.untyped)
	if err != nil {
		return response{}, refuse(ReasonResponse, "unusable answer: "+err.Error(), "")
	}
	result, err := lifeAndScopes(members, scopes)
	if err != nil {
		return response{}, refuse(ReasonResponse, "unusable answer: "+err.Error(), "")
	}
	return result, nil
}

// paid reports whether a body holds a token, usable or not: each that Cognito issues
// costs money, and the next answer will be like it.
func paid(body []byte) bool {
	members, err := object(body)
	if err != nil {
		return false
	}
	var token *string
	return json.Unmarshal(members["access_token"], &token) == nil && token != nil
}

// passing are OAuth error codes that speak of the server's state and not of the
// client (RFC 6749, section 4.1.2.1, has them for the other endpoint).
func passing(code string) bool {
	return code == "temporarily_unavailable" || code == "server_error" || code == "slow_down"
}

// lifeAndScopes adds what the token itself says.
func lifeAndScopes(members tokenMembers, scopes []string) (response, error) {
	result := response{token: members.token, life: members.life, lifeKnown: members.life > 0}
	payload, ok := decodePayload(members.token)
	if ok && payload.life != 0 {
		if payload.life < 0 {
			return response{}, errTokenOver
		}
		if !result.lifeKnown || payload.life < result.life {
			result.life = payload.life
		}
		result.lifeKnown = true
	}
	if !result.lifeKnown {
		result.life = defaultLife
	}
	result.life = min(max(result.life, minLife), maxLife)

	granted := payload.scopes
	if granted == nil {
		// A token that does not tell: what the answer says (RFC 6749, section 5.1).
		granted = members.scopes
	}
	if granted != nil {
		result.scopesKnown = true
		for _, scope := range scopes {
			if _, there := granted[scope]; !there {
				result.missing = append(result.missing, scope)
			}
		}
	}
	return result, nil
}

// The hints say what to do about the errors that Cognito is known for.
const (
	hintMethodNotAllowed = "Cognito answers 405 to a wrong path, Content-Type or Accept header; the path must be /oauth2/token, and a proxy must not change the headers"
	hintRedirect         = "make the token URL the final address"
	hintThrottled        = "Cognito allows 150 token requests a second for all pools of an account and region"
	hintNotCognito       = "is this the token endpoint?"
)

func hintHTML(mediaType string) string {
	if mediaType == "text/html" || mediaType == "application/xhtml+xml" {
		return "an HTML page comes from a proxy, a firewall or a wrong token URL"
	}
	return ""
}

func (x *exchange) hintOAuth(code string, scopes []string) string {
	switch code {
	case "invalid_client":
		return "check the client id, the secret, and that the domain is the one of this client's user pool"
	case "invalid_grant":
		return "for client_credentials Cognito says this when AllowedOAuthFlowsUserPoolClient of the app client is false: set it to true"
	case "invalid_scope":
		if len(scopes) == 0 {
			return "AllowedOAuthScopes of app client " + x.clientID + " has no scope of a resource server: add one"
		}
		return "AllowedOAuthScopes of app client " + x.clientID + " lacks what is asked for: " + printable(strings.Join(scopes, " "), 1000)
	case "unauthorized_client":
		return "AllowedOAuthFlows of the app client lacks client_credentials"
	case "unsupported_grant_type", "invalid_request":
		return "the endpoint does not take the client_credentials grant in the form of RFC 6749; " + hintNotCognito
	default:
		return ""
	}
}
