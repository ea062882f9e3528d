// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
)

func TestSelections(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		scopes Selection
		want   []string
		err    []string
	}{
		"one method":                   {scopes: ForMethods(filesv1.FileReadService_ReadFile_FullMethodName), want: []string{"demo/read.file"}},
		"the first of any_of":          {scopes: ForMethods(filesv1.FileReadService_StatFile_FullMethodName), want: []string{"demo/read.file"}},
		"all of all_of":                {scopes: ForMethods(filesv1.FileWriteService_AppendFile_FullMethodName), want: []string{"demo/read.file", "demo/write.file"}},
		"the service's default":        {scopes: ForMethods(filesv1.FileWriteService_DeleteFile_FullMethodName), want: []string{"demo/write.file"}},
		"a union":                      {scopes: ForMethods(filesv1.FileWriteService_WriteFile_FullMethodName, filesv1.FileReadService_ReadFile_FullMethodName), want: []string{"demo/read.file", "demo/write.file"}},
		"authenticated adds none":      {scopes: ForMethods(filesv1.FileReadService_WhoAmI_FullMethodName, filesv1.FileReadService_ReadFile_FullMethodName), want: []string{"demo/read.file"}},
		"only authenticated":           {scopes: ForMethods(filesv1.FileReadService_WhoAmI_FullMethodName), err: []string{"every scope of the client", "FixedScopes"}},
		"public":                       {scopes: ForMethods(filesv1.FileReadService_Version_FullMethodName), err: []string{"/demo.files.v1.FileReadService/Version is public"}},
		"unknown method":               {scopes: ForMethods("/demo.files.v1.FileReadService/Nothing"), err: []string{"in no linked descriptor", "Nothing"}},
		"unknown service":              {scopes: ForMethods("/acme.v1.Unlinked/Check"), err: []string{"in no linked descriptor"}},
		"no slash":                     {scopes: ForMethods("demo.files.v1.FileReadService/ReadFile"), err: []string{"/package.Service/Method"}},
		"a service":                    {scopes: ForMethods("/demo.files.v1.FileReadService"), err: []string{"/package.Service/Method"}},
		"empty name":                   {scopes: ForMethods(""), err: []string{"/package.Service/Method"}},
		"no method":                    {scopes: ForMethods(), err: []string{"names no method"}},
		"all faults at once":           {scopes: ForMethods("/a.B/C", "/a.B/D", filesv1.FileReadService_Version_FullMethodName), err: []string{"/a.B/C", "/a.B/D", "Version"}},
		"fixed, sorted":                {scopes: FixedScopes("b/x", "a/y", "b/x"), want: []string{"a/y", "b/x"}},
		"fixed, none":                  {scopes: FixedScopes(), err: []string{"has no scope"}},
		"fixed, two scopes in one":     {scopes: FixedScopes("a/x b/y"), err: []string{"is no scope"}},
		"fixed, empty":                 {scopes: FixedScopes(""), err: []string{"is no scope"}},
		"all of the client":            {scopes: AllClientScopes()},
		"nothing is implied":           {err: []string{"no scopes are selected"}},
		"unknown beside a good method": {scopes: ForMethods(filesv1.FileReadService_ReadFile_FullMethodName, "/a.B/C"), err: []string{"/a.B/C"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := newSource(t, &fakeEndpoint{})
			c, err := newCarrier(src, test.scopes, nil)
			// The error comes out wherever a selection goes in.
			_, errDial := DialOptions(src, test.scopes)
			_, errUnary := UnaryClientInterceptor(src, test.scopes)
			_, errStream := StreamClientInterceptor(src, test.scopes)
			_, errCreds := PerRPCCredentials(src, test.scopes)
			conn, errClient := NewClient("passthrough:///x", src, test.scopes)
			if errClient == nil {
				_ = conn.Close()
			}
			for _, err := range []error{err, errDial, errUnary, errStream, errCreds, errClient} {
				if (err != nil) != (len(test.err) > 0) {
					t.Fatalf("got %v, want %q", err, test.err)
				}
				for _, want := range test.err {
					if !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "clientauth: ") {
						t.Errorf("got %v, want %q in it", err, want)
					}
				}
			}
			if err != nil {
				return
			}
			if got := onlySlot(t, c).scopes; !slices.Equal(got, test.want) {
				t.Errorf("scopes: got %q, want %q", got, test.want)
			}
		})
	}
}

// onlySlot returns the place of a connection's one token.
func onlySlot(t *testing.T, c *carrier) *slot {
	t.Helper()
	all := c.selected.slots()
	if len(all) != 1 {
		t.Fatalf("got %d places for tokens, want 1", len(all))
	}
	return all[0]
}

