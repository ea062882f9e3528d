// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"crypto/rsa"
	"math/big"
	"slices"
	"testing"
)

// strictKeySet returns the usable keys of a document by kid and the number of its
// entries, and false if ParseKeySet should refuse it.
func strictKeySet(doc string) (keys map[string]*rsa.PublicKey, entries int, ok bool) {
	m, ok := strictObject(doc)
	list, isArray := m["keys"].([]any)
	if !ok || !isArray || len(doc) > 256<<10 {
		return nil, 0, false
	}
	keys = map[string]*rsa.PublicKey{}
	for _, e := range list {
		entry, isObject := e.(map[string]any)
		if !isObject || len(entry) > 64 || entry["kty"] == "oct" {
			return nil, 0, false
		}
		for _, secret := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
			if _, shown := entry[secret]; shown {
				return nil, 0, false
			}
		}
		kid, named := strictKeyID(entry)
		key := strictKey(entry)
		if !named || key == nil {
			continue
		}
		if keys[kid] != nil {
			return nil, 0, false
		}
		keys[kid] = key
	}
	return keys, len(list), len(keys) > 0
}

// strictKey returns the key of an entry, or nil if it is none for RS256.
func strictKey(entry map[string]any) *rsa.PublicKey {
	if entry["kty"] != "RSA" {
		return nil
	}
	for name, want := range map[string]string{"use": "sig", "alg": "RS256"} {
		if got, there := entry[name]; there && got != want {
			return nil
		}
	}
	if ops, there := entry["key_ops"]; there {
		list, _ := ops.([]any)
		notString := func(op any) bool { _, ok := op.(string); return !ok }
		if !slices.Contains(list, any("verify")) || slices.ContainsFunc(list, notString) {
			return nil
		}
	}
	n, e := strictInteger(entry["n"]), strictInteger(entry["e"])
	if n == nil || e == nil || n.BitLen() < 2048 || n.BitLen() > 8192 || n.Bit(0) == 0 {
		return nil
	}
	if e.Cmp(big.NewInt(3)) < 0 || e.BitLen() > 31 || e.Bit(0) == 0 {
		return nil
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}
}

// strictInteger reads a Base64urlUInt, and nil if it is none.
func strictInteger(v any) *big.Int {
	s, _ := v.(string)
	b, ok := strictBase64(s)
	if !ok || len(b) == 0 || b[0] == 0 {
		return nil
	}
	return new(big.Int).SetBytes(b)
}

// FuzzKeySet: a document is accepted if and only if a strict reading with the standard
// library accepts it, and its keys are those that RFC 7518 allows, no more and no fewer.
func FuzzKeySet(f *testing.F) {
	f.Add([]byte(keys(entry(testKID, &signer().PublicKey, `,"alg":"RS256","use":"sig"`))))
	f.Fuzz(func(t *testing.T, doc []byte) {
		set, err := ParseKeySet(doc)
		want, entries, ok := strictKeySet(string(doc))
		if got := err == nil; got != ok {
			t.Fatalf("got %v, want accepted %v", err, ok)
		}
		if err != nil {
			return
		}
		if len(set.Keys) != len(want) || len(set.Keys)+len(set.Ignored) != entries {
			t.Fatalf("got %d keys, %d ignored, want %d keys of %d entries", len(set.Keys), len(set.Ignored), len(want), entries)
		}
		for _, k := range set.Keys {
			if key := want[k.ID()]; key == nil || !k.public.Equal(key) {
				t.Fatalf("key %q: got %v, want %v", k.ID(), k.public, key)
			}
		}
	})
}
