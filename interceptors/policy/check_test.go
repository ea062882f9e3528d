// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// The texts that a programmer sees when a server does not start.
func TestCheck(t *testing.T) {
	t.Parallel()
	bare := protoMethod{name: "StatFile"}
	annotated := protoMethod{name: "ReadFile", option: `scope: "demo/read.file"`}
	const server = `resource_server: "demo"`
	many := `resource_server { identifier: "demo" ` + manyScopes(12) + `}`
	tests := []struct {
		name  string
		files []protoFile
		opts  []policy.Option
		check []string
		want  string
	}{
		{"01-one-method", []protoFile{service(server, bare, annotated)}, nil, []string{"acme.A"}, `
scopeauth: not started, 1 service has a method without a rule
  acme.A/StatFile (acme/a.proto): write inside the rpc
      option (scopeauth.v1.method).scope = "read.file";      declared for "demo": read.file, write.file`},
		{"01-two-methods", []protoFile{service(server, bare, annotated, protoMethod{name: "List"})}, nil, []string{"acme.A"}, `
scopeauth: not started, 1 service has methods without a rule
  acme.A/StatFile (acme/a.proto): write inside the rpc
      option (scopeauth.v1.method).scope = "read.file";      declared for "demo": read.file, write.file
  acme.A/List (acme/a.proto): write inside the rpc
      option (scopeauth.v1.method).scope = "read.file";      declared for "demo": read.file, write.file`},
		{
			"01-two-services",
			[]protoFile{
				service(server, bare, annotated),
				{path: "acme/b.proto", services: []protoService{{name: "B", option: `resource_server: "other"`, methods: []protoMethod{bare}}}},
			},
			nil,
			[]string{"acme.B", "acme.A", "acme.B"},
			`
scopeauth: not started, 2 services have methods without a rule
  acme.A/StatFile (acme/a.proto): write inside the rpc
      option (scopeauth.v1.method).scope = "read.file";      declared for "demo": read.file, write.file
  acme.B/StatFile (acme/b.proto): write inside the rpc
      option (scopeauth.v1.method).scope = "read";      the name is <resource server>/<scope>`,
		},
		{
			"01-without-resource-server",
			[]protoFile{{option: demo, services: []protoService{{methods: []protoMethod{bare}}}}},
			nil,
			[]string{"acme.A"},
			`
scopeauth: not started, 1 service has a method without a rule
  acme.A/StatFile (acme/a.proto): write inside the rpc
      option (scopeauth.v1.method).scope = "demo/read.file";      declared for "demo": read.file, write.file`,
		},
		{
			"01-declared-in-another-file",
			[]protoFile{{option: demo, path: "acme/b.proto"}, {services: []protoService{{methods: []protoMethod{bare}}}}},
			nil,
			[]string{"acme.A"},
			`
scopeauth: not started, 1 service has a method without a rule
  acme.A/StatFile (acme/a.proto): write inside the rpc
      option (scopeauth.v1.method).scope = "demo/read.file";      declared for "demo": read.file, write.file`,
		},
		{
			"01-nothing-annotated-yet",
			[]protoFile{{imports: []string{}, services: []protoService{{methods: []protoMethod{bare}}}}},
			nil,
			[]string{"acme.A"},
			`
scopeauth: not started, 1 service has a method without a rule
  acme.A/StatFile (acme/a.proto): write inside the rpc
      option (scopeauth.v1.method).scope = "demo/read";      the name is <resource server>/<scope>
      and import "scopeauth/v1/scopeauth.proto" in the file; if the file is not yours, add policy.WithRule("/acme.A/StatFile", ...)`,
		},
		{"01-many-scopes", []protoFile{{option: many, services: service(server, bare).services}}, nil, []string{"acme.A"}, `
scopeauth: not started, 1 service has a method without a rule
  acme.A/StatFile (acme/a.proto): write inside the rpc
      option (scopeauth.v1.method).scope = "s0";      declared for "demo": s0, s1, s2, s3, s4, s5, s6, s7, s8, s9 and 2 more`},
		{
			"11-no-descriptor",
			[]protoFile{service(server, annotated)},
			nil,
			[]string{"hand.Made", "acme.A", ""},
			`
scopeauth: not started, 2 services have methods without a rule
  service without a name: it has no descriptor; link its generated code, or add
      policy.WithService("", methods...) and policy.WithRule("", policy.AnyOf(...))
  hand.Made: it has no descriptor; link its generated code, or add
      policy.WithService("hand.Made", methods...) and policy.WithRule("hand.Made", policy.AnyOf(...))`,
		},
		{
			"11-no-rule",
			[]protoFile{service(server+` default_policy { authenticated {} }`, annotated)},
			[]policy.Option{policy.WithService("acme.A", "ReadFile", "More"), policy.WithService("hand.Made", "Get", "Put"), policy.WithRule("/hand.Made/Get", policy.Authenticated())},
			[]string{"hand.Made", "acme.A"},
			`
scopeauth: not started, 2 services have methods without a rule
  acme.A/More (acme/a.proto): add policy.WithRule("/acme.A/More", policy.AnyOf(...))
  hand.Made/Put: add policy.WithRule("/hand.Made/Put", policy.AnyOf(...))`,
		},
		{
			"all sorts",
			[]protoFile{
				service(server, bare, protoMethod{name: "Typo", option: `scope: "x"`}),
				{path: "acme/b.proto", option: `resource_server { identifier: "bill" scopes { name: "pay" } }`, services: []protoService{
					{name: "B", option: `resource_server: "bill"`, methods: []protoMethod{{option: `scope: "pay"`}, bare}},
					{name: "C", methods: []protoMethod{{option: `{}`}}},
					{name: "Other", methods: []protoMethod{{option: `{}`}}},
				}},
			},
			nil,
			[]string{"acme.C", "acme.B", "acme.A"},
			`
scopeauth: not started, 2 services have methods without a rule, 2 services have faulty annotations, 1 file has a faulty declaration
  acme/b.proto: resource server "bill": scope "pay" has no description; this concerns acme.B, acme.C
      add a description, Cognito insists on one
  acme.A/StatFile (acme/a.proto): write inside the rpc
      option (scopeauth.v1.method).scope = "read.file";      declared for "demo": read.file, write.file
  acme.A/Typo (acme/a.proto): scope "demo/x" is not declared for "demo" in acme/a.proto
      write one of read.file, write.file, or declare it there
  acme.B/StatFile (acme/b.proto): write inside the rpc
      option (scopeauth.v1.method).scope = "pay";      declared for "bill": pay
  acme.C/Do (acme/b.proto): the rule is empty
      set exactly one of scope, scopes, authenticated and public`,
		},
		{
			"files in order",
			[]protoFile{
				{path: "acme/b.proto", option: `resource_server { identifier: "b" scopes { name: "x" } }`},
				{path: "acme/c.proto", option: `resource_server { identifier: "c" scopes { name: "x" } }`},
				{services: []protoService{
					{methods: []protoMethod{{option: `scope: "c/x"`}}},
					{name: "B", methods: []protoMethod{{option: `scopes { all_of: ["b/x", "c/x"] }`}}},
				}},
			},
			nil,
			[]string{"acme.A", "acme.B"},
			`
scopeauth: not started, 2 files have faulty declarations
  acme/b.proto: resource server "b": scope "x" has no description; this concerns acme.B
      add a description, Cognito insists on one
  acme/c.proto: resource server "c": scope "x" has no description; this concerns acme.A, acme.B
      add a description, Cognito insists on one`,
		},
		{
			"a service without methods",
			[]protoFile{{services: []protoService{{}, {name: "B", raw: message(number, varint(9, 1))}}}},
			nil,
			[]string{"acme.A", "acme.B"},
			`
scopeauth: not started, 1 service has a faulty annotation
  acme.B (acme/a.proto): option (scopeauth.v1.service) has what this version of scopeauth does not know: field 9 of ServicePolicy
      upgrade github.com/scopeauth/scopeauth`,
		},
		{"nothing to check", []protoFile{rule(`{}`)}, nil, nil, ""},
		{"nothing wrong", []protoFile{service(server, annotated)}, nil, []string{"acme.A"}, ""},
		{
			"an overridden method does not hide the faults of its service",
			[]protoFile{{services: []protoService{{
				raw: message(number, varint(9, 1)), methods: []protoMethod{annotated, {name: "Own", option: `authenticated {}`}},
			}}}},
			[]policy.Option{policy.WithRuleOverride("/acme.A/ReadFile", policy.Authenticated())},
			[]string{"acme.A"},
			`
scopeauth: not started, 1 service has a faulty annotation
  acme.A (acme/a.proto): option (scopeauth.v1.service) has what this version of scopeauth does not know: field 9 of ServicePolicy
      upgrade github.com/scopeauth/scopeauth`,
		},
		{
			"an override elsewhere does not hide the faults of a service",
			[]protoFile{{services: []protoService{
				{raw: message(number, varint(9, 1)), methods: []protoMethod{annotated}},
				{name: "B", methods: []protoMethod{{option: `authenticated {}`}}},
			}}},
			[]policy.Option{policy.WithRuleOverride("/acme.B/Do", policy.AnyOf("demo/x"))},
			[]string{"acme.A", "acme.B"},
			`
scopeauth: not started, 1 service has a faulty annotation
  acme.A (acme/a.proto): option (scopeauth.v1.service) has what this version of scopeauth does not know: field 9 of ServicePolicy
      upgrade github.com/scopeauth/scopeauth`,
		},
		{
			"a rule in Go stands for a missing one",
			[]protoFile{service(server, annotated, bare)},
			[]policy.Option{policy.WithRule("/acme.A/StatFile", policy.Authenticated())},
			[]string{"acme.A"},
			"",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := mustNew(t, append(tt.opts, files(t, tt.files...))...)
			if got, want := errorText(p.Check(tt.check...)), strings.TrimPrefix(tt.want, "\n"); got != want {
				t.Errorf("Check\n got %s\nwant %s", got, want)
			}
		})
	}
}

