// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func claimsOf(t *testing.T, payload string) *Claims {
	t.Helper()
	token, err := Parse(sign(goodHeader, payload), 0)
	wantReason(t, err, "")
	wantReason(t, token.Verify(parsedKey()), "")
	return token.Claims()
}

func TestClaims(t *testing.T) {
	t.Parallel()
	c := claimsOf(t, `{"iss":"i","sub":"s","token_use":"access","client_id":"c","jti":"j","scope":"a/b  c/d ",`+
		`"exp":3,"nbf":1,"iat":2,"aud":["x","y"],"version":2}`)
	c.members = nil
	want := &Claims{
		Issuer:    Text{"i", Present},
		Subject:   Text{"s", Present},
		TokenUse:  Text{"access", Present},
		ClientID:  Text{"c", Present},
		TokenID:   Text{"j", Present},
		Scope:     Text{"a/b  c/d ", Present},
		ExpiresAt: NumericDate{3, Present},
		NotBefore: NumericDate{1, Present},
		IssuedAt:  NumericDate{2, Present},
		Audience:  Audience{[]string{"x", "y"}, Present},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %#v\nwant %#v", *(*fields)(c), *(*fields)(want))
	}
}

// fields is Claims without its Format.
type fields Claims

// TestClaimNames has row C3: names match exactly or not at all.
func TestClaimNames(t *testing.T) {
	t.Parallel()
	c := claimsOf(t, `{"EXP":1,"Exp":1,"\u212Aid":1,"Scope":"x","\u017Fcope":"x","to\u212Aen_use":"access",`+
		`"ISS":"i","Aud":"a","CNF":1,"Client_ID":"c","client-id":"c","exp ":1,"exp\u0000":1,"":1,"n\u0062f ":1}`)
	c.members = nil
	if want := new(Claims); !reflect.DeepEqual(c, want) {
		t.Errorf("got %#v, want no claim", *(*fields)(c))
	}
	if c := claimsOf(t, `{"e\u0078p":7}`); c.ExpiresAt != (NumericDate{7, Present}) {
		t.Errorf("an escaped name: got %v, want 7", c.ExpiresAt)
	}
}

// TestTextStates has the rows C14 to C19 as far as they are about types.
func TestTextStates(t *testing.T) {
	t.Parallel()
	texts := map[string]func(*Claims) Text{
		"iss":       func(c *Claims) Text { return c.Issuer },
		"sub":       func(c *Claims) Text { return c.Subject },
		"token_use": func(c *Claims) Text { return c.TokenUse },
		"client_id": func(c *Claims) Text { return c.ClientID },
		"jti":       func(c *Claims) Text { return c.TokenID },
		"scope":     func(c *Claims) Text { return c.Scope },
	}
	for name, get := range texts {
		for _, row := range []struct {
			value string
			want  Text
		}{
			{`"x"`, Text{"x", Present}},
			{`""`, Text{"", Present}},
			{`"a\tb\u00e9\ud83d\ude00\/"`, Text{"a\tb\u00e9\U0001f600/", Present}},
			{`1`, Text{State: WrongType}},
			{`true`, Text{State: WrongType}},
			{`["x"]`, Text{State: WrongType}},
			{`{"x":"x"}`, Text{State: WrongType}},
			{`null`, Text{State: WrongType}},
		} {
			if name == "scope" && row.value == "null" {
				row.want = Text{} // C18
			}
			if got := get(claimsOf(t, `{"`+name+`":`+row.value+`}`)); got != row.want {
				t.Errorf("%s %s: got %v, want %v", name, row.value, got, row.want)
			}
		}
		if got := get(claimsOf(t, `{}`)); got != (Text{}) {
			t.Errorf("no %s: got %v, want absent", name, got)
		}
	}
}

// TestAudience has the types of row C17.
func TestAudience(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		payload string
		want    Audience
	}{
		{`{}`, Audience{}},
		{`{"aud":"x"}`, Audience{[]string{"x"}, Present}},
		{`{"aud":["x"]}`, Audience{[]string{"x"}, Present}},
		{`{"aud":[ "x" , "\u0079" ]}`, Audience{[]string{"x", "y"}, Present}},
		{`{"aud":[]}`, Audience{[]string{}, Present}},
		{`{"aud":["x",1]}`, Audience{nil, WrongType}},
		{`{"aud":["x",["y"]]}`, Audience{nil, WrongType}},
		{`{"aud":[null]}`, Audience{nil, WrongType}},
		{`{"aud":null}`, Audience{nil, WrongType}},
		{`{"aud":{"x":1}}`, Audience{nil, WrongType}},
	} {
		if got := claimsOf(t, row.payload).Audience; !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: got %#v, want %#v", row.payload, got, row.want)
		}
	}
}