// TestForMethodsTakesNoMoreThanNeeded: a rule that leaves a choice adds nothing if the
// scopes of others fulfil it.
func TestForMethodsTakesNoMoreThanNeeded(t *testing.T) {
	t.Parallel()
	p, err := policy.New(policy.WithService("x.S", "Either", "Write", "Other", "Audit"),
		policy.WithRule("/x.S/Either", policy.AnyOf("d/read", "d/write")), policy.WithRule("/x.S/Write", policy.AnyOf("d/write")),
		policy.WithRule("/x.S/Other", policy.AnyOf("d/all", "d/read")), policy.WithRule("/x.S/Audit", policy.AllOf("d/audit", "d/log")))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ methods, want []string }{
		"alone":                 {methods: []string{"/x.S/Either"}, want: []string{"d/read"}},
		"fulfilled":             {methods: []string{"/x.S/Either", "/x.S/Write"}, want: []string{"d/write"}},
		"fulfilled, order":      {methods: []string{"/x.S/Write", "/x.S/Either"}, want: []string{"d/write"}},
		"fulfilled by a choice": {methods: []string{"/x.S/Either", "/x.S/Other"}, want: []string{"d/read"}},
		"not fulfilled":         {methods: []string{"/x.S/Either", "/x.S/Audit"}, want: []string{"d/audit", "d/log", "d/read"}},
	} {
		c, err := newCarrier(newSource(t, &fakeEndpoint{}), ForMethods(test.methods...), []Option{WithPolicy(p)})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		scopes := onlySlot(t, c).scopes
		if !slices.Equal(scopes, test.want) {
			t.Errorf("%s: got %q, want %q", name, scopes, test.want)
		}
		if got := cap(scopes); got != len(test.want) {
			t.Errorf("%s: got room for %d scopes, want %d: a source that appends would write into the connection's", name, got, len(test.want))
		}
	}
}

// TestMethodWithoutRule: a method that is known and has no rule is an error at the
// start, with the text to write.
func TestMethodWithoutRule(t *testing.T) {
	t.Parallel()
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("bare.proto"), Package: new("bare"), Syntax: new("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: new("M")}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("S"), Method: []*descriptorpb.MethodDescriptorProto{
			{Name: new("Call"), InputType: new(".bare.M"), OutputType: new(".bare.M")},
		}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.New(policy.WithFiles(file))
	if err != nil {
		t.Fatal(err)
	}
	src := newSource(t, &fakeEndpoint{})
	_, err = DialOptions(src, ForMethods("/bare.S/Call"), WithPolicy(p))
	if err == nil || !strings.Contains(err.Error(), `option (scopeauth.v1.method).scope = "..."`) || !strings.Contains(err.Error(), "/bare.S/Call") {
		t.Errorf("got %v, want the line to write", err)
	}
	// Where scopes are fixed, the method gets the connection's token.
	c, err := newCarrier(src, FixedScopes("a/b"), []Option{WithPolicy(p)})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.selected.slot(c.policy, "/bare.S/Call"); got == nil || err != nil {
		t.Errorf("got %v, %v, want a token", got, err)
	}
}

