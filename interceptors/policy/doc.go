// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package policy turns the access rules that are written in .proto files into a
// table from method to rule, and checks them.
//
//	p, err := policy.New()
//	err = p.Check("demo.files.v1.FileReadService") // every method has a rule
//	r, _ := p.Rule("/demo.files.v1.FileReadService/ReadFile")
//	ok := r.Permits([]string{"demo/read.file"})
//
// # Rules
//
// A method's rule is the option (scopeauth.v1.method), else the default_policy of
// its service; nothing is merged. [WithRule] gives rules to services that cannot be
// annotated. A scope without "/" belongs to the resource_server of its service.
//
// # Failing closed
//
// What is not fully understood permits nothing: a method without a rule, an
// annotation that is empty or ambiguous, names a scope that is not declared or has
// a field that this version does not know, and a declaration that Cognito would not
// take. [Policy.Check] finds all of that for the services that a program serves, so
// that it does not start. Services that are only linked, for example because the
// program calls them, may have no rules; what is wrong in theirs is in
// [Policy.Faults].
//
// The package reads descriptors only. It does not import gRPC.
package policy
