// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// Whatever stands in the options of a method, reading it does not panic, and a
// rule comes of it only if it is wholly understood: exactly one field is set and
// none is unknown. The test reads the wire with other means than the package.
func FuzzMethodOptions(f *testing.F) {
	for _, seed := range [][]byte{
		nil,
		message(number),
		message(number, text(1, "read.file")),
		message(number, text(1, "")),
		message(number, text(1, "read.file"), message(4)),
		message(number, message(2, text(1, "read.file"), text(2, "write.file"))),
		message(number, message(2, text(1, "demo/read.file"), text(3, "x"))),
		message(number, message(3)),
		message(number, message(3, varint(1, 1))),
		message(number, message(4, text(1, "why"))),
		message(number, message(4), varint(5, 1)),
		message(number, varint(3, 1)),
		varint(number, 1),
		slices.Concat(message(number, message(3)), message(number, message(4))),
		slices.Concat(varint(33, 1), message(number, message(3)), text(50001, "x")),
		message(999, message(2), varint(1, 1)),
		{0xff, 0xff, 0xff},
		protowire.AppendTag(nil, number, protowire.StartGroupType),
		text(number, "\x0a\x01\xff"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := mustNew(t, files(t, service(`resource_server: "demo"`, protoMethod{raw: raw})))
		r := ruleOf(t, p, "/acme.A/Do")
		checked := p.Check("acme.A")
		if (checked == nil) != (r.Kind() != policy.KindNone) {
			t.Errorf("rule %v, but Check = %v", r, checked)
		}
		if r.Kind() == policy.KindNone {
			if r.Permits([]string{"demo/read.file", "demo/write.file"}) {
				t.Error("a rule of no kind permits something")
			}
			return
		}
		if fields, strange := ruleFields(raw); strange || len(fields) != 1 {
			t.Errorf("rule %v of an option with the fields %v, others: %v", r, fields, strange)
		}
		if r.Kind() == policy.KindScopes {
			if r.Permits(nil) || r.Permits([]string{""}) {
				t.Errorf("rule %v permits a token without scopes", r)
			}
			for _, alternative := range r.Alternatives() {
				if !r.Permits(alternative) || r.Permits(alternative[1:]) && len(r.Alternatives()) == 1 {
					t.Errorf("rule %v: alternative %q does not suffice, or a part of it does", r, alternative)
				}
			}
		}
	})
}

// ruleFields returns the numbers of the fields in the option of our number, and
// whether there is something that the schema does not have.
func ruleFields(raw []byte) (fields map[protowire.Number]bool, strange bool) {
	fields = map[protowire.Number]bool{}
	each(raw, func(n protowire.Number, kind protowire.Type, content []byte) {
		if n != number {
			return
		}
		if kind != protowire.BytesType {
			strange = true
			return
		}
		each(content, func(n protowire.Number, kind protowire.Type, content []byte) {
			fields[n] = true
			strange = strange || n > 4 || kind != protowire.BytesType
			allowed := map[protowire.Number]protowire.Number{2: 2, 3: 0, 4: 1}
			if highest, isMessage := allowed[n]; isMessage {
				each(content, func(n protowire.Number, kind protowire.Type, _ []byte) {
					strange = strange || n > highest || kind != protowire.BytesType
				})
			}
		})
	})
	return fields, strange
}

func each(raw []byte, f func(n protowire.Number, kind protowire.Type, content []byte)) {
	for len(raw) > 0 {
		n, kind, head := protowire.ConsumeTag(raw)
		size := protowire.ConsumeFieldValue(n, kind, raw[max(head, 0):])
		if head < 0 || size < 0 {
			return
		}
		content := raw[head : head+size]
		if kind == protowire.BytesType {
			content, _ = protowire.ConsumeBytes(content)
		}
		f(n, kind, content)
		raw = raw[head+size:]
	}
}

// The fuzz target depends on it that its bytes arrive at the package as they are.
func TestUnknownOptionsAreKept(t *testing.T) {
	t.Parallel()
	raw := message(number, message(3))
	fd := service("", protoMethod{raw: raw}).descriptor(t)
	options, ok := fd.Services().Get(0).Methods().Get(0).Options().(*descriptorpb.MethodOptions)
	if !ok {
		t.Fatal("the options are of another type")
	}
	if got := options.ProtoReflect().GetUnknown(); !slices.Equal(got, raw) {
		t.Errorf("raw options %x, want %x", got, raw)
	}
}

func FuzzScope(f *testing.F) {
	for _, seed := range []string{"demo/read.file", "read.file", "", "/", "a/b/c", "a b/c", "\xff/x", "https://x.example/v1/read"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, scope string) {
		r := policy.AnyOf(scope)
		if r.Kind() == policy.KindNone {
			if r.Permits([]string{scope}) {
				t.Errorf("the refused scope %q permits", scope)
			}
			return
		}
		if len(scope) < 3 || len(scope) > 256 {
			t.Errorf("scope of %d characters is taken", len(scope))
		}
		slash := false
		for i := range len(scope) {
			slash = slash || scope[i] == '/'
			if scope[i] <= ' ' || scope[i] >= 0x7f || scope[i] == '"' || scope[i] == '\\' {
				t.Errorf("scope %q is taken", scope)
			}
		}
		if !slash || scope[len(scope)-1] == '/' {
			t.Errorf("scope %q is taken", scope)
		}
	})
}
