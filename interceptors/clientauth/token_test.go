// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import "testing"

// TestZeroToken is no token, and no panic.
func TestZeroToken(t *testing.T) {
	t.Parallel()
	var none Token
	if !none.IsZero() || none.Value() != "" || !none.Expiry().IsZero() {
		t.Errorf("got a value of %d bytes and the expiry %v, want none", len(none.Value()), none.Expiry())
	}
}
