// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

func TestWhoAmI(t *testing.T) {
	t.Parallel()
	s := newService(t, t.TempDir())
	end := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	ctx := serverauth.ContextWithPrincipal(t.Context(), serverauth.NewPrincipal(serverauth.PrincipalSpec{
		ClientID:  "billing",
		Scopes:    []string{"demo/read.file", "demo/write.file"},
		Issuer:    "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example",
		ExpiresAt: end,
	}))
	got, err := s.WhoAmI(ctx, &filesv1.WhoAmIRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetClientId() != "billing" || !slices.Equal(got.GetScopes(), []string{"demo/read.file", "demo/write.file"}) ||
		got.GetIssuer() != "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example" || !got.GetExpireTime().AsTime().Equal(end) {
		t.Errorf("got %v, want what the principal says", got)
	}
}

func TestWhoAmIOfNobody(t *testing.T) {
	t.Parallel()
	f := start(t) // a server without the interceptors
	_, err := f.read.WhoAmI(t.Context(), &filesv1.WhoAmIRequest{})
	wantCode(t, "WhoAmI", err, codes.Unauthenticated)
}
