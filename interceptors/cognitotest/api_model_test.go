// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tokenFrom asks the token endpoint of a domain and returns status and body.
func tokenFrom(tb testing.TB, s *Server, domain, id, secret string) (int, string) {
	tb.Helper()
	resp, body := exchange(tb, s.Transport(), http.MethodPost, s.URL()+"/"+domain+"/oauth2/token", cc, formHeader(id, secret))
	return resp.StatusCode, body
}

// TestAPIMakesWhatTheTokenEndpointServes goes the way of a team that has nothing.
func TestAPIMakesWhatTheTokenEndpointServes(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithKeys(testKeys()[0]), WithoutListener())
	pool := textAt(t, mustCall(t, s, "CreateUserPool", `{"PoolName":"mine"}`), "UserPool", "Id")
	in := fmt.Sprintf(`"UserPoolId":%q`, pool)
	created := mustCall(t, s, "CreateResourceServer", `{`+in+`,"Identifier":"https://api.example.com","Name":"x","Scopes":[{"ScopeName":"read","ScopeDescription":"d"},{"ScopeName":"write","ScopeDescription":"d"}]}`)
	if got := textAt(t, created, "ResourceServer", "UserPoolId"); got != pool {
		t.Fatalf("got pool %s, want %s", got, pool)
	}
	client := mustCall(t, s, "CreateUserPoolClient", `{`+in+`,"ClientName":"c","GenerateSecret":true,"AllowedOAuthFlowsUserPoolClient":true,"AllowedOAuthFlows":["client_credentials"],"AllowedOAuthScopes":["https://api.example.com/read","https://api.example.com/write"],"AccessTokenValidity":5,"TokenValidityUnits":{"AccessToken":"minutes"}}`)
	id, old := textAt(t, client, "UserPoolClient", "ClientId"), textAt(t, client, "UserPoolClient", "ClientSecret")
	mine := in + fmt.Sprintf(`,"ClientId":%q`, id)

	want := func(what, domain, secret string, status int, inBody string) string {
		t.Helper()
		gotStatus, body := tokenFrom(t, s, domain, id, secret)
		if gotStatus != status || !strings.Contains(body, inBody) {
			t.Fatalf("%s: got %d %s, want %d with %s", what, gotStatus, body, status, inBody)
		}
		return body
	}
	want("no domain yet", "mine", old, 405, "")
	mustCall(t, s, "CreateUserPoolDomain", `{`+in+`,"Domain":"mine"}`)
	body := want("with a domain", "mine", old, 200, `"expires_in":300`)
	_, claims := parts(t, textAt(t, body, "access_token"))
	if !strings.Contains(claims, `"scope":"https://api.example.com/read https://api.example.com/write"`) || !strings.Contains(claims, `"iss":"`+s.URL()+`/`+pool+`"`) {
		t.Errorf("got claims %s", claims)
	}

	added := mustCall(t, s, "AddUserPoolClientSecret", `{`+mine+`}`)
	next := textAt(t, added, "ClientSecretDescriptor", "ClientSecretValue")
	want("old of two secrets", "mine", old, 200, "access_token")
	want("new of two secrets", "mine", next, 200, "access_token")
	var list struct{ ClientSecrets []map[string]any }
	listed := mustCall(t, s, "ListUserPoolClientSecrets", `{`+mine+`}`)
	if err := json.Unmarshal([]byte(listed), &list); err != nil || len(list.ClientSecrets) != 2 || strings.Contains(listed, old) || strings.Contains(listed, next) {
		t.Fatalf("got %s, want two ids and no values", listed)
	}
	mustCall(t, s, "DeleteUserPoolClientSecret", `{`+mine+fmt.Sprintf(`,"ClientSecretId":%q}`, list.ClientSecrets[0]["ClientSecretId"]))
	want("deleted secret", "mine", old, 400, `{"error":"invalid_client"}`)
	want("the other", "mine", next, 200, "access_token")
	if described := mustCall(t, s, "DescribeUserPoolClient", `{`+mine+`}`); strings.Contains(described, "ClientSecret") {
		t.Errorf("got %s, want no secret: one that was added is shown once", described)
	}

	mustCall(t, s, "UpdateResourceServer", `{`+in+`,"Identifier":"https://api.example.com","Name":"x","Scopes":[{"ScopeName":"read","ScopeDescription":"d"}]}`)
	body = want("a scope gone from its server", "mine", next, 200, "access_token")
	if _, claims := parts(t, textAt(t, body, "access_token")); !strings.Contains(claims, `"scope":"https://api.example.com/read"`) {
		t.Errorf("got claims %s, want the scope that is left", claims)
	}
	mustCall(t, s, "DeleteResourceServer", `{`+in+`,"Identifier":"https://api.example.com"}`)
	want("no scope left", "mine", next, 400, `{"error":"invalid_scope"}`)
	mustCall(t, s, "UpdateUserPoolClient", `{`+mine+`,"AllowedOAuthFlows":["client_credentials"]}`)
	want("OAuth reset", "mine", next, 400, `{"error":"invalid_grant"}`)
	mustCall(t, s, "DeleteUserPoolClient", `{`+mine+`}`)
	want("deleted client", "mine", next, 400, `{"error":"invalid_client"}`)
	mustCall(t, s, "DeleteUserPoolDomain", `{`+in+`,"Domain":"mine"}`)
	want("deleted domain", "mine", next, 405, "")
	mustCall(t, s, "DeleteUserPool", `{`+in+`}`)
	if s.Pool(pool) != nil || len(s.Pools()) != 1 {
		t.Error("the pool is still there")
	}
}

