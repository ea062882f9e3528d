// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestMint(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener(), fixedClock())
	p := s.Pool("s2s-test")
	_, keys := fetchKeys(t, s, s.JWKSURL())
	accessKid, idKid, err := p.KeyIDs()
	if err != nil {
		t.Fatal(err)
	}
	foreign := testKeys()[1].AccessToken
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	for name, tc := range map[string]struct {
		spec            MintSpec
		header, payload []string // must be in it
		absent          []string // must not be in the payload
		badSignature    bool
	}{
		"right":           {spec: MintSpec{}, header: []string{`{"kid":"` + accessKid + `","alg":"RS256"}`}, payload: []string{`"scope":"demo/read.file demo/write.file"`, `"exp":1795352400`}},
		"client":          {spec: MintSpec{Client: "two-secrets"}, payload: []string{`"client_id":"twosecrets"`, `"sub":"twosecrets"`, `"exp":1795349100`}},
		"client id":       {spec: MintSpec{Client: "twosecrets"}, payload: []string{`"client_id":"twosecrets"`}},
		"scopes":          {spec: MintSpec{Scopes: []string{"other/admin", "x"}}, payload: []string{`"scope":"other/admin x"`}},
		"empty scope":     {spec: MintSpec{Scopes: []string{}}, payload: []string{`"scope":""`}},
		"replaced claims": {spec: MintSpec{Claims: map[string]json.RawMessage{"exp": raw(`1e99`), "iss": raw(`"https://evil.example"`)}}, payload: []string{`"iss":"https://evil.example","exp":1e99,"iat"`}},
		"removed claims":  {spec: MintSpec{Claims: map[string]json.RawMessage{"exp": nil, "nothing": nil}}, absent: []string{`"exp"`, `"nothing"`}},
		"added claims":    {spec: MintSpec{Claims: map[string]json.RawMessage{"b": raw(`[1]`), "aud": raw(`"x"`)}}, payload: []string{`"client_id":"6fn8h3u2vd0c1m7k5s9q4t2b0e","aud":"x","b":[1]}`}},
		"not JSON":        {spec: MintSpec{Claims: map[string]json.RawMessage{"exp": raw(`oops`)}}, payload: []string{`"exp":oops,`}},
		"name is escaped": {spec: MintSpec{Claims: map[string]json.RawMessage{`a":1,"b`: raw(`2`)}}, payload: []string{`"a\":1,\"b":2`}},
		"header":          {spec: MintSpec{Header: map[string]json.RawMessage{"kid": raw(`"x"`), "typ": raw(`"JWT"`)}}, header: []string{`{"kid":"x","alg":"RS256","typ":"JWT"}`}, badSignature: true},
		"no kid":          {spec: MintSpec{Header: map[string]json.RawMessage{"kid": nil}}, header: []string{`{"alg":"RS256"}`}, badSignature: true},
		"alg":             {spec: MintSpec{Alg: "none"}, header: []string{`"alg":"none"`}},
		"raw header":      {spec: MintSpec{RawHeader: []byte(`{"alg":"RS256","alg":"none"}`)}, header: []string{`{"alg":"RS256","alg":"none"}`}, badSignature: true},
		"raw payload":     {spec: MintSpec{RawPayload: []byte("\xff")}, payload: []string{"\xff"}},
		"empty payload":   {spec: MintSpec{RawPayload: []byte{}}, absent: []string{"{"}},
		"foreign key":     {spec: MintSpec{Key: foreign}, header: []string{accessKid}, badSignature: true},
		"ID token key":    {spec: MintSpec{IDTokenKey: true}, header: []string{idKid}, payload: []string{`"token_use":"access"`}},
		"no signature":    {spec: MintSpec{Signature: SignatureEmpty}, badSignature: true},
		"broken":          {spec: MintSpec{Signature: SignatureBroken}, badSignature: true},
		"expired":         {spec: MintSpec{Expired: true}, payload: []string{`"auth_time":1795341600`, `"exp":1795345200,"iat":1795341600`}},
		"issued at":       {spec: MintSpec{IssuedAt: testNow.Add(time.Hour), Lifetime: time.Minute}, payload: []string{`"exp":1795352460,"iat":1795352400`}},
		"negative life":   {spec: MintSpec{Lifetime: -time.Minute}, payload: []string{`"exp":1795348740,"iat":1795348800`}},
		"ID token":        {spec: MintSpec{IDToken: true}, header: []string{idKid}, payload: []string{`"token_use":"id"`, `"aud":"6fn8h3u2vd0c1m7k5s9q4t2b0e"`}, absent: []string{`"client_id"`, `"scope"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token, err := p.Mint(tc.spec)
			if err != nil {
				t.Fatal(err)
			}
			header, payload := parts(t, token)
			for _, want := range tc.header {
				if !strings.Contains(header, want) {
					t.Errorf("header: got %s, want %s", header, want)
				}
			}
			for _, want := range tc.payload {
				if !strings.Contains(payload, want) {
					t.Errorf("payload: got %s, want %s", payload, want)
				}
			}
			for _, not := range tc.absent {
				if strings.Contains(payload, not) {
					t.Errorf("payload: got %s, want no %s", payload, not)
				}
			}
			if tc.spec.RawHeader != nil {
				return
			}
			if err := verify(t, token, keys); (err != nil) != tc.badSignature {
				t.Errorf("signature: got %v, want bad: %v", err, tc.badSignature)
			}
		})
	}
	if got := s.Counts(); got.TokenRequests != 0 {
		t.Errorf("counts: got %+v, want no token request", got)
	}
}

func TestMintSignatures(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	p := s.Pool("s2s-test")
	empty, err := p.Mint(MintSpec{Signature: SignatureEmpty})
	if err != nil || !strings.HasSuffix(empty, ".") {
		t.Errorf("no signature: got %v and last character %q, want a dot", err, empty[len(empty)-1:])
	}
	foreign := testKeys()[1].AccessToken
	forged, err := p.Mint(MintSpec{Key: foreign})
	if err != nil {
		t.Fatal(err)
	}
	if err := verifyWith(t, forged, &foreign.PublicKey); err != nil {
		t.Errorf("foreign key: %v", err)
	}
	for range 50 { // whatever the first character is
		broken, err := p.Mint(MintSpec{Signature: SignatureBroken})
		if err != nil {
			t.Fatal(err)
		}
		if verifyWith(t, broken, &testKeys()[0].AccessToken.PublicKey) == nil {
			t.Error("broken signature: it verifies")
		}
	}
}

func TestMintRefusesContradictions(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	claims := map[string]json.RawMessage{"a": json.RawMessage("1")}
	for name, spec := range map[string]MintSpec{
		"raw header and alg":       {RawHeader: []byte("{}"), Alg: "none"},
		"raw header and header":    {RawHeader: []byte("{}"), Header: claims},
		"raw payload and claims":   {RawPayload: []byte("{}"), Claims: claims},
		"expired and issued at":    {Expired: true, IssuedAt: testNow},
		"two keys":                 {Key: testKeys()[1].AccessToken, IDTokenKey: true},
		"unknown signature":        {Signature: 9},
		"unknown client":           {Client: "nobody"},
		"signature below the list": {Signature: -1},
	} {
		if _, err := s.Pool("s2s-test").Mint(spec); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func TestSignLetsTestsComposeTokens(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	p := s.Pool("s2s-test")
	kid, _, err := p.KeyIDs()
	if err != nil {
		t.Fatal(err)
	}
	input := base64.RawURLEncoding.EncodeToString([]byte(`{"kid":"`+kid+`"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`[]`))
	signature, err := p.Sign([]byte(input))
	if err != nil {
		t.Fatal(err)
	}
	_, keys := fetchKeys(t, s, s.JWKSURL())
	if err := verify(t, input+"."+base64.RawURLEncoding.EncodeToString(signature), keys); err != nil {
		t.Error(err)
	}
}
