// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// fetch asks for a token and returns what the endpoint answered.
func fetch(client *http.Client, tokenURL string, c cognitotest.Credentials, scopes string) (status int, body map[string]any) {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scopes}}
	req, err := http.NewRequest(http.MethodPost, tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(c.ID, c.Secret)
	resp, err := client.Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	_ = json.NewDecoder(resp.Body).Decode(&body)
	return resp.StatusCode, body
}

func Example() {
	cognito, err := cognitotest.NewServer()
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	client := cognito.Pool("s2s-test").Client("sts-test-app-client")

	status, body := fetch(&http.Client{Timeout: time.Minute}, cognito.TokenURL(), client, "demo/read.file demo/admin")
	fmt.Println(status, body["token_type"], body["expires_in"])

	last := cognito.TokenRequests()[0]
	fmt.Println("granted", last.Granted, "dropped", last.Dropped())
	// Output:
	// 200 Bearer 3600
	// granted [demo/read.file] dropped [demo/admin]
}

func ExampleWithPool() {
	cognito, err := cognitotest.NewServer(cognitotest.WithPool(cognitotest.Pool{
		Name: "billing",
		ResourceServers: []cognitotest.ResourceServer{{
			Identifier: "https://api.example.com", Scopes: []cognitotest.Scope{{Name: "invoices"}},
		}},
		Clients: []cognitotest.Client{{
			Name: "nightly", AllowedOAuthScopes: []string{"https://api.example.com/invoices"},
		}},
	}))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	status, _ := fetch(&http.Client{Timeout: time.Minute}, cognito.TokenURL(), cognito.Pool("billing").Client("nightly"), "")
	fmt.Println(status)
	// Output: 200
}

// Code that is configured with Cognito's real addresses is tested without the
// network.
func ExampleServer_Transport() {
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithPool(cognitotest.DemoPool()))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	pool := cognito.Pool("s2s-test")
	client := &http.Client{Transport: cognito.Transport()}

	fmt.Println(pool.CognitoTokenURL())
	status, _ := fetch(client, pool.CognitoTokenURL(), pool.Client("sts-test-app-client"), "demo/read.file")
	fmt.Println(status)
	resp, err := client.Get("https://example.com/")
	if err == nil {
		resp.Body.Close()
	}
	fmt.Println("another host is refused:", err != nil)
	// Output:
	// https://s2s-test.auth.us-east-1.amazoncognito.com/oauth2/token
	// 200
	// another host is refused: true
}

func ExampleServer_SetFault() {
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener())
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	client := &http.Client{Transport: cognito.Transport()}
	credentials := cognito.Pool("s2s-test").Client("sts-test-app-client")

	cognito.SetFault(cognitotest.TokenEndpoint,
		cognitotest.Fault{Status: 429, Header: http.Header{"Retry-After": {"2"}}, Times: 2})
	for range 3 {
		status, _ := fetch(client, cognito.TokenURL(), credentials, "demo/read.file")
		fmt.Println(status)
	}
	// Output:
	// 429
	// 429
	// 200
}

func ExampleUserPool_Mint() {
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener())
	if err != nil {
		panic(err)
	}
	defer cognito.Close()

	// No alg, and a claim of the wrong type: a verifier must refuse it.
	token, err := cognito.Pool("s2s-test").Mint(cognitotest.MintSpec{
		Header: map[string]json.RawMessage{"alg": nil},
		Claims: map[string]json.RawMessage{"exp": json.RawMessage(`"tomorrow"`)},
	})
	fmt.Println(strings.Count(token, "."), err)
	// Output: 2 <nil>
}
