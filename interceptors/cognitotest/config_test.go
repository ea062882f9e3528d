// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pools.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const wholeConfig = `{
  "pools": [{
    "id": "eu-central-1_Ab3dEf9hI",
    "name": "s2s-test",
    "region": "eu-central-1",
    "domain": "my-prefix",
    "issuer": "UPDATED",
    "disallowed_scopes": "reject",
    "resource_servers": [{
      "identifier": "demo",
      "name": "Test API",
      "scopes": [{"name": "read.file", "description": "Read files"}, {"name": "write.file"}]
    }],
    "clients": [
      {
        "id": "6fn8h3u2vd0c1m7k5s9q4t2b0e",
        "name": "sts-test-app-client",
        "secrets": ["0123456789abcdefghijklmnopqrstuv0123456789abcdefghij"],
        "generate_secret": true,
        "allowed_oauth_flows": ["client_credentials"],
        "allowed_oauth_flows_user_pool_client": true,
        "allowed_oauth_scopes": ["demo/read.file"],
        "access_token_validity": 300
      },
      {"name": "off", "id": "off", "secrets": ["0123456789abcdefghijklmnopqrstuv"], "allowed_oauth_scopes": ["demo/write.file"], "allowed_oauth_flows_user_pool_client": false, "explicit_auth_flows": ["ALLOW_CLIENT_TOKEN_AUTH"]},
      {"name": "short", "allowed_oauth_scopes": ["demo/write.file"]}
    ]
  }, {"name": "empty"}]
}`

func TestConfigFile(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithConfigFile(writeFile(t, wholeConfig)), WithKeys(testKeys()[0]), WithoutListener(), fixedClock())
	p := s.Pool("s2s-test")
	if got, want := p.Issuer()+" "+p.TokenURL(), "https://issuer-cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab3dEf9hI https://cognito.invalid/my-prefix/oauth2/token"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, tc := range []struct{ body, id, secret, want string }{
		{cc, testID, testSecret, `{"access_token":"<jwt>","expires_in":300,"token_type":"Bearer"}`},
		{cc + "&scope=demo/read.file+demo/write.file", testID, testSecret, `{"error":"invalid_scope"}`},
		{cc, "off", "0123456789abcdefghijklmnopqrstuv", `{"error":"invalid_grant"}`},
		{cc, p.Client("short").ID, p.Client("short").Secret, issued},
	} {
		_, body := exchange(t, s.Transport(), http.MethodPost, p.TokenURL(), tc.body, formHeader(tc.id, tc.secret))
		if got := jwtPattern.ReplaceAllString(body, `"<jwt>"`); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.id, got, tc.want)
		}
	}
	if got := mustCall(t, s, "GetClientToken", `{"ClientId":"off","Secret":"0123456789abcdefghijklmnopqrstuv"}`); !strings.Contains(got, `"AccessToken":"eyJ`) {
		t.Errorf("GetClientToken: got %s, want a token", got)
	}
	if empty := s.Pool("empty"); empty == nil || empty.TokenURL() != "https://cognito.invalid/empty/oauth2/token" {
		t.Errorf("a pool with a name only: got %v, want one with the domain empty", empty)
	}
}

