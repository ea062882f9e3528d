// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const directCredentials = `"ClientId":"direct","Secret":"` + testSecret + `"`

func TestGetClientToken(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(apiPool()), WithoutListener(), fixedClock())
	_, keys := fetchKeys(t, s, s.JWKSURL())
	for name, tc := range map[string]struct{ more, scopes string }{
		"all scopes":        {``, "demo/read.file demo/write.file"},
		"no scopes named":   {`,"Scopes":[]`, "demo/read.file demo/write.file"},
		"one scope":         {`,"Scopes":["demo/write.file"]`, "demo/write.file"},
		"disallowed scope":  {`,"Scopes":["demo/admin","demo/read.file"]`, "demo/read.file"},
		"scope twice, null": {`,"Scopes":["demo/read.file",null,"demo/read.file"]`, "demo/read.file"},
		"metadata":          {`,"ClientMetadata":{"a":"b"}`, "demo/read.file demo/write.file"},
	} {
		body := mustCall(t, s, "GetClientToken", `{`+directCredentials+tc.more+`}`)
		token := textAt(t, body, "ClientAuthenticationResult", "AccessToken")
		if err := verify(t, token, keys); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, claims := parts(t, token); !strings.HasPrefix(claims, `{"sub":"direct","token_use":"access","scope":"`+tc.scopes+`",`) {
			t.Errorf("%s: got claims %s, want scopes %s", name, claims, tc.scopes)
		}
	}
	if status, body := tokenFrom(t, s, "my-prefix", "direct", testSecret); status != http.StatusBadRequest || body != `{"error":"invalid_grant"}` {
		t.Errorf("token endpoint: got %d %s, want invalid_grant: the client has no OAuth flow", status, body)
	}
	// A pool needs no domain, and a client may have both ways.
	mustCall(t, s, "DeleteUserPoolDomain", `{`+inPool+`,"Domain":"my-prefix"}`)
	mustCall(t, s, "UpdateUserPoolClient", `{`+inPool+`,"ClientId":"direct","ExplicitAuthFlows":["ALLOW_CLIENT_TOKEN_AUTH"],"AllowedOAuthFlowsUserPoolClient":true,"AllowedOAuthFlows":["client_credentials"],"AllowedOAuthScopes":["demo/read.file"],"AccessTokenValidity":5,"TokenValidityUnits":{"AccessToken":"minutes"}}`)
	if got := mustCall(t, s, "GetClientToken", `{`+directCredentials+`}`); !strings.Contains(got, `"ExpiresIn":300,`) {
		t.Errorf("got %s, want a token for 300 seconds", got)
	}
	mustCall(t, s, "UpdateUserPoolClient", `{`+inPool+`,"ClientId":"direct","ExplicitAuthFlows":["ALLOW_CLIENT_TOKEN_AUTH"],"AllowedOAuthScopes":["demo/read.file"]}`)
	if got := mustCall(t, s, "GetClientToken", `{`+directCredentials+`}`); !strings.Contains(got, `"ExpiresIn":3600,`) {
		t.Errorf("got %s, want a token for an hour, the default", got)
	}
	// An added secret works as the first does.
	mustCall(t, s, "AddUserPoolClientSecret", `{`+inPool+`,"ClientId":"direct","ClientSecret":"aaaaaaaaaaaa+bbbbbbbbbbbb"}`)
	mustCall(t, s, "GetClientToken", `{"ClientId":"direct","Secret":"aaaaaaaaaaaa+bbbbbbbbbbbb"}`)
}

func TestGetClientTokenRejectsScopes(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(apiPool()), WithoutListener(), WithDisallowedScopes(RejectScopes))
	resp, body := callAPI(t, s, "GetClientToken", `{`+directCredentials+`,"Scopes":["demo/read.file","demo/admin"]}`)
	if want := `{"__type":"InvalidParameterException","message":"Invalid scope requested: demo/read.file demo/admin"}`; resp.StatusCode != http.StatusBadRequest || body != want {
		t.Errorf("got %d %s, want 400 %s", resp.StatusCode, body, want)
	}
}

