// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package accesslist

// Caller is who makes a call, as the verified token says.
type Caller struct {
	Issuer   string // the iss claim; required
	ClientID string // the client_id claim; required
	TokenID  string // the jti claim, "" if there is none
}

// Verdict is what the list says about a call. Only [Permitted] lets it pass.
type Verdict uint8

// The verdicts.
const (
	// Undecided is the zero value and refuses: there is no list, or the question is
	// not complete. It is the server's fault, not the caller's.
	Undecided Verdict = iota
	// Permitted: no entry is against the call.
	Permitted
	// TokenDenied: the client or this token may call nothing.
	TokenDenied
	// MethodDenied: the method is closed to the caller, or its allow entries do not
	// name it.
	MethodDenied
)

// String returns the verdict's name for logs.
func (v Verdict) String() string {
	switch v {
	case Permitted:
		return "PERMITTED"
	case TokenDenied:
		return "TOKEN_DENIED"
	case MethodDenied:
		return "METHOD_DENIED"
	default:
		return "UNDECIDED"
	}
}

// Decision is a verdict and where it comes from. Entry and Reason are for the
// server's own log, not for the caller.
type Decision struct {
	Verdict

	// Entry is the place of the entry that decided, such as deny[2]; if several did,
	// one of them. For a method that is in none of the caller's allow entries it is
	// the first of these. It is "" if no entry decided.
	Entry string
	// Reason is the operator's text in that entry, or why the call is Undecided.
	Reason string
}
