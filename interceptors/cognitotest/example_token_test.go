// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// Expiry without waiting: the server's clock is the test's.
func ExampleWithClock() {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithKeys(keys()),
		cognitotest.WithClock(func() time.Time { return now }), cognitotest.WithTokenLifetime(90*time.Second))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	client := &http.Client{Transport: cognito.Transport()}
	credentials := cognito.Pool("s2s-test").Client("sts-test-app-client")

	for range 2 {
		_, body := fetch(client, cognito.TokenURL(), credentials, "demo/read.file")
		claims := part(body["access_token"], 1)
		fmt.Printf("%.0f %.0f\n", claims["iat"], claims["exp"])
		now = now.Add(time.Minute)
	}
	// Output:
	// 1795348800 1795348890
	// 1795348860 1795348950
}

// Tokens that a verifier must refuse, each wrong in one way.
func ExampleUserPool_Mint() {
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithKeys(keys()))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	stranger, err := cognitotest.GenerateKeys()
	if err != nil {
		panic(err)
	}
	for _, wrong := range []cognitotest.MintSpec{
		{Expired: true},
		{Key: stranger.AccessToken},
		{Alg: "none", Signature: cognitotest.SignatureEmpty},
		{IDToken: true},
		{Scopes: []string{"other/scope"}},
		{Header: map[string]json.RawMessage{"kid": json.RawMessage(`"unknown"`)}},
		{Claims: map[string]json.RawMessage{"exp": json.RawMessage(`"tomorrow"`), "client_id": nil}},
	} {
		token, err := cognito.Pool("s2s-test").Mint(wrong)
		if err != nil {
			panic(err)
		}
		header, claims := part(token, 0), part(token, 1)
		fmt.Println(header["alg"], claims["token_use"], claims["scope"], strings.HasSuffix(token, "."))
	}
	// Output:
	// RS256 access demo/read.file demo/write.file false
	// RS256 access demo/read.file demo/write.file false
	// none access demo/read.file demo/write.file true
	// RS256 id <nil> false
	// RS256 access other/scope false
	// RS256 access demo/read.file demo/write.file false
	// RS256 access demo/read.file demo/write.file false
}

// A rehearsal of a key rotation: tokens of both keys verify until the old one is dropped.
func ExampleUserPool_RotateKeys() {
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithKeys(keys()))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	pool := cognito.Pool("s2s-test")
	client := &http.Client{Transport: cognito.Transport()}
	published := func() int {
		document, _ := get(client, pool.JWKSURL())
		return strings.Count(document, `"kid"`)
	}

	fmt.Println(published())
	if err := pool.RotateKeys(1); err != nil {
		panic(err)
	}
	fmt.Println(published())
	if err := pool.DropOldKeys(); err != nil {
		panic(err)
	}
	fmt.Println(published())
	// Output:
	// 2
	// 4
	// 2
}

// The same trigger as a Lambda function for events of version V3_0.
func ExampleWithPreTokenGeneration() {
	trigger := func(_ context.Context, event cognitotest.PreTokenGeneration) (cognitotest.AccessTokenGeneration, error) {
		if !slices.Contains(event.Scopes, "demo/write.file") {
			return cognitotest.AccessTokenGeneration{}, errors.New("not for readers")
		}
		return cognitotest.AccessTokenGeneration{
			ClaimsToAddOrOverride: map[string]any{"tenant": event.ClientMetadata["tenant"], "sub": "reserved"},
			ScopesToSuppress:      []string{"demo/read.file"},
		}, nil
	}
	cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithKeys(keys()), cognitotest.WithPreTokenGeneration(trigger))
	if err != nil {
		panic(err)
	}
	defer cognito.Close()
	client := cognito.Pool("s2s-test").Client("sts-test-app-client")
	ask := func(scope string) (int, map[string]any) {
		form := url.Values{
			"grant_type": {"client_credentials"}, "client_id": {client.ID}, "client_secret": {client.Secret},
			"scope": {scope}, "aws_client_metadata": {`{"tenant":"t-17"}`},
		}
		resp, err := (&http.Client{Transport: cognito.Transport()}).PostForm(cognito.TokenURL(), form)
		if err != nil {
			panic(err)
		}
		defer resp.Body.Close()
		var body map[string]any
		_ = json.NewDecoder(resp.Body).Decode(&body)
		return resp.StatusCode, body
	}

	_, body := ask("")
	claims := part(body["access_token"], 1)
	fmt.Println(claims["tenant"], claims["scope"], claims["sub"] == client.ID)
	status, body := ask("demo/read.file")
	fmt.Println(status, body["error"], cognito.TokenRequests()[1].TriggerError)
	// Output:
	// t-17 demo/write.file true
	// 400 invalid_request PreTokenGeneration failed with error not for readers.
}
