// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// FuzzParseResponse: what is accepted can be sent as metadata and lives for a
// bounded time.
func FuzzParseResponse(f *testing.F) {
	for _, seed := range []string{
		ok(0, 3600).body, `{"access_token":"a","token_type":"bearer","expires_in":"60"}`, `{"access_token":"a","token_type":"Bearer","expires_in":1e400}`,
		`{"access_token":"a\r\n","token_type":"Bearer"}`, `{"access_token":null,"token_type":"Bearer"}`, `[]`, `null`, `{}`, `{"error":"invalid_client"}`, ``,
		`{"access_token":"a","token_type":"Bearer","expires_in":-0.0}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if code := oauthCode(body); len(code) > 40 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("OAuth code: got %q, want a plain one", code)
		}
		members, err := parseResponse(body, false)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Errorf("accepted %q, which is no JSON", body)
		}
		if members.token == "" || len(members.token) > maxToken {
			t.Errorf("accepted a token of %d bytes", len(members.token))
		}
		for _, c := range []byte(members.token) {
			if c < '!' || c > '~' {
				t.Errorf("accepted a token with the byte %#x", c)
			}
		}
		if members.life != 0 && (members.life < time.Second || members.life > maxLife) {
			t.Errorf("life: got %v, want 1 s to 24 h", members.life)
		}
		result, err := lifeAndScopes(members, []string{"a"})
		if err == nil && (result.life < minLife || result.life > maxLife) {
			t.Errorf("life with the token's own: got %v, want 1 s to 24 h", result.life)
		}
	})
}

// FuzzDecodePayload: no input panics, and a life is at most a day.
func FuzzDecodePayload(f *testing.F) {
	for _, seed := range []string{
		`{"exp":1300,"iat":1000,"scope":"a b"}`, `{"exp":1e300,"iat":-1e300}`, `{"exp":null,"iat":[]}`, `{"exp":1,"iat":1}`, `null`, `[]`, `"x"`, ``,
		strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200),
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte("a."+seed+".c"), false)
	}
	f.Fuzz(func(t *testing.T, input []byte, encode bool) {
		token := string(input)
		if encode {
			token = "e30." + base64.RawURLEncoding.EncodeToString(input) + ".sig"
		}
		got, ok := decodePayload(token)
		if !ok && (got.life != 0 || got.scopes != nil) {
			t.Errorf("refused, but got %+v", got)
		}
		if got.life > maxLife || got.life < -time.Second {
			t.Errorf("life: got %v, want at most %v", got.life, maxLife)
		}
	})
}