func TestConfigFileIsReadStrictly(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"unknown field": {`{"pools": [{"name": "a"}, {"clients": [{"name": "c", "scope": []}]}]}`, []string{"pools[1].clients[0].scope: unknown field; there are access_token_validity, allowed_oauth_flows, "}},
		"other case":    {`{"pools": [{"Name": "a"}]}`, []string{"pools[0].Name: unknown field"}},
		"at the top":    {`{"pool": []}`, []string{"pools.json: pool: unknown field; there are answers, pools"}},
		"twice":         {`{"pools": [{"name": "a", "name": "b"}]}`, []string{"pools[0].name: the field is there twice"}},
		"several": {
			`{"pools": [{"nam": 1, "resource_servers": [{"identifier": 7}], "clients": {}}]}`,
			[]string{"pools[0].nam: unknown", "pools[0].resource_servers[0].identifier: a string is needed", "pools[0].clients: a list [...]"},
		},
		"null":             {`{"pools": [{"name": null}]}`, []string{"pools[0].name: a string is needed"}},
		"null list":        {`{"pools": null}`, []string{"pools: a list"}},
		"list of strings":  {`{"pools": ["x"]}`, []string{"pools[0]: an object {...} is needed"}},
		"number for bool":  {`{"pools": [{"clients": [{"generate_secret": 1}]}]}`, []string{"clients[0].generate_secret: true or false is needed"}},
		"string for list":  {`{"pools": [{"clients": [{"secrets": "hush-hush-hush"}]}]}`, []string{"clients[0].secrets: a list of strings is needed"}},
		"validity as text": {`{"pools": [{"clients": [{"access_token_validity": "1h"}]}]}`, []string{"access_token_validity: a whole number of seconds is needed"}},
		"fraction":         {`{"pools": [{"clients": [{"access_token_validity": 300.5}]}]}`, []string{"access_token_validity: a whole number of seconds is needed"}},
		"zero validity":    {`{"pools": [{"clients": [{"access_token_validity": 0}]}]}`, []string{"300 to 86400"}},
		"short validity":   {`{"pools": [{"clients": [{"access_token_validity": 299}]}]}`, []string{"300 to 86400"}},
		"syntax":           {"{\n\"pools\": [\n}", []string{"pools.json: line 3: invalid character '}'"}},
		"not an object":    {`[]`, []string{"an object {...} is needed"}},
		"two documents":    {`{"pools": [{}]} {}`, []string{"line 1: invalid character"}},
		"empty":            {``, []string{"unexpected end of JSON input"}},
		"no pools":         {`{"pools": []}`, []string{"pools.json: no pools"}},
		"nothing":          {`{}`, []string{"pools.json: no pools"}},
		"no pools beside":  {`{"pools": [], "answers": {"resource": ""}}`, []string{"pools.json: no pools"}},
		"no pools after":   {`{"answers": {"resource": ""}, "pools": []}`, []string{"pools.json: no pools"}},
		"answers": {
			`{"answers": {"invalid_client_status": 402, "no_credentials": "hush", "throttled_status": "429", "resource": null, "x": 1}}`,
			[]string{
				"pools.json: answers.invalid_client_status: 400 or 401 is needed here", `answers.no_credentials: "invalid_client" or "invalid_request" is needed here`,
				"answers.throttled_status: 429 or 400 is needed", `answers.resource: "" or "invalid_request" is needed`, "answers.x: unknown field; there are flow_not_allowed, ",
			},
		},
		"answers as a list": {`{"answers": []}`, []string{"pools.json: answers: an object {...} is needed"}},
		"too large":         {strings.Repeat(" ", configLimit+1), []string{"more than 1048576 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := writeFile(t, tc.text)
			_, err := NewServer(WithConfigFile(path), WithoutListener())
			if _, ok := errors.AsType[*ConfigError](err); !ok {
				t.Fatalf("got %v, want a ConfigError", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %q, want %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("got error %q, want no value in it", err)
			}
		})
	}
	if _, err := NewServer(WithConfigFile(filepath.Join(t.TempDir(), "none.json"))); err == nil || !strings.Contains(err.Error(), "none.json") {
		t.Errorf("no file: got %v, want its name", err)
	}
}

// edited returns the test pool after an edit.
func edited(edit func(p *Pool)) Pool {
	p := testPool()
	p.Clients = p.Clients[:1]
	edit(&p)
	return p
}

func scopes(n int) []Scope {
	list := make([]Scope, n)
	for i := range list {
		list[i].Name = fmt.Sprintf("s%d", i)
	}
	return list
}