// TestBound has row C27.
func TestBound(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]bool{
		`{}`:                     false,
		`{"cnf":{"jkt":"x"}}`:    true,
		`{"cnf":{}}`:             true,
		`{"cnf":null}`:           true,
		`{"c\u006ef":false}`:     true,
		`{"Cnf":{"jkt":"x"}}`:    false,
		`{"x":{"cnf":"nested"}}`: false,
	} {
		if got := claimsOf(t, payload).Bound; got != want {
			t.Errorf("%s: got %v, want %v", payload, got, want)
		}
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	c := claimsOf(t, `{"s":"a\u00e9","n":12345678901234567890.10,"b":true,"z":null,"a":[1,{"k":"v"}],"o":{"A":1,"a":2},"iss":"i"}`)
	for name, want := range map[string]any{
		"s":   "a\u00e9",
		"n":   json.Number("12345678901234567890.10"),
		"b":   true,
		"z":   nil,
		"a":   []any{json.Number("1"), map[string]any{"k": "v"}},
		"o":   map[string]any{"A": json.Number("1"), "a": json.Number("2")},
		"iss": "i",
	} {
		if got, ok := c.Lookup(name); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, %v, want %#v", name, got, ok, want)
		}
	}
	for _, name := range []string{"S", "missing", "k", ""} {
		if got, ok := c.Lookup(name); ok {
			t.Errorf("%s: got %v, want none", name, got)
		}
	}
	first, _ := c.Lookup("o")
	first.(map[string]any)["a"] = "changed"
	if again, _ := c.Lookup("o"); again.(map[string]any)["a"] != json.Number("2") {
		t.Errorf("a caller's change is visible to the next one: %v", again)
	}
}

// TestNumericDate has the rows C5 to C8; every time claim reads the same way.
func TestNumericDate(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("0", 600)
	for value, want := range map[string]NumericDate{
		`1700000000`:             {1700000000, Present},
		`1700000000.0`:           {1700000000, Present},
		`1700000000.999999999`:   {1700000000, Present}, // C6
		`1.7e9`:                  {1700000000, Present},
		`1.7E+9`:                 {1700000000, Present},
		`17000000005e-1`:         {1700000000, Present},
		`0.17e10`:                {1700000000, Present},
		`1` + zeros + `e-600`:    {1, Present},
		`0.` + zeros + `7e601`:   {7, Present},
		`0`:                      {0, Present}, // C7
		`-0`:                     {0, Present},
		`0e999999999999999999`:   {0, Present},
		`-1`:                     {-1, Present},
		`-0.5`:                   {-1, Present},
		`-1.0`:                   {-1, Present},
		`-1.5`:                   {-2, Present},
		`-15e-1`:                 {-2, Present},
		`-10e-1`:                 {-1, Present},
		`0.5`:                    {0, Present},
		`1e-300`:                 {0, Present},
		`-1e-99999999999999`:     {-1, Present},
		`1e-99999999999999`:      {0, Present},
		`100000000000`:           {100000000000, Present},
		`-100000000000`:          {-100000000000, Present},
		`100000000000.9`:         {100000000000, Present},
		`100000000001`:           {0, OutOfRange},
		`-100000000000.1`:        {0, OutOfRange},
		`1000000000000`:          {0, OutOfRange},
		`1e18`:                   {0, OutOfRange}, // C8
		`9223372036854775808`:    {0, OutOfRange},
		`-9223372036854775809`:   {0, OutOfRange},
		`18446744073709551617`:   {0, OutOfRange},
		`1e300`:                  {0, OutOfRange},
		`-1e300`:                 {0, OutOfRange},
		`1e9999999999999999999`:  {0, OutOfRange},
		`1e18446744073709551616`: {0, OutOfRange},
		`1` + zeros:              {0, OutOfRange},
		`"1700000000"`:           {0, WrongType}, // C5
		`"2030-01-01T00:00:00Z"`: {0, WrongType},
		`true`:                   {0, WrongType},
		`null`:                   {0, WrongType},
		`[1700000000]`:           {0, WrongType},
		`{"exp":1700000000}`:     {0, WrongType},
	} {
		c := claimsOf(t, `{"exp":`+value+`,"nbf":`+value+`,"iat":`+value+`}`)
		for name, got := range map[string]NumericDate{"exp": c.ExpiresAt, "nbf": c.NotBefore, "iat": c.IssuedAt} {
			if got != want {
				t.Errorf("%s %.40s: got %v, want %v", name, value, got, want)
			}
		}
	}
	if c := claimsOf(t, `{}`); c.ExpiresAt != (NumericDate{}) { // C4
		t.Errorf("no exp: got %v, want absent", c.ExpiresAt)
	}
}

func TestStateNames(t *testing.T) {
	t.Parallel()
	var names []string
	for s := range State(5) {
		names = append(names, s.String())
	}
	want := []string{"absent", "present", "wrong type", "out of range", "unknown"}
	if !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}
