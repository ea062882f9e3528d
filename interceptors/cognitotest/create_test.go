// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// tokenOf asks for a token and returns the status and the error code.
func tokenOf(t *testing.T, p *UserPool, c Credentials) string {
	t.Helper()
	resp, body := exchange(t, p.server.Transport(), http.MethodPost, p.TokenURL(), cc, formHeader(c.ID, c.Secret))
	return fmt.Sprint(resp.StatusCode, jwtPattern.ReplaceAllString(body, `"<jwt>"`))
}

// Each test of a shared server has a pool of its own: the same one again, with
// other ids, secrets and domain.
func TestCreatePool(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	s := newServer(t, WithKeys(testKeys()[0]), WithoutListener(), WithStateFile(path), WithDisallowedScopes(RejectScopes), fixedClock())
	given := DemoPool()
	given.Keys = testKeys()[1]
	first, err := s.CreatePool(given)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.CreatePool(Pool{ID: "eu-central-1_Second", Name: "second", Keys: testKeys()[2]})
	if err != nil {
		t.Fatal(err)
	}
	seed, client := s.Pools()[0], first.Client("sts-test-app-client")
	if !slices.Equal(s.Pools(), []*UserPool{seed, first, second}) || s.Pool("s2s-test") != seed || s.Pool(first.ID()) != first {
		t.Errorf("got pools %v, want the seed, s2s-test again and second", s.Pools())
	}
	if got, want := second.TokenURL(), "https://cognito.invalid/second/oauth2/token"; got != want {
		t.Errorf("domain from the name: got %s, want %s", got, want)
	}
	if got, seed := first.TokenURL(), seed.TokenURL(); got == seed || !strings.HasPrefix(got, strings.TrimSuffix(seed, tokenPath)+"-") {
		t.Errorf("domain from a name that is taken: got %s, want %s with a random end", got, seed)
	}
	if got := tokenOf(t, first, client); got != "200"+issued {
		t.Errorf("got %s, want a token", got)
	}
	if got := tokenOf(t, seed, client); got != `400{"error":"invalid_client"}` {
		t.Errorf("at another pool: got %s, want invalid_client", got)
	}
	if r := first.record.Load(); r.DisallowedScopes != RejectScopes || !r.Created.Equal(testNow) {
		t.Errorf("got %+v, want the server's setting and clock", r)
	}
	if given.ID != "" || given.Clients[0].Secrets != nil {
		t.Error("the caller's pool was changed")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := newServer(t, WithoutListener(), WithStateFile(path)).Pool(first.ID())
	if again == nil || again.Client(client.ID) != client || tokenOf(t, again, client) != "200"+issued {
		t.Error("after a restart: the pool is not as it was")
	}
}

func TestCreateClient(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener(), fixedClock())
	p := s.Pools()[0]
	given := Client{Name: "sts-test-app-client", AllowedOAuthScopes: []string{"demo/read.file"}}
	made, err := p.CreateClient(given)
	if err != nil {
		t.Fatal(err)
	}
	if got := tokenOf(t, p, made); got != "200"+issued || len(made.ID) != 26 || len(made.Secret) != 52 {
		t.Errorf("got %v and %s, want a client of Cognito's form that gets a token", made, got)
	}
	if got := p.Client("sts-test-app-client").ID; got != testID {
		t.Errorf("of two with a name: got %s, want the oldest", got)
	}
	given.AllowedOAuthScopes[0] = "x"
	if got := tokenOf(t, p, made); got != "200"+issued {
		t.Errorf("after the caller's list has changed: got %s, want a token", got)
	}
	if c := p.client(made.ID).record; !c.Created.Equal(testNow) {
		t.Errorf("got %v, want the server's clock", c.Created)
	}
	two, err := p.CreateClient(Client{Name: "two", ID: "two", Secrets: []string{testSecret, strings.Repeat("a", 24)}, AllowedOAuthFlowsUserPoolClient: new(false)})
	if err != nil || two != (Credentials{"two", testSecret}) {
		t.Errorf("got %v, %v, want the first secret", two, err)
	}
	public, err := p.CreateClient(Client{Name: "page", GenerateSecret: new(false), AllowedOAuthFlows: []string{"code"}, AllowedOAuthScopes: []string{"openid"}})
	if err != nil || public.Secret != "" || public.ID == "" {
		t.Errorf("public client: got %v, %v", public, err)
	}
}

