// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package reason holds the reasons for which a call is refused, as they cross the
// wire in google.rpc.ErrorInfo. Both sides import it: the server writes a reason,
// the client decides by it whether another token can help.
package reason

// Domain is the ErrorInfo domain of every reason here.
const Domain = "scopeauth.v1"

// MethodKey is the ErrorInfo metadata that names the refused method, such as
// "/demo.files.v1.FileReadService/ReadFile". A handler that passes on the refusal of
// a call of its own shows another method than the one that its caller called.
const MethodKey = "method"

// Reason says why a call was refused. The set is closed: what is not one of the
// constants is not ours.
type Reason string

// The reasons. The comment says what the caller or the operator can do.
const (
	// TokenMissing: the call has no authorization metadata.
	TokenMissing Reason = "TOKEN_MISSING"
	// SchemeUnsupported: the authorization value has another scheme than Bearer.
	SchemeUnsupported Reason = "SCHEME_UNSUPPORTED"
	// AuthorizationDuplicated: there is more than one authorization value.
	AuthorizationDuplicated Reason = "AUTHORIZATION_DUPLICATED"
	// TokenTooLarge: the token is longer than the server's limit.
	TokenTooLarge Reason = "TOKEN_TOO_LARGE"
	// TokenMalformed: the value is not one compact JWS in its one spelling.
	TokenMalformed Reason = "TOKEN_MALFORMED"
	// TokenInvalid stands on the wire for every reason between the token's syntax
	// and its proven signature: a stranger learns nothing from it.
	TokenInvalid Reason = "TOKEN_INVALID"
	// AlgNotAllowed: the header's alg is not RS256.
	AlgNotAllowed Reason = "ALG_NOT_ALLOWED"
	// KIDInvalid: the header's kid is missing, not a string, empty or too long.
	KIDInvalid Reason = "KID_INVALID"
	// KeyNotFound: the issuer has no key of that kid.
	KeyNotFound Reason = "KEY_NOT_FOUND"
	// HeaderNotAllowed: the header has a member that no token of ours has.
	HeaderNotAllowed Reason = "HEADER_NOT_ALLOWED"
	// CritUnsupported: the header has crit.
	CritUnsupported Reason = "CRIT_UNSUPPORTED"
	// SignatureInvalid: the signature does not fit the key.
	SignatureInvalid Reason = "SIGNATURE_INVALID"
	// ClaimInvalid: a claim is missing, of the wrong type or out of range.
	ClaimInvalid Reason = "CLAIM_INVALID"
	// TokenExpired: the time is on or after exp.
	TokenExpired Reason = "TOKEN_EXPIRED"
	// TokenNotYetValid: nbf or iat lies in the future.
	TokenNotYetValid Reason = "TOKEN_NOT_YET_VALID"
	// IssuerMismatch: iss is not an issuer that the server accepts.
	IssuerMismatch Reason = "ISSUER_MISMATCH"
	// TokenUseMismatch: token_use is not access.
	TokenUseMismatch Reason = "TOKEN_USE_MISMATCH"
	// TokenBound: the token is bound to a sender's key, which is not checked here.
	TokenBound Reason = "TOKEN_BOUND"
	// TokenRevoked: the token or its client is on the server's list of revoked ones.
	TokenRevoked Reason = "TOKEN_REVOKED"
	// ClientNotAllowed: the app client is not one that the server accepts.
	ClientNotAllowed Reason = "CLIENT_NOT_ALLOWED"
	// InsufficientScope: the token lacks a scope that the method needs.
	InsufficientScope Reason = "INSUFFICIENT_SCOPE"
	// MethodNotAnnotated: a registered method has no access rule.
	MethodNotAnnotated Reason = "METHOD_NOT_ANNOTATED"
	// MethodNotAllowed: the method is in no registered service.
	MethodNotAllowed Reason = "METHOD_NOT_ALLOWED"
	// KeysUnavailable: the server has no usable keys of the issuer at the moment.
	KeysUnavailable Reason = "KEYS_UNAVAILABLE"
	// TransportInsecure: the call came in plaintext from another machine.
	TransportInsecure Reason = "TRANSPORT_INSECURE"
	// RevocationUnavailable: the server cannot find out whether the token is revoked.
	RevocationUnavailable Reason = "REVOCATION_UNAVAILABLE"
	// ForeignScope: the token carries scopes of another server, which takes only tokens
	// made for it.
	ForeignScope Reason = "FOREIGN_SCOPE"
	// CallRefused: a check of the server's own, beyond scopes, refused the call.
	CallRefused Reason = "CALL_REFUSED"
)

// Renewable reports whether another token may help. A client fetches anew on
// these three only.
func (r Reason) Renewable() bool {
	return r == TokenInvalid || r == TokenExpired || r == TokenRevoked
}
