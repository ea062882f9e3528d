// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
)

// modulus returns an odd number of so many bits, which is all that a key set shows.
func modulus(bits int) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return n.SetBit(n, 0, 1)
}

func keys(entries ...string) string {
	return `{"keys":[` + strings.Join(entries, ",") + `]}`
}

func TestKeySet(t *testing.T) {
	t.Parallel()
	public := &signer().PublicKey
	second := &rsa.PublicKey{N: modulus(3072), E: 3}
	set, err := ParseKeySet([]byte(`{"x":{"y":[1]},"keys":[` +
		entry(testKID, public, `,"alg":"RS256","use":"sig","key_ops":["verify"],"x5t":"zz","x5c":["not base64!"],"note":{"a":1}`) +
		`, ` + entry("k2", second, "") + "]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 2 || len(set.Ignored) != 0 {
		t.Fatalf("got %d keys, ignored %v, want 2 and none", len(set.Keys), set.Ignored)
	}
	for i, want := range []struct {
		id  string
		key *rsa.PublicKey
	}{{testKID, public}, {"k2", second}} {
		if k := set.Keys[i]; k.ID() != want.id || !k.public.Equal(want.key) {
			t.Errorf("key %d: got %s %v, want %s %v", i, k.ID(), k.public, want.id, want.key)
		}
	}
}

// TestFingerprint has what row D13 rests on.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	parse := func(kid string, k *rsa.PublicKey) [32]byte {
		set, err := ParseKeySet([]byte(keys(entry(kid, k, ""))))
		if err != nil {
			t.Fatal(err)
		}
		return set.Keys[0].Fingerprint()
	}
	k := &rsa.PublicKey{N: modulus(2048), E: 65537}
	base := parse("a", k)
	if got := parse("b", k); got != base {
		t.Error("another kid changes the fingerprint, want only n and e to count")
	}
	if got := parse("a", &rsa.PublicKey{N: k.N, E: 3}); got == base {
		t.Error("another e does not change the fingerprint")
	}
	if got := parse("a", &rsa.PublicKey{N: new(big.Int).Add(k.N, big.NewInt(2)), E: 65537}); got == base {
		t.Error("another n does not change the fingerprint")
	}
	// The last byte of n moved to the front of e.
	if fingerprint([]byte{1, 2, 3}, []byte{4}) == fingerprint([]byte{1, 2}, []byte{3, 4}) {
		t.Error("the fingerprint does not separate n from e")
	}
}

// TestKeySetRefused has the rows in which the whole document is refused.
func TestKeySetRefused(t *testing.T) {
	t.Parallel()
	good := entry("good", &signer().PublicKey, "")
	with := func(more string) string { return keys(good, entry("k2", &signer().PublicKey, more)) }
	for _, row := range []struct{ id, doc, want string }{
		{"D4/too large", keys(good) + strings.Repeat(" ", MaxKeySetBytes), "more than 262144 bytes"},
		{"D6/empty", "", "not a JSON object"},
		{"D6/HTML", "<html>", "not a JSON object"},
		{"D6/array", "[" + good + "]", "not a JSON object"},
		{"D6/bare key", good, `no "keys"`},
		{"D6/truncated", keys(good)[:200], "string"},
		{"D6/trailing bytes", keys(good) + "x", "bytes behind the object"},
		{"D6/BOM", "\ufeff" + keys(good), "not a JSON object"},
		{"D6/not UTF-8", `{"x":"` + "\xff" + `",` + keys(good)[1:], "not UTF-8"},
		{"D6/duplicate keys", `{"keys":[],` + keys(good)[1:], "two members of one name"},
		{"D6/duplicate kid", keys(good[:len(good)-1] + `,"kid":"other"}`), "two members of one name"},
		{"D6/Keys", `{"Keys":[` + good + `]}`, `no "keys"`},
		{"D6/keys object", `{"keys":{"a":` + good + `}}`, "not an array"},
		{"D6/keys null", `{"keys":null}`, "not an array"},
		{"D6/entry null", keys(good, "null"), "entry 1: not an object"},
		{"D6/entry string", keys(good, `"x"`), "entry 1: not an object"},
		{"D6/too deep", keys(good, `{"x":`+strings.Repeat("[", 16)+strings.Repeat("]", 16)+`}`), "too deep"},
		{"D7/no entry", keys(), "no usable key: the set is empty"},
		{"D7/no usable key", keys(entry("k", &signer().PublicKey, `,"use":"enc"`)), "the first: use is not sig"},
		{"D8/same kid", keys(good, entry("good", &rsa.PublicKey{N: modulus(2048), E: 3}, "")), "same kid"},
		{"D8/same entry", keys(good, good), "same kid"},
		{"D12/oct", keys(good, `{"kty":"oct","kid":"s"}`), "secret key material"},
		{"D12/k", keys(good, `{"kty":"x","k":"AAAA"}`), "secret key material"},
		{"D12/d", with(`,"d":"AQAB"`), "secret key material"},
		{"D12/d null", with(`,"d":null`), "secret key material"},
		{"D12/d escaped", with(`,"\u0064":"AQAB"`), "secret key material"},
		{"D12/p", with(`,"p":"AQAB"`), "secret key material"},
		{"D12/q", with(`,"q":"AQAB"`), "secret key material"},
		{"D12/dp", with(`,"dp":"AQAB"`), "secret key material"},
		{"D12/dq", with(`,"dq":"AQAB"`), "secret key material"},
		{"D12/qi", with(`,"qi":"AQAB"`), "secret key material"},
		{"D12/oth", with(`,"oth":[]`), "secret key material"},
		{"D12/priv", keys(good, `{"kty":"AKP","priv":"AAAA"}`), "secret key material"},
		{"D12/EC d in an ignored entry", keys(good, `{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}`), "secret key material"},
	} {
		t.Run(row.id, func(t *testing.T) {
			t.Parallel()
			set, err := ParseKeySet([]byte(row.doc))
			if !errors.Is(err, ErrKeySet) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, %v, want an ErrKeySet with %q", set, err, row.want)
			}
		})
	}
}