// TestGetClientTokenIsATokenRequest: it is counted, recorded, throttled and made to fail.
func TestGetClientTokenIsATokenRequest(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(apiPool()), WithoutListener(), fixedClock())
	for _, body := range []string{
		`{` + directCredentials + `,"Scopes":["demo/admin","demo/read.file"]}`,
		`{"ClientId":"direct","Secret":"hush"}`,
		`{"ClientId":"nobody","Secret":"hush"}`,
		`{}`,
	} {
		callAPI(t, s, "GetClientToken", body)
	}
	s.SetFault(TokenEndpoint, Fault{Status: 500}) // of another host
	s.SetFault(APIEndpoint, Fault{Status: 503, Times: 2})
	if resp, _ := callAPI(t, s, "GetClientToken", `{`+directCredentials+`}`); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("fault: got %d, want 503", resp.StatusCode)
	}
	if resp, _ := callAPI(t, s, "ListUserPools", `{"MaxResults":1}`); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("fault of another operation: got %d, want 503", resp.StatusCode)
	}
	mustCall(t, s, "ListUserPools", `{"MaxResults":1}`)

	p := s.Pool("s2s-test")
	if got, want := s.Counts(), (Counts{TokenRequests: 5, TokensIssued: 1, TokensRefused: 3, TokensFaulted: 1}); got != want {
		t.Errorf("server: got %+v, want %+v", got, want)
	}
	if got, want := p.Counts(), (Counts{TokenRequests: 2, TokensIssued: 1, TokensRefused: 1}); got != want {
		t.Errorf("pool: got %+v, want %+v", got, want)
	}
	log := s.TokenRequests()
	if len(log) != 5 {
		t.Fatalf("record: got %+v, want 5 entries", log)
	}
	if e := log[0]; e.Pool != testPoolID || e.ClientID != "direct" || e.Client != "direct" || e.Status != 200 || e.Error != "" || !e.Time.Equal(testNow) ||
		!slices.Equal(e.Asked, []string{"demo/admin", "demo/read.file"}) || !slices.Equal(e.Granted, []string{"demo/read.file"}) || !slices.Equal(e.Dropped(), []string{"demo/admin"}) {
		t.Errorf("record of a token: got %+v", e)
	}
	if e := log[1]; e.ClientID != "direct" || e.Status != 400 || e.Error != "NotAuthorizedException" || e.Granted != nil {
		t.Errorf("record of a wrong secret: got %+v", e)
	}
	if e := log[2]; e.ClientID != "" || e.Pool != "" || e.Error != "NotAuthorizedException" {
		t.Errorf("record of an unknown client: got %+v, want no name", e)
	}
	if e := log[3]; e.Status != 400 || e.Error != "InvalidParameterException" {
		t.Errorf("record of no credentials: got %+v", e)
	}
	if e := log[4]; e.Status != 503 || !e.Fault {
		t.Errorf("record of a fault: got %+v", e)
	}
}

func TestGetClientTokenSharesTheThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithPool(apiPool()), WithoutListener(), WithThrottle(2))
		mustCall(t, s, "GetClientToken", `{`+directCredentials+`}`)
		getToken(t, s, "")
		resp, body := callAPI(t, s, "GetClientToken", `{`+directCredentials+`}`)
		if want := `{"__type":"TooManyRequestsException","message":"Rate exceeded"}`; resp.StatusCode != http.StatusBadRequest || body != want {
			t.Errorf("got %d %s, want 400 %s", resp.StatusCode, body, want)
		}
		if status, _ := tokenFrom(t, s, "my-prefix", testID, testSecret); status != http.StatusTooManyRequests {
			t.Errorf("token endpoint: got %d, want 429", status)
		}
		mustCall(t, s, "ListUserPools", `{"MaxResults":1}`) // other operations have quotas of their own
		time.Sleep(time.Second)
		mustCall(t, s, "GetClientToken", `{`+directCredentials+`}`)
		if got := s.Counts(); got.TokensThrottled != 2 || got.TokensIssued != 3 {
			t.Errorf("got %+v, want 3 tokens and 2 throttled", got)
		}
	})
}

// TestGetClientTokenOfARegion: Cognito's host has the clients of its region only.
func TestGetClientTokenOfARegion(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(apiPool()), WithoutListener())
	for region, want := range map[string]string{"eu-central-1": `"AccessToken"`, "eu-west-1": `"NotAuthorizedException"`} {
		_, body := exchange(t, s.Transport(), http.MethodPost, "https://cognito-idp."+region+".amazonaws.com/", `{`+directCredentials+`}`, apiHeader("GetClientToken"))
		if !strings.Contains(body, want) {
			t.Errorf("%s: got %s, want %s", region, body, want)
		}
	}
}

// TestGetClientTokenOfADeletedClient: it may go between two look-ups.
func TestGetClientTokenOfADeletedClient(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(apiPool()), WithoutListener())
	s.store.mu.Lock()
	s.store.clients["ghost"] = []*UserPool{s.store.pools.all()[0]}
	s.store.mu.Unlock()
	if resp, body := callAPI(t, s, "GetClientToken", `{"ClientId":"ghost","Secret":"x"}`); resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "NotAuthorizedException") {
		t.Errorf("got %d %s, want NotAuthorizedException", resp.StatusCode, body)
	}
}

// TestGetClientTokenWithoutKeys: keys that cannot be kept issue no token.
func TestGetClientTokenWithoutKeys(t *testing.T) {
	t.Parallel()
	pool := apiPool()
	pool.Keys = KeyPair{}
	s := newServer(t, WithPool(pool), WithoutListener())
	s.store.recorder = recorderFunc(func(change) error { return errClosed })
	resp, body := callAPI(t, s, "GetClientToken", `{`+directCredentials+`}`)
	if want := `{"__type":"InternalErrorException","message":"Nothing was changed: the change could not be kept."}`; resp.StatusCode != http.StatusInternalServerError || body != want {
		t.Errorf("got %d %s, want 500 %s", resp.StatusCode, body, want)
	}
}
