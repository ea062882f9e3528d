// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"strings"
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// shop has an annotated service A, a service Bare without annotations, and a
// service Faulty that nobody can read.
func shop(tb testing.TB) policy.Option {
	tb.Helper()
	return files(
		tb,
		service(`resource_server: "demo" default_policy { scope: "write.file" }`,
			protoMethod{name: "Get", option: `scope: "read.file"`}, protoMethod{name: "Put"}),
		protoFile{path: "acme/b.proto", services: []protoService{
			{name: "Bare", methods: []protoMethod{{name: "Get"}, {name: "Put"}}},
			{name: "Faulty", raw: message(number, varint(9, 1)), methods: []protoMethod{{name: "Get"}, {name: "Own", option: `authenticated {}`}}},
		}},
	)
}

func TestOptions(t *testing.T) {
	t.Parallel()
	authenticated, write := policy.Authenticated(), policy.AnyOf("demo/write.file")
	tests := []struct {
		name    string
		options []policy.Option
		want    map[string]string // method -> rule
		errs    string
	}{
		{
			"method",
			[]policy.Option{policy.WithRule("/acme.Bare/Get", authenticated)},
			map[string]string{"Bare/Get": "any valid token", "Bare/Put": "no rule"},
			"",
		},
		{
			"service",
			[]policy.Option{policy.WithRule("acme.Bare", write)},
			map[string]string{"Bare/Get": "demo/write.file", "Bare/Put": "demo/write.file"},
			"",
		},
		{
			"method beats service",
			[]policy.Option{policy.WithRule("/acme.Bare/Get", authenticated), policy.WithRule("acme.Bare", write)},
			map[string]string{"Bare/Get": "any valid token", "Bare/Put": "demo/write.file"},
			"",
		},
		{
			"method beats service that overrides",
			[]policy.Option{policy.WithRuleOverride("acme.Bare", write), policy.WithRule("/acme.Bare/Get", authenticated)},
			map[string]string{"Bare/Get": "any valid token", "Bare/Put": "demo/write.file"},
			"",
		},
		{
			"override of a method",
			[]policy.Option{policy.WithRuleOverride("/acme.A/Put", authenticated)},
			map[string]string{"A/Get": "demo/read.file", "A/Put": "any valid token"},
			"",
		},
		{
			"override of a service",
			[]policy.Option{policy.WithRuleOverride("acme.A", authenticated)},
			map[string]string{"A/Get": "any valid token", "A/Put": "any valid token"},
			"",
		},
		{
			"override of a faulty service",
			[]policy.Option{policy.WithRuleOverride("/acme.Faulty/Get", authenticated)},
			map[string]string{"Faulty/Get": "any valid token", "Faulty/Own": "no rule"},
			"",
		},
		{
			"override of a rule, before it",
			[]policy.Option{policy.WithRuleOverride("acme.Bare", write), policy.WithRule("acme.Bare", authenticated)},
			map[string]string{"Bare/Get": "demo/write.file"},
			"",
		},
		{
			"override of a rule, after it",
			[]policy.Option{policy.WithRule("acme.Bare", authenticated), policy.WithRuleOverride("acme.Bare", write)},
			map[string]string{"Bare/Get": "demo/write.file"},
			"",
		},
		{
			"rule for a service whose annotated methods are overridden",
			[]policy.Option{
				policy.WithRule("acme.A", authenticated),
				policy.WithRuleOverride("/acme.A/Get", write), policy.WithRuleOverride("/acme.A/Put", write),
			},
			map[string]string{"A/Get": "demo/write.file", "A/Put": "demo/write.file"},
			"",
		},
		{
			"12-service",
			[]policy.Option{policy.WithRule("acme.Nope", authenticated)},
			nil,
			`policy: WithRule("acme.Nope"): no service "acme.Nope" is known; if it has no descriptor, add WithService("acme.Nope", methods...)`,
		},
		{
			"12-method",
			[]policy.Option{policy.WithRule("/acme.Bare/Gte", authenticated)},
			nil,
			`policy: WithRule("/acme.Bare/Gte"): service acme.Bare has no method "Gte"; it has Get, Put`,
		},
		{
			"12-override",
			[]policy.Option{policy.WithRuleOverride("/acme.Nope/Get", authenticated)},
			nil,
			`policy: WithRuleOverride("/acme.Nope/Get"): no service "acme.Nope" is known; if it has no descriptor, add WithService("acme.Nope", methods...)`,
		},
		{
			"12-form",
			[]policy.Option{
				policy.WithRule("acme.Bare/Get", authenticated), policy.WithRule("/acme.Bare", authenticated), policy.WithRule("//acme.Bare/Get", authenticated),
				policy.WithRule("", authenticated), policy.WithRule("/acme.Bare/", authenticated),
			},
			nil,
			`policy: WithRule(""): no service "" is known; if it has no descriptor, add WithService("", methods...)
policy: WithRule("//acme.Bare/Get"): no service "" is known; if it has no descriptor, add WithService("", methods...)
policy: WithRule("/acme.Bare"): write "/package.Service/Method" for a method, "package.Service" for a service
policy: WithRule("/acme.Bare/"): service acme.Bare has no method ""; it has Get, Put
policy: WithRule("acme.Bare/Get"): write "/package.Service/Method" for a method, "package.Service" for a service`,
		},
		{
			"12-fights-own-rule",
			[]policy.Option{policy.WithRule("/acme.A/Get", write)},
			nil,
			`policy: WithRule("/acme.A/Get"): acme.A/Get has an annotation in acme/a.proto; remove one of the two, or use WithRuleOverride`,
		},
		{
			"12-fights-default",
			[]policy.Option{policy.WithRule("/acme.A/Put", write)},
			nil,
			`policy: WithRule("/acme.A/Put"): acme.A/Put has an annotation in acme/a.proto; remove one of the two, or use WithRuleOverride`,
		},
		{
			"12-fights-service",
			[]policy.Option{policy.WithRule("acme.A", write), policy.WithRuleOverride("/acme.A/Get", authenticated)},
			nil,
			`policy: WithRule("acme.A"): acme.A/Put has an annotation in acme/a.proto; remove one of the two, or use WithRuleOverride`,
		},
		{
			"12-fights-faulty",
			[]policy.Option{policy.WithRule("acme.Faulty", write)},
			nil,
			`policy: WithRule("acme.Faulty"): acme.Faulty/Get has an annotation in acme/b.proto; remove one of the two, or use WithRuleOverride
policy: WithRule("acme.Faulty"): acme.Faulty/Own has an annotation in acme/b.proto; remove one of the two, or use WithRuleOverride`,
		},
		{
			"12-twice",
			[]policy.Option{policy.WithRule("acme.Bare", write), policy.WithRuleOverride("acme.Bare", write), policy.WithRule("acme.Bare", write)},
			nil,
			`policy: WithRule("acme.Bare"): given twice; remove one of the two`,
		},
		{
			"12-two-overrides",
			[]policy.Option{policy.WithRuleOverride("acme.A", write), policy.WithRuleOverride("acme.A", write)},
			nil,
			`policy: WithRuleOverride("acme.A"): given twice; remove one of the two`,
		},
		{
			"07-in-Go",
			[]policy.Option{policy.WithRule("acme.Bare", policy.AllOf("demo/raed.file", "demo/read.file"))},
			nil,
			`policy: WithRule("acme.Bare"): scope "demo/raed.file" is not declared for "demo" in acme/a.proto`,
		},
		{
			"bad rules",
			[]policy.Option{
				policy.WithRule("acme.Bare", policy.Rule{}), policy.WithRule("/acme.Bare/Get", policy.AnyOf()), policy.WithRule("/acme.Bare/Put", policy.AllOf()),
				policy.WithRuleOverride("acme.A", policy.Public(" ")), policy.WithRuleOverride("/acme.A/Get", policy.AnyOf("demo/a", "b", "demo/a", "")),
			},
			nil,
			`policy: WithRule("acme.Bare"): the rule is empty; use AnyOf, AllOf, Authenticated or Public
policy: WithRule("/acme.Bare/Get"): AnyOf needs a scope; for a valid token without scopes use Authenticated
policy: WithRule("/acme.Bare/Put"): AllOf needs a scope; for a valid token without scopes use Authenticated
policy: WithRuleOverride("acme.A"): Public needs a reason: write why the method is safe without a token
policy: WithRuleOverride("/acme.A/Get"): scope "b" has no "/": write the resource server before it, as in "demo/read.file"; AnyOf names scope "demo/a" twice; a scope is empty`,
		},
		{
			"08-public-service",
			[]policy.Option{
				policy.WithRule("acme.Bare", policy.Public("x")), policy.WithRuleOverride("acme.A", policy.Public("x")),
				policy.WithService("hand.Made", "Get"), policy.WithRule("hand.Made", policy.Public("x")),
			},
			nil,
			`policy: WithRule("acme.Bare"): a rule for a whole service cannot be public, because new methods would be open unseen; name the methods that are meant to be public: "/acme.Bare/Get", "/acme.Bare/Put"
policy: WithRuleOverride("acme.A"): a rule for a whole service cannot be public, because new methods would be open unseen; name the methods that are meant to be public: "/acme.A/Get", "/acme.A/Put"
policy: WithRule("hand.Made"): a rule for a whole service cannot be public, because new methods would be open unseen; name the methods that are meant to be public: "/hand.Made/Get"`,
		},
		{
			"08-public-service-that-is-not-known",
			[]policy.Option{policy.WithRule("acme.Nope", policy.Public("x")), policy.WithRule("acme.Bare/Get", policy.Public("x"))},
			nil,
			`policy: WithRule("acme.Bare/Get"): write "/package.Service/Method" for a method, "package.Service" for a service
policy: WithRule("acme.Nope"): no service "acme.Nope" is known; if it has no descriptor, add WithService("acme.Nope", methods...)`,
		},
		{
			"08-public-service-that-an-override-replaces",
			[]policy.Option{policy.WithRule("acme.Bare", policy.Public("x")), policy.WithRuleOverride("acme.Bare", write)},
			nil,
			`policy: WithRule("acme.Bare"): a rule for a whole service cannot be public, because new methods would be open unseen; name the methods that are meant to be public: "/acme.Bare/Get", "/acme.Bare/Put"`,
		},
		{
			"public methods, each by its name",
			[]policy.Option{
				policy.WithRule("/acme.Bare/Get", policy.Public("x")), policy.WithRuleOverride("/acme.A/Put", policy.Public("y")),
				policy.WithRule("acme.Bare", authenticated),
			},
			map[string]string{"Bare/Get": "public: x", "Bare/Put": "any valid token", "A/Get": "demo/read.file", "A/Put": "public: y"},
			"",
		},
		{"nil option", []policy.Option{nil}, nil, `policy: an option is nil`},
		{
			"no descriptor",
			[]policy.Option{policy.WithRule("hand.Made", write), policy.WithRule("/hand.Made/Put", authenticated), policy.WithService("hand.Made", "Get", "Put")},
			map[string]string{"hand.Made/Get": "demo/write.file", "hand.Made/Put": "any valid token"},
			"",
		},
		{
			"no descriptor, no rule",
			[]policy.Option{policy.WithService("hand.Made", "Get")},
			map[string]string{"hand.Made/Get": "no rule"},
			"",
		},
		{
			"11-a-default-does-not-cover-what-the-descriptor-lacks",
			[]policy.Option{policy.WithService("acme.A", "Put", "More")},
			map[string]string{"A/Put": "demo/write.file", "A/More": "no rule"},
			"",
		},
		{
			"a method that the descriptor lacks",
			[]policy.Option{policy.WithService("acme.A", "Put", "More"), policy.WithRule("/acme.A/More", authenticated)},
			map[string]string{"A/Put": "demo/write.file", "A/More": "any valid token"},
			"",
		},
		{
			"bad services",
			[]policy.Option{policy.WithService("hand.Made"), policy.WithService("/hand.Made", "Get"), policy.WithService("hand.Made", "/hand.Made/Get", "")},
			nil,
			`policy: WithService("hand.Made"): give the full name of a service, as in "grpc.health.v1.Health", and the names of its methods
policy: WithService("/hand.Made"): give the full name of a service, as in "grpc.health.v1.Health", and the names of its methods
policy: WithService("hand.Made"): "/hand.Made/Get" is not the name of a method; write it without the service, as in "Check"
policy: WithService("hand.Made"): "" is not the name of a method; write it without the service, as in "Check"`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := policy.New(append(tt.options, shop(t))...)
			if got := errorText(err); got != tt.errs {
				t.Fatalf("New: error\n got %s\nwant %s", got, tt.errs)
			}
			if derived, err := mustNew(t, shop(t)).With(tt.options...); errorText(err) != tt.errs || (derived == nil) != (err != nil) {
				t.Errorf("With: policy %v, error\n got %v\nwant %s", derived, err, tt.errs)
			}
			for method, want := range tt.want {
				if !strings.Contains(method, ".") {
					method = "acme." + method
				}
				if got := ruleOf(t, p, "/"+method).String(); got != want {
					t.Errorf("rule of %s: %q, want %q", method, got, want)
				}
			}
		})
	}
}

