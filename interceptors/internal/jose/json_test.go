// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestJSON compares the scanner with encoding/json where the two must agree, and
// pins where ours is stricter.
func TestJSON(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		value string
		want  bool
	}{
		{`0`, true},
		{`-0`, true},
		{`-1.5e+10`, true},
		{`1E5`, true},
		{`01`, false},
		{`-`, false},
		{`1.`, false},
		{`.5`, false},
		{`1e`, false},
		{`1e+`, false},
		{`+1`, false},
		{`0x1`, false},
		{`NaN`, false},
		{`Infinity`, false},
		{`1_000`, false},
		{`- 1`, false},
		{`--1`, false},
		{`true`, true},
		{`false`, true},
		{`null`, true},
		{`tru`, false},
		{`True`, false},
		{`nul`, false},
		{`truefalse`, false},
		{`""`, true},
		{`"\"\\\/\b\f\n\r\t\u0041\u00E9\uabCD"`, true},
		{"\"\u007f\u0080\u2028\"", true},
		{`"`, false},
		{`"\`, false},
		{`"\"`, false},
		{`"\x41"`, false},
		{`"\u12"`, false},
		{`"\u12g4"`, false},
		{`"\U0041"`, false},
		{`"\u`, false},
		{`"\u123`, false},
		{`'x'`, false},
		{"\"\n\"", false},
		{"\"\t\"", false},
		{"\"\x00\"", false},
		{"\"\x1f\"", false},
		{`"\ud83d\ude00"`, true},
		{`"\uD83D\uDE00"`, true},
		{`[]`, true},
		{`[ ]`, true},
		{`[1 , 2]`, true},
		{`[1,]`, false},
		{`[,1]`, false},
		{`[1 2]`, false},
		{`[`, false},
		{`[1`, false},
		{`]`, false},
		{`{}`, true},
		{`{ }`, true},
		{`{"a" : 1 , "b":2}`, true},
		{`{"a":1,}`, false},
		{`{,}`, false},
		{`{"a"}`, false},
		{`{"a":}`, false},
		{`{a:1}`, false},
		{`{1:1}`, false},
		{`{"a" 1}`, false},
		{`{"a":1 "b":2}`, false},
		{`{`, false},
		{`{"a`, false},
		{`{"a":1`, false},
		{`/**/1`, false},
		{`1//`, false},
		{"\u00a01", false},
		{"\ufeff1", false},
		{"\v1", false},
		{"", false},
		{`1]`, false},
		{`{]`, false},
		{`[}`, false},
	} {
		doc := `{"v":` + row.value + `}`
		_, err := parseObject(doc)
		if got := err == nil; got != row.want {
			t.Errorf("%s: got %v, want accepted %v", doc, err, row.want)
		}
		if got := json.Valid([]byte(doc)); got != row.want {
			t.Errorf("%s: encoding/json says %v, want %v", doc, got, row.want)
		}
	}
	for _, value := range []string{
		`"\ud83d"`, `"\ude00"`, `"\ud83d\ud83d"`, `"\ude00\ud83d"`, `"\ude00\ude00"`, `"\ud83dx"`, `"\ud83d\n"`, `"\ud83d\u0041"`, `"\udfff"`, `"\udbff"`, `"\ud83d\ude`, // lone surrogates
		"\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", // not UTF-8, overlong, surrogate, beyond Unicode
		`{"a":1,"a":1}`, `{"a":1,"\u0061":1}`, `[{"b":{"":1,"":2}}]`, // doubles
	} {
		if _, err := parseObject(`{"v":` + value + `}`); err == nil {
			t.Errorf("%q is accepted", value)
		}
	}
	for _, doc := range []string{``, ` `, `x`, `[]`, `1`, `"v"`, `null`, `{}x`, `{} {}`, "{}\x00", "\x00{}", "\ufeff{}"} {
		if _, err := parseObject(doc); err == nil {
			t.Errorf("%q is accepted", doc)
		}
	}
}

// TestManyNames checks both ways in which doubles are found, below and above the
// number of members from which a map is used.
func TestManyNames(t *testing.T) {
	t.Parallel()
	const n = 3 * fewNames
	for i := range n {
		doc := fmt.Sprintf(`{"v":{"first":0%s,"m%d":0}}`, members(n), i)
		if _, err := parseObject(doc); err == nil {
			t.Fatalf("a second m%d is accepted", i)
		}
		doc = fmt.Sprintf(`{"v":{"m%d":0%s}}`, i, members(i+1))
		if _, err := parseObject(doc); err == nil {
			t.Fatalf("m%d as the first and the last is accepted", i)
		}
	}
	if _, err := parseObject(`{"v":{"first":0` + members(2000) + `}}`); err != nil {
		t.Errorf("2001 different names in a nested object: %v", err)
	}
}

func TestMembersAreExact(t *testing.T) {
	t.Parallel()
	got, err := parseObject("\n{ \"a\" : [1, {\"b\" : 2}] ,\t\"c\\u0041\":\"x\\n\" } ")
	if err != nil {
		t.Fatal(err)
	}
	if want := "[{a [1, {\"b\" : 2}]} {cA \"x\\n\"}]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestSyntaxErrorsNameThePlace checks a text that operators meet.
func TestSyntaxErrorsNameThePlace(t *testing.T) {
	t.Parallel()
	_, err := Parse(sign(`{"alg":"RS256",}`, goodPayload), 0)
	if want := "jose: TOKEN_MALFORMED: the header: not a member name at byte 15"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = Parse(".A.A", 0)
	if want := "jose: TOKEN_MALFORMED: the header is empty"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = Parse(strings.Repeat("A.", 4), 0)
	if want := "jose: TOKEN_MALFORMED: 3 segments wanted, got 5"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