// TestAPIUpdateUserPoolResets: what is left out goes back to its default, but for
// what an update cannot set and the tier.
func TestAPIUpdateUserPoolResets(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithoutListener(), fixedClock(), WithPool(testPool()))
	pool := textAt(t, mustCall(t, s, "CreateUserPool", `{"PoolName":"p","DeletionProtection":"ACTIVE","UserPoolTier":"PLUS","IssuerConfiguration":{"Type":"UPDATED"},"MfaConfiguration":"ON","UsernameAttributes":["email"],"AutoVerifiedAttributes":["email"]}`), "UserPool", "Id")
	in := fmt.Sprintf(`"UserPoolId":%q`, pool)
	mustCall(t, s, "CreateUserPoolDomain", `{`+in+`,"Domain":"stays"}`)
	for _, tc := range []struct{ update, there, gone string }{
		{``, `"DeletionProtection":"INACTIVE" "UserPoolTier":"PLUS" "Type":"UPDATED" "MfaConfiguration":"OFF" "UsernameAttributes":["email"] "Name":"p" "Domain":"stays"`, `AutoVerifiedAttributes`},
		{`,"PoolName":"q","DeletionProtection":"ACTIVE","UserPoolTier":"LITE","IssuerConfiguration":{"Type":"ORIGINAL"},"MfaConfiguration":"OPTIONAL","UsernameAttributes":["phone_number"]`, `"DeletionProtection":"ACTIVE" "UserPoolTier":"LITE" "Type":"ORIGINAL" "MfaConfiguration":"OPTIONAL" "UsernameAttributes":["email"] "Name":"q" "Domain":"stays"`, `AutoVerifiedAttributes`},
	} {
		mustCall(t, s, "UpdateUserPool", `{`+in+tc.update+`}`)
		got := mustCall(t, s, "DescribeUserPool", `{`+in+`}`)
		for part := range strings.SplitSeq(tc.there, " ") {
			if !strings.Contains(got, part) {
				t.Errorf("update %s: got %s, want %s", tc.update, got, part)
			}
		}
		if strings.Contains(got, tc.gone) {
			t.Errorf("update %s: got %s, want no %s", tc.update, got, tc.gone)
		}
	}
	if got := s.Pool("q").Issuer(); got != "https://cognito-idp.us-east-1.amazonaws.com/"+pool {
		t.Errorf("issuer: got %s, want the form ORIGINAL", got)
	}
	mustCall(t, s, "UpdateUserPool", `{`+inPool+`}`)
	if got := s.Pool(testPoolID).Issuer(); got != s.URL()+"/"+testPoolID {
		t.Errorf("issuer of a configured pool after an update: got %s, want the emulator's", got)
	}
}

