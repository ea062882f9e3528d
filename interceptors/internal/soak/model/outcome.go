// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"strconv"
	"strings"
)

// Code is a status code of gRPC.
type Code uint32

// The codes that a call can end with.
const (
	OK               Code = 0
	PermissionDenied Code = 7
	Unavailable      Code = 14
	Unauthenticated  Code = 16
)

// Outcome is how a call ends: the status code, and the reason as it crosses the wire.
type Outcome struct {
	Code   Code
	Reason string
}

// String returns both.
func (o Outcome) String() string {
	if o == Passes {
		return "OK"
	}
	return strconv.Itoa(int(o.Code)) + " " + o.Reason
}

// The outcomes.
var (
	Passes                  = Outcome{Code: OK}
	TokenMissing            = Outcome{Unauthenticated, "TOKEN_MISSING"}
	AuthorizationDuplicated = Outcome{Unauthenticated, "AUTHORIZATION_DUPLICATED"}
	SchemeUnsupported       = Outcome{Unauthenticated, "SCHEME_UNSUPPORTED"}
	TokenTooLarge           = Outcome{Unauthenticated, "TOKEN_TOO_LARGE"}
	TokenMalformed          = Outcome{Unauthenticated, "TOKEN_MALFORMED"}
	TokenInvalid            = Outcome{Unauthenticated, "TOKEN_INVALID"}
	TokenExpired            = Outcome{Unauthenticated, "TOKEN_EXPIRED"}
	TokenRevoked            = Outcome{Unauthenticated, "TOKEN_REVOKED"}
	ClientNotAllowed        = Outcome{PermissionDenied, "CLIENT_NOT_ALLOWED"}
	InsufficientScope       = Outcome{PermissionDenied, "INSUFFICIENT_SCOPE"}
	KeysUnavailable         = Outcome{Unavailable, "KEYS_UNAVAILABLE"}
	RevocationUnavailable   = Outcome{Unavailable, "REVOCATION_UNAVAILABLE"}
)

// Outcomes is a set of outcomes.
//
//nolint:recvcheck // add alone changes it
type Outcomes []Outcome

func (o *Outcomes) add(outcomes ...Outcome) {
	for _, outcome := range outcomes {
		if !o.Has(outcome) {
			*o = append(*o, outcome)
		}
	}
}

// Has reports whether the outcome is in the set.
func (o Outcomes) Has(outcome Outcome) bool { return slices.Contains(o, outcome) }

// String returns the outcomes with "or" between them.
func (o Outcomes) String() string {
	if len(o) == 0 {
		return "nothing"
	}
	texts := make([]string, len(o))
	for i, outcome := range o {
		texts[i] = outcome.String()
	}
	return strings.Join(texts, " or ")
}
