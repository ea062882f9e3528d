// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"strings"
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

func TestMapResourceServer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 250)
	source := func(t *testing.T) policy.Option {
		t.Helper()
		return files(
			t,
			service(`resource_server: "demo" default_policy { scope: "write.file" }`,
				protoMethod{name: "Own", option: `scope: "read.file"`},
				protoMethod{name: "Default"},
				protoMethod{name: "Both", option: `scopes { all_of: "read.file" any_of: ["https://bill.example/v1/pay", "write.file"] }`},
				protoMethod{name: "Public", option: `public { reason: "demo/read.file" }`}),
			protoFile{path: "acme/b.proto", services: []protoService{{name: "Bare", methods: []protoMethod{{}}}}},
		)
	}
	tests := []struct {
		name    string
		options []policy.Option
		want    map[string]string
		errs    string
	}{
		{
			"every scope of the server",
			[]policy.Option{policy.MapResourceServer("demo", "demo-staging")},
			map[string]string{
				"A/Own": "demo-staging/read.file", "A/Default": "demo-staging/write.file", "A/Public": "public: demo/read.file",
				"A/Both": "demo-staging/read.file and (https://bill.example/v1/pay or demo-staging/write.file)",
			},
			"",
		},
		{
			"a URL",
			[]policy.Option{policy.MapResourceServer("https://bill.example/v1", "https://staging.bill.example/v1")},
			map[string]string{"A/Both": "demo/read.file and (https://staging.bill.example/v1/pay or demo/write.file)"},
			"",
		},
		{
			"rules in Go",
			[]policy.Option{policy.WithRule("acme.Bare", policy.AllOf("demo/read.file", "x/y")), policy.MapResourceServer("demo", "d"), policy.MapResourceServer("x", "z")},
			map[string]string{"Bare/Do": "d/read.file and z/y", "A/Own": "d/read.file"},
			"",
		},
		{
			"used by a rule in Go alone",
			[]policy.Option{policy.MapResourceServer("x", "z"), policy.WithRule("acme.Bare", policy.AnyOf("x/y"))},
			map[string]string{"Bare/Do": "z/y"},
			"",
		},
		{
			"to itself",
			[]policy.Option{policy.MapResourceServer("demo", "demo")},
			map[string]string{"A/Own": "demo/read.file"},
			"",
		},
		{
			"all at once",
			[]policy.Option{policy.MapResourceServer("demo", "https://bill.example/v1"), policy.MapResourceServer("https://bill.example/v1", "demo")},
			map[string]string{"A/Both": "https://bill.example/v1/read.file and (demo/pay or https://bill.example/v1/write.file)"},
			"",
		},
		{
			"unknown",
			[]policy.Option{policy.MapResourceServer("Demo", "x"), policy.MapResourceServer("", "y")},
			nil,
			`policy: MapResourceServer("Demo", "x"): no rule uses "Demo"; in use: demo, https://bill.example/v1
policy: MapResourceServer("", "y"): no rule uses ""; in use: demo, https://bill.example/v1`,
		},
		{
			"twice",
			[]policy.Option{policy.MapResourceServer("demo", "x"), policy.MapResourceServer("demo", "y")},
			nil,
			`policy: MapResourceServer("demo", "y"): "demo" is mapped to "x" as well`,
		},
		{
			"two to one",
			[]policy.Option{policy.MapResourceServer("demo", "x"), policy.MapResourceServer("https://bill.example/v1", "x")},
			nil,
			`policy: MapResourceServer("https://bill.example/v1", "x"): "demo" is mapped to it as well, and two resource servers never become one`,
		},
		{
			"to one in use",
			[]policy.Option{policy.MapResourceServer("https://bill.example/v1", "demo")},
			nil,
			`policy: MapResourceServer("https://bill.example/v1", "demo"): "demo" is used itself, by a declaration in acme/a.proto, and two resource servers never become one; name "https://bill.example/v1" there, the mapping applies to it`,
		},
		{
			"to one in use in Go",
			[]policy.Option{policy.MapResourceServer("demo", "demo-staging"), policy.WithRule("/acme.Bare/Do", policy.AnyOf("demo-staging/read.file"))},
			nil,
			`policy: MapResourceServer("demo", "demo-staging"): "demo-staging" is used itself, by the rule of /acme.Bare/Do, and two resource servers never become one; name "demo" there, the mapping applies to it`,
		},
		{
			"bad identifiers",
			[]policy.Option{policy.MapResourceServer("demo", ""), policy.MapResourceServer("https://bill.example/v1", "a b")},
			nil,
			`policy: MapResourceServer("demo", ""): the new identifier is empty
policy: MapResourceServer("https://bill.example/v1", "a b"): the new identifier has " " at position 2; Cognito takes printable ASCII without space, quote and backslash`,
		},
		{
			"too long",
			[]policy.Option{policy.MapResourceServer("demo", long), policy.WithRule("acme.Bare", policy.AnyOf("demo/read.file"))},
			nil,
			`policy: MapResourceServer: scope "` + long[:80] + `"... has 260 characters with its resource server, Cognito takes 256
policy: MapResourceServer: scope "` + long[:80] + `"... has 261 characters with its resource server, Cognito takes 256`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := policy.New(append(tt.options, source(t))...)
			if got := errorText(err); got != tt.errs {
				t.Fatalf("New: error\n got %s\nwant %s", got, tt.errs)
			}
			for method, want := range tt.want {
				r := ruleOf(t, p, "/acme."+method)
				if got := r.String(); got != want {
					t.Errorf("rule of %s: %q, want %q", method, got, want)
				}
				if all := r.Alternatives(); len(all) > 0 && !r.Permits(all[0]) {
					t.Errorf("rule of %s refuses its own alternative %q", method, all[0])
				}
			}
		})
	}
	t.Run("nothing in use", func(t *testing.T) {
		t.Parallel()
		_, err := policy.New(files(t), policy.MapResourceServer("demo", "x"))
		want := `policy: MapResourceServer("demo", "x"): no rule uses "demo"; in use: none`
		if got := errorText(err); got != want {
			t.Errorf("New: error\n got %s\nwant %s", got, want)
		}
	})
}

// A mapping does not open what the unmapped scope opens.
func TestMappedRuleRefusesTheOldScope(t *testing.T) {
	t.Parallel()
	p := mustNew(t, files(t, rule(`scope: "read.file"`)), policy.MapResourceServer("demo", "demo-staging"))
	r := ruleOf(t, p, "/acme.A/Do")
	if r.Permits([]string{"demo/read.file"}) || !r.Permits([]string{"demo-staging/read.file"}) {
		t.Errorf("rule %v permits demo/read.file: %v, demo-staging/read.file: %v; want false, true",
			r, r.Permits([]string{"demo/read.file"}), r.Permits([]string{"demo-staging/read.file"}))
	}
}
