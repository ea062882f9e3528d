// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	scopeauthv1 "github.com/scopeauth/scopeauth/gen/scopeauth/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// The demo shows every kind of rule; read from what is linked.
func TestDemo(t *testing.T) {
	t.Parallel()
	want := []string{
		"/demo.files.v1.FileReadService/ListFiles demo/read.file",
		"/demo.files.v1.FileReadService/ReadFile demo/read.file",
		"/demo.files.v1.FileReadService/StatFile demo/read.file or demo/write.file",
		"/demo.files.v1.FileReadService/Version public: the version is no secret, and monitors without a token ask for it",
		"/demo.files.v1.FileReadService/WhoAmI any valid token",
		"/demo.files.v1.FileWriteService/AppendFile demo/read.file and demo/write.file",
		"/demo.files.v1.FileWriteService/DeleteFile demo/write.file",
		"/demo.files.v1.FileWriteService/WriteFile demo/write.file",
	}
	for name, p := range map[string]*policy.Policy{
		"linked": mustNew(t),
		"files":  mustNew(t, policy.WithFiles(filesv1.File_demo_files_v1_files_proto)),
	} {
		var got []string
		for method, r := range p.Methods() {
			if strings.HasPrefix(method, "/demo.") {
				got = append(got, method+" "+r.String())
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: methods\n got %s\nwant %s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if err := p.Check("demo.files.v1.FileReadService", "demo.files.v1.FileWriteService"); err != nil {
			t.Errorf("%s: Check = %v, want nil", name, err)
		}
		if faults := p.Faults(); len(faults) > 0 {
			t.Errorf("%s: Faults() = %v, want none", name, faults)
		}
	}
}

func TestRuleLookup(t *testing.T) {
	t.Parallel()
	p := mustNew(t, files(t, service(`resource_server: "demo"`, protoMethod{option: `scope: "read.file"`}, protoMethod{name: "Bare"})))
	for _, tt := range []struct {
		method string
		known  bool
		want   policy.Kind
	}{
		{"/acme.A/Do", true, policy.KindScopes},
		{"/acme.A/Bare", true, policy.KindNone},
		{"acme.A/Do", false, policy.KindNone},
		{"/acme.A/do", false, policy.KindNone},
		{"/acme.A/Do/", false, policy.KindNone},
		{"//acme.A/Do", false, policy.KindNone},
		{"/acme.A.Do", false, policy.KindNone},
		{"/A/Do", false, policy.KindNone},
		{"/acme.B/Do", false, policy.KindNone},
		{"", false, policy.KindNone},
	} {
		r, known := p.Rule(tt.method)
		if known != tt.known || r.Kind() != tt.want {
			t.Errorf("Rule(%q) = %v, %v, want kind %v, %v", tt.method, r, known, tt.want, tt.known)
		}
	}
	for range p.Methods() {
		break // the loop may end early
	}
}

// A rule of the method replaces the default of the service whole, also if it is
// faulty; where there is none, the default counts.
func TestDefaultPolicy(t *testing.T) {
	t.Parallel()
	p := mustNew(t, files(t, service(`resource_server: "demo" default_policy { scopes { all_of: "write.file" } }`,
		protoMethod{name: "Bare"},
		protoMethod{name: "Own", option: `scope: "read.file"`},
		protoMethod{name: "Open", option: `public {}`},
		protoMethod{name: "Empty", option: `{}`},
		protoMethod{name: "Typo", option: `scope: "raed.file"`},
	)))
	for method, want := range map[string]string{
		"Bare": "demo/write.file", "Own": "demo/read.file", "Open": "public", "Empty": "no rule", "Typo": "no rule",
	} {
		if got := ruleOf(t, p, "/acme.A/"+method).String(); got != want {
			t.Errorf("%s: rule %q, want %q", method, got, want)
		}
	}
}

// Faults of services that are only linked deny and are kept, but do not stop a
// program that serves others. Services without any annotation are no fault.
func TestLinkedOnly(t *testing.T) {
	t.Parallel()
	p := mustNew(t, files(t,
		service(`resource_server: "demo"`, protoMethod{option: `scope: "read.file"`}),
		protoFile{path: "acme/b.proto", services: []protoService{
			{name: "Broken", methods: []protoMethod{{option: `{}`}, {name: "Good", option: `authenticated {}`}}},
			{name: "Bare", methods: []protoMethod{{}}},
		}},
	))
	if err := p.Check("acme.A"); err != nil {
		t.Errorf("Check(acme.A) = %v, want nil", err)
	}
	if err := p.Check("acme.A", "acme.Broken"); err == nil {
		t.Error("Check(acme.A, acme.Broken) = nil, want an error")
	}
	want := []string{"acme.Broken/Do (acme/b.proto): the rule is empty\n      set exactly one of scope, scopes, authenticated and public"}
	if got := faultTexts(p.Faults()); !slices.Equal(got, want) {
		t.Errorf("Faults() = %q, want %q", got, want)
	}
	for method, want := range map[string]policy.Kind{
		"/acme.Broken/Do": policy.KindNone, "/acme.Broken/Good": policy.KindAuthenticated, "/acme.Bare/Do": policy.KindNone,
	} {
		if got := ruleOf(t, p, method).Kind(); got != want {
			t.Errorf("rule of %s: kind %v, want %v", method, got, want)
		}
	}
}

// The options mean the same however they were decoded before.
func TestOptionForms(t *testing.T) {
	t.Parallel()
	const want = "demo/read.file"
	check := func(t *testing.T, fd protoreflect.FileDescriptor) {
		t.Helper()
		p := mustNew(t, policy.WithFiles(fd))
		if got := ruleOf(t, p, "/acme.A/Do").String(); got != want {
			t.Errorf("rule %q, want %q", got, want)
		}
		if err := p.Check("acme.A"); err != nil {
			t.Error(err)
		}
	}
	fdp := rule(`scope: "read.file"`).proto(t)
	raw, err := proto.Marshal(fdp)
	if err != nil {
		t.Fatal(err)
	}
	reread := func(resolver interface {
		protoregistry.ExtensionTypeResolver
	},
	) protoreflect.FileDescriptor {
		again := new(descriptorpb.FileDescriptorProto)
		if err := (proto.UnmarshalOptions{Resolver: resolver}).Unmarshal(raw, again); err != nil {
			t.Fatal(err)
		}
		fd, err := protodesc.NewFile(again, protoregistry.GlobalFiles)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	t.Run("linked", func(t *testing.T) {
		t.Parallel()
		check(t, rule(`scope: "read.file"`).descriptor(t))
	})
	t.Run("not linked", func(t *testing.T) {
		t.Parallel()
		fd := reread(new(protoregistry.Types))
		if proto.HasExtension(fd.Services().Get(0).Methods().Get(0).Options(), scopeauthv1.E_Method) {
			t.Fatal("the option is decoded; the test needs it undecoded")
		}
		check(t, fd)
	})
	t.Run("dynamic extension", func(t *testing.T) {
		t.Parallel()
		fd := reread(dynamicpb.NewTypes(protoregistry.GlobalFiles))
		found := false
		fd.Services().Get(0).Methods().Get(0).Options().ProtoReflect().Range(func(_ protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			_, found = v.Message().Interface().(*dynamicpb.Message)
			return true
		})
		if !found {
			t.Fatal("the option is not dynamic; the test needs it so")
		}
		check(t, fd)
	})
	t.Run("dynamic options message", func(t *testing.T) {
		t.Parallel()
		check(t, dynamicFile{rule(`scope: "read.file"`).descriptor(t)})
	})
	t.Run("decoded as another extension", func(t *testing.T) {
		t.Parallel()
		other := thief("method", "MethodOptions", descriptorpb.FieldDescriptorProto_TYPE_BYTES)
		fd, err := protodesc.NewFile(other, protoregistry.GlobalFiles)
		if err != nil {
			t.Fatal(err)
		}
		types := new(protoregistry.Types)
		if err := types.RegisterExtension(dynamicpb.NewExtensionType(fd.Extensions().Get(0))); err != nil {
			t.Fatal(err)
		}
		check(t, reread(types))
	})
}

// dynamicFile gives its method options of type dynamicpb.Message, as programs do
// that take even descriptor.proto from outside.
type dynamicFile struct{ protoreflect.FileDescriptor }

func (f dynamicFile) Services() protoreflect.ServiceDescriptors {
	return dynamicServices{f.FileDescriptor.Services()}
}

type dynamicServices struct {
	protoreflect.ServiceDescriptors
}

func (s dynamicServices) Get(i int) protoreflect.ServiceDescriptor {
	return dynamicService{s.ServiceDescriptors.Get(i)}
}

type dynamicService struct{ protoreflect.ServiceDescriptor }

func (s dynamicService) Methods() protoreflect.MethodDescriptors {
	return dynamicMethods{s.ServiceDescriptor.Methods()}
}

type dynamicMethods struct{ protoreflect.MethodDescriptors }

func (m dynamicMethods) Get(i int) protoreflect.MethodDescriptor {
	return dynamicMethod{m.MethodDescriptors.Get(i)}
}

type dynamicMethod struct{ protoreflect.MethodDescriptor }

func (m dynamicMethod) Options() protoreflect.ProtoMessage {
	raw, err := proto.Marshal(m.MethodDescriptor.Options())
	if err != nil {
		return nil
	}
	dynamic := dynamicpb.NewMessage(new(descriptorpb.MethodOptions).ProtoReflect().Descriptor())
	if err := (proto.UnmarshalOptions{Resolver: dynamicpb.NewTypes(protoregistry.GlobalFiles)}).Unmarshal(raw, dynamic); err != nil {
		return nil
	}
	return dynamic
}

// Descriptors of generated code panic if their options cannot be decoded.
func TestOptionsPanic(t *testing.T) {
	t.Parallel()
	p := mustNew(t, policy.WithFiles(panickyFile{rule(`scope: "read.file"`).descriptor(t)}))
	if r := ruleOf(t, p, "/acme.A/Do"); r.Kind() != policy.KindNone {
		t.Errorf("rule %v, want none", r)
	}
	var checked *policy.CheckError
	if err := p.Check("acme.A"); !errors.As(err, &checked) || checked.Faults[0].Problem != "its options cannot be decoded" {
		t.Errorf("Check = %v, want a fault about options that cannot be decoded", err)
	}
}

type panickyFile struct{ protoreflect.FileDescriptor }

func (f panickyFile) Services() protoreflect.ServiceDescriptors {
	return panickyServices{f.FileDescriptor.Services()}
}

type panickyServices struct {
	protoreflect.ServiceDescriptors
}

func (s panickyServices) Get(i int) protoreflect.ServiceDescriptor {
	return panickyService{s.ServiceDescriptors.Get(i)}
}

type panickyService struct{ protoreflect.ServiceDescriptor }

func (panickyService) Options() protoreflect.ProtoMessage { panic("cannot decode") }

// The file of the option may be imported in every way that a compiler takes.
func TestSchemaImports(t *testing.T) {
	t.Parallel()
	resolver := new(protoregistry.Files)
	protoregistry.GlobalFiles.RangeFiles(func(fd protoreflect.FileDescriptor) bool {
		return resolver.RegisterFile(fd) == nil
	})
	for _, public := range []bool{true, false} {
		fdp := protoFile{path: map[bool]string{true: "acme/public.proto", false: "acme/private.proto"}[public]}.proto(t)
		if public {
			fdp.PublicDependency = []int32{0}
		}
		fd, err := protodesc.NewFile(fdp, resolver)
		if err != nil {
			t.Fatal(err)
		}
		if err := resolver.RegisterFile(fd); err != nil {
			t.Fatal(err)
		}
	}
	annotated := protoFile{services: []protoService{{methods: []protoMethod{{option: `authenticated {}`}}}}}
	tests := []struct {
		name     string
		imports  []string
		option   []string // imports of options alone, as in edition 2024
		resolver protodesc.Resolver
		want     policy.Kind
	}{
		{"direct", []string{schema}, nil, resolver, policy.KindAuthenticated},
		{"public", []string{"acme/public.proto"}, nil, resolver, policy.KindAuthenticated},
		{"of another import", []string{"acme/private.proto"}, nil, resolver, policy.KindNone},
		{"option", []string{}, []string{schema}, resolver, policy.KindAuthenticated},
		{"option, not linked", []string{}, []string{"vendored/" + schema}, resolver, policy.KindAuthenticated},
		{"not linked", []string{schema}, nil, new(protoregistry.Files), policy.KindAuthenticated},
		{"another option, not linked", []string{}, []string{"acme/auth.proto"}, resolver, policy.KindNone},
		{"none", []string{}, nil, resolver, policy.KindNone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := annotated
			f.imports = tt.imports
			fdp := f.proto(t)
			fdp.OptionDependency = tt.option
			if tt.option != nil {
				fdp.Syntax, fdp.Edition = new("editions"), descriptorpb.Edition_EDITION_2024.Enum()
			}
			fd, err := protodesc.FileOptions{AllowUnresolvable: true}.New(fdp, tt.resolver)
			if err != nil {
				t.Fatal(err)
			}
			if got := ruleOf(t, mustNew(t, policy.WithFiles(fd)), "/acme.A/Do"); got.Kind() != tt.want {
				t.Errorf("rule %v, want kind %v", got, tt.want)
			}
		})
	}
}