func TestRow33PoolsAreChecked(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("a", n) }
	for name, tc := range map[string]struct {
		edit func(p *Pool)
		want string // empty: fine
	}{
		"as it is":                  {func(*Pool) {}, ""},
		"pool id, no region":        {func(p *Pool) { p.ID = "Ab3dEf9hI" }, "id is <region>_"},
		"pool id, too long":         {func(p *Pool) { p.ID = "eu-central-1_" + long(43) }, "at most 55"},
		"pool id of another region": {func(p *Pool) { p.Region = "us-east-1" }, "of another region"},
		"gov region":                {func(p *Pool) { p.ID = "us-gov-west-1_Abc" }, ""},
		"region":                    {func(p *Pool) { p.ID, p.Region = "", "europe" }, "region like"},
		"pool name":                 {func(p *Pool) { p.Name = "a/b" }, "name has 1 to 128"},
		"pool name, too long":       {func(p *Pool) { p.Name = long(129) }, "name has 1 to 128"},
		"domain, upper case":        {func(p *Pool) { p.Domain = "My" }, "invalid character"},
		"domain, hyphen":            {func(p *Pool) { p.Domain = "-my" }, "invalid character"},
		"domain, longest":           {func(p *Pool) { p.Domain = long(63) }, ""},
		"domain, too long":          {func(p *Pool) { p.Domain = long(64) }, "at most 63"},
		"domain with aws":           {func(p *Pool) { p.Domain = "my-aws-x" }, "reserved word: aws"},
		"domain with cognito":       {func(p *Pool) { p.Domain = "cognito" }, "reserved word: cognito"},
		"custom domain":             {func(p *Pool) { p.Domain = "auth.aws.example.com" }, ""},
		"custom domain of Amazon":   {func(p *Pool) { p.Domain = "s2s-test.auth.us-east-1.amazoncognito.com" }, "none of Amazon's own names"},
		"custom domain, wrong":      {func(p *Pool) { p.Domain = "auth..example.com" }, "not a valid subdomain"},
		"custom domain, too long":   {func(p *Pool) { p.Domain = long(60) + ".com" }, "at most 63"},
		"custom domain, longest":    {func(p *Pool) { p.Domain = long(59) + ".com" }, ""},
		"issuer":                    {func(p *Pool) { p.Issuer = "NEW" }, "issuer is EMULATOR"},
		"disallowed scopes":         {func(p *Pool) { p.DisallowedScopes = "keep" }, `"drop" or "reject"`},
		"identifier with space":     {func(p *Pool) { p.ResourceServers[0].Identifier = "de mo" }, "identifier has"},
		"identifier, quote":         {func(p *Pool) { p.ResourceServers[0].Identifier = `de"mo` }, "identifier has"},
		"identifier, empty":         {func(p *Pool) { p.ResourceServers[0].Identifier = "" }, "identifier has"},
		"identifier, too long":      {func(p *Pool) { p.ResourceServers[0].Identifier = long(257) }, "identifier has"},
		"identifier, URL": {func(p *Pool) {
			p.ResourceServers[0].Identifier, p.Clients[0].AllowedOAuthScopes = "https://x/y", []string{"https://x/y/read.file"}
		}, ""},
		"identifier twice":            {func(p *Pool) { p.ResourceServers = append(p.ResourceServers, ResourceServer{Identifier: "demo"}) }, `identifier "demo" is there twice`},
		"server name":                 {func(p *Pool) { p.ResourceServers[0].Name = "a/b" }, "name has 1 to 256"},
		"scope with slash":            {func(p *Pool) { p.ResourceServers[0].Scopes[0].Name = "read/file" }, `\ and /`},
		"scope with backslash":        {func(p *Pool) { p.ResourceServers[0].Scopes[0].Name = `read\file` }, `\ and /`},
		"scope empty":                 {func(p *Pool) { p.ResourceServers[0].Scopes[0].Name = "" }, "name has 1 to 256"},
		"scope twice":                 {func(p *Pool) { p.ResourceServers[0].Scopes[1].Name = "read.file" }, `"read.file" is there twice`},
		"description":                 {func(p *Pool) { p.ResourceServers[0].Scopes[0].Description = long(257) }, "description has"},
		"description, 256 characters": {func(p *Pool) { p.ResourceServers[0].Scopes[0].Description = strings.Repeat("é", 256) }, ""},
		"100 scopes":                  {func(p *Pool) { p.ResourceServers[0].Scopes = append(scopes(98), p.ResourceServers[0].Scopes...) }, ""},
		"101 scopes":                  {func(p *Pool) { p.ResourceServers[0].Scopes = append(scopes(99), p.ResourceServers[0].Scopes...) }, "at most 100 scopes"},
		"26 servers": {func(p *Pool) {
			for i := range 25 {
				p.ResourceServers = append(p.ResourceServers, ResourceServer{Identifier: fmt.Sprint("x", i)})
			}
		}, "at most 25 resource servers"},
		"1001 clients": {func(p *Pool) {
			for i := range 1000 {
				p.Clients = append(p.Clients, Client{Name: fmt.Sprint("x", i), AllowedOAuthScopes: []string{"openid"}})
			}
		}, "at most 1000 clients"},
		"client name, missing":  {func(p *Pool) { p.Clients[0].Name = "" }, "clients[0]: name has"},
		"client name twice":     {func(p *Pool) { p.Clients = append(p.Clients, p.Clients[0]) }, "the name is there twice"},
		"client id":             {func(p *Pool) { p.Clients[0].ID = "a-b" }, "id has 1 to 128"},
		"client id twice":       {func(p *Pool) { p.Clients = append(p.Clients, p.Clients[0]) }, `id "6fn8h3u2vd0c1m7k5s9q4t2b0e" is there twice`},
		"secret, short":         {func(p *Pool) { p.Clients[0].Secrets[0] = long(23) }, "a secret has 24 to 64"},
		"secret, shortest":      {func(p *Pool) { p.Clients[0].Secrets[0] = long(24) }, ""},
		"secret, longest":       {func(p *Pool) { p.Clients[0].Secrets[0] = long(64) }, ""},
		"secret, long":          {func(p *Pool) { p.Clients[0].Secrets[0] = long(65) }, "a secret has 24 to 64"},
		"secret, characters":    {func(p *Pool) { p.Clients[0].Secrets[0] = long(30) + "-" }, "a secret has 24 to 64"},
		"three secrets":         {func(p *Pool) { p.Clients[0].Secrets = []string{long(24), long(25), long(26)} }, "at most 2 active"},
		"the same secret twice": {func(p *Pool) { p.Clients[0].Secrets = []string{long(24), long(24)} }, "the same as the other one"},
		"validity, short":       {func(p *Pool) { p.Clients[0].AccessTokenValidity = 299 * time.Second }, "300 to 86400"},
		"validity, long":        {func(p *Pool) { p.Clients[0].AccessTokenValidity = 86401 * time.Second }, "300 to 86400"},
		"validity, fraction":    {func(p *Pool) { p.Clients[0].AccessTokenValidity = 300*time.Second + 1 }, "300 to 86400"},
		"no secret":             {func(p *Pool) { p.Clients[0].Secrets, p.Clients[0].GenerateSecret = nil, new(false) }, "client_credentials flow can not be selected if client does not have a client secret."},
		"no scopes":             {func(p *Pool) { p.Clients[0].AllowedOAuthScopes = nil }, "AllowedOAuthFlows and AllowedOAuthScopes are required"},
		"no scopes, not enabled": {func(p *Pool) {
			p.Clients[0].AllowedOAuthScopes, p.Clients[0].AllowedOAuthFlowsUserPoolClient = nil, new(false)
		}, ""},
		"no flows":                 {func(p *Pool) { p.Clients[0].AllowedOAuthFlows = []string{} }, "AllowedOAuthFlows and AllowedOAuthScopes are required"},
		"two kinds of flow":        {func(p *Pool) { p.Clients[0].AllowedOAuthFlows = []string{"code", "client_credentials"} }, "can not be selected along with code flow"},
		"flow twice":               {func(p *Pool) { p.Clients[0].AllowedOAuthFlows = []string{"code", "code"} }, `flow "code" is there twice`},
		"unknown flow":             {func(p *Pool) { p.Clients[0].AllowedOAuthFlows = []string{"password"} }, `got "password"`},
		"unknown scope":            {func(p *Pool) { p.Clients[0].AllowedOAuthScopes = []string{"demo/admin"} }, "Invalid scope requested: demo/admin"},
		"scope without identifier": {func(p *Pool) { p.Clients[0].AllowedOAuthScopes = []string{"read.file"} }, "Invalid scope requested: read.file"},
		"allowed scope twice":      {func(p *Pool) { p.Clients[0].AllowedOAuthScopes = []string{"openid", "openid"} }, `scope "openid" is there twice`},
		"auth flow":                {func(p *Pool) { p.Clients[0].ExplicitAuthFlows = []string{"ALLOW_X"} }, `ALLOW_CLIENT_TOKEN_AUTH, got "ALLOW_X"`},
		"auth flow twice": {func(p *Pool) {
			p.Clients[0].ExplicitAuthFlows = []string{"ALLOW_USER_AUTH", "ALLOW_USER_AUTH"}
		}, `"ALLOW_USER_AUTH" is there twice`},
		"two kinds of auth flow": {func(p *Pool) {
			p.Clients[0].ExplicitAuthFlows = []string{"ALLOW_CLIENT_TOKEN_AUTH", "ALLOW_USER_AUTH"}
		}, "must be the only authentication flow"},
		"auth flow without secret": {func(p *Pool) {
			c := &p.Clients[0]
			c.Secrets, c.GenerateSecret, c.AllowedOAuthFlows, c.ExplicitAuthFlows = nil, new(false), []string{"code"}, []string{"ALLOW_CLIENT_TOKEN_AUTH"}
		}, "ALLOW_CLIENT_TOKEN_AUTH can not be selected"},
		"51 scopes of a client":     {func(p *Pool) { manyScopes(p, 51) }, "at most 50 scopes"},
		"50 scopes of a client":     {func(p *Pool) { manyScopes(p, 50) }, ""},
		"resource server, no names": {func(p *Pool) { p.ResourceServers[0].Name, p.ResourceServers[0].Scopes[0].Description = "", "" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := NewServer(WithPool(edited(tc.edit)), WithoutListener())
			if tc.want == "" {
				if err != nil {
					t.Fatalf("got %v, want no error", err)
				}
				s.Close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), strings.Repeat("a", 23)) && strings.HasPrefix(name, "secret") {
				t.Errorf("got %v, want no secret in it", err)
			}
		})
	}
}

