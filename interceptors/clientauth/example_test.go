// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/clientauth"
)

func Example() {
	for key, value := range map[string]string{
		"COGNITO_TOKEN_URL":     clientauth.TokenURL("files", "eu-west-1"),
		"COGNITO_CLIENT_ID":     "1example23456789",
		"COGNITO_CLIENT_SECRET": "9example87654321",
	} {
		if err := os.Setenv(key, value); err != nil { // as the deployment does
			fmt.Println(err)
			return
		}
	}

	tokens, err := clientauth.FromEnv()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = tokens.Close() }()
	conn, err := clientauth.NewClient("files.internal:8443", tokens,
		clientauth.ForMethods(filesv1.FileReadService_ReadFile_FullMethodName))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.Close() }()
	fmt.Println(conn.Target())
	fmt.Println(tokens)

	// Output:
	// files.internal:8443
	// clientauth.ClientCredentials(https://files.auth.eu-west-1.amazoncognito.com/oauth2/token, client 1example23456789)
}

func ExampleForMethods() {
	tokens, err := clientauth.NewClientCredentials(clientauth.Config{
		TokenURL: clientauth.TokenURL("files", "eu-west-1"),
		ClientID: "1example23456789",
		Secret:   clientauth.SecretFromFile("/run/secrets/cognito"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = tokens.Close() }()
	_, err = clientauth.DialOptions(tokens, clientauth.ForMethods(
		filesv1.FileReadService_ReadFile_FullMethodName,
		filesv1.FileReadService_Version_FullMethodName,
	))
	fmt.Println(err)

	// Output:
	// clientauth: ForMethods: /demo.files.v1.FileReadService/Version is public and needs no token: leave it out
}

// cannedEndpoint answers every token request.
type cannedEndpoint struct{}

func (cannedEndpoint) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(`{"access_token":"eyJhbGciOi","expires_in":3600,"token_type":"Bearer"}`)),
	}, nil
}

func ExampleClientCredentials_Token() {
	tokens, err := clientauth.NewClientCredentials(clientauth.Config{
		TokenURL: clientauth.TokenURL("files", "eu-west-1"),
		ClientID: "1example23456789",
		Secret:   clientauth.StaticSecret("9example87654321"),
	}, clientauth.WithTransport(cannedEndpoint{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = tokens.Close() }()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	token, err := tokens.Token(ctx, clientauth.Request{Scopes: []string{"demo/read.file"}})
	fmt.Println(token, len(token.Value()), err)

	// Output:
	// [redacted] 10 <nil>
}
