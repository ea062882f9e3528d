// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The second opinion of the fuzz tests: what the package must accept, said again with
// the standard library and with none of the package's own code.

// strictObject reads an object with encoding/json, and false if it is not one that the
// package should accept: UTF-8, no double names, no lone surrogates, 16 levels at most,
// 64 members at the top.
func strictObject(doc string) (map[string]any, bool) {
	if !utf8.ValidString(doc) || !json.Valid([]byte(doc)) || hasLoneSurrogate(doc) {
		return nil, false
	}
	dec := json.NewDecoder(strings.NewReader(doc))
	dec.UseNumber()
	v, ok := strictValue(dec, 1)
	m, isObject := v.(map[string]any)
	return m, ok && isObject && len(m) <= 64
}

func strictValue(dec *json.Decoder, depth int) (any, bool) {
	token, err := dec.Token()
	if err != nil {
		return nil, false
	}
	delim, nested := token.(json.Delim)
	if !nested {
		return token, true
	}
	if depth > 16 {
		return nil, false
	}
	object, array := map[string]any{}, []any{}
	for dec.More() {
		var name json.Token
		if delim == '{' {
			if name, err = dec.Token(); err != nil {
				return nil, false
			}
		}
		v, ok := strictValue(dec, depth+1)
		if !ok {
			return nil, false
		}
		if delim == '[' {
			array = append(array, v)
			continue
		}
		if _, double := object[name.(string)]; double {
			return nil, false
		}
		object[name.(string)] = v
	}
	if _, err := dec.Token(); err != nil {
		return nil, false
	}
	if delim == '[' {
		return array, true
	}
	return object, true
}

// escapes matches each escape of a valid JSON text, a surrogate pair as one. What only
// the second alternative matches is a surrogate without its other half.
var escapes = regexp.MustCompile(`\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.`)

func hasLoneSurrogate(doc string) bool {
	for _, m := range escapes.FindAllStringSubmatch(doc, -1) {
		if m[1] != "" {
			return true
		}
	}
	return false
}

// strictBase64 decodes base64url in its one spelling.
func strictBase64(s string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	return b, err == nil && base64.RawURLEncoding.EncodeToString(b) == s
}

// strictHeader reads a JOSE header and returns the kid.
func strictHeader(doc string) (string, bool) {
	m, ok := strictObject(doc)
	if !ok || m["alg"] != "RS256" {
		return "", false
	}
	for _, name := range []string{"crit", "jku", "x5u", "jwk", "x5c", "b64", "cty", "enc", "zip"} {
		if _, ok := m[name]; ok {
			return "", false
		}
	}
	if typ, ok := m["typ"]; ok {
		s, _ := typ.(string)
		if !regexp.MustCompile(`^(?:[aA][pP]{2}[lL][iI][cC][aA][tT][iI][oO][nN]/)?(?:[aA][tT]\+)?[jJ][wW][tT]$`).MatchString(s) {
			return "", false
		}
	}
	return strictKeyID(m)
}

func strictKeyID(m map[string]any) (string, bool) {
	kid, _ := m["kid"].(string)
	return kid, kid != "" && len(kid) <= 256
}
