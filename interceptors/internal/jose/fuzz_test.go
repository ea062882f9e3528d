// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
)

// FuzzParse: whatever is accepted is the one spelling of its content, and a strict
// reading with the standard library accepts it, too.
func FuzzParse(f *testing.F) {
	good := sign(goodHeader, goodPayload)
	f.Add(good)
	f.Add(sign(`{"alg":"RS256","kid":"k","typ":"at+jwt","x":{"a":[1,2.5e-3,null,true,"\ud83d\ude00"]}}`, `{"exp":1e9,"aud":["a","b"],"cnf":{}}`))
	f.Add(sign(`{"alg":"RS256","kid":"k","\u0061lg":"none"}`, goodPayload))
	f.Add(sign(goodHeader, `{"exp":-1.5e-7,"scope":null,"a":{"a":{"a":{}}}}`))
	f.Add(b64(`{"alg":"none","kid":"k"}`) + "." + b64(goodPayload) + ".")
	f.Add(good + "=")
	f.Add(good[:100] + "\r\n" + good[100:])
	f.Add("....")
	f.Fuzz(func(t *testing.T, compact string) {
		token, err := Parse(compact, 0)
		if err != nil {
			return
		}
		part := strings.Split(compact, ".")
		if len(part) != 3 || len(compact) > DefaultMaxBytes {
			t.Fatalf("accepted %d segments, %d bytes", len(part), len(compact))
		}
		decoded := make([][]byte, 3)
		for i, p := range part {
			if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(p); err != nil {
				t.Fatalf("segment %d: %v", i, err)
			}
			if again := base64.RawURLEncoding.EncodeToString(decoded[i]); again != p {
				t.Fatalf("segment %d is not its own re-encoding", i)
			}
		}
		header, payload := object(t, decoded[0]), object(t, decoded[1])
		if header["alg"] != "RS256" || header["kid"] != token.KeyID() || token.KeyID() == "" {
			t.Fatalf("accepted alg %v, kid %v as %q", header["alg"], header["kid"], token.KeyID())
		}
		for _, name := range append([]string{"crit"}, forbidden[:]...) {
			if _, ok := header[name]; ok {
				t.Fatalf("accepted a header with %s", name)
			}
		}
		checkClaims(t, token.Claims(), payload)
		digest := sha256.Sum256([]byte(part[0] + "." + part[1]))
		want := rsa.VerifyPKCS1v15(&signer().PublicKey, crypto.SHA256, digest[:], decoded[2]) == nil
		key := *parsedKey()
		key.id = token.KeyID()
		if got := token.Verify(&key) == nil; got != want {
			t.Fatalf("Verify: got %v, want %v", got, want)
		}
	})
}

// object reads b with encoding/json and fails unless it is exactly one object.
func object(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var m map[string]any
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.UseNumber()
	if !json.Valid(b) || dec.Decode(&m) != nil || m == nil {
		t.Fatalf("accepted %q, which is no JSON object", b)
	}
	return m
}

// checkClaims compares with what encoding/json reads.
func checkClaims(t *testing.T, c *Claims, payload map[string]any) {
	t.Helper()
	if len(c.members) != len(payload) {
		t.Fatalf("got %d members, want %d", len(c.members), len(payload))
	}
	for name, got := range map[string]Text{"iss": c.Issuer, "sub": c.Subject, "token_use": c.TokenUse, "client_id": c.ClientID, "jti": c.TokenID, "scope": c.Scope} {
		value, there := payload[name]
		s, isString := value.(string)
		want := Text{s, Present}
		switch {
		case !there, name == "scope" && value == nil:
			want = Text{}
		case !isString:
			want = Text{State: WrongType}
		}
		if got != want {
			t.Fatalf("%s: got %v, want %v", name, got, want)
		}
	}
	for name, got := range map[string]NumericDate{"exp": c.ExpiresAt, "nbf": c.NotBefore, "iat": c.IssuedAt} {
		value, there := payload[name]
		n, isNumber := value.(json.Number)
		switch {
		case (got.State == Absent) == there, there && (got.State == WrongType) == isNumber:
			t.Fatalf("%s: got %v for %v", name, got, value)
		case got.State == Present:
			checkFloor(t, n.String(), got.Seconds)
		}
	}
	_, bound := payload["cnf"]
	if c.Bound != bound {
		t.Fatalf("bound: got %v, want %v", c.Bound, bound)
	}
}

