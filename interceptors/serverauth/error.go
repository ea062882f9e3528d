// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

// Reason says why a call was refused. It is fine-grained and meant for the
// server's own logs and metrics; the peer sees a coarser one, see [Error].
type Reason = reason.Reason

// The reasons of refusals with UNAUTHENTICATED: another token may help.
const (
	// ReasonTokenMissing: the call has no authorization metadata.
	ReasonTokenMissing = reason.TokenMissing
	// ReasonSchemeUnsupported: the authorization value has another scheme than Bearer.
	ReasonSchemeUnsupported = reason.SchemeUnsupported
	// ReasonAuthorizationDuplicated: there is more than one authorization value.
	ReasonAuthorizationDuplicated = reason.AuthorizationDuplicated
	// ReasonTokenTooLarge: the token is longer than the server's limit.
	ReasonTokenTooLarge = reason.TokenTooLarge
	// ReasonTokenMalformed: the value is not one compact JWS in its one spelling.
	ReasonTokenMalformed = reason.TokenMalformed
	// ReasonTokenInvalid stands on the wire for every reason between the token's syntax
	// and its proven signature: a stranger learns nothing from it.
	ReasonTokenInvalid = reason.TokenInvalid
	// ReasonAlgNotAllowed: the header's alg is not RS256.
	ReasonAlgNotAllowed = reason.AlgNotAllowed
	// ReasonKIDInvalid: the header's kid is missing, not a string, empty or too long.
	ReasonKIDInvalid = reason.KIDInvalid
	// ReasonKeyNotFound: the issuer has no key of that kid.
	ReasonKeyNotFound = reason.KeyNotFound
	// ReasonHeaderNotAllowed: the header has a member that no token of ours has.
	ReasonHeaderNotAllowed = reason.HeaderNotAllowed
	// ReasonCritUnsupported: the header has crit.
	ReasonCritUnsupported = reason.CritUnsupported
	// ReasonSignatureInvalid: the signature does not fit the key.
	ReasonSignatureInvalid = reason.SignatureInvalid
	// ReasonClaimInvalid: a claim is missing, of the wrong type or out of range.
	ReasonClaimInvalid = reason.ClaimInvalid
	// ReasonTokenExpired: the time is on or after exp.
	ReasonTokenExpired = reason.TokenExpired
	// ReasonTokenNotYetValid: nbf or iat lies in the future.
	ReasonTokenNotYetValid = reason.TokenNotYetValid
	// ReasonIssuerMismatch: iss is not an issuer that the server accepts.
	ReasonIssuerMismatch = reason.IssuerMismatch
	// ReasonTokenUseMismatch: token_use is not access.
	ReasonTokenUseMismatch = reason.TokenUseMismatch
	// ReasonTokenBound: the token is bound to a sender's key, which is not checked here.
	ReasonTokenBound = reason.TokenBound
	// ReasonTokenRevoked: the token or its client is on the server's list of revoked ones.
	ReasonTokenRevoked = reason.TokenRevoked
)

// The reasons of refusals with PERMISSION_DENIED: another token will not help, unless it
// has other scopes.
const (
	// ReasonClientNotAllowed: the app client is not one that the server accepts.
	ReasonClientNotAllowed = reason.ClientNotAllowed
	// ReasonInsufficientScope: the token lacks a scope that the method needs.
	ReasonInsufficientScope = reason.InsufficientScope
	// ReasonMethodNotAnnotated: a registered method has no access rule.
	ReasonMethodNotAnnotated = reason.MethodNotAnnotated
	// ReasonMethodNotAllowed: the method is in no registered service.
	ReasonMethodNotAllowed = reason.MethodNotAllowed
	// ReasonTransportInsecure: the call came in plaintext from another machine.
	ReasonTransportInsecure = reason.TransportInsecure
	// ReasonForeignScope: the token carries scopes of another server, which takes only tokens
	// made for it.
	ReasonForeignScope = reason.ForeignScope
	// ReasonCallRefused: a check of the server's own, beyond scopes, refused the call.
	ReasonCallRefused = reason.CallRefused
)

// The reasons of refusals with UNAVAILABLE: the fault is on the server's side.
const (
	// ReasonKeysUnavailable: the server has no usable keys of the issuer at the moment.
	ReasonKeysUnavailable = reason.KeysUnavailable
	// ReasonRevocationUnavailable: the server cannot find out whether the token is revoked.
	ReasonRevocationUnavailable = reason.RevocationUnavailable
)

