// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"time"
)

// Pool describes a user pool. Only the name is needed; what is empty gets
// Cognito's default, or a value of Cognito's shape that is new for each server.
type Pool struct {
	// ID is the pool id, <region>_<letters and digits>. Empty: generated.
	ID string
	// Name is the pool's name, 1 to 128 characters. It is what [Server.Pool] looks for.
	Name string
	// Region is the AWS region. Empty: the part of ID before "_", or us-east-1.
	Region string
	// Domain is the prefix of a Cognito domain ("my-prefix") or a whole custom
	// domain ("auth.example.com"), 1 to 63 characters. All pools together have at
	// most 4 custom domains. Empty: made from Name.
	Domain string
	// Issuer selects the iss claim. Empty: [IssuerEmulator].
	Issuer IssuerForm
	// DisallowedScopes says what becomes of a request that names a scope which
	// the client may not have. Empty: the server's setting, see [WithDisallowedScopes].
	DisallowedScopes ScopeHandling
	// ResourceServers has at most 25 entries.
	ResourceServers []ResourceServer
	// Clients has at most 1000 entries.
	Clients []Client
	// Keys is the first pair of signing keys. Zero: generated when first needed,
	// which takes some tenths of a second.
	Keys KeyPair
}

// ResourceServer is an API and the scopes it knows.
type ResourceServer struct {
	// Identifier comes before the last "/" of a scope, for example "demo" or
	// "https://api.example.com". 1 to 256 printable characters without space, quote and backslash.
	Identifier string
	// Name is for people. Empty: made from Identifier.
	Name string
	// Scopes has at most 100 entries.
	Scopes []Scope
}

// Scope is one custom scope. A token carries it as Identifier/Name.
type Scope struct {
	// Name is 1 to 256 printable characters without space, quote, backslash and "/".
	Name string
	// Description is 1 to 256 characters. Empty: the name.
	Description string
}

// Client describes an app client. A literal with Name and AllowedOAuthScopes
// is a working machine-to-machine client.
//
// Two defaults differ from Amazon Cognito's API, where a forgotten member makes
// a client that cannot get a token: AllowedOAuthFlows and
// AllowedOAuthFlowsUserPoolClient. Set them to test that mistake.
type Client struct {
	// ID is the client id. Empty: generated, 26 characters of [0-9a-v].
	ID string
	// Name is 1 to 128 characters, each once among the Clients of a [Pool].
	Name string
	// Secrets holds one or two active secrets of 24 to 64 characters [A-Za-z0-9_+].
	// Empty: one is generated, 52 characters of [0-9a-v].
	Secrets []string
	// GenerateSecret set to false, with no Secrets, makes a public client, which
	// cannot use client_credentials. Nil is true.
	GenerateSecret *bool
	// AllowedOAuthFlows is ["client_credentials"], or "code" and "implicit".
	// Nil: ["client_credentials"].
	AllowedOAuthFlows []string
	// AllowedOAuthFlowsUserPoolClient set to false makes a client that looks right
	// and is answered invalid_grant. Nil is true.
	AllowedOAuthFlowsUserPoolClient *bool
	// AllowedOAuthScopes holds 1 to 50 whole scopes: custom ones of the pool's
	// resource servers ("demo/read.file") or standard ones ("openid").
	AllowedOAuthScopes []string
	// ExplicitAuthFlows is ["ALLOW_CLIENT_TOKEN_AUTH"] for a client that may get
	// tokens by GetClientToken, which it may besides client_credentials. The other
	// flows are those of users and do nothing here. Nil: none.
	ExplicitAuthFlows []string
	// AccessTokenValidity is 5 minutes to 24 hours in whole seconds. Zero: 1 hour.
	// [WithTokenLifetime] overrides it.
	AccessTokenValidity time.Duration
}

// Format prints the client with its secrets redacted, for every verb.
func (c Client) Format(f fmt.State, verb rune) {
	type plain Client
	if len(c.Secrets) > 0 {
		c.Secrets = []string{redacted}
	}
	fmt.Fprintf(f, fmt.FormatString(f, verb), plain(c))
}

// Credentials is what a caller shows to the token endpoint.
type Credentials struct {
	ID     string
	Secret string
}

// Format prints the credentials with the secret redacted, for every verb.
func (c Credentials) Format(f fmt.State, verb rune) {
	type plain Credentials
	c.Secret = redacted
	fmt.Fprintf(f, fmt.FormatString(f, verb), plain(c))
}

const redacted = "[redacted]"

// IssuerForm selects the value of the iss claim and of the issuer in the
// discovery document (Cognito API reference, IssuerConfigurationType).
type IssuerForm string

const (
	// IssuerEmulator is <URL of the server>/<pool id>: discovery over the network works.
	IssuerEmulator IssuerForm = "EMULATOR"
	// IssuerOriginal is https://cognito-idp.<region>.amazonaws.com/<pool id>.
	IssuerOriginal IssuerForm = "ORIGINAL"
	// IssuerUpdated is https://issuer-cognito-idp.<region>.amazonaws.com/<pool id>.
	IssuerUpdated IssuerForm = "UPDATED"
)

// ScopeHandling says what the token endpoint does with a requested scope that
// the client may not have. Amazon's documents contradict each other: the token
// endpoint page says that such scopes are ignored, the resource server page
// that the request fails. A request of which nothing remains fails in both.
type ScopeHandling string

const (
	// DropScopes issues a token without the disallowed scopes. The default.
	DropScopes ScopeHandling = "drop"
	// RejectScopes answers 400 invalid_scope.
	RejectScopes ScopeHandling = "reject"
)

// DemoPool returns the pool with which a server is seeded when no pool is
// configured: pool s2s-test, resource server demo ("Test API") with the scopes
// read.file and write.file, app client sts-test-app-client that may have both.
func DemoPool() Pool {
	return Pool{
		Name: "s2s-test",
		ResourceServers: []ResourceServer{{
			Identifier: "demo",
			Name:       "Test API",
			Scopes: []Scope{
				{Name: "read.file", Description: "Read files"},
				{Name: "write.file", Description: "Write files"},
			},
		}},
		Clients: []Client{{
			Name:               "sts-test-app-client",
			AllowedOAuthScopes: []string{"demo/read.file", "demo/write.file"},
		}},
	}
}
