// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import "github.com/scopeauth/scopeauth/interceptors/internal/reason"

// Error says why a token is refused. Its text never holds bytes of the token: it
// names members and positions, not what stands there.
type Error struct {
	// Reason is the fine reason. It is for the server's own logs and metrics.
	Reason reason.Reason
	detail string
}

// Error returns the reason and the detail.
func (e *Error) Error() string {
	return "jose: " + string(e.Reason) + ": " + e.detail
}

func refuse(r reason.Reason, detail string) *Error {
	return &Error{Reason: r, detail: detail}
}

func malformed(detail string) *Error {
	return refuse(reason.TokenMalformed, detail)
}