func TestCreateIsChecked(t *testing.T) {
	t.Parallel()
	custom := testPool()
	custom.ID, custom.Name, custom.Domain = "eu-central-1_Custom", "custom", "auth.example.com"
	opts := append(manyNames(3, "auth%d.example.com"), WithoutListener(), WithPool(custom), WithPool(testPool()))
	s := newServer(t, opts...)
	p := s.Pool("s2s-test")
	before := encoded(t, s.store.snapshot())
	for name, tc := range map[string]struct {
		pool Pool
		want string
	}{
		"id":            {Pool{ID: testPoolID, Name: "x"}, `CreatePool: another user pool has the id "eu-central-1_Ab3dEf9hI"`},
		"domain":        {Pool{Name: "x", Domain: "my-prefix"}, `CreatePool: another user pool has the domain "my-prefix"`},
		"custom domain": {Pool{Name: "x", Domain: "auth9.example.com"}, `CreatePool: at most 4 custom domains of all user pools together`},
		"inside":        {Pool{Name: "x", Clients: []Client{{Name: "c", AllowedOAuthScopes: []string{"demo/x"}}}}, `CreatePool clients[0] (c): Invalid scope requested: demo/x (no resource server of the pool has it)`},
		"several":       {Pool{Name: "/", Domain: "X"}, "2 problems"},
	} {
		made, err := s.CreatePool(tc.pool)
		if _, ok := errors.AsType[*ConfigError](err); !ok || made != nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, %v, want a ConfigError with %q", name, made, err, tc.want)
		}
	}
	for name, tc := range map[string]struct {
		client Client
		want   string
	}{
		"id":      {Client{ID: testID, Name: "x", AllowedOAuthScopes: []string{"openid"}}, `CreateClient: another client of the user pool has the id "` + testID + `"`},
		"scope":   {Client{Name: "x", AllowedOAuthScopes: []string{"demo/x"}}, "CreateClient: Invalid scope requested: demo/x"},
		"secret":  {Client{Name: "x", Secrets: []string{"hush"}, AllowedOAuthScopes: []string{"openid"}}, "CreateClient secrets[0]: a secret has 24 to 64"},
		"several": {Client{Name: "/"}, "2 problems"},
	} {
		made, err := p.CreateClient(tc.client)
		if _, ok := errors.AsType[*ConfigError](err); !ok || made != (Credentials{}) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: got %v, %v, want a ConfigError with %q and no secret", name, made, err, tc.want)
		}
	}
	if got := encoded(t, s.store.snapshot()); got != before {
		t.Errorf("the model is\n%s\nwant\n%s", got, before)
	}
	full := errors.New("disk full")
	s.store.recorder = recorderFunc(func(change) error { return full })
	_, err1 := s.CreatePool(Pool{Name: "x"})
	_, err2 := p.CreateClient(Client{Name: "x", AllowedOAuthScopes: []string{"openid"}})
	if !errors.Is(err1, full) || !errors.Is(err2, full) || encoded(t, s.store.snapshot()) != before {
		t.Errorf("what cannot be kept: got %v and %v, want the recorder's error and no change", err1, err2)
	}
	s.store.recorder = forget{}
	if err := s.store.commit(func() (change, error) { return change{Pool: p.ID(), Delete: true}, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := p.CreateClient(Client{Name: "x", AllowedOAuthScopes: []string{"openid"}}); err == nil || !strings.Contains(err.Error(), "has been deleted") {
		t.Errorf("a client of a deleted pool: got %v", err)
	}
}

func TestCreateQuotas(t *testing.T) {
	t.Parallel()
	s := newServer(t, append(manyNames(999, "pool%d"), WithoutListener())...)
	p, err := s.CreatePool(Pool{})
	if err != nil || p.Name() != "pool-1000" {
		t.Fatalf("pool 1000: got %v, %v", p, err)
	}
	if _, err := s.CreatePool(Pool{}); err == nil || !strings.Contains(err.Error(), "CreatePool: at most 1000 user pools") {
		t.Errorf("pool 1001: got %v", err)
	}
	for i := range 1000 {
		if _, err := p.CreateClient(Client{Name: "x", AllowedOAuthScopes: []string{"openid"}}); err != nil {
			t.Fatalf("client %d: %v", i+1, err)
		}
	}
	if _, err := p.CreateClient(Client{Name: "x", AllowedOAuthScopes: []string{"openid"}}); err == nil || !strings.Contains(err.Error(), "CreateClient: at most 1000 clients") {
		t.Errorf("client 1001: got %v", err)
	}
}

// Everybody creates the same at once: nothing is lost, and each has another domain.
func TestCreateAtOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithoutListener())
	var work sync.WaitGroup
	urls := make(chan string, 16)
	for range cap(urls) {
		work.Go(func() {
			p, err := s.CreatePool(DemoPool())
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := p.CreateClient(Client{Name: "x", AllowedOAuthScopes: []string{"demo/read.file"}}); err != nil {
				t.Error(err)
			}
			urls <- p.TokenURL()
		})
	}
	work.Wait()
	close(urls)
	different := make(map[string]bool)
	for u := range urls {
		different[u] = true
	}
	if len(different) != 16 || len(s.Pools()) != 17 {
		t.Errorf("got %d token endpoints of %d pools, want 16 of 17", len(different), len(s.Pools()))
	}
}

