// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// input is an input structure of the management API. Its methods read members:
// one of a wrong type ends in SerializationException, values that break a
// constraint are collected, all in the words of AWS. A member that is null is
// left out, as for AWS. Members that nobody reads are ignored, as AWS does,
// and member names are case-sensitive.
type input struct {
	members map[string]json.RawMessage
	at      string // where it is inside another, ending with "."
	found   *findings
}

// findings is what is wrong with an input.
type findings struct {
	malformed  string
	violations []string
	refusal    error // of values that are right each for itself
}

func parseInput(body []byte) (*input, error) {
	in := &input{found: &findings{}}
	if len(bytes.TrimSpace(body)) == 0 {
		return in, nil
	}
	if err := json.Unmarshal(body, &in.members); err != nil || in.members == nil || !utf8.Valid(body) {
		return nil, apiErrorf("SerializationException", "The body is no JSON object")
	}
	return in, nil
}

func (f *findings) err() error {
	switch n := len(f.violations); {
	case f.malformed != "":
		return apiErrorf("SerializationException", "%s", f.malformed)
	case n == 0:
		return f.refusal
	case n == 1:
		return invalidParameter("1 validation error detected: %s", f.violations[0])
	default:
		return invalidParameter("%d validation errors detected: %s", n, strings.Join(f.violations, "; "))
	}
}

func (in *input) malformed(raw json.RawMessage, want string) {
	if in.found.malformed != "" {
		return
	}
	var text string
	switch raw[0] {
	case '{':
		text = "Start of structure or map found where not expected."
	case '[':
		text = "Start of list found where not expected"
	case '"':
		text = "STRING_VALUE can not be converted to " + want
	case 't':
		text = "TRUE_VALUE can not be converted to " + want
	case 'f':
		text = "FALSE_VALUE can not be converted to " + want
	case 'n':
		text = "NULL_VALUE can not be converted to " + want
	default:
		text = "NUMBER_VALUE can not be converted to " + want
	}
	in.found.malformed = text
}

// violated adds a sentence about a value. AWS begins member names with a small letter in it.
func (in *input) violated(name string, value any, constraint string) {
	shown := ""
	if value != nil {
		shown = fmt.Sprintf("'%v' ", value)
	}
	in.found.violations = append(in.found.violations,
		fmt.Sprintf("Value %sat '%s%s' failed to satisfy constraint: %s", shown, in.at, lowerFirst(name), constraint))
}

func lowerFirst(name string) string {
	first, size := utf8.DecodeRuneInString(name)
	return string(unicode.ToLower(first)) + name[size:]
}

// raw returns a member, or nil if it is left out.
func (in *input) raw(name string) json.RawMessage {
	raw := in.members[name]
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// need is for a member that must be there.
func (in *input) need(name string) {
	if in.raw(name) == nil {
		in.found.violations = append(in.found.violations,
			fmt.Sprintf("Value null at '%s%s' failed to satisfy constraint: Member must not be null", in.at, lowerFirst(name)))
	}
}

// needText is text for a member that must be there.
func (in *input) needText(name string, r rule) string {
	in.need(name)
	return in.text(name, r)
}

// text returns a string, empty if it is left out.
func (in *input) text(name string, r rule) string {
	raw := in.raw(name)
	if raw == nil {
		return ""
	}
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		in.malformed(raw, "a String")
		return ""
	}
	var shown any
	if !r.sensitive {
		shown = s
	}
	for _, constraint := range r.broken(s) {
		in.violated(name, shown, constraint)
	}
	return s
}

// number returns a whole number, and whether it is there.
func (in *input) number(name string, r rule) (int64, bool) {
	raw := in.raw(name)
	if raw == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(raw), 10, 32)
	if err != nil {
		in.malformed(raw, "an Integer")
		return 0, false
	}
	switch {
	case r.max > 0 && n > r.max:
		in.violated(name, n, fmt.Sprintf("Member must have value less than or equal to %d", r.max))
	case n < r.min:
		in.violated(name, n, fmt.Sprintf("Member must have value greater than or equal to %d", r.min))
	}
	return n, true
}

// flag returns a boolean, false if it is left out.
func (in *input) flag(name string) bool {
	raw := in.raw(name)
	if raw == nil {
		return false
	}
	var b bool
	if json.Unmarshal(raw, &b) != nil {
		in.malformed(raw, "a Boolean")
	}
	return b
}

// list returns the items of a list, nil if it is left out.
func (in *input) list(name string) []json.RawMessage {
	raw := in.raw(name)
	if raw == nil {
		return nil
	}
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		in.malformed(raw, "a List")
	}
	return items
}

// texts returns a list of strings, each once, in which null is left out.
func (in *input) texts(name string, list, item rule) []string {
	var values []string
	for _, raw := range in.list(name) {
		var s string
		switch {
		case string(raw) == "null":
			continue
		case raw[0] != '"' || json.Unmarshal(raw, &s) != nil:
			in.malformed(raw, "a String")
			return nil
		}
		values = append(values, s)
	}
	shown := "[" + strings.Join(values, ", ") + "]"
	for _, constraint := range list.length(int64(len(values))) {
		in.violated(name, shown, constraint)
	}
	if slices.ContainsFunc(values, func(s string) bool { return item.broken(s) != nil }) {
		in.violated(name, shown, "Member must satisfy constraint: ["+strings.Join(item.all(), ", ")+"]")
	}
	var once []string
	seen := make(map[string]bool, len(values)) // a refused list may be a long one
	for _, s := range values {
		if !seen[s] {
			seen[s] = true
			once = append(once, s)
		}
	}
	return once
}

// object returns a structure, an empty one if it is left out.
func (in *input) object(name string) *input {
	inner := &input{at: in.at + lowerFirst(name) + ".", found: in.found}
	raw := in.raw(name)
	if raw != nil && (raw[0] != '{' || json.Unmarshal(raw, &inner.members) != nil) {
		in.malformed(raw, "a Structure")
	}
	return inner
}

// objects returns a list of structures.
func (in *input) objects(name string, list rule) []*input {
	items := in.list(name)
	for _, constraint := range list.length(int64(len(items))) {
		in.violated(name, nil, constraint)
	}
	inner := make([]*input, 0, len(items))
	for i, raw := range items {
		item := &input{at: fmt.Sprintf("%s%s.%d.member.", in.at, lowerFirst(name), i+1), found: in.found}
		if raw[0] != '{' || json.Unmarshal(raw, &item.members) != nil {
			in.malformed(raw, "a Structure")
		}
		inner = append(inner, item)
	}
	return inner
}

// textMap returns a map of strings, nil if it is left out.
func (in *input) textMap(name string) map[string]string {
	if in.raw(name) == nil {
		return nil
	}
	inner := in.object(name)
	values := make(map[string]string, len(inner.members))
	for key := range inner.members {
		values[key] = inner.text(key, rule{})
	}
	return values
}
