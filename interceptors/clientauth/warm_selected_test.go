// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

// TestWarmWithoutScopes: it gets what connections of the source send, and nothing else.
func TestWarmWithoutScopes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		connections []Selection
		want        []string
	}{
		"no connection": {nil, []string{""}},
		"ForMethods":    {[]Selection{ForMethods(filesv1.FileReadService_StatFile_FullMethodName)}, []string{"demo/read.file"}},
		"two connections": {
			[]Selection{FixedScopes("b", "a"), FixedScopes("c"), FixedScopes("a", "b")}, []string{"a b", "c"},
		},
		"AllClientScopes": {[]Selection{FixedScopes("c"), AllClientScopes()}, []string{"", "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint := &fakeEndpoint{}
			c := newSource(t, endpoint)
			if _, err := c.set([]string{"asked-once"}); err != nil { // no connection selects it
				t.Fatal(err)
			}
			for _, selection := range test.connections {
				if _, err := PerRPCCredentials(c, selection); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if err := c.Warm(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, r := range endpoint.all() {
				got = append(got, r.form.Get("scope"))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("requests: got %q, want %q", got, test.want)
			}
		})
	}
}

// TestWarmWithoutScopesGoesOn: the failure of one token does not keep the others from
// being fetched, and is the error: the first of two.
func TestWarmWithoutScopesGoesOn(t *testing.T) {
	t.Parallel()
	endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
		switch n {
		case 0:
			return oauthError("invalid_scope")
		case 2:
			return page(429)
		}
		return ok(n, 3600)
	}}
	c := newSource(t, endpoint)
	for _, scope := range []string{"a", "b", "c"} {
		if _, err := PerRPCCredentials(c, FixedScopes(scope)); err != nil {
			t.Fatal(err)
		}
	}
	wantReason(t, c.Warm(t.Context()), ReasonRefused, codes.Unauthenticated)
	if got := endpoint.count(); got != 3 {
		t.Errorf("requests: got %d, want 3", got)
	}
}