// A pool's own faults and requests, beside another one's.
func TestFaultsAndRequestsOfOnePool(t *testing.T) {
	t.Parallel()
	other := Pool{Name: "other", ID: "us-east-1_other", Keys: testKeys()[1], Clients: []Client{{
		Name: "direct", ID: "direct2", Secrets: []string{testSecret}, ExplicitAuthFlows: []string{"ALLOW_CLIENT_TOKEN_AUTH"}, AllowedOAuthFlowsUserPoolClient: new(false),
	}}}
	s := newServer(t, WithPool(testPool()), WithPool(other), WithoutListener())
	p, q := s.Pools()[0], s.Pools()[1]
	for _, e := range []Endpoint{TokenEndpoint, JWKSEndpoint} {
		p.SetFault(e, Fault{Status: 503})
		q.SetFault(e, Fault{Status: 502})
	}
	s.SetFault(TokenEndpoint, Fault{Status: 500, Times: 1})
	p.ClearFaults()
	status := func(p *UserPool) string {
		resp, _ := exchange(t, s.Transport(), http.MethodPost, p.TokenURL(), cc, basic())
		keys, _ := exchange(t, s.Transport(), http.MethodGet, p.JWKSURL(), "", nil)
		return fmt.Sprint(resp.StatusCode, keys.StatusCode)
	}
	if got := status(p) + " " + status(p) + " " + status(q); got != "500 200 200 200 502 502" {
		t.Errorf("got %s, want the server's fault once, then none, and the other pool's own", got)
	}
	q.ClearFaults()
	callAPI(t, s, "GetClientToken", `{"ClientId":"direct2","Secret":"`+testSecret+`"}`)
	callAPI(t, s, "GetClientToken", `{"ClientId":"nobody","Secret":"`+testSecret+`"}`)
	if all, mine, others := len(s.TokenRequests()), p.TokenRequests(), q.TokenRequests(); all != 5 || len(mine) != 2 || !mine[0].Fault || mine[1].Status != 200 ||
		len(others) != 2 || !others[0].Fault || others[1].ClientID != "direct2" {
		t.Errorf("got %d requests, %+v of the first pool, %+v of the other", all, mine, others)
	}
}
