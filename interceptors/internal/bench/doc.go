// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package bench holds benchmarks of the two paths beside what others do in the same
// place, so that one run shows the ratio. It is a module of its own so that the
// library does not depend on them. Repeat a row with
//
//	cd interceptors/internal/bench && go test -run '^$' -bench Verify -count 6 | tee new.txt
//
// and compare runs with benchstat, which `make tools` builds. With -benchtime 1x each
// benchmark does as little as shows that it runs; its figures mean nothing then.
//
// The rows of the server side:
//
//	limit       the least that can be done: take the header, look the token up in a map,
//	            put what was found into the context; no check at all
//	scopeauth   this library
//	golang-jwt  that library with MicahParks/keyfunc, behind go-grpc-middleware's auth
//	jwx         lestrrat-go/jwx with its cached key set, behind go-grpc-middleware's auth
//
// Metrics beside ns/op that start with x- are ratios to the row that they name, of
// rounds that take turns: the median of six. On a shared machine they are steadier than
// the ratio of two lines.
//
// What floods cost is measured by tests that only run when asked for:
//
//	go test -run Flood -flood -v -timeout 30m
package bench
