// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

func TestRule(t *testing.T) {
	t.Parallel()
	const a, b, c = "demo/a", "demo/b", "demo/c"
	both := mustNew(t, files(t, protoFile{services: []protoService{{methods: []protoMethod{
		{option: `scopes { all_of: "demo/a" any_of: ["demo/b", "demo/c"] }`},
		{name: "Two", option: `scopes { all_of: ["demo/a", "demo/b"] any_of: "demo/c" }`},
	}}}}))
	tests := []struct {
		name         string
		rule         policy.Rule
		kind         policy.Kind
		text         string
		alternatives [][]string
		permits      [][]string
		refuses      [][]string
	}{
		{
			"zero",
			policy.Rule{},
			policy.KindNone, "no rule", nil,
			nil,
			[][]string{nil, {""}, {a}},
		},
		{
			"one", policy.AnyOf(a), policy.KindScopes, "demo/a",
			[][]string{{a}},
			[][]string{{a}, {b, a}, {a, a}},
			[][]string{nil, {}, {""}, {b}, {"demo/"}, {"demo/a "}, {"demo/aa"}, {"DEMO/a"}, {"demo/A"}, {"a"}, {"x/demo/a"}, {"demo/*"}, {"demo/a demo/b"}},
		},
		{
			"any", policy.AnyOf(b, a, c), policy.KindScopes, "demo/b or demo/a or demo/c",
			[][]string{{b}, {a}, {c}},
			[][]string{{a}, {b}, {c}, {"x/y", c}},
			[][]string{nil, {"demo/d"}},
		},
		{
			"all", policy.AllOf(b, a), policy.KindScopes, "demo/b and demo/a",
			[][]string{{b, a}},
			[][]string{{a, b}, {c, b, a}},
			[][]string{nil, {a}, {b}, {a, c}},
		},
		{
			"all and any", ruleOf(t, both, "/acme.A/Do"), policy.KindScopes, "demo/a and (demo/b or demo/c)",
			[][]string{{a, b}, {a, c}},
			[][]string{{a, b}, {c, a}, {a, b, c}},
			[][]string{nil, {a}, {b}, {b, c}},
		},
		{
			"all and one", ruleOf(t, both, "/acme.A/Two"), policy.KindScopes, "demo/a and demo/b and demo/c",
			[][]string{{a, b, c}},
			[][]string{{a, b, c}},
			[][]string{{a, b}, {a, c}, {b, c}},
		},
		{
			"authenticated", policy.Authenticated(), policy.KindAuthenticated, "any valid token", nil,
			[][]string{nil, {a}},
			nil,
		},
		{
			"public", policy.Public("status page"), policy.KindPublic, "public: status page", nil,
			[][]string{nil, {a}},
			nil,
		},
		{"any of nothing", policy.AnyOf(), policy.KindNone, "no rule", nil, nil, [][]string{nil, {a}}},
		{"all of nothing", policy.AllOf(), policy.KindNone, "no rule", nil, nil, [][]string{nil, {a}}},
		{"relative", policy.AnyOf("a"), policy.KindNone, "no rule", nil, nil, [][]string{nil, {"a"}}},
		{"one bad", policy.AllOf(a, "demo/b c"), policy.KindNone, "no rule", nil, nil, [][]string{nil, {a}, {a, "demo/b c"}}},
		{"blank reason", policy.Public(" \t\n"), policy.KindNone, "no rule", nil, nil, [][]string{nil, {a}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.rule.Kind(); got != tt.kind {
				t.Errorf("Kind() = %v, want %v", got, tt.kind)
			}
			if got := tt.rule.String(); got != tt.text {
				t.Errorf("String() = %q, want %q", got, tt.text)
			}
			if got := tt.rule.Alternatives(); !slices.EqualFunc(got, tt.alternatives, slices.Equal) || (got == nil) != (tt.alternatives == nil) {
				t.Errorf("Alternatives() = %q, want %q", got, tt.alternatives)
			}
			for _, granted := range tt.permits {
				if !tt.rule.Permits(granted) {
					t.Errorf("Permits(%q) = false, want true", granted)
				}
			}
			for _, granted := range tt.refuses {
				if tt.rule.Permits(granted) {
					t.Errorf("Permits(%q) = true, want false", granted)
				}
			}
		})
	}
}

func TestRuleReason(t *testing.T) {
	t.Parallel()
	p := mustNew(t, files(t, service("", protoMethod{option: `public { reason: "status page" }`}, protoMethod{name: "Silent", option: `public {}`})))
	for _, tt := range []struct {
		rule       policy.Rule
		want, text string
	}{
		{ruleOf(t, p, "/acme.A/Do"), "status page", "public: status page"},
		{ruleOf(t, p, "/acme.A/Silent"), "", "public"},
		{policy.Public("in Go"), "in Go", "public: in Go"},
		{policy.Authenticated(), "", "any valid token"},
		{policy.Rule{}, "", "no rule"},
	} {
		if got := tt.rule.Reason(); got != tt.want {
			t.Errorf("Reason() of %v = %q, want %q", tt.rule, got, tt.want)
		}
		if got := tt.rule.String(); got != tt.text {
			t.Errorf("String() = %q, want %q", got, tt.text)
		}
	}
}

