// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// thief returns a file whose extension acme.<name> has our number.
func thief(name, extendee string, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FileDescriptorProto {
	return &descriptorpb.FileDescriptorProto{
		Name: new("acme/thief.proto"), Package: new("acme"), Syntax: new("proto3"),
		Dependency: []string{"google/protobuf/descriptor.proto"},
		Extension: []*descriptorpb.FieldDescriptorProto{{
			Name: &name, Number: new(int32(number)), Type: &kind,
			Label:    descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			Extendee: new(".google.protobuf." + extendee), Proto3Optional: new(true),
		}},
	}
}

// While another extension has our number, no annotation is trusted. Rules given in
// Go do not depend on it.
func TestFaultStranger(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, extendee string
		nested         bool
		number         int32
		option         string
		stranger       bool
	}{
		{"10-method", "MethodOptions", false, number, "method", true},
		{"10-service", "ServiceOptions", false, number, "service", true},
		{"10-file", "FileOptions", false, number, "file", true},
		{"10-nested-in-a-message", "MethodOptions", true, number, "method", true},
		{"of fields", "FieldOptions", false, number, "", false},
		{"of another number", "MethodOptions", false, number + 1, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fdp := thief("auth", tt.extendee, descriptorpb.FieldDescriptorProto_TYPE_BYTES)
			fdp.Extension[0].Number = &tt.number
			extension := "acme.auth"
			if tt.nested {
				fdp.MessageType = []*descriptorpb.DescriptorProto{{
					Name:       new("Outer"),
					NestedType: []*descriptorpb.DescriptorProto{{Name: new("Inner"), Extension: fdp.GetExtension()}},
				}}
				fdp.Extension = nil
				extension = "acme.Outer.Inner.auth"
			}
			fd, err := protodesc.NewFile(fdp, protoregistry.GlobalFiles)
			if err != nil {
				t.Fatal(err)
			}
			p := mustNew(
				t, files(
					t,
					service(`resource_server: "demo"`, protoMethod{option: `scope: "read.file"`}),
					protoFile{path: "acme/b.proto", services: []protoService{{name: "Bare", methods: []protoMethod{{}}}, {name: "Unruled", methods: []protoMethod{{}}}}},
				),
				policy.WithFiles(fd), policy.WithRule("acme.Bare", policy.Authenticated()),
			)
			if err := p.Check("acme.Bare"); err != nil {
				t.Errorf("Check(acme.Bare) = %v, want nil: it has no annotation", err)
			}
			if got := errorText(p.Check("acme.Unruled")); strings.Contains(got, extension) {
				t.Errorf("Check(acme.Unruled) = %s, want nothing of %s: it has no annotation", got, extension)
			}
			if !tt.stranger {
				if err := p.Check("acme.A"); err != nil {
					t.Errorf("Check(acme.A) = %v, want nil", err)
				}
				return
			}
			if r := ruleOf(t, p, "/acme.A/Do"); r.Kind() != policy.KindNone {
				t.Errorf("rule %v, want none", r)
			}
			fault := "acme/thief.proto: extension " + extension + " of google.protobuf." + tt.extendee +
				" has number 84130, which is that of scopeauth.v1." + tt.option + ", so nobody can tell which of the two an option means"
			fix := "\n      give " + extension + " another number"
			if got := faultTexts(p.Faults()); !slices.Equal(got, []string{fault + fix}) {
				t.Errorf("Faults()\n got %q\nwant %q", got, fault+fix)
			}
			want := "scopeauth: not started, 1 file has a faulty declaration\n  " + fault + "; this concerns acme.A" + fix
			if got := errorText(p.Check("acme.A", "acme.Bare")); got != want {
				t.Errorf("Check\n got %s\nwant %s", got, want)
			}
		})
	}
}

