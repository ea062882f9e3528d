// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	scopeauthv1 "github.com/scopeauth/scopeauth/gen/scopeauth/v1"
)

// ownExtensions resolves the three scopeauth options and nothing else. Reading
// with it does not depend on what is linked, nor on who else uses our number: an
// option that was decoded as something else, or not at all, is decoded here.
type ownExtensions struct{}

// FindExtensionByName finds nothing: the wire format has numbers only.
func (ownExtensions) FindExtensionByName(protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return nil, protoregistry.NotFound
}

// FindExtensionByNumber returns our option of a kind of descriptor.
func (ownExtensions) FindExtensionByNumber(message protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	for _, xt := range []protoreflect.ExtensionType{scopeauthv1.E_File, scopeauthv1.E_Service, scopeauthv1.E_Method} {
		if xd := xt.TypeDescriptor(); xd.ContainingMessage().FullName() == message && xd.Number() == number {
			return xt, nil
		}
	}
	return nil, protoregistry.NotFound
}

// option is one scopeauth option as it stands at a file, service or method.
type option[T proto.Message] struct {
	value    T
	present  bool // it, or something in its place, is there
	problems []problem
}

func fileOption(d protoreflect.FileDescriptor) option[*scopeauthv1.FilePolicy] {
	return readOption[*scopeauthv1.FilePolicy](d, new(descriptorpb.FileOptions), scopeauthv1.E_File)
}

func serviceOption(d protoreflect.ServiceDescriptor) option[*scopeauthv1.ServicePolicy] {
	return readOption[*scopeauthv1.ServicePolicy](d, new(descriptorpb.ServiceOptions), scopeauthv1.E_Service)
}

func methodOption(d protoreflect.MethodDescriptor) option[*scopeauthv1.MethodPolicy] {
	return readOption[*scopeauthv1.MethodPolicy](d, new(descriptorpb.MethodOptions), scopeauthv1.E_Method)
}

func readOption[T proto.Message](d protoreflect.Descriptor, empty proto.Message, xt protoreflect.ExtensionType) option[T] {
	raw, ok := optionBytes(d)
	if !ok {
		return unreadable[T]()
	}
	return decodeOption[T](raw, empty, xt)
}

// optionBytes returns the options of d as they stand on the wire. Descriptors of
// generated code decode their options at the first call and panic if they cannot;
// a program must not die of an annotation that it may not even serve.
func optionBytes(d protoreflect.Descriptor) (raw []byte, ok bool) {
	defer func() {
		if recover() != nil {
			raw, ok = nil, false
		}
	}()
	raw, err := proto.MarshalOptions{AllowPartial: true}.Marshal(d.Options())
	return raw, err == nil
}

// unreadable stands for options that cannot be decoded. Whether ours is among them
// nobody knows, so it counts as present and as faulty.
func unreadable[T proto.Message]() option[T] {
	return option[T]{present: true, problems: []problem{{
		text: "its options cannot be decoded",
		fix:  "generate the Go code of the file anew",
	}}}
}

// decodeOption decodes the option xt out of the wire form of an options message,
// of which empty is an empty one. Only an option without problems may be used.
func decodeOption[T proto.Message](raw []byte, empty proto.Message, xt protoreflect.ExtensionType) option[T] {
	err := proto.UnmarshalOptions{AllowPartial: true, Resolver: ownExtensions{}}.Unmarshal(raw, empty)
	if err != nil {
		return unreadable[T]()
	}
	var o option[T]
	xd := xt.TypeDescriptor()
	if slices.Contains(fieldNumbers(empty.ProtoReflect().GetUnknown()), xd.Number()) {
		// The decoder leaves a field of another wire type than ours undecoded.
		o.present = true
		o.problems = append(o.problems, problem{
			text: fmt.Sprintf("its option number %d does not have the type of (%s)", xd.Number(), xd.FullName()),
			fix:  "give the other option another number",
		})
	}
	if !proto.HasExtension(empty, xt) {
		return o
	}
	o.present = true
	value, ok := proto.GetExtension(empty, xt).(T)
	if !ok {
		return unreadable[T]()
	}
	o.value = value
	if unknown := unknownFields(value.ProtoReflect()); len(unknown) > 0 {
		o.problems = append(o.problems, problem{
			text: fmt.Sprintf("option (%s) has what this version of scopeauth does not know: %s", xd.FullName(), strings.Join(unknown, ", ")),
			fix:  "upgrade github.com/scopeauth/scopeauth",
		})
	}
	return o
}

// unknownFields lists the fields of m, and of the messages in it, that this
// version of the schema does not have.
func unknownFields(m protoreflect.Message) []string {
	var unknown []string
	for _, n := range fieldNumbers(m.GetUnknown()) {
		unknown = append(unknown, fmt.Sprintf("field %d of %s", n, m.Descriptor().Name()))
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				unknown = append(unknown, unknownFields(v.List().Get(i).Message())...)
			}
		default:
			unknown = append(unknown, unknownFields(v.Message())...)
		}
		return true
	})
	slices.Sort(unknown)
	return slices.Compact(unknown)
}

// fieldNumbers returns the numbers of the fields in raw, which the decoder has
// found well-formed.
func fieldNumbers(raw protoreflect.RawFields) []protoreflect.FieldNumber {
	var numbers []protoreflect.FieldNumber
	for len(raw) > 0 {
		number, _, n := protowire.ConsumeField(raw)
		if n < 0 {
			return append(numbers, 0)
		}
		numbers = append(numbers, number)
		raw = raw[n:]
	}
	return numbers
}
