// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseResponse(t *testing.T) {
	t.Parallel()
	const rest = `,"expires_in":3600,"token_type":"Bearer"}`
	tests := map[string]struct {
		body  string
		token string
		life  time.Duration
		want  error

		untyped bool
	}{
		"token_type missing, allowed": {body: `{"access_token":"a","expires_in":60}`, untyped: true, token: "a", life: time.Minute},
		"token_type null, allowed":    {body: `{"access_token":"a","token_type":null}`, untyped: true, want: errNoTokenType},
		"token_type mac, allowed":     {body: `{"access_token":"a","token_type":"mac"}`, untyped: true, want: errTokenType},

		"as Cognito sends it":      {body: `{"access_token":"a.b.c","expires_in":3600,"token_type":"Bearer"}`, token: "a.b.c", life: time.Hour},
		"token_type in lower case": {body: `{"access_token":"a","expires_in":60,"token_type":"bearer"}`, token: "a", life: time.Minute},
		"more members":             {body: `{"access_token":"a","scope":"x","expires_in":60,"token_type":"BEARER","n":[1,{}]}`, token: "a", life: time.Minute},
		"expires_in missing":       {body: `{"access_token":"a","token_type":"Bearer"}`, token: "a"},
		"empty":                    {body: ``, want: errNotJSONObject},
		"truncated":                {body: `{"access_token":"a","expires_in":36`, want: errNotJSONObject},
		"array":                    {body: `[{"access_token":"a","token_type":"Bearer"}]`, want: errNotJSONObject},
		"null":                     {body: `null`, want: errNotJSONObject},
		"trailing data":            {body: `{"access_token":"a","token_type":"Bearer"}{}`, want: errNotJSONObject},
		"HTML":                     {body: `<html></html>`, want: errNotJSONObject},
		"token_type mac":           {body: `{"access_token":"a","token_type":"mac"}`, want: errTokenType},
		"token_type missing":       {body: `{"access_token":"a"}`, want: errNoTokenType},
		"token_type null":          {body: `{"access_token":"a","token_type":null}`, want: errNoTokenType},
		"token_type a number":      {body: `{"access_token":"a","token_type":1}`, want: errNoTokenType},
		"member names count":       {body: `{"Access_Token":"a","token_type":"Bearer"}`, want: errNoToken},
		"token missing":            {body: `{"token_type":"Bearer"}`, want: errNoToken},
		"token null":               {body: `{"access_token":null` + rest, want: errNoToken},
		"token a number":           {body: `{"access_token":1` + rest, want: errNoToken},
		"token empty":              {body: `{"access_token":""` + rest, want: errTokenChars},
		"token with CR LF":         {body: `{"access_token":"a\r\nx: y"` + rest, want: errTokenChars},
		"token with a space":       {body: `{"access_token":"a b"` + rest, want: errTokenChars},
		"token not ASCII":          {body: `{"access_token":"ä"` + rest, want: errTokenChars},
		"token with DEL":           {body: `{"access_token":"a\u007f"` + rest, want: errTokenChars},
		"token of 8 KiB":           {body: `{"access_token":"` + strings.Repeat("a", 8192) + `"` + rest, token: strings.Repeat("a", 8192), life: time.Hour},
		"token of 8 KiB + 1":       {body: `{"access_token":"` + strings.Repeat("a", 8193) + `"` + rest, want: errTokenTooLong},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseResponse([]byte(test.body), test.untyped)
			if !errors.Is(err, test.want) {
				t.Fatalf("error: got %v, want %v", err, test.want)
			}
			if got.token != test.token || got.life != test.life {
				t.Errorf("got token %.20q with life %v, want %.20q with %v", got.token, got.life, test.token, test.life)
			}
		})
	}
}