func TestKindString(t *testing.T) {
	t.Parallel()
	want := []string{"none", "scopes", "authenticated", "public", "none"}
	for i, w := range want {
		if got := policy.Kind(i).String(); got != w {
			t.Errorf("Kind(%d).String() = %q, want %q", i, got, w)
		}
	}
}

// A rule shares nothing with its makers and readers.
func TestRuleNeverChanges(t *testing.T) {
	t.Parallel()
	scopes := []string{"demo/a", "demo/b"}
	anyOf, allOf := policy.AnyOf(scopes...), policy.AllOf(scopes...)
	scopes[0] = "demo/evil"
	anyOf.Alternatives()[0][0] = "demo/evil"
	allOf.Alternatives()[0][0] = "demo/evil"
	for _, r := range []policy.Rule{anyOf, allOf} {
		if r.Permits([]string{"demo/evil", "demo/evil"}) || strings.Contains(r.String(), "evil") {
			t.Errorf("the rule has become %v", r)
		}
	}
}

// Scopes that Cognito would not take, at the border of its grammar.
func TestScopeGrammar(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		scope string
		want  string // "" for a good one
	}{
		{"demo/read.file", ""},
		{"https://files.example.com/v1/read", ""},
		{"!/!", ""},
		{"~/~", ""},
		{"a#b/[]^", ""},
		{"//x", ""}, // the identifier is "/"
		{long(254) + "/x", ""},
		{"x/" + long(254), ""},
		{"", "a scope is empty"},
		{"read.file", `scope "read.file" has no "/": write the resource server before it, as in "demo/read.file"`},
		{"/x", `scope "/x": the resource server is empty`},
		{"demo/", `scope "demo/": the name is empty`},
		{"demo/a b", `scope "demo/a b": the name has " " at position 2; Cognito takes printable ASCII without space, quote, slash and backslash`},
		{"demo/a\"", `scope "demo/a\"": the name has "\"" at position 2; Cognito takes printable ASCII without space, quote, slash and backslash`},
		{`demo/a\`, `scope "demo/a\\": the name has "\\" at position 2; Cognito takes printable ASCII without space, quote, slash and backslash`},
		{"demo/\x7f", `scope "demo/\x7f": the name has "\x7f" at position 1; Cognito takes printable ASCII without space, quote, slash and backslash`},
		{"demo/é", `scope "demo/é": the name has "\xc3" at position 1; Cognito takes printable ASCII without space, quote, slash and backslash`},
		{"de mo/x", `scope "de mo/x": the resource server has " " at position 3; Cognito takes printable ASCII without space, quote and backslash`},
		{"de\\mo/x", `scope "de\\mo/x": the resource server has "\\" at position 3; Cognito takes printable ASCII without space, quote and backslash`},
		{"demo\n/x", `scope "demo\n/x": the resource server has "\n" at position 5; Cognito takes printable ASCII without space, quote and backslash`},
		{long(255) + "/x", `scope "` + long(80) + `"... has 257 characters with its resource server, Cognito takes 256`},
		{long(257) + "/x", `scope "` + long(80) + `"...: the resource server has 257 characters, Cognito takes 256`},
		{"x/" + long(257), `scope "x/` + long(78) + `"...: the name has 257 characters, Cognito takes 256`},
	}
	base := mustNew(t, files(t, protoFile{services: []protoService{{methods: []protoMethod{{}}}}}))
	for _, tt := range tests {
		_, err := base.With(policy.WithRule("/acme.A/Do", policy.AnyOf(tt.scope)))
		want := tt.want
		if want != "" {
			want = `policy: WithRule("/acme.A/Do"): ` + want
		}
		if got := errorText(err); got != want {
			t.Errorf("AnyOf(%.90q): error\n got %s\nwant %s", tt.scope, got, want)
		}
	}
}

// Lookups stand on the path of every call.
func TestRuleAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates on its own")
	}
	p := mustNew(t, methods(t, 10))
	granted := []string{"demo/x", "demo/read.file"}
	got := testing.AllocsPerRun(100, func() {
		if r, ok := p.Rule("/acme.A/M7"); !ok || !r.Permits(granted) {
			t.Error("M7 is not permitted")
		}
		if r, ok := p.Rule("/acme.A/None"); ok || r.Permits(granted) {
			t.Error("None is permitted")
		}
	})
	if got != 0 {
		t.Errorf("Rule and Permits make %v allocations, want 0", got)
	}
}
