// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"regexp"
	"slices"
	"testing"
)

// bearerValue is RFC 6750 section 2.1, the scheme in any case as in RFC 9110 section
// 11.1. It takes "=" anywhere in a token, where the RFC has it at the end only.
var bearerValue = regexp.MustCompile(`^[bB][eE][aA][rR][eE][rR] +([A-Za-z0-9._~+/=-]+)$`)

// FuzzAuthorization: an authorization value is accepted if and only if it matches the
// RFC's grammar and its token is within the limit; the token is what stands behind the
// spaces.
func FuzzAuthorization(f *testing.F) {
	f.Add("Bearer eyJ.eyJ.AAAA", 8192)
	f.Fuzz(func(t *testing.T, value string, maxBytes int) {
		token, refusal := parseAuthorization(value, maxBytes)
		m := bearerValue.FindStringSubmatch(value)
		if want := m != nil && len(m[1]) <= maxBytes; want != (refusal == nil) {
			t.Fatalf("%q, at most %d bytes: got %v, want accepted %v", value, maxBytes, refusal, want)
		}
		if refusal == nil {
			if token != m[1] {
				t.Fatalf("token: got %q, want %q", token, m[1])
			}
			return
		}
		if !slices.Contains([]Reason{ReasonSchemeUnsupported, ReasonTokenMalformed, ReasonTokenTooLarge}, refusal.Reason()) {
			t.Fatalf("%q: got the reason %s", value, refusal.Reason())
		}
	})
}
