// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/json"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// TestGuardsDecide shows that the rows compare like with like: each guard lets a good
// token in and refuses bad ones.
func TestGuardsDecide(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	good := l.mint(t, 1)[0]
	calls := []struct {
		name, token string
		want        codes.Code
	}{
		{"good", good, codes.OK},
		{"none", "", codes.Unauthenticated},
		{"forged", l.forge(t, 1)[0], codes.Unauthenticated},
		{"expired", l.wrong(t, cognitotest.MintSpec{Expired: true}), codes.Unauthenticated},
		{"no-end", l.wrong(t, cognitotest.MintSpec{Claims: map[string]json.RawMessage{"exp": nil}}), codes.Unauthenticated},
		{"issuer", l.wrong(t, cognitotest.MintSpec{Claims: raw("iss", "https://issuer.invalid")}), codes.Unauthenticated},
		{"token-use", l.wrong(t, cognitotest.MintSpec{Claims: raw("token_use", "id")}), codes.Unauthenticated},
		{"unknown-key", l.wrong(t, cognitotest.MintSpec{Header: raw("kid", "unknown")}), codes.Unauthenticated},
		{"scope", l.wrong(t, cognitotest.MintSpec{Scopes: []string{"demo/read.file"}}), codes.PermissionDenied},
	}
	for _, name := range slices.Concat([]string{"none", "passing", "limit", "scopeauth"}, peerRows, tapRows, tapFloodRows, sketchRows) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startProcess(t, name, l.provider(good), 0, guardEnv(name)...)
			for _, secure := range []bool{false, true} {
				conn := dial(t, server.addr(secure), secure)
				for _, c := range calls {
					want := c.want
					switch {
					case name == "none", name == "passing":
						want = codes.OK // they do not look
					case name == "limit" && c.token != good:
						want = codes.Unauthenticated // it knows one token and no scopes
					}
					if err := echoing(100)(withToken(t.Context(), c.token), conn); status.Code(err) != want {
						t.Errorf("%s, token %s: %v, want %v", transportName(secure), c.name, err, want)
					}
				}
			}
		})
	}
}
