// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	_ "google.golang.org/protobuf/types/known/emptypb" // what the methods take and return

	_ "github.com/scopeauth/scopeauth/gen/scopeauth/v1" // the options in the texts below
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// protoFile describes a .proto file. Options are in text format, as between the
// braces of `option (scopeauth.v1.method) = { ... }`; none is no option, "{}" is an
// empty one.
type protoFile struct {
	path     string // default: "acme/a.proto"
	option   string
	raw      []byte   // wire form of the file's options, instead of option
	imports  []string // default: the schema
	services []protoService
}

type protoService struct {
	name    string // default: "acme.A"; the part before the "." is the file's package
	option  string
	raw     []byte // wire form of the service's options, instead of option
	methods []protoMethod
}

type protoMethod struct {
	name   string // default: "Do"
	option string
	raw    []byte // wire form of the method's options, instead of option
}

const (
	schema = "scopeauth/v1/scopeauth.proto"
	demo   = `resource_server { identifier: "demo" scopes { name: "read.file" description: "Read" } scopes { name: "write.file" description: "Write" } }`
)

// descriptor returns what a compiler makes of the file. All files are of package
// acme.
func (f protoFile) descriptor(tb testing.TB) protoreflect.FileDescriptor {
	tb.Helper()
	fd, err := protodesc.NewFile(f.proto(tb), protoregistry.GlobalFiles)
	if err != nil {
		tb.Fatalf("build %s: %v", f.path, err)
	}
	return fd
}

func (f protoFile) proto(tb testing.TB) *descriptorpb.FileDescriptorProto {
	tb.Helper()
	fdp := &descriptorpb.FileDescriptorProto{
		Name: new(or(f.path, "acme/a.proto")), Package: new("acme"), Syntax: new("proto3"),
		Dependency: f.imports,
	}
	if f.imports == nil {
		fdp.Dependency = []string{schema}
	}
	fdp.Dependency = append(fdp.Dependency, "google/protobuf/empty.proto")
	if f.option != "" || f.raw != nil {
		fdp.Options = new(descriptorpb.FileOptions)
		option(tb, fdp.GetOptions(), "file", f.option, f.raw)
	}
	for _, s := range f.services {
		sdp := &descriptorpb.ServiceDescriptorProto{Name: new(or(s.name, "A"))}
		if s.option != "" || s.raw != nil {
			sdp.Options = new(descriptorpb.ServiceOptions)
			option(tb, sdp.GetOptions(), "service", s.option, s.raw)
		}
		for _, m := range s.methods {
			mdp := &descriptorpb.MethodDescriptorProto{
				Name: new(or(m.name, "Do")), InputType: new(".google.protobuf.Empty"), OutputType: new(".google.protobuf.Empty"),
			}
			if m.option != "" || m.raw != nil {
				mdp.Options = new(descriptorpb.MethodOptions)
				option(tb, mdp.GetOptions(), "method", m.option, m.raw)
			}
			sdp.Method = append(sdp.Method, mdp)
		}
		fdp.Service = append(fdp.Service, sdp)
	}
	return fdp
}

func option(tb testing.TB, options proto.Message, extension, text string, raw []byte) {
	tb.Helper()
	if raw != nil {
		// As it comes from the wire where the options are not linked.
		options.ProtoReflect().SetUnknown(raw)
		return
	}
	if text == "{}" {
		text = ""
	}
	if err := prototext.Unmarshal([]byte("[scopeauth.v1."+extension+"] {"+text+"}"), options); err != nil {
		tb.Fatalf("option (scopeauth.v1.%s) = {%s}: %v", extension, text, err)
	}
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// service returns a file with service acme.A.
func service(option string, methods ...protoMethod) protoFile {
	return protoFile{option: demo, services: []protoService{{option: option, methods: methods}}}
}

// rule returns a file with service acme.A of resource server "demo", whose one
// method Do has the option.
func rule(option string) protoFile {
	return service(`resource_server: "demo"`, protoMethod{option: option})
}

func files(tb testing.TB, all ...protoFile) policy.Option {
	tb.Helper()
	fds := make([]protoreflect.FileDescriptor, len(all))
	for i, f := range all {
		fds[i] = f.descriptor(tb)
	}
	return policy.WithFiles(fds...)
}

func mustNew(tb testing.TB, opts ...policy.Option) *policy.Policy {
	tb.Helper()
	p, err := policy.New(opts...)
	if err != nil {
		tb.Fatalf("New: %v", err)
	}
	return p
}

// ruleOf returns the rule of a known method.
func ruleOf(tb testing.TB, p *policy.Policy, fullMethod string) policy.Rule {
	tb.Helper()
	r, ok := p.Rule(fullMethod)
	if !ok {
		tb.Fatalf("Rule(%s): the method is not known", fullMethod)
	}
	return r
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
