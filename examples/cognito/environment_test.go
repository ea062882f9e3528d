// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

func TestExportQuotes(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	export(&out, "X", "it's $HOME")
	if got, want := out.String(), `export X='it'\''s $HOME'`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClientList(t *testing.T) {
	t.Parallel()
	ids := []string{"1", "2", "3", "4", "5", "6", "7"}
	names := []string{"a b", "twice", "x=y", "x,y", "*", "twice", " c"}
	if got, want := clientList(ids, names), "a b=1,2,3,4,5,6,7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNamesAreNoCommands has names as Cognito allows them.
func TestNamesAreNoCommands(t *testing.T) {
	t.Parallel()
	pool := cognitotest.Pool{Name: "a\nreboot", Domain: "d", Clients: []cognitotest.Client{
		{Name: "b\r\nreboot", AllowedOAuthScopes: []string{"openid"}},
	}}
	for line := range strings.Lines(environment(newServer(t, pool))) {
		if !strings.HasPrefix(line, "# ") && !strings.HasPrefix(line, "export ") && line != "unset COGNITO_USER_POOL_API\n" {
			t.Errorf("got line %q", line)
		}
	}
}

func newServer(t *testing.T, pools ...cognitotest.Pool) *cognitotest.Server {
	t.Helper()
	opts := []cognitotest.Option{cognitotest.WithoutListener()}
	for _, p := range pools {
		opts = append(opts, cognitotest.WithPool(p))
	}
	server, err := cognitotest.NewServer(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func TestManyPoolsAndClients(t *testing.T) {
	t.Parallel()
	var pools []cognitotest.Pool
	for i := range most + 3 {
		pools = append(pools, cognitotest.Pool{Name: fmt.Sprint("pool-", i), Domain: fmt.Sprint("pool-", i)})
	}
	for i := range most + 2 {
		pools[0].Clients = append(pools[0].Clients, cognitotest.Client{Name: fmt.Sprint("client-", i), AllowedOAuthScopes: []string{"openid"}})
	}
	got := environment(newServer(t, pools...))
	for want, n := range map[string]int{
		"# user pool pool-":          most,
		"# app client client-":       most,
		"# and 3 more user pools: ":  1,
		"# and 2 more app clients: ": 1,
		"client-21=":                 1,
	} {
		if got := strings.Count(got, want); got != n {
			t.Errorf("%q: got %d, want %d", want, got, n)
		}
	}
}

func TestPublicClientHasNoSecret(t *testing.T) {
	t.Parallel()
	got := environment(newServer(t, cognitotest.Pool{Name: "p", Clients: []cognitotest.Client{
		{Name: "public", ID: "public", GenerateSecret: new(false), AllowedOAuthFlows: []string{"code"}, AllowedOAuthScopes: []string{"openid"}},
	}}))
	if want := "export COGNITO_CLIENT_ID='public'\nunset COGNITO_CLIENT_SECRET\n"; !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwant %q at its end", got, want)
	}
}

// TestPoolWithoutDomain has the API in place of a token endpoint. Clients take one of the two.
func TestPoolWithoutDomain(t *testing.T) {
	t.Parallel()
	server := newServer(t, cognitotest.DemoPool())
	if done, err := manage(t.Context(), server.Transport(), server.URL(), "CreateUserPool", `{"PoolName": "no-domain"}`, nil); !done || err != nil {
		t.Fatal(done, err)
	}
	first, second, _ := strings.Cut(environment(server), "# user pool no-domain\n")
	if !strings.Contains(first, "export COGNITO_TOKEN_URL='") || !strings.Contains(first, "unset COGNITO_USER_POOL_API\n") {
		t.Errorf("with a domain: got\n%s", first)
	}
	if !strings.Contains(second, "unset COGNITO_TOKEN_URL\n") || !strings.Contains(second, "export COGNITO_USER_POOL_API='"+server.URL()+"'\n") {
		t.Errorf("without a domain: got\n%s", second)
	}
	if !strings.HasSuffix(second, "\nunset COGNITO_CLIENTS COGNITO_CLIENT_ID COGNITO_CLIENT_SECRET\n") || strings.Contains(second, "export COGNITO_CLIENT") {
		t.Errorf("without a client: got\n%s\nwant that of the pool before unset", second)
	}
}

func TestNoPools(t *testing.T) {
	t.Parallel()
	server := newServer(t, cognitotest.DemoPool())
	pool := server.Pools()[0]
	for _, step := range [][2]string{
		{"DeleteUserPoolDomain", fmt.Sprintf(`{"UserPoolId": %q, "Domain": "s2s-test"}`, pool.ID())},
		{"DeleteUserPool", fmt.Sprintf(`{"UserPoolId": %q}`, pool.ID())},
	} {
		if done, err := manage(t.Context(), server.Transport(), server.URL(), step[0], step[1], nil); !done || err != nil {
			t.Fatal(done, err)
		}
	}
	if got := environment(server); strings.Count(got, "\n") != 3 || !strings.Contains(got, "AWS_REGION=us-east-1 ") {
		t.Errorf("got\n%s\nwant what is for the AWS CLI alone", got)
	}
}