// TestKeySetIgnored has the rows in which one entry is ignored beside a good one.
func TestKeySetIgnored(t *testing.T) {
	t.Parallel()
	good := entry("good", &signer().PublicKey, "")
	public := &signer().PublicKey
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	material := func(n, e string) string {
		return fmt.Sprintf(`{"kty":"RSA","kid":"k","n":%s,"e":%s}`, n, e)
	}
	n, e := `"`+b64(string(public.N.Bytes()))+`"`, `"AQAB"`
	numbers := func(n *big.Int, e int64) string {
		return material(`"`+b64(string(n.Bytes()))+`"`, `"`+b64(string(big.NewInt(e).Bytes()))+`"`)
	}
	noKID := `{"kty":"RSA","n":` + n + `,"e":` + e

	for _, row := range []struct{ id, entry, kid, want string }{
		{"D9/EC", `{"kty":"EC","kid":"k","crv":"P-256","x":"` + b64(string(point[1:33])) + `","y":"` + b64(string(point[33:])) + `"}`, "k", "kty"},
		{"D9/EC of the same kid", `{"kty":"EC","kid":"good","crv":"P-256"}`, "good", "kty"},
		{"D9/unknown kty", `{"kty":"AKP","kid":"k","alg":"ML-DSA-65","pub":"AAAA"}`, "k", "kty"},
		{"D9/unknown crv", `{"kty":"OKP","kid":"k","crv":"X999","x":"AA"}`, "k", "kty"},
		{"D9/lower case kty", `{"kty":"rsa","kid":"k","n":` + n + `,"e":` + e + `}`, "k", "kty"},
		{"D9/kty number", `{"kty":1,"kid":"k","n":` + n + `,"e":` + e + `}`, "k", "kty"},
		{"D9/empty", `{}`, "", "kid"},
		{"D9/alg PS256", entry("k", public, `,"alg":"PS256"`), "k", "alg"},
		{"D9/alg unknown", entry("k", public, `,"alg":"XX"`), "k", "alg"},
		{"D9/alg null", entry("k", public, `,"alg":null`), "k", "alg"},
		{"D9/no kid", noKID + `}`, "", "no kid"},
		{"D9/kid number", noKID + `,"kid":1}`, "", "kid is not a string"},
		{"D9/kid empty", noKID + `,"kid":""}`, "", "kid is empty"},
		{"D9/kid too long", entry(strings.Repeat("k", 257), public, ""), "", "kid has more than 256"},
		{"D10/1024 bits", numbers(modulus(1024), 65537), "k", "n has 1024 bits"},
		{"D10/2047 bits", numbers(modulus(2047), 65537), "k", "n has 2047 bits"},
		{"D10/8193 bits", numbers(modulus(8193), 65537), "k", "n has 8193 bits"},
		{"D10/even n", numbers(new(big.Int).Sub(modulus(2048), big.NewInt(1)), 65537), "k", "n is even"},
		{"D10/e 1", numbers(public.N, 1), "k", "e is not within"},
		{"D10/e 2", numbers(public.N, 2), "k", "e is not within"},
		{"D10/e 4", numbers(public.N, 4), "k", "e is even"},
		{"D10/e 2^31+1", numbers(public.N, 1<<31+1), "k", "e is not within"},
		{"D10/e 2^63+1", material(n, `"gAAAAAAAAAE"`), "k", "e is not within"},
		{"D10/e 2^64+3", material(n, `"AQAAAAAAAAAD"`), "k", "e is not within"},
		{"D10/e 0", material(n, `"AA"`), "k", "e has leading zero"},
		{"D10/e empty", material(n, `""`), "k", "e is empty"},
		{"D10/e number", material(n, `65537`), "k", "e is empty"},
		{"D10/n missing", `{"kty":"RSA","kid":"k","e":` + e + `}`, "k", "n is empty"},
		{"D10/n leading zero", material(`"`+b64("\x00"+string(public.N.Bytes()))+`"`, e), "k", "n has leading zero"},
		{"D10/n padded", material(`"AQAB="`, e), "k", "n is not strict"},
		{"D10/n standard alphabet", material(`"+/+/"`, e), "k", "n is not strict"},
		{"D10/n with a line break", material(`"AQ\nAB"`, e), "k", "n is not strict"},
		{"D10/n with a dot", material(`"AQ.AB"`, e), "k", "n is not strict"},
		{"D10/n with a quote", material(`"AQAB\",\"d\":\"AQAB"`, e), "k", "n is not strict"},
		{"D10/e with unused bits", material(n, `"Ax"`), "k", "e is not strict"},
		{"D11/use enc", entry("k", public, `,"use":"enc"`), "k", "use"},
		{"D11/use SIG", entry("k", public, `,"use":"SIG"`), "k", "use"},
		{"D11/use null", entry("k", public, `,"use":null`), "k", "use"},
		{"D11/use array", entry("k", public, `,"use":["sig"]`), "k", "use"},
		{"D11/key_ops sign", entry("k", public, `,"key_ops":["sign"]`), "k", "key_ops"},
		{"D11/key_ops empty", entry("k", public, `,"key_ops":[]`), "k", "key_ops"},
		{"D11/key_ops string", entry("k", public, `,"key_ops":"verify"`), "k", "key_ops"},
		{"D11/key_ops mixed", entry("k", public, `,"key_ops":["verify",1]`), "k", "key_ops"},
		{"D11/key_ops null", entry("k", public, `,"key_ops":null`), "k", "key_ops"},
		{"D11/alg RSA-OAEP", entry("k", public, `,"alg":"RSA-OAEP"`), "k", "alg"},
	} {
		t.Run(row.id, func(t *testing.T) {
			t.Parallel()
			set, err := ParseKeySet([]byte(keys(row.entry, good)))
			if err != nil {
				t.Fatal(err)
			}
			if len(set.Keys) != 1 || set.Keys[0].ID() != "good" {
				t.Errorf("got keys %v, want the good one alone", set.Keys)
			}
			if len(set.Ignored) != 1 || set.Ignored[0].KeyID != row.kid || !strings.Contains(set.Ignored[0].Why, row.want) {
				t.Errorf("got ignored %v, want kid %q for %q", set.Ignored, row.kid, row.want)
			}
		})
	}
}

// TestKeySetBounds has the edges at which an entry of row D10 is good.
func TestKeySetBounds(t *testing.T) {
	t.Parallel()
	for id, k := range map[string]*rsa.PublicKey{
		"D10/2048 bits":  {N: modulus(2048), E: 65537},
		"D10/8192 bits":  {N: modulus(8192), E: 65537},
		"D10/e 3":        {N: modulus(2048), E: 3},
		"D10/e 2^31-1":   {N: modulus(2048), E: 1<<31 - 1},
		"D10/kid of 256": {N: modulus(2048), E: 3},
	} {
		kid := "k"
		if id == "D10/kid of 256" {
			kid = strings.Repeat("k", 256)
		}
		set, err := ParseKeySet([]byte(keys(entry(kid, k, ""))))
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if !set.Keys[0].public.Equal(k) {
			t.Errorf("%s: got %v, want %v", id, set.Keys[0].public, k)
		}
	}
}