func TestAPIRegions(t *testing.T) {
	t.Parallel()
	s := newServer(t, append(twoPools(), WithoutListener(), WithDisallowedScopes(RejectScopes))...)
	const credential = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261128/%s/cognito-idp/aws4_request, SignedHeaders=host, Signature=0"
	for _, tc := range []struct{ address, credential, region string }{
		{s.URL() + "/", "", "us-east-1"},
		{s.URL() + "/", "eu-west-1", "eu-west-1"},
		{s.URL() + "/", "nowhere", "us-east-1"},
		{"https://cognito-idp.ap-south-1.amazonaws.com/", "eu-west-1", "ap-south-1"},
		{"https://cognito-idp-fips.us-gov-west-1.amazonaws.com/", "", "us-gov-west-1"},
	} {
		header := apiHeader("CreateUserPool")
		if tc.credential != "" {
			header.Set("Authorization", fmt.Sprintf(credential, tc.credential))
		}
		_, body := exchange(t, s.Transport(), http.MethodPost, tc.address, `{"PoolName":"x"}`, header)
		p := s.Pool(textAt(t, body, "UserPool", "Id"))
		if p == nil || p.Region() != tc.region || p.record.Load().DisallowedScopes != RejectScopes {
			t.Errorf("%s signed for %q: got %s, want a pool in %s that rejects scopes", tc.address, tc.credential, body, tc.region)
		}
		partition := "arn:aws:"
		if strings.Contains(tc.region, "gov") {
			partition = "arn:aws-us-gov:"
		}
		if !strings.HasPrefix(textAt(t, body, "UserPool", "Arn"), partition+"cognito-idp:"+tc.region+":") {
			t.Errorf("got %s, want an ARN of %s", body, tc.region)
		}
	}
	ids := func(address string) []string {
		_, body := exchange(t, s.Transport(), http.MethodPost, address, `{"MaxResults":60}`, apiHeader("ListUserPools"))
		return listedIDs.FindAllString(body, -1)
	}
	if got := ids(s.URL() + "/"); len(got) != 7 {
		t.Errorf("own host: got %v, want the pools of all regions", got)
	}
	if got := ids("https://cognito-idp.us-gov-west-1.amazonaws.com/"); len(got) != 2 || !strings.HasPrefix(got[1], "us-gov-west-1_") {
		t.Errorf("Cognito's host: got %v, want the pools of its region", got)
	}
	_, body := exchange(t, s.Transport(), http.MethodPost, "https://cognito-idp.us-gov-west-1.amazonaws.com/", `{"Domain":"my-prefix"}`, apiHeader("DescribeUserPoolDomain"))
	if body != `{"DomainDescription":{}}` {
		t.Errorf("domain of another region: got %s, want nothing", body)
	}
}

