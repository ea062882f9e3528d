// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	idp "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"github.com/scopeauth/scopeauth/interceptors/clientauth"
	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// pathOf is what differs between the two doors to a token.
type pathOf struct {
	name string
	// prepare makes the client one for this door, and returns the addresses of clientauth.
	prepare func(t *testing.T, c *idp.Client, pool, client *string) clientauth.Config
}

var paths = []pathOf{
	{"token endpoint", func(t *testing.T, c *idp.Client, pool, _ *string) clientauth.Config {
		t.Helper()
		must(t, c.CreateUserPoolDomain, &idp.CreateUserPoolDomainInput{UserPoolId: pool, Domain: aws.String("sdk-files")})
		return clientauth.Config{TokenURL: clientauth.TokenURL("sdk-files", "eu-central-1")}
	}},
	{"GetClientToken, without a domain", func(t *testing.T, c *idp.Client, pool, client *string) clientauth.Config {
		t.Helper()
		must(t, c.UpdateUserPoolClient, &idp.UpdateUserPoolClientInput{
			UserPoolId: pool, ClientId: client, ExplicitAuthFlows: []types.ExplicitAuthFlowsType{"ALLOW_CLIENT_TOKEN_AUTH"},
			AllowedOAuthScopes: []string{"demo/read.file", "demo/write.file"},
		})
		return clientauth.Config{UserPoolAPI: clientauth.UserPoolAPI("eu-central-1")}
	}},
}

// The whole way with AWS's own names: the SDK creates, clientauth gets the token, a verifier that
// knows the issuer checks it; and a secret is replaced while the service runs.
func TestSDKToToken(t *testing.T) {
	t.Parallel()
	for _, path := range paths {
		t.Run(path.name, func(t *testing.T) {
			t.Parallel()
			server := newCognito(t)
			c := sdk(server.Transport())
			pool, client := newDemo(t, c)
			must(t, c.UpdateUserPool, &idp.UpdateUserPoolInput{UserPoolId: pool, IssuerConfiguration: &types.IssuerConfigurationType{Type: types.IssuerTypeUpdated}})
			if _, _, err := server.Pool(*pool).KeyIDs(); err != nil { // makes them now: it may take longer than a client waits
				t.Fatal(err)
			}
			config := path.prepare(t, c, pool, client.ClientId)
			config.ClientID = *client.ClientId
			check := goOIDC(t, &http.Client{Transport: server.Transport()}, "https://issuer-cognito-idp.eu-central-1.amazonaws.com/"+*pool)
			token := func(secret, next string, scopes ...string) error {
				t.Helper()
				config.Secret, config.NextSecret = clientauth.StaticSecret(secret), nil
				if next != "" {
					config.NextSecret = clientauth.StaticSecret(next)
				}
				source, err := clientauth.NewClientCredentials(config, clientauth.WithTransport(server.Transport()), clientauth.WithLogger(slog.New(slog.DiscardHandler)))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = source.Close() }()
				got, err := source.Token(t.Context(), clientauth.Request{Scopes: scopes})
				if err != nil {
					return err
				}
				claims, err := check(got.Value())
				if err != nil {
					return err
				}
				if want := strings.Join(scopes, " "); scopes != nil && claims.Scope != want {
					t.Errorf("got scopes %q, want %q", claims.Scope, want)
				}
				return claims.check(*client.ClientId)
			}
			refusedClient := func(step string, err error) {
				t.Helper()
				if e, ok := errors.AsType[*clientauth.Error](err); !ok || e.Reason() != clientauth.ReasonRefused {
					t.Errorf("%s: got %v, want it refused", step, err)
				}
			}
			old := *client.ClientSecret
			for _, scopes := range [][]string{nil, {"demo/read.file"}, {"demo/read.file", "demo/write.file"}} {
				if err := token(old, "", scopes...); err != nil {
					t.Fatalf("scopes %q: %v", scopes, err)
				}
			}
			refusedClient("a wrong secret", token("wrong-secret-wrong-secret", ""))

			added := must(t, c.AddUserPoolClientSecret, &idp.AddUserPoolClientSecretInput{UserPoolId: pool, ClientId: client.ClientId}).ClientSecretDescriptor
			next := *added.ClientSecretValue
			if err := errors.Join(token(old, ""), token(next, "")); err != nil {
				t.Errorf("while there are two: %v", err)
			}
			secrets := must(t, c.ListUserPoolClientSecrets, &idp.ListUserPoolClientSecretsInput{UserPoolId: pool, ClientId: client.ClientId}).ClientSecrets
			must(t, c.DeleteUserPoolClientSecret, &idp.DeleteUserPoolClientSecretInput{UserPoolId: pool, ClientId: client.ClientId, ClientSecretId: secrets[0].ClientSecretId})
			refusedClient("the deleted secret", token(old, ""))
			if err := token(old, next); err != nil {
				t.Errorf("a service that has both: %v", err)
			}
			refused[*types.InvalidParameterException](t, c.DeleteUserPoolClientSecret,
				&idp.DeleteUserPoolClientSecretInput{UserPoolId: pool, ClientId: client.ClientId, ClientSecretId: added.ClientSecretId}, "")

			must(t, c.DeleteUserPoolClient, &idp.DeleteUserPoolClientInput{UserPoolId: pool, ClientId: client.ClientId})
			refusedClient("the deleted client", token(next, ""))
		})
	}
}

