// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package cognitotest is an embedded Amazon Cognito for development and tests:
// what a service needs of it to get and check machine-to-machine tokens,
// without an AWS account.
//
//	cognito, err := cognitotest.NewServer()
//	if err != nil { ... }
//	defer cognito.Close()
//	client := cognito.Pool("s2s-test").Client("sts-test-app-client")
//	// POST to cognito.TokenURL() with client.ID and client.Secret,
//	// check tokens against cognito.Issuer() and cognito.JWKSURL()
//
// It answers as Cognito does, also where that surprises: a disallowed scope is
// dropped silently, errors are 400 with nothing but a code, a wrong content type
// is 405 without a body, tokens have no aud, and the key of access tokens is not
// the first of the JWKS. Where Amazon's documents are silent or contradict each
// other, [Answers] and [ScopeHandling] choose, and their comments say so.
//
// It is for development only. It shows its secrets to whoever asks the Go API
// and issues tokens that are wrong on purpose; no production service should
// link it. It imports the standard library only, and not testing.
//
// # Addresses
//
// A server has one or more user pools and one host:
//
//	<URL>/<domain>/oauth2/token                       token endpoint of a pool
//	<URL>/oauth2/token                                the same, if there is one pool
//	<URL>/<pool id>/.well-known/jwks.json             public keys
//	<URL>/<pool id>/.well-known/openid-configuration  discovery
//	<URL>/                                            management API
//
// Requests whose Host is one of Cognito's own names are answered as by that
// host, on the same port: prefix and custom domains, both issuer hosts, the API
// host, and the FIPS names of these. [Server.Transport] makes such requests without the network.
//
// # Management API
//
// Clients of the Amazon Cognito user pools API reach it at the server's URL (AWS
// CLI: --endpoint-url, SDKs: the base endpoint or AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER)
// or, through [Server.Transport], at Cognito's own host names. Any signature will do,
// and none. It has the operations on user pools, domains, resource servers, app
// clients and client secrets, and GetClientToken, with Cognito's constraints,
// quotas and errors; members that concern users are kept and given back. Other
// operations are UnknownOperationException. Browsers may send requests only from
// the server's own origin.
//
// # Config file
//
// [WithConfigFile] reads pools from JSON. Clients need a name and scopes, resource
// servers an identifier; the rest has defaults. Unknown fields are errors.
// access_token_validity is in seconds. answers has members of [Answers], shown here
// with their second values. pools may be left out if there are answers.
//
//	{
//	  "answers": {
//	    "invalid_client_status": 401,
//	    "no_credentials": "invalid_request",
//	    "flow_not_allowed": "invalid_grant",
//	    "not_a_form_status": 400,
//	    "resource": "invalid_request",
//	    "unknown_pool_status": 404,
//	    "throttled_status": 400
//	  },
//	  "pools": [{
//	    "id": "eu-central-1_aBcDeFgHi",
//	    "name": "s2s-test",
//	    "region": "eu-central-1",
//	    "domain": "my-prefix",
//	    "issuer": "EMULATOR, ORIGINAL or UPDATED",
//	    "disallowed_scopes": "drop or reject",
//	    "resource_servers": [{
//	      "identifier": "demo",
//	      "name": "Test API",
//	      "scopes": [{"name": "read.file", "description": "Read files"}]
//	    }],
//	    "clients": [{
//	      "id": "6fn8h3u2vd0c1m7k5s9q4t2b0e",
//	      "name": "sts-test-app-client",
//	      "secrets": ["one or two, 24 to 64 characters"],
//	      "generate_secret": true,
//	      "allowed_oauth_flows": ["client_credentials"],
//	      "allowed_oauth_flows_user_pool_client": true,
//	      "allowed_oauth_scopes": ["demo/read.file"],
//	      "explicit_auth_flows": ["ALLOW_CLIENT_TOKEN_AUTH"],
//	      "access_token_validity": 3600
//	    }]
//	  }]
//	}
//
// # Tests
//
// Generated keys take some tenths of a second: make one pair for a test binary
// with [GenerateKeys] and give it to [WithKeys]. Tests that share a server have a
// pool each by [Server.CreatePool], which has its own counts, faults and list of
// token requests. [UserPool.Mint] makes tokens that are wrong on purpose,
// [Server.SetFault] makes endpoints fail, [WithPreTokenGeneration] stands for a
// Lambda trigger, [Server.Counts] tells how often they were asked. Inside a
// testing/synctest bubble use [WithoutListener] and [Server.Transport].
//
// All methods are safe for concurrent use.
package cognitotest
