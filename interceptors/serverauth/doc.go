// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package serverauth decides, for every call that reaches a gRPC server, who
// calls and whether the caller may: a token from Amazon Cognito is verified and
// its scopes are compared with the access rule that stands beside the rpc in the
// .proto file.
//
//	auth, err := serverauth.ForUserPool(ctx, userPoolID, serverauth.Clients(billingClientID))
//	srv := grpc.NewServer(append(auth.ServerOptions(), grpc.Creds(tls))...)
//	filesv1.RegisterFileReadServiceServer(srv, files{})
//	return auth.Serve(srv, lis) // and auth.Close() at the end
//
// # A call's way
//
//	rule of the method -> public? -> bearer token -> strict JWS -> key of that
//	issuer and kid -> signature -> claims -> Principal -> scopes -> handler
//
// The files follow it: interceptor.go, decide.go, bearer.go, verify.go, claims.go,
// principal.go, error.go. cache.go stands before verify.go for a token that was seen,
// tap.go before all of them with [RefuseBeforeDecoding], and stream.go behind.
//
// # What fails closed
//
// A method without a rule stops [Authorizer.Serve]; if the server is started
// otherwise, calls to it are refused. No issuer, no decision about app clients,
// or a key server that does not answer at start is an error of the constructor.
// A handler never runs for a refused call. [ReportOnly], while it is given, lets calls
// pass that would be refused.
//
// # What the caller sees
//
// A status code, a fixed text and a google.rpc.ErrorInfo with domain
// scopeauth.v1. UNAUTHENTICATED means that another token may help,
// PERMISSION_DENIED that it will not, UNAVAILABLE that the fault is on the
// server's side. What a stranger could learn from is kept behind [Error.Reason]
// and [Error.Unwrap], for the server's own log.
package serverauth