// Error is a refusal. As a gRPC status it carries a code, a fixed text and an
// ErrorInfo whose reason is coarse until the token's signature is proven, so that
// a stranger learns nothing by trying. [Error.Reason] and [Error.Unwrap] tell the
// server's own code the whole story; neither holds a token. It is immutable, and safe for
// concurrent use.
type Error struct {
	reason Reason
	code   codes.Code
	cause  error

	principal *Principal // the caller, if a signature has proven who it is; else nil

	firm bool // an operator's explicit word, that ReportOnly does not waive

	method   string     // what was called; the interceptors set it
	required [][]string // of an INSUFFICIENT_SCOPE: what would do, as OR of ANDs,
	granted  []string   // and what the token has
	details  []detail   // for the log only
}

// detail is a fact for the server's log, where an empty value is left out. Values that come from a token whose
// signature was not checked have "(unverified)" in their key.
type detail struct{ key, value string }

// NewError returns the refusal that a [TokenVerifier] or a [CheckCallFunc] of the user's
// own reports. The code follows from the reason, as it stands beside the constants; one
// that is not a constant of this package is TOKEN_INVALID. The cause, which may be nil,
// stays on the server, where it is logged: it must not hold the token.
func NewError(r Reason, cause error) *Error {
	if !known[r] {
		r = ReasonTokenInvalid
	}
	return &Error{reason: r, code: codeOf(r), cause: cause}
}

// provenError is a refusal of a caller whose token's signature holds.
func provenError(r Reason, p *Principal) *Error {
	refusal := NewError(r, nil)
	refusal.principal = p
	refusal.details = []detail{{"issuer", p.issuer}, {"client_id", clip(p.clientID)}, {"client", p.clientName}}
	return refusal
}

// contextError is a refusal for a reason of our side, or the end of the call itself if
// its context has ended: then it was the caller that did not wait.
func contextError(ctx context.Context, r Reason, cause error) *Error {
	refusal := NewError(r, cause)
	if err := ctx.Err(); err != nil {
		refusal.code = status.FromContextError(err).Code()
	}
	return refusal
}

// Code returns the gRPC status code that the peer gets. It is never OK.
func (e *Error) Code() codes.Code {
	if e.code == codes.OK { // the zero Error, which nobody should make
		return codes.Unauthenticated
	}
	return e.code
}

// Reason returns the fine-grained reason.
func (e *Error) Reason() Reason { return e.reason }

// Unwrap returns the cause, which never leaves the process, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Error returns the text that the peer gets too: an interceptor that wraps this error
// cannot leak more by it. It is a fixed one, but for INSUFFICIENT_SCOPE, which names the
// method, the scopes that would do and those that the token has.
func (e *Error) Error() string {
	if e.lacksScope() {
		return e.method + " needs " + alternatives(e.required, " and ", " or ") + "; the token has " + scopesText(e.granted)
	}
	return texts[e.wireReason()]
}

// GRPCStatus returns what goes over the wire: the code, the text and one
// google.rpc.ErrorInfo with the coarse reason.
func (e *Error) GRPCStatus() *status.Status {
	info := &errdetails.ErrorInfo{Reason: string(e.wireReason()), Domain: reason.Domain, Metadata: map[string]string{}}
	if e.method != "" {
		// A client can tell by it that its own call was refused, and not one that the
		// handler made.
		info.Metadata[reason.MethodKey] = clip(e.method)
	}
	if e.lacksScope() {
		info.Metadata["required"] = alternatives(e.required, " ", " | ")
		if len(e.granted) > 0 {
			info.Metadata["granted"] = scopesText(e.granted)
		}
	}
	st := status.New(e.Code(), e.Error())
	if with, err := st.WithDetails(protoadapt.MessageV1Of(info)); err == nil {
		return with
	}
	return st // the details are for convenience, the code decides
}

// wireReason hides what lies between the token's syntax and its proven signature:
// such reasons have no text of their own. That a token has expired is said of one whose
// signature was proven before.
func (e *Error) wireReason() Reason {
	if _, ok := texts[e.reason]; !ok || e.reason == ReasonTokenExpired && e.principal == nil {
		return ReasonTokenInvalid
	}
	return e.reason
}

// lacksScope reports whether the refusal tells which scopes are lacking. One that a
// function of the user's made with [NewError] cannot.
func (e *Error) lacksScope() bool { return len(e.required) > 0 }

