// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// The zero Policy knows nothing, whatever is linked.
func TestZeroPolicy(t *testing.T) {
	t.Parallel()
	derived, err := new(policy.Policy).With()
	if err != nil {
		t.Fatalf("With() = %v", err)
	}
	const service = "demo.files.v1.FileReadService"
	for _, tt := range []struct {
		name   string
		policy *policy.Policy
		fix    string
	}{
		{"zero", &policy.Policy{}, "the policy is the zero Policy, which knows no service; make it with policy.New"},
		{"derived", derived, `it has no descriptor; link its generated code, or add
      policy.WithService("` + service + `", methods...) and policy.WithRule("` + service + `", policy.AnyOf(...))`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, known := tt.policy.Rule(filesv1.FileReadService_Version_FullMethodName)
			if known || r.Kind() != policy.KindNone || r.Permits([]string{"demo/read.file"}) {
				t.Errorf("Rule = %v, %v, want none", r, known)
			}
			for method, r := range tt.policy.Methods() {
				t.Errorf("Methods has %s with %v, want nothing", method, r)
			}
			if got := tt.policy.Faults(); len(got) != 0 {
				t.Errorf("Faults() = %v, want none", got)
			}
			want := "scopeauth: not started, 1 service has methods without a rule\n  " + service + ": " + tt.fix
			if got := errorText(tt.policy.Check(service)); got != want {
				t.Errorf("Check\n got %s\nwant %s", got, want)
			}
			if err := tt.policy.Check(); err != nil {
				t.Errorf("Check() of no service = %v, want nil", err)
			}
		})
	}
}

// What is derived from the zero Policy knows what its options say, and no more.
func TestZeroPolicyWith(t *testing.T) {
	t.Parallel()
	var zero policy.Policy
	p, err := zero.With(policy.WithService("hand.Made", "Get", "Put"), policy.WithRule("/hand.Made/Get", policy.AnyOf("demo/x")), policy.MapResourceServer("demo", "other"))
	if err != nil {
		t.Fatal(err)
	}
	for method, want := range map[string]string{"/hand.Made/Get": "other/x", "/hand.Made/Put": "no rule"} {
		if got := ruleOf(t, p, method).String(); got != want {
			t.Errorf("rule of %s: %q, want %q", method, got, want)
		}
	}
	if _, known := zero.Rule("/hand.Made/Get"); known {
		t.Error("the zero Policy has changed")
	}
	_, err = zero.With(policy.WithRule(filesv1.FileReadService_ReadFile_FullMethodName, policy.Authenticated()))
	want := `policy: WithRule("/demo.files.v1.FileReadService/ReadFile"): no service "demo.files.v1.FileReadService" is known; if it has no descriptor, add WithService("demo.files.v1.FileReadService", methods...)`
	if got := errorText(err); got != want {
		t.Errorf("With: error\n got %s\nwant %s", got, want)
	}
	_, err = zero.With(policy.WithFiles(filesv1.File_demo_files_v1_files_proto))
	if want := "policy: WithFiles: give it to New; With keeps the descriptors of the policy"; errorText(err) != want {
		t.Errorf("With(WithFiles) = %v, want %s", err, want)
	}
}