func manyScopes(p *Pool, n int) {
	p.ResourceServers[0].Scopes = scopes(n)
	p.Clients[0].AllowedOAuthScopes = nil
	for i := range n {
		p.Clients[0].AllowedOAuthScopes = append(p.Clients[0].AllowedOAuthScopes, fmt.Sprintf("demo/s%d", i))
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	pair := testKeys()[0]
	for name, tc := range map[string]struct {
		opts []Option
		want string
	}{
		"lifetime of zero":     {[]Option{WithTokenLifetime(0)}, "WithTokenLifetime"},
		"lifetime, fraction":   {[]Option{WithTokenLifetime(1500 * time.Millisecond)}, "WithTokenLifetime"},
		"lifetime, too long":   {[]Option{WithTokenLifetime(24*time.Hour + time.Second)}, "WithTokenLifetime"},
		"disallowed scopes":    {[]Option{WithDisallowedScopes("keep")}, "WithDisallowedScopes"},
		"invalid client":       {[]Option{WithAnswers(Answers{InvalidClientStatus: 403})}, "WithAnswers"},
		"throttle":             {[]Option{WithThrottle(-1)}, "WithThrottle"},
		"more keys":            {[]Option{WithKeys(pair, pair)}, "1 pairs more"},
		"same pool twice":      {[]Option{WithPool(testPool()), WithPool(testPool())}, `id "eu-central-1_Ab3dEf9hI" is there twice`},
		"same name":            {[]Option{WithPool(Pool{Name: "a", Domain: "a"}), WithPool(Pool{Name: "a", Domain: "b"})}, "the name is there twice"},
		"same domain":          {[]Option{WithPool(Pool{Name: "a", Domain: "x"}), WithPool(Pool{Name: "b", Domain: "x"})}, `domain "x" is there twice`},
		"1001 pools":           {manyNames(1001, "pool%d"), "at most 1000 user pools, got 1001"},
		"5 custom domains":     {manyNames(5, "auth%d.example.com"), "at most 4 custom domains of all user pools together, got 5"},
		"all problems at once": {[]Option{WithThrottle(-1), WithPool(Pool{Name: "/"}), WithPool(Pool{Name: "b", Domain: "X"})}, "3 problems"},
	} {
		_, err := NewServer(append(tc.opts, WithoutListener())...)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, tc.want)
		}
	}
}

