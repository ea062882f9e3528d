// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

func TestRequirePrincipal(t *testing.T) {
	t.Parallel()
	_, err := serverauth.RequirePrincipal(t.Context())
	if refusal, isError := errors.AsType[*serverauth.Error](err); !isError || refusal.Code() != u {
		t.Errorf("without a caller: got %v, want an UNAUTHENTICATED *Error", err)
	}
	caller := serverauth.NewPrincipal(serverauth.PrincipalSpec{ClientID: "billing", Scopes: []string{"demo/read.file"}})
	got, err := serverauth.RequirePrincipal(serverauth.ContextWithPrincipal(t.Context(), caller))
	if err != nil || got != caller {
		t.Errorf("with a caller: got %v, %v", got, err)
	}
}

// A nil principal takes the one before away: then there is no caller.
func TestPrincipalTakenAway(t *testing.T) {
	t.Parallel()
	ctx := serverauth.ContextWithPrincipal(t.Context(), serverauth.NewPrincipal(serverauth.PrincipalSpec{ClientID: "one"}))
	if p, found := serverauth.PrincipalFromContext(ctx); !found || p.ClientID() != "one" {
		t.Errorf("got %v, %v, want the principal", p, found)
	}
	ctx = serverauth.ContextWithPrincipal(ctx, nil)
	if p, found := serverauth.PrincipalFromContext(ctx); found || p != nil {
		t.Errorf("got %v, %v, want nobody", p, found)
	}
	p, err := serverauth.RequirePrincipal(ctx)
	if refusal, isError := errors.AsType[*serverauth.Error](err); p != nil || !isError || refusal.Code() != u {
		t.Errorf("got %v, %v, want an UNAUTHENTICATED *Error", p, err)
	}
}

func TestPrincipalOfACall(t *testing.T) {
	t.Parallel()
	clients := serverauth.NamedClients(map[string]string{"billing": clientID})
	l := newLab(t, setup{clients: &clients})
	if got := l.call(t, whoAmI, bearer(l.issuer.token(goodHeader, with("scope", `"b/x a/y b/x"`, "team", `{"name":"blue"}`)))); got.code != ok {
		t.Fatalf("got %v %s", got.code, got.message)
	}
	caller := l.files.caller.Load()
	for what, pair := range map[string][2]any{
		"ClientID":   {caller.ClientID(), clientID},
		"ClientName": {caller.ClientName(), "billing"},
		"Issuer":     {caller.Issuer(), issuerURL},
		"TokenID":    {caller.TokenID(), "8dcf56f9-0000-4000-8000-000000000000"},
		"Scopes":     {fmt.Sprint(caller.Scopes()), "[b/x a/y]"},
		"HasScope":   {caller.HasScope("a/y"), true},
		"no scope":   {caller.HasScope("a/"), false},
		"IssuedAt":   {caller.IssuedAt().Unix(), int64(tokenIssued)},
		"ExpiresAt":  {caller.ExpiresAt().Unix(), int64(tokenIssued + 3600)},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %v, want %v", what, pair[0], pair[1])
		}
	}
	team, found := caller.Claim("team")
	if object, isObject := team.(map[string]any); !found || !isObject || object["name"] != "blue" {
		t.Errorf("Claim(team): got %v, %v", team, found)
	}
	if _, found := caller.Claim("Team"); found {
		t.Error("Claim folds the case of names")
	}
	caller.Scopes()[0] = "changed"
	if caller.HasScope("changed") {
		t.Error("the principal can be changed through Scopes")
	}
}

// Duplicates are dropped wherever they stand, also where there are too many scopes to
// compare them one by one.
func TestScopesGivenTwice(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	for _, n := range []int{2, 16, 17, 18, 40} {
		var once []string
		for i := range n {
			once = append(once, fmt.Sprintf("x/%d", i))
		}
		scope := strings.Join(once, " ")
		if got := l.call(t, whoAmI, bearer(l.issuer.token(goodHeader, with("scope", fmt.Sprintf("%q", scope+"  "+scope))))); got.code != ok {
			t.Fatalf("%d scopes: got %v %s", n, got.code, got.message)
		}
		if got := l.files.caller.Load().Scopes(); !slices.Equal(got, once) {
			t.Errorf("%d scopes, each twice: got %q", n, got)
		}
	}
}

func TestNilPrincipalIsNobody(t *testing.T) {
	t.Parallel()
	var nobody *serverauth.Principal
	_, found := nobody.Claim("sub")
	if nobody.ClientID() != "" || nobody.ClientName() != "" || nobody.HasScope("") || len(nobody.Scopes()) != 0 || nobody.Issuer() != "" ||
		nobody.TokenID() != "" || !nobody.IssuedAt().IsZero() || !nobody.ExpiresAt().IsZero() || found {
		t.Error("a nil principal is somebody")
	}
}

func ExampleNewPrincipal() {
	// In a test of a handler: who calls is part of the context.
	ctx := serverauth.ContextWithPrincipal(context.Background(), serverauth.NewPrincipal(serverauth.PrincipalSpec{
		ClientID:  "billing",
		Scopes:    []string{"demo/read.file"},
		ExpiresAt: time.Unix(1_790_000_000, 0),
	}))
	caller, err := serverauth.RequirePrincipal(ctx)
	fmt.Println(caller.ClientID(), caller.HasScope("demo/read.file"), caller.HasScope("demo/write.file"), err)
	// Output: billing true false <nil>
}
