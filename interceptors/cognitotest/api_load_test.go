// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestAPIWhileTokensAreIssued changes clients while tokens are requested, for
// the race detector. What is acknowledged is in force.
func TestAPIWhileTokensAreIssued(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(apiPool()), WithPool(Pool{Name: "second", ID: "eu-central-1_Second", Domain: "second", Keys: testKeys()[1]}), WithoutListener())
	const settings = `"AllowedOAuthFlowsUserPoolClient":true,"AllowedOAuthFlows":["client_credentials"],"AllowedOAuthScopes":["demo/read.file"]`
	var done atomic.Bool
	var asking sync.WaitGroup
	for range 2 {
		asking.Go(func() {
			for !done.Load() {
				if err := tryToken(t, s); err != nil {
					t.Error(err)
				}
				callAPI(t, s, "GetClientToken", `{`+directCredentials+`}`)
				callAPI(t, s, "ListUserPoolClients", `{`+inPool+`,"MaxResults":60}`)
				callAPI(t, s, "DescribeUserPool", `{`+inPool+`}`)
			}
		})
	}
	var changing sync.WaitGroup
	for i := range 4 {
		changing.Go(func() {
			for n := range 5 {
				created := mustCall(t, s, "CreateUserPoolClient", fmt.Sprintf(`{`+inPool+`,"ClientName":"c%d-%d","GenerateSecret":true,`+settings+`}`, i, n))
				id, secret := textAt(t, created, "UserPoolClient", "ClientId"), textAt(t, created, "UserPoolClient", "ClientSecret")
				in := fmt.Sprintf(`{`+inPool+`,"ClientId":%q`, id)
				wantToken := func(what, secret string, want int) {
					if status, body := tokenFrom(t, s, "my-prefix", id, secret); status != want {
						t.Errorf("%s: got %d %s, want %d", what, status, body, want)
					}
				}
				wantToken("created", secret, 200)
				next := textAt(t, mustCall(t, s, "AddUserPoolClientSecret", in+`}`), "ClientSecretDescriptor", "ClientSecretValue")
				wantToken("added", next, 200)
				mustCall(t, s, "UpdateUserPoolClient", in+`,`+settings+`}`)
				wantToken("updated", secret, 200)
				mustCall(t, s, "DeleteUserPoolClient", in+`}`)
				wantToken("deleted", next, 400)
				pool := textAt(t, mustCall(t, s, "CreateUserPool", `{"PoolName":"x"}`), "UserPool", "Id")
				mustCall(t, s, "DeleteUserPool", fmt.Sprintf(`{"UserPoolId":%q}`, pool))
			}
		})
	}
	changing.Wait()
	done.Store(true)
	asking.Wait()
	if got := s.Pool(testPoolID).ClientNames(); len(got) != len(apiPool().Clients) {
		t.Errorf("got clients %v, want those of the configuration", got)
	}
}

// TestAPILostUpdates: changes to one thing at the same time all happen.
func TestAPILostUpdates(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	var work sync.WaitGroup
	var taken atomic.Int64
	for i := range 8 {
		work.Go(func() {
			mustCall(t, s, "CreateResourceServer", fmt.Sprintf(`{`+inPool+`,"Identifier":"s%d","Name":"x"}`, i))
			if resp, _ := callAPI(t, s, "CreateResourceServer", `{`+inPool+`,"Identifier":"same","Name":"x"}`); resp.StatusCode == http.StatusOK {
				taken.Add(1)
			}
			if resp, _ := callAPI(t, s, "AddUserPoolClientSecret", `{`+inClient+`}`); resp.StatusCode == http.StatusOK {
				taken.Add(10)
			}
		})
	}
	work.Wait()
	if got := s.Pool(testPoolID).resourceServerCount(); got != 1+8+1 {
		t.Errorf("got %d resource servers, want 10", got)
	}
	if got := taken.Load(); got != 11 {
		t.Errorf("got %d, want one resource server and one secret", got)
	}
}

// TestScale has as many pools and clients as an account may: what a request
// costs does not depend on it, and no key is made before it is needed.
func TestScale(t *testing.T) { // not parallel: it counts allocations
	const pools, clients = 1000, 10
	config := make([]Pool, pools)
	for i := range config {
		config[i] = Pool{Name: fmt.Sprintf("pool %d", i), Domain: fmt.Sprintf("domain-%d", i), ResourceServers: []ResourceServer{{Identifier: "demo", Scopes: []Scope{{Name: "read"}}}}}
		for c := range clients {
			config[i].Clients = append(config[i].Clients, Client{Name: fmt.Sprintf("c%d", c), ID: fmt.Sprintf("p%dc%d", i, c), Secrets: []string{testSecret}, AllowedOAuthScopes: []string{"demo/read"}, ExplicitAuthFlows: []string{clientTokenAuth}})
		}
	}
	config[0].Keys = testKeys()[0]
	opts := []Option{WithoutListener()}
	for _, p := range config {
		opts = append(opts, WithPool(p))
	}
	large := newServer(t, opts...)
	small := newServer(t, WithPool(config[0]), WithoutListener())
	id := large.Pools()[0].ID()
	smallID := small.Pools()[0].ID()
	for _, tc := range []struct{ operation, body string }{
		{"DescribeUserPoolClient", `{"UserPoolId":"<id>","ClientId":"p0c9"}`},
		{"DescribeUserPoolDomain", `{"Domain":"domain-0"}`},
		{"ListUserPoolClients", `{"UserPoolId":"<id>","MaxResults":5}`},
		{"UpdateUserPoolClient", `{"UserPoolId":"<id>","ClientId":"p0c1"}`},
		{"GetClientToken", `{"ClientId":"p0c0","Secret":"` + testSecret + `"}`},
	} {
		cost := func(s *Server, id string) float64 {
			return testing.AllocsPerRun(10, func() { mustCall(t, s, tc.operation, strings.ReplaceAll(tc.body, "<id>", id)) })
		}
		if few, many := cost(small, smallID), cost(large, id); many > few*1.5 {
			t.Errorf("%s: %g allocations with one pool, %g with %d", tc.operation, few, many, pools)
		}
	}
	if status, _ := tokenFrom(t, large, "domain-999", "p999c9", "wrong"); status != http.StatusBadRequest {
		t.Errorf("last pool: got %d, want 400", status)
	}
	made := 0
	for _, p := range large.Pools() {
		if p.keys.pairs.Load() != nil {
			made++
		}
	}
	if made != 1 {
		t.Errorf("got keys for %d pools, want those of the one that issued a token", made)
	}
	if n := len(encoded(t, large.store.snapshot())); n == 0 || len(large.store.clients) != pools*clients {
		t.Errorf("got %d clients, want %d", len(large.store.clients), pools*clients)
	}
}