// Others add faults of their own and render them in the same way.
func TestCheckError(t *testing.T) {
	t.Parallel()
	health := policy.Fault{Service: "grpc.health.v1.Health", File: "grpc/health/v1/health.proto", Problem: policy.NoRule, Fix: "add serverauth.PublicHealth()"}
	stat := policy.Fault{Service: "acme.A", Method: "Stat", File: "a.proto", Problem: policy.NoRule, Fix: "write inside the rpc\noption x;"}
	typo := policy.Fault{Service: "acme.A", Method: "Typo", File: "a.proto", Problem: "it is wrong"}
	tests := []struct {
		name   string
		faults []policy.Fault
		want   string
	}{
		{"none", nil, "scopeauth: not started, no fault is given"},
		{"service without rules", []policy.Fault{health}, `scopeauth: not started, 1 service has methods without a rule
  grpc.health.v1.Health (grpc/health/v1/health.proto): add serverauth.PublicHealth()`},
		{"grouped", []policy.Fault{health, stat, {Service: "grpc.z", Problem: policy.NoRule}, typo}, `scopeauth: not started, 3 services have methods without a rule, 1 service has a faulty annotation
  acme.A/Stat (a.proto): write inside the rpc
      option x;
  acme.A/Typo (a.proto): it is wrong
  grpc.health.v1.Health (grpc/health/v1/health.proto): add serverauth.PublicHealth()
  grpc.z: no rule`},
		{"files", []policy.Fault{{File: "a.proto", Problem: "x"}, {File: "a.proto", Problem: "y"}, {File: "b.proto", Problem: "z", Fix: "f"}}, `scopeauth: not started, 2 files have faulty declarations
  a.proto: x
  a.proto: y
  b.proto: z
      f`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := slices.Clone(tt.faults)
			if got := (&policy.CheckError{Faults: tt.faults}).Error(); got != tt.want {
				t.Errorf("Error()\n got %s\nwant %s", got, tt.want)
			}
			if !slices.Equal(tt.faults, before) {
				t.Error("Error() changed the order of the faults")
			}
		})
	}
}
