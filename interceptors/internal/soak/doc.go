// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package soak has one long test: servers that get everything at once, for a while, and
// an answer to every call that was not right is a failure.
//
//	go test -race -count=1 -v -timeout 10m -run '^TestSoak$' ./interceptors/internal/soak -soak=60s
//
// Without -soak a short one runs, with every kind of event once; -soak.seed repeats the
// choices of a run. A run goes on until every kind of event has come as often as it must,
// so a slow machine takes longer and fails no earlier.
//
// The servers are real ones behind TLS, with a verifier each of the keys of two issuers.
// Clients make all four kinds of call from many goroutines, with tokens that were made
// in some thirty ways, good and bad. Meanwhile keys rotate, the key server fails and
// dawdles, tokens and clients are revoked, access files change, tokens end under open
// streams, and floods come. What is right is decided by package model, which knows how
// the token was made and what happened when, and nothing of the library.
package soak
