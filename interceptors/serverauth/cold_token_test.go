// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// maxColdAllocs is what a token may allocate that was never seen: RSA's own nine, what is
// decoded, and what is kept.
const maxColdAllocs = 35

// The full check of a token. Its time is measured in interceptors/internal/bench.
func TestColdTokenAllocs(t *testing.T) { //nolint:paralleltest // counts allocations of the whole process
	if tapRace {
		t.Skip("the race detector allocates on its own")
	}
	l := newLab(t, setup{verifier: []serverauth.VerifierOption{serverauth.WithoutCache()}})
	token := l.issuer.good()
	got := testing.AllocsPerRun(200, func() {
		if _, err := l.verifier.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%v allocations", got)
	if got > maxColdAllocs {
		t.Errorf("%v allocations, want %d at most", got, maxColdAllocs)
	}
}