func TestNeedsToken(t *testing.T) {
	t.Parallel()
	const unnamed = filesv1.FileReadService_ListFiles_FullMethodName
	tests := map[string]struct {
		scopes Selection
		method string
		want   bool
		refuse bool
	}{
		"named":                      {scopes: ForMethods(filesv1.FileReadService_ReadFile_FullMethodName), method: filesv1.FileReadService_ReadFile_FullMethodName, want: true},
		"not named, same scope":      {scopes: ForMethods(filesv1.FileReadService_ReadFile_FullMethodName), method: unnamed, refuse: true},
		"not named, authenticated":   {scopes: ForMethods(filesv1.FileReadService_ReadFile_FullMethodName), method: filesv1.FileReadService_WhoAmI_FullMethodName, refuse: true},
		"not named, public":          {scopes: ForMethods(filesv1.FileReadService_ReadFile_FullMethodName), method: filesv1.FileReadService_Version_FullMethodName},
		"unknown under ForMethods":   {scopes: ForMethods(filesv1.FileReadService_ReadFile_FullMethodName), method: "/acme.v1.Unlinked/Check", refuse: true},
		"unknown under FixedScopes":  {scopes: FixedScopes("a/b"), method: "/acme.v1.Unlinked/Check", want: true},
		"unknown under all":          {scopes: AllClientScopes(), method: "/acme.v1.Unlinked/Check", want: true},
		"public under FixedScopes":   {scopes: FixedScopes("a/b"), method: filesv1.FileReadService_Version_FullMethodName},
		"authenticated under all":    {scopes: AllClientScopes(), method: filesv1.FileReadService_WhoAmI_FullMethodName, want: true},
		"public by a rule in Go":     {scopes: ForMethods(filesv1.FileReadService_ReadFile_FullMethodName), method: "/grpc.health.v1.Health/Watch"},
		"malformed name":             {scopes: ForMethods(filesv1.FileReadService_ReadFile_FullMethodName), method: "nonsense", refuse: true},
		"the name's case makes two":  {scopes: ForMethods(filesv1.FileReadService_ReadFile_FullMethodName), method: strings.ToUpper(filesv1.FileReadService_ReadFile_FullMethodName), refuse: true},
		"named, with a slash behind": {scopes: ForMethods(filesv1.FileReadService_ReadFile_FullMethodName), method: filesv1.FileReadService_ReadFile_FullMethodName + "/", refuse: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var opts []Option
			if strings.Contains(name, "in Go") {
				p, err := policy.New(policy.WithService("grpc.health.v1.Health", "Check", "Watch"), policy.WithRule("/grpc.health.v1.Health/Watch", policy.Public("probes have no token")))
				if err != nil {
					t.Fatal(err)
				}
				opts = append(opts, WithPolicy(p))
			}
			c, err := newCarrier(newSource(t, &fakeEndpoint{}), test.scopes, opts)
			if err != nil {
				t.Fatal(err)
			}
			place, err := c.selected.slot(c.policy, test.method)
			got := place != nil
			if got != test.want || (err != nil) != test.refuse {
				t.Fatalf("got %v, %v, want %v (refused: %v)", got, err, test.want, test.refuse)
			}
			if test.refuse {
				wantReason(t, err, ReasonMethod, codes.PermissionDenied)
			}
			if test.method == unnamed && !strings.Contains(err.Error(), "add FileReadService_ListFiles_FullMethodName to ForMethods") {
				t.Errorf("got %v, want what to add", err)
			}
		})
	}
}

// TestFixedScopesWithASourceOfOnesOwn are checked too, and are not the caller's list.
func TestFixedScopesWithASourceOfOnesOwn(t *testing.T) {
	t.Parallel()
	src := sourceFunc(func(context.Context, Request) (Token, error) { return Token{}, errReset })
	if _, err := newCarrier(src, FixedScopes("a/x b/y"), nil); err == nil || !strings.Contains(err.Error(), "is no scope") {
		t.Errorf("got %v, want that it is no scope", err)
	}
	list := []string{"a/x"}
	selection := FixedScopes(list...)
	list[0] = "b/y"
	c, err := newCarrier(src, selection, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := onlySlot(t, c).scopes; !slices.Equal(got, []string{"a/x"}) {
		t.Errorf("got %q, want what was selected", got)
	}
}

// TestTextOfARefusedMethod stays on its line: a proxy calls what its own caller names.
func TestTextOfARefusedMethod(t *testing.T) {
	t.Parallel()
	for _, err := range []error{notNamed(nil, "/x.S/First\nSecond"), notKnown(&policy.Policy{}, "/x.S/First\nSecond")} {
		if text := err.Error(); strings.Contains(text, "First\n") || !strings.Contains(text, "First?Second") {
			t.Errorf("got %q, want it on one line", text)
		}
	}
}

func TestConnectionOptions(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		src  TokenSource
		opts []Option
		want string
	}{
		"no source":             {want: "token source is nil"},
		"beside an error":       {src: (*ClientCredentials)(nil), want: "token source is nil"},
		"nil policy":            {opts: []Option{WithPolicy(nil)}, want: "policy is nil"},
		"plaintext, no reason":  {opts: []Option{AllowInsecureTransport(" ")}, want: "say why"},
		"option of a source":    {opts: []Option{RequireGrantedScopes()}, want: "option of a token source"},
		"key empty":             {opts: []Option{MetadataKey("")}, want: "empty"},
		"key in capitals":       {opts: []Option{MetadataKey("Authorization")}, want: "no metadata key"},
		"key with a line break": {opts: []Option{MetadataKey("a\n")}, want: "no metadata key"},
		"pseudo header":         {opts: []Option{MetadataKey(":path")}, want: "no metadata key"},
		"gRPC's own":            {opts: []Option{MetadataKey("grpc-timeout")}, want: "gRPC reserves"},
		"binary":                {opts: []Option{MetadataKey("auth-bin")}, want: "gRPC reserves"},
		"the transport's":       {opts: []Option{MetadataKey("te")}, want: "transport"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := test.src
			if src == nil && name != "no source" {
				src = newSource(t, &fakeEndpoint{})
			}
			_, err := DialOptions(src, AllClientScopes(), test.opts...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}
