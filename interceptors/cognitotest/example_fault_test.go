// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

func ExampleServer_SetFault() {
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithKeys(keys()))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	client := &http.Client{Transport: cognito.Transport()}
	credentials := cognito.Pool("s2s-test").Client("sts-test-app-client")

	cognito.SetFault(cognitotest.TokenEndpoint,
		cognitotest.Fault{Status: 503, Times: 2}, cognitotest.Fault{Status: 429, Header: http.Header{"Retry-After": {"2"}}, Times: 1})
	for range 4 {
		status, _ := fetch(client, cognito.TokenURL(), credentials, "demo/read.file")
		fmt.Println(status)
	}
	// Output:
	// 503
	// 503
	// 429
	// 200
}

// The caller gives up before the answer comes.
func ExampleFault_latency() {
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithKeys(keys()))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	cognito.SetFault(cognitotest.JWKSEndpoint, cognitotest.Fault{Latency: time.Hour})

	client := &http.Client{Transport: cognito.Transport(), Timeout: 10 * time.Millisecond}
	_, err = get(client, cognito.JWKSURL())
	fmt.Println(err != nil)
	// Output: true
}

func ExampleFault_cut() {
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithKeys(keys()))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	cognito.SetFault(cognitotest.JWKSEndpoint, cognitotest.Fault{Cut: true})

	body, err := get(&http.Client{Transport: cognito.Transport()}, cognito.JWKSURL())
	fmt.Println(json.Valid([]byte(body)), err)
	// Output: false unexpected EOF
}

// A body that comes byte by byte, with a pause before each.
func ExampleFault_slow() {
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithKeys(keys()))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	cognito.SetFault(cognitotest.JWKSEndpoint, cognitotest.Fault{BytePause: time.Hour})

	client := &http.Client{Transport: cognito.Transport(), Timeout: 10 * time.Millisecond}
	body, err := get(client, cognito.JWKSURL())
	fmt.Printf("%q %v\n", body, err != nil)
	// Output: "" true
}

func ExampleHTMLFault() {
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithKeys(keys()))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	cognito.SetFault(cognitotest.JWKSEndpoint, cognitotest.HTMLFault(http.StatusOK))

	body, _ := get(&http.Client{Transport: cognito.Transport()}, cognito.JWKSURL())
	fmt.Println(strings.SplitN(body, "\n", 2)[0])
	// Output: <!DOCTYPE html>
}

// Tokens are signed by a key whose id is in no JWKS: verifiers must look for it
// once, and not with each token.
func ExampleFault_unknownKeyID() {
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithKeys(keys()))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	pool := cognito.Pool("s2s-test")
	client := &http.Client{Transport: cognito.Transport()}
	cognito.SetFault(cognitotest.TokenEndpoint, cognitotest.Fault{UnknownKeyID: true})

	_, body := fetch(client, pool.TokenURL(), pool.Client("sts-test-app-client"), "")
	known, _ := get(client, cognito.JWKSURL())
	fmt.Println(strings.Contains(known, part(body["access_token"], 0)["kid"].(string)))
	// Output: false
}

// The keys were rotated, and a cache still has the old ones.
func ExampleFault_staleKeys() {
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithKeys(keys()))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	pool := cognito.Pool("s2s-test")
	client := &http.Client{Transport: cognito.Transport()}
	if err := pool.RotateKeys(1); err != nil {
		panic(err)
	}
	cognito.SetFault(cognitotest.JWKSEndpoint, cognitotest.Fault{StaleKeys: true, Times: 1})

	_, body := fetch(client, pool.TokenURL(), pool.Client("sts-test-app-client"), "")
	kid := part(body["access_token"], 0)["kid"].(string)
	for range 2 {
		keys, _ := get(client, cognito.JWKSURL())
		fmt.Println(strings.Contains(keys, kid))
	}
	// Output:
	// false
	// true
}

// The quota is one for all pools, as Cognito's is for all pools of an account.
func ExampleWithThrottle() {
	now := time.Now()
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithKeys(keys()),
		cognitotest.WithThrottle(2), cognitotest.WithClock(func() time.Time { return now }))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	client := &http.Client{Transport: cognito.Transport()}
	credentials := cognito.Pool("s2s-test").Client("sts-test-app-client")

	for range 3 {
		status, _ := fetch(client, cognito.TokenURL(), credentials, "demo/read.file")
		fmt.Println(status)
	}
	now = now.Add(time.Second)
	status, _ := fetch(client, cognito.TokenURL(), credentials, "demo/read.file")
	fmt.Println(status)
	// Output:
	// 200
	// 200
	// 429
	// 200
}
