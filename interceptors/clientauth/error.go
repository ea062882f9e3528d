// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Reason says what kind of failure an [Error] is.
type Reason string

// The reasons. Each comment says which gRPC status code goes with it.
const (
	// ReasonContext: the caller's context ended first. DEADLINE_EXCEEDED or CANCELED.
	ReasonContext Reason = "CONTEXT"
	// ReasonClosed: the source is closed. CANCELED.
	ReasonClosed Reason = "CLOSED"
	// ReasonNetwork: the token endpoint could not be reached, its certificate did
	// not hold, or it did not answer in time, which ends with its token's life at the
	// latest. UNAVAILABLE.
	ReasonNetwork Reason = "NETWORK"
	// ReasonHTTPStatus: the token endpoint answered with a status that is neither
	// a success nor an OAuth error. UNAVAILABLE.
	ReasonHTTPStatus Reason = "HTTP_STATUS"
	// ReasonThrottled: HTTP 429, or an error of the API that means the same.
	// UNAVAILABLE.
	ReasonThrottled Reason = "THROTTLED"
	// ReasonRedirect: the token endpoint answered with a redirect, which is never
	// followed. UNAVAILABLE.
	ReasonRedirect Reason = "REDIRECT"
	// ReasonResponse: HTTP 200, but the body is no usable token response. If it held
	// a token, which costs money, the next request waits 30 s or longer. UNAVAILABLE.
	ReasonResponse Reason = "RESPONSE"
	// ReasonSecret: the client secret could not be read. UNAVAILABLE.
	ReasonSecret Reason = "SECRET"
	// ReasonSource: a [TokenSource] of the user's own failed without a gRPC
	// status of a legal code, or gave an unusable token. UNAVAILABLE.
	ReasonSource Reason = "SOURCE"
	// ReasonRefused: the token endpoint answered with an OAuth error, see
	// [Error.OAuthCode], or the API with an error of its own, see
	// [Error.APIErrorType]. UNAUTHENTICATED.
	ReasonRefused Reason = "REFUSED"
	// ReasonScopeNotGranted: the token lacks a scope that was asked for, and
	// [RequireGrantedScopes] makes this an error. UNAUTHENTICATED.
	ReasonScopeNotGranted Reason = "SCOPE_NOT_GRANTED"
	// ReasonRejected: a server refused the token and there is no other yet.
	// UNAUTHENTICATED.
	ReasonRejected Reason = "REJECTED"
	// ReasonScopes: the request names an invalid scope. INTERNAL.
	ReasonScopes Reason = "SCOPES"
	// ReasonScopeSets: the source already has tokens for as many different sets of
	// scopes as it may hold. INTERNAL.
	ReasonScopeSets Reason = "SCOPE_SETS"
	// ReasonMethod: the connection's [ForMethods] does not name the method, or
	// [PerMethod] knows no scopes for it. PERMISSION_DENIED.
	ReasonMethod Reason = "METHOD"
	// ReasonPlaintext: the connection is in plaintext and [AllowInsecureTransport] is
	// not set. UNAUTHENTICATED.
	ReasonPlaintext Reason = "PLAINTEXT"
	// ReasonTwice: the connection has the interceptors of this package twice. INTERNAL.
	ReasonTwice Reason = "TWICE"
	// ReasonExisting: the call has a value under the metadata key, or credentials,
	// already, and [WithExistingAuthorization] says that it must not. INTERNAL.
	ReasonExisting Reason = "EXISTING_AUTHORIZATION"
	// ReasonPanic: a function that the user supplied panicked or ended its goroutine.
	// INTERNAL.
	ReasonPanic Reason = "PANIC"
)

// plainWords are the texts of statuses. They say nothing that the caller of a handler
// must not know.
var plainWords = map[Reason]string{
	ReasonContext:         "the call ended first",
	ReasonClosed:          "the token source is closed",
	ReasonNetwork:         "the token endpoint cannot be reached",
	ReasonHTTPStatus:      "the token endpoint failed",
	ReasonThrottled:       "the token endpoint is busy",
	ReasonRedirect:        "the token endpoint failed",
	ReasonResponse:        "the token endpoint's answer cannot be used",
	ReasonSecret:          "the client secret cannot be read",
	ReasonSource:          "the token source failed",
	ReasonRefused:         "the token endpoint refused",
	ReasonScopeNotGranted: "a scope was not granted",
	ReasonRejected:        "the server refused the token, and there is no other",
	ReasonScopes:          "a scope is invalid",
	ReasonScopeSets:       "there are too many sets of scopes",
	ReasonMethod:          "the method is not selected for this connection",
	ReasonPlaintext:       "the connection is in plaintext",
	ReasonTwice:           "the connection has the interceptors twice",
	ReasonExisting:        "the call has an authorization already",
	ReasonPanic:           "a function of the program's failed",
}