// TestAPIPages walks lists by pages while they change.
func TestAPIPages(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithPool(Pool{Name: "other", Domain: "other", ID: "eu-central-1_Other"}), WithoutListener())
	for i := range 10 {
		for _, in := range []string{inPool, inOther} {
			mustCall(t, s, "CreateResourceServer", fmt.Sprintf(`{%s,"Identifier":"s%d","Name":"x"}`, in, i))
			mustCall(t, s, "CreateUserPoolClient", fmt.Sprintf(`{%s,"ClientName":"c%d"}`, in, i))
		}
		mustCall(t, s, "CreateUserPool", fmt.Sprintf(`{"PoolName":"p%d"}`, i))
	}
	walk := func(operation, in, list, name string, size int, between func()) []string {
		t.Helper()
		var names []string
		for token := ""; ; between() {
			more := ""
			if token != "" {
				more = fmt.Sprintf(`,"NextToken":%q`, token)
			}
			body := mustCall(t, s, operation, fmt.Sprintf(`{"MaxResults":%d%s%s}`, size, in, more))
			var page map[string]json.RawMessage
			var items []map[string]any
			if json.Unmarshal([]byte(body), &page) != nil || json.Unmarshal(page[list], &items) != nil || len(items) == 0 || len(items) > size {
				t.Fatalf("%s: got %s, want 1 to %d items", operation, body, size)
			}
			for _, item := range items {
				names = append(names, fmt.Sprint(item[name]))
			}
			if token = textAt(t, body, "NextToken"); token == "" {
				return names
			}
		}
	}
	nothing := func() {}
	want := []string{"demo", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"}
	for _, size := range []int{1, 3, 10, 11, 50} {
		if got := walk("ListResourceServers", ","+inPool, "ResourceServers", "Identifier", size, nothing); !slices.Equal(got, want) {
			t.Errorf("pages of %d: got %v, want %v", size, got, want)
		}
	}
	if got := walk("ListUserPoolClients", ","+inOther, "UserPoolClients", "ClientName", 4, nothing); strings.Join(got, " ") != "c0 c1 c2 c3 c4 c5 c6 c7 c8 c9" {
		t.Errorf("clients: got %v", got)
	}
	i := 0
	got := walk("ListUserPools", "", "UserPools", "Name", 5, func() {
		// What was listed goes, something ahead goes, and something comes.
		for _, name := range []string{fmt.Sprintf("p%d", 2+5*i), fmt.Sprintf("p%d", 4+5*i)} {
			if p := s.Pool(name); p != nil {
				mustCall(t, s, "DeleteUserPool", fmt.Sprintf(`{"UserPoolId":%q}`, p.ID()))
			}
		}
		mustCall(t, s, "CreateUserPool", fmt.Sprintf(`{"PoolName":"late%d"}`, i))
		i++
	})
	if strings.Join(got, " ") != "s2s-test other p0 p1 p2 p3 p5 p6 p7 p8 late0 late1" {
		t.Errorf("pools that change: got %v", got)
	}

	token := textAt(t, mustCall(t, s, "ListUserPoolClients", `{`+inPool+`,"MaxResults":1}`), "NextToken")
	again := newServer(t, WithPool(testPool()), WithoutListener())
	for name, tc := range map[string]struct {
		server          *Server
		operation, body string
	}{
		"of another pool":      {s, "ListUserPoolClients", `{` + inOther + `,"MaxResults":1,"NextToken":%q}`},
		"of another operation": {s, "ListResourceServers", `{` + inPool + `,"MaxResults":1,"NextToken":%q}`},
		"of another run":       {again, "ListUserPoolClients", `{` + inPool + `,"MaxResults":1,"NextToken":%q}`},
	} {
		if resp, body := callAPI(t, tc.server, tc.operation, fmt.Sprintf(tc.body, token)); resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "Invalid pagination token.") {
			t.Errorf("token %s: got %d %s, want a refusal", name, resp.StatusCode, body)
		}
	}
}

// TestAPIDomains: a pool can have a prefix and a custom domain; the prefix names it.
func TestAPIDomains(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	p := s.Pool(testPoolID)
	mustCall(t, s, "DeleteUserPoolDomain", `{`+inPool+`,"Domain":"my-prefix"}`)
	check := func(tokenURL, cognitoURL string) {
		t.Helper()
		if got, gotCognito := p.TokenURL(), p.CognitoTokenURL(); got != tokenURL || gotCognito != cognitoURL || s.TokenURL() != tokenURL {
			t.Errorf("got %q and %q, want %q and %q", got, gotCognito, tokenURL, cognitoURL)
		}
	}
	check("", "")
	_, discovery := exchange(t, s.Transport(), http.MethodGet, p.Issuer()+"/.well-known/openid-configuration", "", nil)
	if strings.Contains(discovery, "token_endpoint\"") || !strings.Contains(discovery, `"jwks_uri":"`+p.JWKSURL()) {
		t.Errorf("discovery without a domain: got %s, want no token endpoint", discovery)
	}
	mustCall(t, s, "CreateUserPoolDomain", `{`+inPool+`,"Domain":"auth.example.com","CustomDomainConfig":{"CertificateArn":"arn:aws:acm:us-east-1:123456789012:certificate/1"}}`)
	check("https://cognito.invalid/auth.example.com/oauth2/token", "https://auth.example.com/oauth2/token")
	mustCall(t, s, "CreateUserPoolDomain", `{`+inPool+`,"Domain":"prefix"}`)
	check("https://cognito.invalid/prefix/oauth2/token", "https://prefix.auth.eu-central-1.amazoncognito.com/oauth2/token")
	for _, address := range []string{
		"https://cognito.invalid/prefix/oauth2/token", "https://cognito.invalid/auth.example.com/oauth2/token", "https://cognito.invalid/oauth2/token",
		"https://auth.example.com/oauth2/token", "https://prefix.auth.eu-central-1.amazoncognito.com/oauth2/token",
	} {
		if resp, body := exchange(t, s.Transport(), http.MethodPost, address, cc, basic()); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: got %d %s, want a token", address, resp.StatusCode, body)
		}
	}
}

var listedIDs = regexp.MustCompile(`[a-z]{2}(?:-gov)?-[a-z]+-\d_[0-9A-Za-z]+`)
