// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of an accepted JSON document. The depth counts the outermost object as 1.
const (
	maxDepth      = 16
	maxTopMembers = 64
)

// member is one member of an object: its decoded name and the text of its value,
// which the scanner has found valid and free of surrounding white space.
type member struct {
	name string
	raw  string
}

// syntaxError is what is wrong with a JSON text and where.
type syntaxError struct {
	what string
	at   int
}

func (e *syntaxError) Error() string {
	return e.what + " at byte " + strconv.Itoa(e.at)
}

// parseObject reads a document that is one object and nothing else. The members
// share the memory of doc.
func parseObject(doc string) ([]member, *syntaxError) {
	if !utf8.ValidString(doc) {
		return nil, &syntaxError{"not UTF-8", 0}
	}
	sc := scanner{text: doc}
	sc.space()
	if sc.peek() != '{' {
		return nil, sc.fail("not a JSON object")
	}
	members, err := sc.object(1)
	if err != nil {
		return nil, err
	}
	sc.space()
	if sc.pos != len(doc) {
		return nil, sc.fail("bytes behind the object")
	}
	return members, nil
}

// scanner walks once over a JSON text that is valid UTF-8.
type scanner struct {
	text string
	pos  int
}

func (sc *scanner) fail(what string) *syntaxError {
	return &syntaxError{what, sc.pos}
}

// peek returns the byte at the position, 0 at the end. NUL is no JSON outside of
// strings, and inside of them only as an escape, so the two need not differ.
func (sc *scanner) peek() byte {
	if sc.pos < len(sc.text) {
		return sc.text[sc.pos]
	}
	return 0
}

func (sc *scanner) space() {
	for {
		switch sc.peek() {
		case ' ', '\t', '\n', '\r':
			sc.pos++
		default:
			return
		}
	}
}

// value passes over one value, which stands at the given depth.
func (sc *scanner) value(depth int) *syntaxError {
	switch c := sc.peek(); {
	case c == '{':
		_, err := sc.object(depth)
		return err
	case c == '[':
		return sc.array(depth, nil)
	case c == '"':
		_, err := sc.string()
		return err
	case c == '-' || isDigit(c):
		return sc.number()
	case c == 't':
		return sc.literal("true")
	case c == 'f':
		return sc.literal("false")
	case c == 'n':
		return sc.literal("null")
	default:
		return sc.fail("not a JSON value")
	}
}

// object reads the object at the position. Two members of one name are an error.
func (sc *scanner) object(depth int) ([]member, *syntaxError) {
	if depth > maxDepth {
		return nil, sc.fail("nested too deep")
	}
	sc.pos++
	sc.space()
	if sc.peek() == '}' {
		sc.pos++
		return nil, nil
	}
	var members []member
	if depth == 1 {
		members = make([]member, 0, 12) // nested objects are rare and small
	}
	var names nameSet
	for {
		if sc.peek() != '"' {
			return nil, sc.fail("not a member name")
		}
		m, err := sc.member(depth)
		if err != nil {
			return nil, err
		}
		if !names.add(members, m.name) {
			return nil, sc.fail("two members of one name")
		}
		members = append(members, m)
		if depth == 1 && len(members) > maxTopMembers {
			return nil, sc.fail("too many members")
		}
		more, err := sc.next('}', "not the end of an object")
		if err != nil || !more {
			return members, err
		}
	}
}

func (sc *scanner) member(depth int) (member, *syntaxError) {
	quoted, err := sc.string()
	if err != nil {
		return member{}, err
	}
	sc.space()
	if sc.peek() != ':' {
		return member{}, sc.fail("no colon behind a member name")
	}
	sc.pos++
	sc.space()
	start := sc.pos
	if err := sc.value(depth + 1); err != nil {
		return member{}, err
	}
	name, ok := unquote(quoted)
	if !ok {
		return member{}, sc.fail("not a member name")
	}
	return member{name, sc.text[start:sc.pos]}, nil
}

// array passes over the array at the position and appends the texts of its
// elements to elements, unless that is nil.
func (sc *scanner) array(depth int, elements *[]string) *syntaxError {
	if depth > maxDepth {
		return sc.fail("nested too deep")
	}
	sc.pos++
	sc.space()
	if sc.peek() == ']' {
		sc.pos++
		return nil
	}
	for {
		start := sc.pos
		if err := sc.value(depth + 1); err != nil {
			return err
		}
		if elements != nil {
			*elements = append(*elements, sc.text[start:sc.pos])
		}
		more, err := sc.next(']', "not the end of an array")
		if err != nil || !more {
			return err
		}
	}
}