// checkFloor checks n <= number < n+1 with exact arithmetic.
func checkFloor(t *testing.T, number string, n int64) {
	t.Helper()
	if !moderate(number) {
		return
	}
	exact, ok := new(big.Rat).SetString(number)
	if !ok {
		t.Fatalf("%q is no number", number)
	}
	if exact.Cmp(new(big.Rat).SetInt64(n)) < 0 || exact.Cmp(new(big.Rat).SetInt64(n+1)) >= 0 {
		t.Fatalf("%s: got %d", number, n)
	}
}

// moderate reports whether exact arithmetic with the number ends soon.
func moderate(number string) bool {
	_, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	return len(exponent) <= 5
}

// FuzzFloor compares the arithmetic of dates with exact fractions.
func FuzzFloor(f *testing.F) {
	for _, s := range []string{"0", "-0.0", "1.7e9", "-15e-1", "100000000000.0001", "0.00012e4", "1e12", "9999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, number string) {
		sc := scanner{text: number}
		if sc.number() != nil || sc.pos != len(number) {
			return
		}
		n, ok := floor(number)
		switch {
		case ok:
			checkFloor(t, number, n)
		case moderate(number):
			exact, good := new(big.Rat).SetString(number)
			if !good || exact.Abs(exact).Cmp(new(big.Rat).SetInt64(MaxNumericDate)) <= 0 {
				t.Fatalf("%s is called too large", number)
			}
		}
	})
}

// FuzzKeySet: every key that is accepted is one that RFC 7518 allows, is in the
// document by the standard library's reading, and nothing makes the parser panic.
func FuzzKeySet(f *testing.F) {
	good := entry(testKID, &signer().PublicKey, `,"alg":"RS256","use":"sig"`)
	f.Add([]byte(keys(good)))
	f.Add([]byte(keys(good, `{"kty":"EC","kid":"e","crv":"P-256","x":"AA","y":"AA"}`)))
	f.Add([]byte(keys(good, entry("2", &rsa.PublicKey{N: modulus(2048), E: 3}, `,"key_ops":["verify"]`))))
	f.Add([]byte(`{"keys":[],"keys":[` + good + `]}`))
	f.Add([]byte(keys(good) + " x"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		set, err := ParseKeySet(doc)
		if err != nil {
			return
		}
		published := map[string]map[string]any{}
		for _, e := range object(t, doc)["keys"].([]any) {
			m := e.(map[string]any)
			if _, ok := m["d"]; ok || m["kty"] == "oct" {
				t.Fatal("accepted secret key material")
			}
			if kid, ok := m["kid"].(string); ok && m["kty"] == "RSA" {
				published[kid+"/"+stringOf(m["n"])] = m
			}
		}
		seen := map[string]bool{}
		for _, k := range set.Keys {
			n := k.public.N
			m := published[k.ID()+"/"+base64.RawURLEncoding.EncodeToString(n.Bytes())]
			if m == nil || seen[k.ID()] {
				t.Fatalf("key %q is not in the document, or twice", k.ID())
			}
			seen[k.ID()] = true
			if n.BitLen() < 2048 || n.BitLen() > 8192 || n.Bit(0) == 0 || k.public.E < 3 || k.public.E%2 == 0 {
				t.Fatalf("accepted a weak key: %d bits, e %d", n.BitLen(), k.public.E)
			}
			if alg, ok := m["alg"]; ok && alg != "RS256" {
				t.Fatalf("accepted alg %v", alg)
			}
			if use, ok := m["use"]; ok && use != "sig" {
				t.Fatalf("accepted use %v", use)
			}
		}
		if len(set.Keys) == 0 {
			t.Fatal("accepted a set without keys")
		}
	})
}

func stringOf(v any) string {
	s, _ := v.(string)
	return s
}
