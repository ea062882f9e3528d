// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package interceptors is the root of scopeauth: gRPC interceptors that let one
// service call another with machine-to-machine tokens of Amazon Cognito (OAuth 2.0
// client_credentials, RFC 6749 section 4.4), and let the called service decide who
// may call what from scopes that stand in its .proto files.
//
// A token's way, in package clientauth:
//
//	TokenSource -> exchange (POST /oauth2/token) -> cache (fresh, stale, expired)
//	  -> call credentials -> authorization metadata
//
// A call's way, in package serverauth:
//
//	the method's rule -> public? -> bearer token -> strict JWS
//	  -> key of that issuer and kid -> signature -> claims -> Principal -> scopes
//	  -> handler
//
// The rules are read by package policy from the option (scopeauth.v1.method) of each
// rpc. Package cognitotest is an embedded Cognito for development and tests.
// The two ways do not depend on each other: a service that only calls imports
// clientauth, one that is only called imports serverauth.
package interceptors