// challenge returns the www-authenticate value of RFC 6750 section 3, or "" where
// that RFC has none.
func (e *Error) challenge() string {
	switch e.reason {
	case ReasonTokenMissing:
		return "Bearer" // section 3.1: no error code for a request without authentication
	case ReasonSchemeUnsupported, ReasonAuthorizationDuplicated:
		return `Bearer error="invalid_request"`
	case ReasonInsufficientScope:
		if !e.lacksScope() {
			return `Bearer error="insufficient_scope"`
		}
		return `Bearer error="insufficient_scope", scope="` + alternatives(e.required[:1], " ", "") + `"`
	default:
	}
	if e.Code() == codes.Unauthenticated {
		return `Bearer error="invalid_token"`
	}
	return ""
}

func alternatives(required [][]string, and, or string) string {
	texts := make([]string, len(required))
	for i, all := range required {
		texts[i] = strings.Join(all, and)
	}
	return strings.Join(texts, or)
}

// maxScopesShown and maxScopesBytes bound the text that a token with many or long
// scopes makes: clients may take no more than 8 KiB of metadata.
const (
	maxScopesShown = 20
	maxScopesBytes = 1024
)

func scopesText(scopes []string) string {
	if len(scopes) == 0 {
		return "no scope"
	}
	shown := scopes[:min(len(scopes), maxScopesShown)]
	for len(shown) > 0 && len(strings.Join(shown, " ")) > maxScopesBytes {
		shown = shown[:len(shown)-1]
	}
	text := strings.Join(shown, " ")
	if len(shown) < len(scopes) {
		text += " and more"
	}
	return strings.TrimPrefix(text, " ")
}

func codeOf(r Reason) codes.Code {
	switch r {
	case ReasonClientNotAllowed, ReasonInsufficientScope, ReasonMethodNotAnnotated, ReasonMethodNotAllowed, ReasonTransportInsecure,
		ReasonForeignScope, ReasonCallRefused:
		return codes.PermissionDenied
	case ReasonKeysUnavailable, ReasonRevocationUnavailable:
		return codes.Unavailable
	default:
		return codes.Unauthenticated
	}
}

// known are the constants above.
var known = map[Reason]bool{
	ReasonTokenMissing: true, ReasonSchemeUnsupported: true, ReasonAuthorizationDuplicated: true,
	ReasonTokenTooLarge: true, ReasonTokenMalformed: true, ReasonTokenInvalid: true, ReasonAlgNotAllowed: true,
	ReasonKIDInvalid: true, ReasonKeyNotFound: true, ReasonHeaderNotAllowed: true, ReasonCritUnsupported: true,
	ReasonSignatureInvalid: true, ReasonClaimInvalid: true, ReasonTokenExpired: true, ReasonTokenNotYetValid: true,
	ReasonIssuerMismatch: true, ReasonTokenUseMismatch: true, ReasonTokenBound: true, ReasonTokenRevoked: true,
	ReasonClientNotAllowed: true, ReasonInsufficientScope: true, ReasonMethodNotAnnotated: true,
	ReasonMethodNotAllowed: true, ReasonKeysUnavailable: true, ReasonTransportInsecure: true,
	ReasonRevocationUnavailable: true, ReasonForeignScope: true, ReasonCallRefused: true,
}

// texts are what the peer reads, by wire reason.
var texts = map[Reason]string{
	ReasonTokenMissing:            "a bearer token is needed in the authorization metadata",
	ReasonSchemeUnsupported:       "the authorization metadata must have the form: Bearer TOKEN",
	ReasonAuthorizationDuplicated: "the call has more than one authorization value",
	ReasonTokenTooLarge:           "the token is too large",
	ReasonTokenMalformed:          "the token is malformed",
	ReasonTokenInvalid:            "invalid token",
	ReasonTokenExpired:            "the token has expired",
	ReasonTokenRevoked:            "the token is revoked",
	ReasonClientNotAllowed:        "this client is not allowed here",
	ReasonInsufficientScope:       "the token lacks a scope",
	ReasonMethodNotAnnotated:      "the method is closed to all callers",
	ReasonMethodNotAllowed:        "the method is closed to all callers",
	ReasonKeysUnavailable:         "tokens cannot be checked at the moment",
	ReasonTransportInsecure:       "tokens are taken over TLS only",
	ReasonRevocationUnavailable:   "it cannot be found out at the moment whether the token is revoked",
	ReasonForeignScope:            "the token carries scopes of another server",
	ReasonCallRefused:             "the call is refused",
}