func TestExpiresIn(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		raw  string
		want time.Duration
		err  error
	}{
		"null":               {raw: `null`},
		"missing":            {raw: ``},
		"0":                  {raw: `0`, err: errExpiresIn},
		"-0":                 {raw: `-0`, err: errExpiresIn},
		"0.9":                {raw: `0.9`, err: errExpiresIn},
		"-5":                 {raw: `-5`, err: errExpiresIn},
		"-1e400":             {raw: `-1e400`, err: errExpiresIn},
		`"3600"`:             {raw: `"3600"`, want: time.Hour},
		`"-1"`:               {raw: `"-1"`, err: errExpiresIn},
		`"+1"`:               {raw: `"+1"`, err: errExpiresIn},
		`"0x10"`:             {raw: `"0x10"`, err: errExpiresIn},
		`"NaN"`:              {raw: `"NaN"`, err: errExpiresIn},
		`"inf"`:              {raw: `"inf"`, err: errExpiresIn},
		`""`:                 {raw: `""`, err: errExpiresIn},
		"3600.5":             {raw: `3600.5`, want: time.Hour},
		"1e3":                {raw: `1e3`, want: 1000 * time.Second},
		"99999999999":        {raw: `99999999999`, want: 24 * time.Hour},
		"1e400":              {raw: `1e400`, want: 24 * time.Hour},
		"a long digit text":  {raw: `"` + strings.Repeat("9", 400) + `"`, want: 24 * time.Hour},
		"true":               {raw: `true`, err: errExpiresIn},
		"an object":          {raw: `{}`, err: errExpiresIn},
		"white space around": {raw: ` 60 `, want: time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseExpiresIn([]byte(test.raw))
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %v, %v, want %v, %v", got, err, test.want, test.err)
			}
		})
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	lives := func(exp, iat any) string { return jwt(map[string]any{"exp": exp, "iat": iat}) }
	tests := map[string]struct {
		token  string
		inBody time.Duration
		want   time.Duration
		known  bool
		err    error
	}{
		"the JWT is shorter":        {token: lives(1300, 1000), inBody: time.Hour, want: 5 * time.Minute, known: true},
		"the answer is shorter":     {token: lives(4600, 1000), inBody: time.Minute, want: time.Minute, known: true},
		"only the JWT":              {token: lives(4600, 1000), want: time.Hour, known: true},
		"only the answer":           {token: "opaque", inBody: time.Hour, want: time.Hour, known: true},
		"a second":                  {token: "opaque", inBody: time.Second, want: time.Second, known: true},
		"neither":                   {token: "opaque", want: 5 * time.Minute},
		"neither, no iat":           {token: jwt(map[string]any{"exp": 4600}), want: 5 * time.Minute},
		"JWT of a week":             {token: lives(604800, 0), want: 24 * time.Hour, known: true},
		"JWT over when issued":      {token: lives(1000, 1000), inBody: time.Hour, err: errTokenOver},
		"JWT far below zero":        {token: lives(-9e15, 9e15), inBody: time.Hour, err: errTokenOver},
		"claims are strings":        {token: lives("2000", "1000"), want: 5 * time.Minute},
		"claims are fractions":      {token: lives(1300.9, 1000.2), want: 300700 * time.Millisecond, known: true},
		"claims are out of range":   {token: lives(1e300, 0), inBody: time.Minute, want: time.Minute, known: true},
		"out of range, alone":       {token: lives(1e300, 0), want: 5 * time.Minute},
		"JWT of many years":         {token: lives(1<<53, 0), want: 24 * time.Hour, known: true},
		"exp is no number":          {token: lives(true, 1000), want: 5 * time.Minute},
		"payload is no JSON object": {token: "aa.bnVsbA.cc", inBody: time.Minute, want: time.Minute, known: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := lifeAndScopes(tokenMembers{token: test.token, life: test.inBody}, nil)
			if !errors.Is(err, test.err) {
				t.Fatalf("error: got %v, want %v", err, test.err)
			}
			if diff := got.life - test.want; diff.Abs() > time.Microsecond || got.lifeKnown != test.known {
				t.Errorf("got %v (known: %v), want %v (known: %v)", got.life, got.lifeKnown, test.want, test.known)
			}
		})
	}
}

func TestDecodePayload(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		token  string
		want   bool
		scopes int // -1: unknown
	}{
		"two scopes":        {token: jwt(map[string]any{"scope": "demo/read.file demo/write.file"}), want: true, scopes: 2},
		"no scope claim":    {token: jwt(map[string]any{}), want: true, scopes: -1},
		"scope is an array": {token: jwt(map[string]any{"scope": []string{"a"}}), want: true, scopes: -1},
		"scope is null":     {token: jwt(map[string]any{"scope": nil}), want: true, scopes: -1},
		"empty":             {token: ""},
		"two parts":         {token: "a.b"},
		"four parts":        {token: "a.e30.c.d"},
		"padding":           {token: "a.e30=.c"},
		"padded object":     {token: "a.eyJhIjoxMjN9=.c"},
		"null":              {token: "a.bnVsbA.c"},
		"array":             {token: "a.W10.c"},
		"standard alphabet": {token: "a.e+/0.c"},
		"too long":          {token: "a.e30." + strings.Repeat("c", maxToken)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := decodePayload(test.token)
			if ok != test.want {
				t.Fatalf("got %v, want %v", ok, test.want)
			}
			if !ok {
				return
			}
			scopes := len(got.scopes)
			if got.scopes == nil {
				scopes = -1
			}
			if scopes != test.scopes {
				t.Errorf("scopes: got %d, want %d", scopes, test.scopes)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		header string
		want   time.Duration
	}{
		"missing":        {header: ""},
		"seconds":        {header: "7", want: 7 * time.Second},
		"zero":           {header: "0"},
		"spaces":         {header: " 7 ", want: 7 * time.Second},
		"negative":       {header: "-7"},
		"fraction":       {header: "7.5"},
		"garbage":        {header: "soon"},
		"date":           {header: "Sun, 22 Nov 2026 12:01:00 GMT", want: time.Minute},
		"date in past":   {header: "Sun, 22 Nov 2026 11:01:00 GMT"},
		"a year":         {header: "31536000", want: 24 * time.Hour},
		"a huge number":  {header: strings.Repeat("9", 40), want: 24 * time.Hour},
		"date in a year": {header: "Mon, 22 Nov 2027 12:00:00 GMT", want: 24 * time.Hour},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := parseRetryAfter(test.header, now); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestOAuthCode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ body, want string }{
		"invalid_client":    {body: `{"error":"invalid_client"}`, want: "invalid_client"},
		"with description":  {body: `{"error":"invalid_scope","error_description":"x"}`, want: "invalid_scope"},
		"capitals":          {body: `{"error":"Invalid"}`},
		"with a token":      {body: `{"error":"invalid_client eyJ0"}`},
		"digits":            {body: `{"error":"error1"}`},
		"long":              {body: `{"error":"` + strings.Repeat("a", 41) + `"}`},
		"object":            {body: `{"error":{"code":"x"}}`},
		"empty":             {body: `{"error":""}`},
		"none":              {body: `{"message":"Forbidden"}`},
		"no JSON":           {body: `invalid_client`},
		"with a line break": {body: `{"error":"invalid\nclient"}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := oauthCode([]byte(test.body)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
