// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// keys makes one pair of signing keys for all tests of a binary: that takes
// longer than everything else.
var keys = sync.OnceValue(func() cognitotest.KeyPair {
	pair, err := cognitotest.GenerateKeys()
	if err != nil {
		panic(err)
	}
	return pair
})

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

// get reads a document to its end.
func get(client *http.Client, address string) (body string, err error) {
	resp, err := client.Get(address)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// part decodes the header (0) or the claims (1) of a token.
func part(token any, n int) (members map[string]any) {
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token.(string), ".")[n])
	if err != nil {
		panic(err)
	}
	if err := json.Unmarshal(raw, &members); err != nil {
		panic(err)
	}
	return members
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

// Keys are made once for a test binary, and each test has a server of its own,
// with ids and secrets of its own. Starting one takes less than a millisecond
// and chooses a free port, so that tests run in parallel.
func ExampleWithKeys() {
	issuers := make(chan string, 3)
	var tests sync.WaitGroup
	for range 3 {
		tests.Go(func() { // t.Parallel() in a test
			cognito, err := cognitotest.NewServer(cognitotest.WithKeys(keys()))
			if err != nil {
				panic(err)
			}
			defer cognito.Close()
			pool := cognito.Pool("s2s-test")
			status, _ := fetch(&http.Client{Timeout: time.Minute}, pool.TokenURL(), pool.Client("sts-test-app-client"), "demo/read.file")
			fmt.Println(status)
			issuers <- pool.Issuer()
		})
	}
	tests.Wait()
	one, another := <-issuers, <-issuers
	fmt.Println("different issuers:", one != another)
	// Output:
	// 200
	// 200
	// 200
	// different issuers: true
}

func ExampleWithPool() {
	cognito, err := cognitotest.NewServer(cognitotest.WithKeys(keys()), cognitotest.WithPool(cognitotest.Pool{
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
	_, body := fetch(&http.Client{Timeout: time.Minute}, cognito.TokenURL(), cognito.Pool("billing").Client("nightly"), "")
	fmt.Println(part(body["access_token"], 1)["scope"])
	// Output: https://api.example.com/invoices
}

// A server that several tests share: each makes a user pool of its own, with other
// ids, secrets and addresses, and sees no other test's faults, counts and requests.
func ExampleServer_CreatePool() {
	cognito, err := cognitotest.NewServer(cognitotest.WithKeys(keys()))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()

	wanted := cognitotest.DemoPool()
	wanted.Keys = keys()
	pool, err := cognito.CreatePool(wanted)
	if err != nil {
		panic(err)
	}
	client, err := pool.CreateClient(cognitotest.Client{Name: "reader", AllowedOAuthScopes: []string{"demo/read.file"}})
	if err != nil {
		panic(err)
	}
	pool.SetFault(cognitotest.TokenEndpoint, cognitotest.Fault{Status: 503, Times: 1})
	for range 2 {
		status, _ := fetch(&http.Client{Timeout: time.Minute}, pool.TokenURL(), client, "")
		fmt.Println(status)
	}
	fmt.Println(pool.TokenRequests()[1].Granted, pool.Counts().TokensIssued)
	// Output:
	// 503
	// 200
	// [demo/read.file] 1
}

// Code that is configured with Cognito's real addresses is tested without the
// network.
func ExampleServer_Transport() {
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithKeys(keys()))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	pool := cognito.Pool("s2s-test")
	client := &http.Client{Transport: cognito.Transport()}

	fmt.Println(pool.CognitoTokenURL())
	status, _ := fetch(client, pool.CognitoTokenURL(), pool.Client("sts-test-app-client"), "demo/read.file")
	fmt.Println(status)
	_, err = get(client, "https://example.com/")
	fmt.Println("another host is refused:", err != nil)
	// Output:
	// https://s2s-test.auth.us-east-1.amazoncognito.com/oauth2/token
	// 200
	// another host is refused: true
}

// Two active secrets, as while a secret is being replaced.
func ExampleUserPool_AddClientSecret() {
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithKeys(keys()))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	pool := cognito.Pool("s2s-test")
	client := &http.Client{Transport: cognito.Transport()}
	show := func(c cognitotest.Credentials) {
		status, body := fetch(client, pool.TokenURL(), c, "demo/read.file")
		fmt.Println(status, body["error"])
	}

	old := pool.Client("sts-test-app-client")
	next, err := pool.AddClientSecret("sts-test-app-client")
	if err != nil {
		panic(err)
	}
	show(old)
	show(next)
	if err := pool.DeleteClientSecret("sts-test-app-client"); err != nil {
		panic(err)
	}
	show(old)
	show(next)
	// Output:
	// 200 <nil>
	// 200 <nil>
	// 400 invalid_client
	// 200 <nil>
}
