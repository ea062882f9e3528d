// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
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

// The reasons of refusals.
const (
	ReasonTokenMissing            = reason.TokenMissing
	ReasonSchemeUnsupported       = reason.SchemeUnsupported
	ReasonAuthorizationDuplicated = reason.AuthorizationDuplicated
	ReasonTokenTooLarge           = reason.TokenTooLarge
	ReasonTokenMalformed          = reason.TokenMalformed
	ReasonTokenInvalid            = reason.TokenInvalid
	ReasonAlgNotAllowed           = reason.AlgNotAllowed
	ReasonKIDInvalid              = reason.KIDInvalid
	ReasonKeyNotFound             = reason.KeyNotFound
	ReasonHeaderNotAllowed        = reason.HeaderNotAllowed
	ReasonCritUnsupported         = reason.CritUnsupported
	ReasonSignatureInvalid        = reason.SignatureInvalid
	ReasonClaimInvalid            = reason.ClaimInvalid
	ReasonTokenExpired            = reason.TokenExpired
	ReasonTokenNotYetValid        = reason.TokenNotYetValid
	ReasonIssuerMismatch          = reason.IssuerMismatch
	ReasonTokenUseMismatch        = reason.TokenUseMismatch
	ReasonTokenBound              = reason.TokenBound
	ReasonTokenRevoked            = reason.TokenRevoked
	ReasonClientNotAllowed        = reason.ClientNotAllowed
	ReasonInsufficientScope       = reason.InsufficientScope
	ReasonMethodNotAnnotated      = reason.MethodNotAnnotated
	ReasonMethodNotAllowed        = reason.MethodNotAllowed
	ReasonKeysUnavailable         = reason.KeysUnavailable
	ReasonTransportInsecure       = reason.TransportInsecure
)

// Error is a refusal. As a gRPC status it carries a code, a fixed text and an
// ErrorInfo whose reason is coarse until the token's signature is proven, so that
// a stranger learns nothing by trying. [Error.Reason] and [Error.Unwrap] tell the
// server's own code the whole story; neither holds a token.
type Error struct {
	reason Reason
	code   codes.Code
	// proven is set once the token's signature has been checked.
	proven bool
	cause  error

	method   string     // of an INSUFFICIENT_SCOPE: what was called,
	required [][]string // what would do, as OR of ANDs,
	granted  []string   // and what the token has
	details  []detail   // for the log only
}

// detail is a fact for the server's log. Values that come from a token whose
// signature was not checked have "(unverified)" in their key.
type detail struct{ key, value string }

// NewError returns the refusal that a [TokenVerifier] of the user's own reports.
// The code follows from the reason. The cause stays on the server and must not
// hold the token.
func NewError(r Reason, cause error) *Error {
	return &Error{reason: r, code: codeOf(r), cause: cause}
}

// Code returns the gRPC status code that the peer gets.
func (e *Error) Code() codes.Code { return e.code }

// Reason returns the fine-grained reason.
func (e *Error) Reason() Reason { return e.reason }

// Unwrap returns the cause, which never leaves the process, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Error returns the fixed text that the peer gets too: an interceptor that wraps
// this error cannot leak more by it.
func (e *Error) Error() string {
	if e.reason == ReasonInsufficientScope {
		return e.method + " needs " + alternatives(e.required, " and ", " or ") + "; the token has " + scopesText(e.granted)
	}
	return texts[e.wireReason()]
}

// GRPCStatus returns what goes over the wire.
func (e *Error) GRPCStatus() *status.Status {
	info := &errdetails.ErrorInfo{Reason: string(e.wireReason()), Domain: reason.Domain}
	if e.reason == ReasonInsufficientScope {
		info.Metadata = map[string]string{
			"required": alternatives(e.required, " ", " | "),
			"granted":  strings.Join(e.granted, " "),
		}
	}
	st := status.New(e.code, e.Error())
	if with, err := st.WithDetails(protoadapt.MessageV1Of(info)); err == nil {
		return with
	}
	return st // the details are for convenience, the code decides
}

// wireReason hides what lies between the token's syntax and its proven signature.
func (e *Error) wireReason() Reason {
	switch e.reason {
	case ReasonClaimInvalid, ReasonTokenExpired, ReasonTokenNotYetValid, ReasonIssuerMismatch,
		ReasonTokenUseMismatch, ReasonTokenBound, ReasonTokenRevoked:
		if !e.proven {
			return ReasonTokenInvalid
		}
	default:
	}
	if _, ok := texts[e.reason]; !ok { // alg, kid, header and signature have no text
		return ReasonTokenInvalid
	}
	return e.reason
}

// challenge returns the www-authenticate value of RFC 6750 section 3, or "" where
// that RFC has none.
func (e *Error) challenge() string {
	switch e.reason {
	case ReasonTokenMissing:
		return "Bearer" // section 3.1: no error code for a request without authentication
	case ReasonSchemeUnsupported, ReasonAuthorizationDuplicated:
		return `Bearer error="invalid_request"`
	case ReasonInsufficientScope:
		return `Bearer error="insufficient_scope", scope="` + alternatives(e.required[:min(1, len(e.required))], " ", "") + `"`
	default:
	}
	if e.code == codes.Unauthenticated {
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

// maxScopesShown bounds the text that a token with thousands of scopes makes.
const maxScopesShown = 20

func scopesText(scopes []string) string {
	switch n := len(scopes); {
	case n == 0:
		return "no scope"
	case n > maxScopesShown:
		return strings.Join(scopes[:maxScopesShown], " ") + " and more"
	default:
		return strings.Join(scopes, " ")
	}
}

func codeOf(r Reason) codes.Code {
	switch r {
	case ReasonClientNotAllowed, ReasonInsufficientScope, ReasonMethodNotAnnotated, ReasonMethodNotAllowed, ReasonTransportInsecure:
		return codes.PermissionDenied
	case ReasonKeysUnavailable:
		return codes.Unavailable
	default:
		return codes.Unauthenticated
	}
}

// texts are what the peer reads, by wire reason.
var texts = map[Reason]string{
	ReasonTokenMissing:            "a bearer token is needed in the authorization metadata",
	ReasonSchemeUnsupported:       "the authorization metadata must have the form: Bearer TOKEN",
	ReasonAuthorizationDuplicated: "the call has more than one authorization value",
	ReasonTokenTooLarge:           "the token is too large",
	ReasonTokenMalformed:          "the token is malformed",
	ReasonTokenInvalid:            "invalid token",
	ReasonClaimInvalid:            "a claim of the token is invalid",
	ReasonTokenExpired:            "the token has expired",
	ReasonTokenNotYetValid:        "the token is not valid yet",
	ReasonIssuerMismatch:          "the token is from another issuer",
	ReasonTokenUseMismatch:        "the token is no access token",
	ReasonTokenBound:              "the token is bound to a key",
	ReasonTokenRevoked:            "the token is revoked",
	ReasonClientNotAllowed:        "this client is not allowed here",
	ReasonInsufficientScope:       "the token lacks a scope",
	ReasonMethodNotAnnotated:      "the method is closed to all callers",
	ReasonMethodNotAllowed:        "the method is closed to all callers",
	ReasonKeysUnavailable:         "tokens cannot be checked at the moment",
	ReasonTransportInsecure:       "tokens are taken over TLS only",
}
