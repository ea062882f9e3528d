// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package accesslist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// document is what a file says. Its entries are complete and make sense.
type document struct {
	deny, allow []entry
}

// entry is one deny or allow entry. A list that is absent is nil; none is empty.
type entry struct {
	place    string // such as deny[2]
	clients  []string
	issuer   string
	methods  []string
	tokenIDs []string
	reason   string
}

// known is what a server has, as [Config] tells. A nil function knows everything.
type known struct{ method, issuer func(name string) bool }

// parse reads a file's content. An error names the place.
func parse(content []byte, has known) (*document, error) {
	if err := checkSyntax(content); err != nil {
		return nil, err
	}
	w := &walker{dec: json.NewDecoder(bytes.NewReader(content)), known: has}
	w.dec.UseNumber() // a number is of the wrong type, whatever its size
	doc := &document{}
	err := w.object("", members{
		"deny": func(place string) error {
			return w.list(place, "entries", func(place string) error {
				e, err := w.denyEntry(place)
				doc.deny = append(doc.deny, e)
				return err
			})
		},
		"allow": func(place string) error {
			return w.list(place, "entries", func(place string) error {
				e, err := w.allowEntry(place)
				doc.allow = append(doc.allow, e)
				return err
			})
		},
	})
	if err != nil {
		return nil, err
	}
	return doc, nil
}

// checkSyntax fails unless content is one JSON text in UTF-8 and nothing else.
func checkSyntax(content []byte) error {
	if !utf8.Valid(content) {
		at := 0
		for at < len(content) {
			r, size := utf8.DecodeRune(content[at:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			at += size
		}
		return fmt.Errorf("%s: not UTF-8: save the file in that encoding", position(content, at))
	}
	var all json.RawMessage
	err := json.Unmarshal(content, &all)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		at := max(0, int(syntax.Offset)-1) // Offset counts the byte at fault
		return fmt.Errorf("%s: %w: write one complete JSON object, and rename it into place", position(content, at), syntax)
	}
	return err
}

// position names a byte as editors do; columns count bytes.
func position(content []byte, at int) string {
	before := content[:at]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d, column %d", line, column)
}

// walker reads a JSON text that is known to be valid, token by token: decoding into
// structs would overlook members that come twice or in another case.
type walker struct {
	dec   *json.Decoder
	known known
}

// members maps the names that an object may have to what reads their values.
type members map[string]func(place string) error

// names lists them for error texts.
func (m members) names() string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// next returns the next token. The text is valid, so the only error is its end, where
// nobody asks; nil is also null, which is right nowhere.
func (w *walker) next() json.Token {
	token, _ := w.dec.Token()
	return token
}

// object reads an object. A place of "" is the whole file.
func (w *walker) object(place string, read members) error {
	if token := w.next(); token != json.Delim('{') {
		return wrongType(place, token, "an object with "+read.names())
	}
	seen := map[string]bool{}
	for w.dec.More() {
		name, _ := w.next().(string) // member names are strings
		value, ok := read[name]
		switch {
		case !ok && place == "":
			return fmt.Errorf("unknown member %s: write %s", clip(name), read.names())
		case !ok:
			return fmt.Errorf("%s: unknown member %s: write %s", place, clip(name), read.names())
		case seen[name]:
			return fmt.Errorf("%s: comes twice: write it once", join(place, name))
		}
		seen[name] = true
		if err := value(join(place, name)); err != nil {
			return err
		}
	}
	w.next() // the closing brace
	return nil
}

// list reads an array of what the error text calls things.
func (w *walker) list(place, things string, element func(place string) error) error {
	if token := w.next(); token != json.Delim('[') {
		return wrongType(place, token, "a list of "+things)
	}
	for i := 0; w.dec.More(); i++ {
		if err := element(place + "[" + strconv.Itoa(i) + "]"); err != nil {
			return err
		}
	}
	w.next() // the closing bracket
	return nil
}

// text returns what reads a string into s. check returns what is wrong with it and
// what to write, or "".
func (w *walker) text(s *string, check func(string) string) func(place string) error {
	return func(place string) error {
		token := w.next()
		value, ok := token.(string)
		if !ok {
			return wrongType(place, token, "a string")
		}
		if strings.TrimSpace(value) == "" {
			return fmt.Errorf("%s: empty or blank: write a value, or remove it", place)
		}
		if wrong := check(value); wrong != "" {
			return fmt.Errorf("%s: %s", place, wrong)
		}
		*s = value
		return nil
	}
}

// texts returns what reads a list of strings, at least one, into all.
func (w *walker) texts(all *[]string, check func(string) string) func(place string) error {
	return func(place string) error {
		err := w.list(place, "strings", func(place string) error {
			var s string
			err := w.text(&s, check)(place)
			*all = append(*all, s)
			return err
		})
		if err == nil && len(*all) == 0 {
			return fmt.Errorf("%s: empty list: write at least one value, or remove the entry", place)
		}
		return err
	}
}

func wrongType(place string, got json.Token, want string) error {
	if place == "" {
		place = "the file"
	}
	return fmt.Errorf("%s: got %s: write %s", place, kind(got), want)
}

func kind(token json.Token) string {
	switch token {
	case nil:
		return "null"
	case json.Delim('{'):
		return "an object"
	case json.Delim('['):
		return "a list"
	case true, false:
		return "a boolean"
	}
	if _, ok := token.(string); ok {
		return "a string"
	}
	return "a number"
}

func join(place, name string) string {
	if place == "" {
		return name
	}
	return place + "." + name
}