// manyNames are pools of which each has the same name and domain.
func manyNames(n int, form string) []Option {
	opts := make([]Option, n)
	for i := range opts {
		opts[i] = WithPool(Pool{Name: fmt.Sprintf(form, i), Domain: fmt.Sprintf(form, i)})
	}
	return opts
}

func TestDefaultDomains(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"s2s-test": "s2s-test", "My Pool": "my-pool", "x_y": "x-y", "--": "pool-", "our aws pool": "pool-", strings.Repeat("a", 62) + "_b": strings.Repeat("a", 62),
	} {
		got := domainFrom(name)
		if want == "pool-" {
			if !strings.HasPrefix(got, want) || len(got) != 13 {
				t.Errorf("%q: got %q, want a generated one", name, got)
			}
		} else if got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
	s := newServer(t, WithPool(Pool{}), WithPool(Pool{ID: "eu-west-1_a"}), WithoutListener())
	if a, b := s.Pools()[0], s.Pools()[1]; a.Name() != "pool-1" || a.Region() != "us-east-1" || b.Name() != "pool-2" || b.Region() != "eu-west-1" {
		t.Errorf("got %s in %s and %s in %s, want pool-1 in us-east-1 and pool-2 in eu-west-1", a.Name(), a.Region(), b.Name(), b.Region())
	}
}

func TestConfigurationIsCopied(t *testing.T) {
	t.Parallel()
	p := testPool()
	s := newServer(t, WithPool(p), WithoutListener())
	p.Clients[0].AllowedOAuthScopes[0], p.Clients[0].Secrets[0], p.ResourceServers[0].Scopes[0].Name = "x", "x", "x"
	if _, payload := parts(t, getToken(t, s, "")); !strings.Contains(payload, `"scope":"demo/read.file demo/write.file"`) {
		t.Errorf("got %s, want the scopes that were configured", payload)
	}
	given := DemoPool()
	newServer(t, WithPool(given), WithoutListener())
	if given.ID != "" || given.Clients[0].ID != "" || given.Clients[0].Secrets != nil {
		t.Error("the caller's pool was changed")
	}
}
