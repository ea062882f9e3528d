// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"encoding/json"
	"math/big"
	"reflect"
	"strings"
	"testing"
)

// FuzzClaims: a payload is accepted if and only if a strict reading with the standard
// library accepts it, and every claim is what that reads.
func FuzzClaims(f *testing.F) {
	f.Add(goodPayload)
	f.Fuzz(func(t *testing.T, doc string) {
		claims, refusal := parseClaims(doc)
		payload, want := strictObject(doc)
		if got := refusal == nil; got != want {
			t.Fatalf("got %v, want accepted %v", refusal, want)
		}
		if want {
			checkClaims(t, claims, payload)
		}
	})
}

// checkClaims compares with what encoding/json reads.
func checkClaims(t *testing.T, c *Claims, payload map[string]any) {
	t.Helper()
	if len(c.members) != len(payload) {
		t.Fatalf("got %d members, want %d", len(c.members), len(payload))
	}
	for name, want := range payload {
		if got, ok := c.Lookup(name); !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %v, %v, want %v", name, got, ok, want)
		}
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
		if (got.State == Absent) == there || there && (got.State == WrongType) == isNumber {
			t.Fatalf("%s: got %v for %v", name, got, value)
		}
		if isNumber {
			checkDate(t, n.String(), got)
		}
	}
	if want := strictAudience(payload); !reflect.DeepEqual(c.Audience, want) {
		t.Fatalf("aud: got %v, want %v", c.Audience, want)
	}
	_, bound := payload["cnf"]
	if c.Bound != bound {
		t.Fatalf("bound: got %v, want %v", c.Bound, bound)
	}
}

func strictAudience(payload map[string]any) Audience {
	aud, there := payload["aud"]
	if !there {
		return Audience{}
	}
	if s, ok := aud.(string); ok {
		return Audience{[]string{s}, Present}
	}
	list, ok := aud.([]any)
	values := []string{}
	for _, v := range list {
		s, isString := v.(string)
		ok = ok && isString
		values = append(values, s)
	}
	if !ok {
		return Audience{State: WrongType}
	}
	return Audience{values, Present}
}

// checkDate checks the state by exact arithmetic, and seconds <= number < seconds+1.
func checkDate(t *testing.T, number string, got NumericDate) {
	t.Helper()
	if !moderate(number) {
		return
	}
	exact, ok := new(big.Rat).SetString(number)
	if !ok {
		t.Fatalf("%q is no number", number)
	}
	least, end := new(big.Rat).SetInt64(-100_000_000_000), new(big.Rat).SetInt64(100_000_000_001)
	if within := exact.Cmp(least) >= 0 && exact.Cmp(end) < 0; within != (got.State == Present) {
		t.Fatalf("%s: got %v", number, got)
	}
	if got.State == Present {
		checkFloor(t, exact, got.Seconds)
	}
}

// checkFloor checks n <= exact < n+1.
func checkFloor(t *testing.T, exact *big.Rat, n int64) {
	t.Helper()
	if exact.Cmp(new(big.Rat).SetInt64(n)) < 0 || exact.Cmp(new(big.Rat).SetInt64(n+1)) >= 0 {
		t.Fatalf("%s: got %d", exact, n)
	}
}

// moderate reports whether exact arithmetic with the number ends soon.
func moderate(number string) bool {
	_, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	return len(exponent) <= 5
}

// FuzzFloor compares the arithmetic of dates with exact fractions.
func FuzzFloor(f *testing.F) {
	f.Add("1700000000")
	f.Fuzz(func(t *testing.T, number string) {
		sc := scanner{text: number}
		if sc.number() != nil || sc.pos != len(number) {
			return
		}
		n, ok := floor(number)
		if !moderate(number) {
			return
		}
		exact, isNumber := new(big.Rat).SetString(number)
		switch {
		case !isNumber:
			t.Fatalf("%q is no number", number)
		case ok:
			checkFloor(t, exact, n)
		case exact.Abs(exact).Cmp(new(big.Rat).SetInt64(MaxNumericDate)) <= 0:
			t.Fatalf("%s is called too large", number)
		}
	})
}