// Error is a failure to get a token, or the refusal to send one. It is a gRPC
// status error with its [Error.Code] and a fixed text for each [Reason]: a handler
// that returns it to its own caller passes on these two and no name of a scope, host
// or client. One that wraps it passes on the whole text, since gRPC takes that of the
// wrapper; and UNAUTHENTICATED blames its caller, so make an error of its own.
//
// The full text is for this program's own logs. It holds no token and no secret; of
// the token endpoint's answer it holds the status, the size, a part of the hash and a
// plain OAuth error code, and it may name scopes, the token URL, a path, and what a
// [SecretFunc] or a [TokenSource] of the user's own said.
//
// Find it with errors.As also in what a gRPC call returns. It means that the last
// attempt of the call was not sent. Attempts before it may have been, where gRPC's
// retry policy is in use.
type Error struct {
	reason    Reason
	code      codes.Code
	text      string
	hint      string
	oauthCode string
	// apiErrorType is of GetClientToken.
	apiErrorType string
	httpStatus   int
	cause        error

	// billed is set if the answer held a token, which costs money.
	billed bool
	// transient errors may go away when the request is repeated.
	transient bool
	// retryAfter is what the endpoint asked for, or 0.
	retryAfter time.Duration
}

// Error returns what is wrong, where, and what to do.
func (e *Error) Error() string {
	if e.hint == "" {
		return "clientauth: " + e.text
	}
	return "clientauth: " + e.text + ": " + e.hint
}

// Reason returns the kind of failure.
func (e *Error) Reason() Reason { return e.reason }

// Code returns the gRPC status code that callers see.
func (e *Error) Code() codes.Code { return e.code }

// OAuthCode returns the OAuth error code, such as "invalid_client" (RFC 6749,
// section 5.2), or "" if the endpoint sent none.
func (e *Error) OAuthCode() string { return e.oauthCode }

// APIErrorType returns the type of the API's error, such as "NotAuthorizedException",
// if the source has a [Config] with UserPoolAPI, or "" if there was none.
func (e *Error) APIErrorType() string { return e.apiErrorType }

// HTTPStatus returns the status of the token endpoint's answer, or 0 if there was
// no answer.
func (e *Error) HTTPStatus() int { return e.httpStatus }

// Hint returns what to do about it, or "".
func (e *Error) Hint() string { return e.hint }

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus returns the status that status.FromError finds: the code and a fixed
// text for the reason. It is all that a peer sees.
func (e *Error) GRPCStatus() *status.Status {
	return status.New(e.code, "no token for the call: "+plainWords[e.reason]+" ("+string(e.reason)+")")
}

// wrongSecret reports whether another secret may do.
func (e *Error) wrongSecret() bool {
	return e.oauthCode == "invalid_client" || e.apiErrorType == "NotAuthorizedException" || e.reason == ReasonSecret
}

// denial reports whether a changed secret ends the pause after the failure. It does not
// where the endpoint asked for the pause: it meant the rate, whatever the secret is.
func (e *Error) denial() bool {
	return (e.reason == ReasonRefused || e.reason == ReasonSecret) && e.retryAfter == 0
}

// contextError wraps the error of a caller's context. gRPC makes UNAUTHENTICATED
// or INTERNAL of a bare one.
func contextError(cause error) *Error {
	return &Error{
		reason: ReasonContext,
		code:   status.FromContextError(cause).Code(),
		text:   "waiting for a token: " + cause.Error(),
		cause:  cause,
	}
}

func closedError() *Error {
	return &Error{
		reason: ReasonClosed,
		code:   codes.Canceled,
		text:   "the token source is closed",
	}
}

// usageError is a mistake in a configuration, an option or a selection. It comes out
// when something is built, never in a call.
type usageError string

// Error returns what to change.
func (e usageError) Error() string { return string(e) }

func usageErrorf(format string, args ...any) error {
	return usageError(fmt.Sprintf(format, args...))
}

// printable bounds a text that may come from elsewhere and keeps it on one line.
func printable(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	if len(text) > limit {
		return text[:limit] + "..."
	}
	return text
}