// Somebody else's option beside ours does not matter, even if it is linked and
// cannot be decoded.
func TestOtherOption(t *testing.T) {
	t.Parallel()
	const other = number + 2
	fdp := thief("other", "MethodOptions", descriptorpb.FieldDescriptorProto_TYPE_STRING)
	fdp.Extension[0].Number = new(int32(other))
	fd, err := protodesc.NewFile(fdp, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	// The registry is the process's: another run of this test may have been here.
	if _, err := protoregistry.GlobalTypes.FindExtensionByNumber("google.protobuf.MethodOptions", other); errors.Is(err, protoregistry.NotFound) {
		if err := protoregistry.GlobalTypes.RegisterExtension(dynamicpb.NewExtensionType(fd.Extensions().Get(0))); err != nil {
			t.Fatal(err)
		}
	}
	p := mustNew(t, files(t, unknown(slices.Concat(message(number, text(1, "read.file")), text(other, "\xff")))))
	if got := ruleOf(t, p, "/acme.A/Do").String(); got != "demo/read.file" {
		t.Errorf("rule %q, want demo/read.file", got)
	}
}

// Declarations are one list over all files.
func TestFaultAcrossFiles(t *testing.T) {
	t.Parallel()
	user := func(scope string) protoFile { // declares nothing
		return protoFile{services: rule(`scope: "` + scope + `"`).services}
	}
	declaring := func(path, server string) protoFile {
		return protoFile{path: path, option: "resource_server { " + server + " }"}
	}
	const good = `identifier: "demo" name: "Demo" scopes { name: "read.file" description: "a" }`
	tests := []struct {
		name  string
		files []protoFile
		want  string // Check("acme.A")
	}{
		{
			"declared elsewhere",
			[]protoFile{user("read.file"), declaring("acme/b.proto", good)},
			"",
		},
		{
			"declared twice alike",
			[]protoFile{
				user("read.file"), declaring("acme/b.proto", good+` scopes { name: "x" description: "x" }`),
				declaring("acme/c.proto", `scopes { name: "x" description: "x" }`+good),
			},
			"",
		},
		{
			"another server is faulty",
			[]protoFile{user("read.file"), declaring("acme/b.proto", `identifier: "x" scopes { name: "x" }`)},
			"",
		},
		{
			"scopes of nobody's server need no declaration",
			[]protoFile{user("other/read"), declaring("acme/b.proto", good)},
			"",
		},
		{
			"07-not-declared-elsewhere",
			[]protoFile{user("write.file"), declaring("acme/b.proto", good)},
			`scopeauth: not started, 1 service has a faulty annotation
  acme.A/Do (acme/a.proto): scope "demo/write.file" is not declared for "demo" in acme/b.proto
      write read.file, or declare it there`,
		},
		{
			"13-server-faulty-in-another-file",
			[]protoFile{user("read.file"), declaring("acme/b.proto", `identifier: "demo" scopes { name: "read.file" }`)},
			`scopeauth: not started, 1 file has a faulty declaration
  acme/b.proto: resource server "demo": scope "read.file" has no description; this concerns acme.A
      add a description, Cognito insists on one`,
		},
		{
			"13-different-name",
			[]protoFile{
				user("read.file"), declaring("acme/b.proto", good),
				declaring("acme/c.proto", strings.Replace(good, `"Demo"`, `"Other"`, 1)),
			},
			`scopeauth: not started, 1 file has a faulty declaration
  acme/c.proto: resource server "demo": it is declared differently in acme/b.proto; this concerns acme.A
      declare it in one file, or the same way in both`,
		},
		{
			"13-different-scopes",
			[]protoFile{user("read.file"), declaring("acme/b.proto", good), declaring("acme/c.proto", good+` scopes { name: "x" description: "x" }`)},
			`scopeauth: not started, 1 file has a faulty declaration
  acme/c.proto: resource server "demo": it is declared differently in acme/b.proto; this concerns acme.A
      declare it in one file, or the same way in both`,
		},
		{
			"09-unknown-field-in-another-file",
			[]protoFile{user("read.file"), {path: "acme/b.proto", raw: message(number, message(1, text(1, "demo"), message(3, text(1, "read.file"), text(2, "x")), varint(8, 1)))}},
			`scopeauth: not started, 1 file has a faulty declaration
  acme/b.proto: option (scopeauth.v1.file) has what this version of scopeauth does not know: field 8 of ResourceServer; this concerns acme.A
      upgrade github.com/scopeauth/scopeauth`,
		},
		{
			"a stranger's file option declares nothing",
			[]protoFile{user("read.file"), {path: "acme/b.proto", imports: []string{}, option: `resource_server { identifier: "demo" }`}},
			"",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := mustNew(t, files(t, tt.files...))
			if got := errorText(p.Check("acme.A")); got != tt.want {
				t.Errorf("Check\n got %s\nwant %s", got, tt.want)
			}
			if got := ruleOf(t, p, "/acme.A/Do").Kind(); (got == policy.KindScopes) != (tt.want == "") {
				t.Errorf("rule of kind %v", got)
			}
		})
	}
}

// A fault in a stranger's file is told, although it concerns no service of ours.
func TestFaultStrangersFile(t *testing.T) {
	t.Parallel()
	p := mustNew(t, files(t, protoFile{imports: []string{}, option: demo}))
	want := []string{"acme/a.proto: it has an option of number 84130, but the file does not import scopeauth/v1/scopeauth.proto, so the option is somebody else's\n      import \"scopeauth/v1/scopeauth.proto\", or give the other option another number"}
	if got := faultTexts(p.Faults()); !slices.Equal(got, want) {
		t.Errorf("Faults()\n got %q\nwant %q", got, want)
	}
}
