// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc/codes"
)

// maxBody bounds what is read of an answer, in bytes. Real ones have 1 to 3 KB.
const maxBody = 64 << 10

// exchange makes token requests: RFC 6749, section 4.4, in the form that the
// Cognito documentation, "Token endpoint", describes.
type exchange struct {
	endpoint  endpoint
	clientID  string
	style     AuthStyle
	transport http.RoundTripper
	// api calls GetClientToken in place of a domain's token endpoint.
	api     bool
	untyped bool // answers without token_type will do
}

// fetch makes one token request, within the time of ctx.
func (x *exchange) fetch(ctx context.Context, secret Secret, scopes []string) (response, *Error) {
	newRequest := x.request
	if x.api {
		newRequest = x.clientTokenRequest
	}
	req, err := newRequest(ctx, secret.reveal(), scopes)
	if err != nil {
		return response{}, x.networkError(err)
	}
	answer, err := x.transport.RoundTrip(req)
	if err != nil {
		return response{}, x.networkError(err)
	}
	if answer == nil || answer.Body == nil {
		return response{}, x.networkError(errNoAnswer)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody+1))
	if err != nil && len(body) <= maxBody && answer.StatusCode != http.StatusTooManyRequests {
		return response{}, x.networkError(err)
	}
	return x.read(answer, body, scopes)
}

var errNoAnswer = errors.New("the transport returned neither an answer nor an error")

func (x *exchange) request(ctx context.Context, secret string, scopes []string) (*http.Request, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, " "))
	}
	basic := x.basic(secret)
	if !basic {
		form.Set("client_id", x.clientID)
		form.Set("client_secret", secret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.endpoint.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	// Nothing may replay the body.
	req.GetBody = nil
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// Cognito answers 405 to an Accept header that it does not like.
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "scopeauth")
	if basic {
		req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(x.clientID+":"+secret)))
	}
	return req, nil
}

func (x *exchange) basic(secret string) bool {
	switch x.style {
	case AuthStyleBasic:
		return true
	case AuthStyleBody:
		return false
	case AuthStyleAuto:
	}
	return unambiguous(x.clientID) && unambiguous(secret)
}

// unambiguous reports whether s is the same percent-encoded and plain.
func unambiguous(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '_' && c != '-' {
			return false
		}
	}
	return s != ""
}

// lateError is for a token that must not be given out any more when it comes: its life
// counts from before the request, and the endpoint took longer.
func (x *exchange) lateError() *Error {
	return &Error{
		reason: ReasonNetwork, code: codes.Unavailable, transient: true, billed: true,
		text: fmt.Sprintf("token endpoint %s: the answer took longer than its token lives", x.endpoint.shown),
	}
}

// networkError says why there is no answer. Only errors of known kinds are quoted:
// others may hold bytes that the peer sent.
func (x *exchange) networkError(err error) *Error {
	text, cause := describe(err)
	return &Error{
		reason: ReasonNetwork, code: codes.Unavailable, transient: true, cause: cause,
		text: fmt.Sprintf("token endpoint %s: %s", x.endpoint.shown, text),
	}
}