// An update that forgets the flow makes a client that looks right: it is answered
// invalid_grant, the best known mistake with Cognito.
func TestSDKForgottenFlow(t *testing.T) {
	t.Parallel()
	server := newCognito(t)
	c := sdk(server.Transport())
	pool, client := newDemo(t, c)
	must(t, c.CreateUserPoolDomain, &idp.CreateUserPoolDomainInput{UserPoolId: pool, Domain: aws.String("sdk-files")})
	must(t, c.UpdateUserPoolClient, &idp.UpdateUserPoolClientInput{
		UserPoolId: pool, ClientId: client.ClientId, AllowedOAuthFlows: client.AllowedOAuthFlows, AllowedOAuthScopes: client.AllowedOAuthScopes,
	})
	body := "grant_type=client_credentials&client_id=" + *client.ClientId + "&client_secret=" + *client.ClientSecret
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, clientauth.TokenURL("sdk-files", "eu-central-1"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if status, body := roundTrip(t, server, req); status != http.StatusBadRequest || body != `{"error":"invalid_grant"}` {
		t.Errorf("got %d %s, want 400 invalid_grant", status, body)
	}
}

func roundTrip(t *testing.T, server *cognitotest.Server, req *http.Request) (status int, body string) {
	t.Helper()
	resp, err := server.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// GetClientToken by requests written by hand: no SDK at hand has it.
func TestGetClientToken(t *testing.T) {
	t.Parallel()
	server := newCognito(t)
	c := sdk(server.Transport())
	pool, client := newDemo(t, c)
	in := machineClient(pool)
	in.ClientName, in.ExplicitAuthFlows = aws.String("token-auth"), []types.ExplicitAuthFlowsType{"ALLOW_CLIENT_TOKEN_AUTH"}
	token := must(t, c.CreateUserPoolClient, in).UserPoolClient
	call := func(input map[string]any) (int, map[string]any) {
		t.Helper()
		body, err := json.Marshal(input)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://cognito-idp.eu-central-1.amazonaws.com/", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService.GetClientToken")
		status, text := roundTrip(t, server, req)
		var out map[string]any
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return status, out
	}
	status, out := call(map[string]any{"ClientId": *token.ClientId, "Secret": *token.ClientSecret, "Scopes": []string{"demo/write.file"}})
	result, _ := out["ClientAuthenticationResult"].(map[string]any)
	if status != http.StatusOK || len(out) != 1 || result["ExpiresIn"] != 300.0 || result["TokenType"] != "Bearer" || len(result) != 3 {
		t.Errorf("got %d %v", status, out)
	}
	for name, wrong := range map[string]map[string]any{
		"wrong secret":                     {"ClientId": *token.ClientId, "Secret": *client.ClientSecret},
		"unknown client":                   {"ClientId": "0123456789abcdefghijklmnop", "Secret": *token.ClientSecret},
		"a client without this flow":       {"ClientId": *client.ClientId, "Secret": *client.ClientSecret},
		"a scope that the client has not":  {"ClientId": *token.ClientId, "Secret": *token.ClientSecret, "Scopes": []string{"demo/delete.file"}},
		"no secret":                        {"ClientId": *token.ClientId},
		"a member that is of another type": {"ClientId": 1, "Secret": *token.ClientSecret},
	} {
		want := "NotAuthorizedException"
		switch name {
		case "a scope that the client has not", "no secret":
			want = "InvalidParameterException"
		case "a member that is of another type":
			want = "SerializationException"
		}
		if status, out := call(wrong); status != http.StatusBadRequest || out["__type"] != want {
			t.Errorf("%s: got %d %v, want 400 %s", name, status, out, want)
		}
	}
}