// next passes over what follows an element: a comma, or the closing byte.
func (sc *scanner) next(closing byte, otherwise string) (more bool, err *syntaxError) {
	sc.space()
	switch sc.peek() {
	case ',':
		sc.pos++
		sc.space()
		return true, nil
	case closing:
		sc.pos++
		return false, nil
	default:
		return false, sc.fail(otherwise)
	}
}

// string passes over the string at the position and returns it with its quotes.
func (sc *scanner) string() (string, *syntaxError) {
	start := sc.pos
	sc.pos++
	for {
		switch c := sc.peek(); {
		case c == '"':
			sc.pos++
			return sc.text[start:sc.pos], nil
		case c == '\\':
			if err := sc.escape(); err != nil {
				return "", err
			}
		case c < 0x20: // also the end
			return "", sc.fail("control character or end in a string")
		default:
			sc.pos++
		}
	}
}

// escape passes over one escape; a surrogate must come as a pair.
func (sc *scanner) escape() *syntaxError {
	sc.pos++
	switch sc.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		sc.pos++
		return nil
	case 'u':
	default:
		return sc.fail("not an escape")
	}
	high, ok := sc.hex4()
	if !ok {
		return sc.fail("not an escape")
	}
	switch {
	case high < 0xD800 || high > 0xDFFF:
		return nil
	case high > 0xDBFF || sc.peek() != '\\':
		return sc.fail("lone surrogate")
	}
	sc.pos++
	if low, ok := sc.hex4(); !ok || low < 0xDC00 || low > 0xDFFF {
		return sc.fail("lone surrogate")
	}
	return nil
}

// hex4 passes over u and four hexadecimal digits.
func (sc *scanner) hex4() (uint64, bool) {
	if sc.peek() != 'u' || len(sc.text)-sc.pos < 5 {
		return 0, false
	}
	digits := sc.text[sc.pos+1 : sc.pos+5]
	for _, c := range []byte(digits) {
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
			return 0, false
		}
	}
	sc.pos += 5
	v, err := strconv.ParseUint(digits, 16, 16)
	return v, err == nil
}

// number passes over a number of RFC 8259 6.
func (sc *scanner) number() *syntaxError {
	if sc.peek() == '-' {
		sc.pos++
	}
	if sc.peek() == '0' {
		sc.pos++ // no digit may follow a leading zero
	} else if !sc.digits() {
		return sc.fail("not a number")
	}
	if sc.peek() == '.' {
		sc.pos++
		if !sc.digits() {
			return sc.fail("not a number")
		}
	}
	if c := sc.peek(); c == 'e' || c == 'E' {
		sc.pos++
		if c := sc.peek(); c == '+' || c == '-' {
			sc.pos++
		}
		if !sc.digits() {
			return sc.fail("not a number")
		}
	}
	return nil
}

func (sc *scanner) digits() bool {
	start := sc.pos
	for isDigit(sc.peek()) {
		sc.pos++
	}
	return sc.pos > start
}

func (sc *scanner) literal(word string) *syntaxError {
	if len(sc.text)-sc.pos < len(word) || sc.text[sc.pos:sc.pos+len(word)] != word {
		return sc.fail("not a JSON value")
	}
	sc.pos += len(word)
	return nil
}

func isDigit(c byte) bool {
	return '0' <= c && c <= '9'
}

// nameSet finds double names. Few are compared one by one, which needs no memory;
// many go into a map, so that a hostile object costs no quadratic time.
type nameSet struct {
	seen map[string]struct{}
}

const fewNames = 16

// add reports whether name is new among the members so far.
func (n *nameSet) add(members []member, name string) bool {
	if len(members) < fewNames {
		_, ok := find(members, name)
		return !ok
	}
	if n.seen == nil {
		n.seen = make(map[string]struct{}, 2*fewNames)
		for _, m := range members {
			n.seen[m.name] = struct{}{}
		}
	}
	if _, ok := n.seen[name]; ok {
		return false
	}
	n.seen[name] = struct{}{}
	return true
}

// find returns the text of the value of the member with exactly that name.
func find(members []member, name string) (raw string, ok bool) {
	for i := range members {
		if members[i].name == name {
			return members[i].raw, true
		}
	}
	return "", false
}

// unquote returns the string that a scanned value is, and false if the value is
// not a string.
func unquote(raw string) (string, bool) {
	if raw[0] != '"' {
		return "", false
	}
	inner := raw[1 : len(raw)-1]
	if !strings.Contains(inner, `\`) {
		return inner, true
	}
	var s string
	err := json.Unmarshal([]byte(raw), &s) // a scanned string, so there is one reading of it
	return s, err == nil
}

// elements returns the texts of the elements of a scanned value, and false if the
// value is not an array.
func elements(raw string) ([]string, bool) {
	if raw[0] != '[' {
		return nil, false
	}
	sc := scanner{text: raw}
	list := []string{}
	err := sc.array(1, &list)
	return list, err == nil
}
