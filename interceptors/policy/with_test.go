// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

func TestWithLeavesTheFirstAlone(t *testing.T) {
	t.Parallel()
	first := mustNew(t, shop(t), policy.WithRule("/acme.Bare/Get", policy.Authenticated()))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			derived, err := first.With(
				policy.WithRule("/acme.Bare/Put", policy.Public("x")), policy.WithService("hand.Made", "Get"),
				policy.WithRuleOverride("/acme.A/Put", policy.Public("x")), policy.MapResourceServer("demo", "other"),
			)
			if err != nil {
				t.Error(err)
				return
			}
			if got, want := ruleOf(t, derived, "/acme.A/Get").String(), "other/read.file"; got != want {
				t.Errorf("derived rule %q, want %q", got, want)
			}
		})
		if got, want := ruleOf(t, first, "/acme.A/Get").String(), "demo/read.file"; got != want {
			t.Errorf("first rule %q, want %q", got, want)
		}
	}
	wg.Wait()
	for method, want := range map[string]string{
		"/acme.A/Get": "demo/read.file", "/acme.A/Put": "demo/write.file", "/acme.Bare/Get": "any valid token", "/acme.Bare/Put": "no rule",
	} {
		if got := ruleOf(t, first, method).String(); got != want {
			t.Errorf("first policy: rule of %s: %q, want %q", method, got, want)
		}
	}
	if _, known := first.Rule("/hand.Made/Get"); known {
		t.Error("first policy: hand.Made is known")
	}
	if _, err := first.With(policy.WithFiles()); errorText(err) != "policy: WithFiles: give it to New; With keeps the descriptors of the policy" {
		t.Errorf("With(WithFiles()) = %v, want an error", err)
	}
}

// Policies that were derived from one share no memory that one of them writes.
func TestWithTwice(t *testing.T) {
	t.Parallel()
	// Three of each: an append then has room in the old array.
	first := mustNew(
		t, files(t, service("", protoMethod{name: "A"}, protoMethod{name: "B"}, protoMethod{name: "C"})),
		policy.WithRule("/acme.A/A", policy.Authenticated()), policy.WithRule("/acme.A/B", policy.Authenticated()), policy.WithRule("/acme.A/C", policy.Authenticated()),
	)
	derive := func(p *policy.Policy, opts ...policy.Option) *policy.Policy {
		t.Helper()
		derived, err := p.With(opts...)
		if err != nil {
			t.Fatal(err)
		}
		return derived
	}
	x := derive(first, policy.WithService("acme.A", "X"))
	y := derive(first, policy.WithService("acme.A", "Y"))
	for name, p := range map[string]*policy.Policy{"X": x, "Y": y} {
		if got := errorText(p.Check("acme.A")); !strings.Contains(got, "acme.A/"+name+" ") {
			t.Errorf("Check = %s, want a fault of acme.A/%s", got, name)
		}
	}
	x = derive(first, policy.WithRuleOverride("/acme.A/A", policy.Public("x")))
	_ = derive(first, policy.WithRuleOverride("/acme.A/B", policy.Public("y")))
	if got := ruleOf(t, derive(x), "/acme.A/A").String(); got != "public: x" {
		t.Errorf("rule of /acme.A/A: %q, want public: x", got)
	}
}

func TestWithFiles(t *testing.T) {
	t.Parallel()
	annotated := func(path, svc string) protoFile {
		return protoFile{path: path, services: []protoService{{name: svc, methods: []protoMethod{{option: `authenticated {}`}}}}}
	}
	resolver := new(protoregistry.Files)
	protoregistry.GlobalFiles.RangeFiles(func(fd protoreflect.FileDescriptor) bool { return resolver.RegisterFile(fd) == nil })
	if err := resolver.RegisterFile(annotated("acme/deep.proto", "Deep").descriptor(t)); err != nil {
		t.Fatal(err)
	}
	middle := annotated("acme/imported.proto", "Imported").proto(t)
	middle.Dependency = append(middle.Dependency, "acme/deep.proto")
	imported, err := protodesc.NewFile(middle, resolver)
	if err != nil {
		t.Fatal(err)
	}
	if err := resolver.RegisterFile(imported); err != nil {
		t.Fatal(err)
	}
	importing := annotated("acme/importing.proto", "Importing").proto(t)
	importing.Dependency = append(importing.Dependency, "acme/imported.proto", "acme/missing.proto")
	top, err := protodesc.FileOptions{AllowUnresolvable: true}.New(importing, resolver)
	if err != nil {
		t.Fatal(err)
	}
	p := mustNew(t, policy.WithFiles(top), policy.WithFiles(top))
	for _, method := range []string{"/acme.Importing/Do", "/acme.Imported/Do", "/acme.Deep/Do"} {
		if r := ruleOf(t, p, method); r.Kind() != policy.KindAuthenticated {
			t.Errorf("rule of %s: %v, want any valid token", method, r)
		}
	}
	if _, known := p.Rule("/demo.files.v1.FileReadService/ReadFile"); known {
		t.Error("a method of a linked file is known, want those of the given files only")
	}

	missing := top.Imports().Get(top.Imports().Len() - 1).FileDescriptor
	if !missing.IsPlaceholder() {
		t.Fatalf("%s is there; the test needs a file that is not", missing.Path())
	}
	_, err = policy.New(
		policy.WithFiles(nil, missing, annotated("acme/a.proto", "A").descriptor(t), annotated("acme/a.proto", "B").descriptor(t)),
		policy.WithFiles(annotated("acme/c.proto", "A").descriptor(t)),
	)
	want := `policy: WithFiles: a file is nil
policy: WithFiles: acme/missing.proto has a name but no content; give its descriptor
policy: WithFiles: two different files have the path acme/a.proto
policy: service acme.A is in acme/a.proto and in acme/c.proto`
	if got := errorText(err); got != want {
		t.Errorf("New: error\n got %s\nwant %s", got, want)
	}
}