// What an override replaces is no longer checked.
func TestOverrideCheck(t *testing.T) {
	t.Parallel()
	p := mustNew(t, shop(t))
	if err := p.Check("acme.Faulty"); err == nil {
		t.Error("Check(acme.Faulty) = nil, want an error")
	}
	one, err := p.With(policy.WithRuleOverride("/acme.Faulty/Own", policy.Authenticated()))
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Check("acme.Faulty"); err == nil {
		t.Error("one method overridden: Check(acme.Faulty) = nil, want an error")
	}
	all, err := one.With(policy.WithRuleOverride("acme.Faulty", policy.Authenticated()))
	if err != nil {
		t.Fatal(err)
	}
	if err := all.Check("acme.Faulty"); err != nil {
		t.Errorf("all methods overridden: Check(acme.Faulty) = %v, want nil", err)
	}
	if got := len(all.Faults()); got != 1 {
		t.Errorf("all methods overridden: %d faults kept, want 1", got)
	}
}

// Faulty declarations do not matter to a service that does not use them any more.
func TestOverrideFaultyFile(t *testing.T) {
	t.Parallel()
	p := mustNew(t, files(t, declares(`identifier: "demo" scopes { name: "read.file" }`)))
	if err := p.Check("acme.A"); err == nil {
		t.Error("Check = nil, want an error")
	}
	p, err := p.With(policy.WithRuleOverride("acme.A", policy.Authenticated()))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check("acme.A"); err != nil {
		t.Errorf("overridden: Check = %v, want nil", err)
	}
}

// A rule in Go for a faulty resource server is as good as the server.
func TestRuleOnFaultyServer(t *testing.T) {
	t.Parallel()
	p := mustNew(
		t, files(
			t, protoFile{path: "acme/b.proto", option: `resource_server { identifier: "demo" scopes { name: "x" } }`},
			protoFile{services: []protoService{{methods: []protoMethod{{}}}}},
		),
		policy.WithRule("acme.A", policy.AnyOf("demo/x")),
	)
	want := `scopeauth: not started, 1 file has a faulty declaration
  acme/b.proto: resource server "demo": scope "x" has no description; this concerns acme.A
      add a description, Cognito insists on one`
	if got := errorText(p.Check("acme.A")); got != want {
		t.Errorf("Check\n got %s\nwant %s", got, want)
	}
}
