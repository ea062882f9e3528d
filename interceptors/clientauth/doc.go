// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package clientauth gives the calls of a gRPC client an access token of Amazon
// Cognito. The token is fetched with the client_credentials grant (RFC 6749,
// section 4.4), kept, and renewed before it ends:
//
//	tokens, err := clientauth.FromEnv()
//	defer tokens.Close()
//	conn, err := clientauth.NewClient("files.internal:8443", tokens,
//		clientauth.ForMethods(filesv1.FileReadService_ReadFile_FullMethodName))
//
// The way of a token is
//
//	[TokenSource] -> token endpoint -> cache -> call credentials -> `authorization` metadata
//
// [ClientCredentials] is the source for the token endpoint of a Cognito domain or, with
// UserPoolAPI in its [Config], for the operation GetClientToken, which needs no domain.
// One source serves any number of connections; it holds one token for each set of
// scopes. A [Selection] says which scopes a connection's tokens have. There is none
// by default: a machine-to-machine token of Cognito has no audience, so a server
// can use each token that it gets at every other server, as far as the token's
// scopes go.
//
// A token is renewed in the background by the calls that use it, or with [KeepWarm] by a
// timer; [ClientCredentials.Warm] fetches it before the first call. A secret is read anew
// for each token request, so a rotation needs no restart, and one that was refused is
// tried again once it has changed. [WithReporter] tells each fetch, for metrics and
// audit, and [ClientCredentials.Stats] counts what was fetched and what was spared.
//
// # Interceptors decide, call credentials carry
//
// The interceptors choose what a call needs and add [grpc.PerRPCCredentials] to
// it. So gRPC itself keeps the token from plaintext connections, asks the source
// once per attempt and only when there is a connection, and shows the token to no
// other interceptor or stats handler.
//
// A call whose outgoing metadata already has a value under the key is left alone: it
// goes out with that value and without the connection's token. So a service that
// forwards the metadata of an incoming call as it is calls with its caller's token and
// not with its own; leave "authorization" out of what is forwarded, or set
// [WithExistingAuthorization]. An empty value counts as none.
//
// # A refused token
//
// A call whose token the server refuses, so that another may do, is repeated once with
// another: unary calls and server streams by the interceptors, other streams by gRPC
// where [RetryStreams] names them. It is never repeated once the caller has got
// something of the answer, on PERMISSION_DENIED, or when the failure is this package's
// own. A call asks for another token once, whoever repeats it; [ClientCredentials]
// compares the refused token with the one that it holds, and fetches another at most
// once in 60 s for each set of scopes. Interceptors that repeat calls by themselves,
// such as go-grpc-middleware's retry, belong outside of these and see one call.
//
// # Errors
//
// Each failure to get a token is an [Error] with a gRPC status: DEADLINE_EXCEEDED
// and CANCELED for the caller's own context, UNAVAILABLE while the token endpoint
// cannot be used, UNAUTHENTICATED when it refuses this client, CANCELED after
// [ClientCredentials.Close]. No error, log record or printed value holds a token or
// a secret, nor anything of the token endpoint's answer but its status and a plain
// OAuth error code.
package clientauth
