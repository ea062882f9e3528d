// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"
)

// What the tests of the cache's and the burst's inside need: a verifier that fetches
// nothing, and tokens for it.

const (
	cacheIssuer = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_CachePool"
	cacheClient = "1example23456789abcdefghij"
	cacheKeyID  = "Y2FjaGUga2V5"
)

// cacheKey is made once, and outside of bubbles of fake time.
var cacheKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// cacheNow is the time by which these tests check tokens.
func cacheNow() time.Time { return time.Unix(1_790_000_060, 0) }

// cacheJWK is the entry of the key in a document.
func cacheJWK(kid string) string {
	return `{"kty":"RSA","alg":"RS256","use":"sig","kid":"` + kid + `","e":"AQAB","n":"` +
		base64.RawURLEncoding.EncodeToString(cacheKey().N.Bytes()) + `"}`
}

// newCacheVerifier returns a verifier with one static key and no goroutine.
func newCacheVerifier(t testing.TB, opts ...VerifierOption) *Verifier {
	t.Helper()
	doc := []byte(`{"keys":[` + cacheJWK(cacheKeyID) + `]}`)
	issuer := Issuer{URL: cacheIssuer, Clients: AnyClient(), StaticJWKS: doc, Offline: true}
	v, err := NewVerifier(t.Context(), []Issuer{issuer}, append([]VerifierOption{WithClock(cacheNow), WithLogger(nil)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return v
}

// cacheUnsigned is header and payload of a token of Cognito's shape and size, whose jti has
// the number in it.
func cacheUnsigned(client string, n int) string {
	return cacheUnsignedFor("demo/read.file demo/write.file", client, n)
}

func cacheUnsignedFor(scope, client string, n int) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(`{"kid":"`+cacheKeyID+`","alg":"RS256"}`)) + "." + b64(fmt.Appendf(nil,
		`{"sub":"%[1]s","token_use":"access","scope":"%[4]s","auth_time":1790000000,`+
			`"iss":"%[2]s","exp":1790003600,"iat":1790000000,"version":2,"jti":"8dcf56f9-0000-4000-8000-%012[3]x","client_id":"%[1]s"}`,
		client, cacheIssuer, n, scope))
}

// cacheToken signs the token of cacheUnsigned.
func cacheToken(client string, n int) string {
	return cacheSign(cacheUnsigned(client, n))
}

func cacheSign(signed string) string {
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, cacheKey(), crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// brokenToken has the signature of another token.
func brokenToken(client string, n int) string {
	other := cacheToken(client, n+1)
	return cacheUnsigned(client, n) + other[strings.LastIndexByte(other, '.'):]
}

// cacheEntry is an entry without a real token.
func cacheEntry(client, token string) *verified {
	return &verified{principal: &Principal{clientID: client}, token: token, validFrom: math.MinInt64, validUntil: math.MaxInt64}
}

// cacheName is the token of an entry without a real one, different for each number.
func cacheName(n int) string { return fmt.Sprintf("token-%032d", n) }

// narrow gives the cache fewer buckets, so that chains are long. It must be empty.
func (c *tokenCache) narrow(bits int) {
	c.buckets = c.buckets[:1<<bits]
	c.mask = 1<<bits - 1
}

// linked returns all entries by following the chains, as readers do.
func (c *tokenCache) linked() map[string]*verified {
	found := make(map[string]*verified)
	for i := range c.buckets {
		for e := c.buckets[i].Load(); e != nil; e = e.next.Load() {
			found[e.token] = e
		}
	}
	return found
}

// order returns a client's tokens, oldest first.
func (c *tokenCache) order(key clientKey) []string {
	s := c.shares[key]
	if s == nil {
		return nil
	}
	var tokens []string
	for e := s.oldest; e != nil; e = e.newer {
		tokens = append(tokens, e.token)
	}
	return tokens
}

// check fails the test unless chains, lists, heap and figures agree with each other and
// with the bounds.
func (c *tokenCache) check(t testing.TB) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries > c.maxEntries || c.bytes > c.maxBytes {
		t.Errorf("%d entries and %d bytes: more than %d and %d", c.entries, c.bytes, c.maxEntries, c.maxBytes)
	}
	entries, size := c.checkChains(t)
	if entries != c.entries || size != c.bytes {
		t.Errorf("the chains have %d entries of %d bytes, the figures say %d of %d", entries, size, c.entries, c.bytes)
	}
	if len(c.byCount) != len(c.shares) {
		t.Errorf("%d clients in the heap, %d in the map", len(c.byCount), len(c.shares))
	}
	for i, s := range c.byCount {
		if s.index != i || c.shares[s.key] != s {
			t.Errorf("the heap has at %d a share with the index %d that the map does not have", i, s.index)
		}
		if parent := c.byCount[max(i-1, 0)/2]; parent.entries < s.entries {
			t.Errorf("the heap has a client with %d entries above one with %d", parent.entries, s.entries)
		}
		entries -= c.checkShare(t, s)
	}
	if entries != 0 {
		t.Errorf("%d more entries in the chains than in the lists of the clients", entries)
	}
}

func (c *tokenCache) checkChains(t testing.TB) (entries int, size int64) {
	t.Helper()
	seen := make(map[string]bool)
	for i := range c.buckets {
		for e := c.buckets[i].Load(); e != nil; e = e.next.Load() {
			entries++
			size += e.size
			if seen[e.token] {
				t.Errorf("%s is there twice", e.token)
			}
			seen[e.token] = true
			if e.hash != c.hash(e.token) || e.hash&c.mask != uint64(i) {
				t.Errorf("%s is in a wrong bucket", e.token)
			}
			if e.share == nil || e.share != c.shares[clientKey{e.issuer, e.principal.clientID}] {
				t.Errorf("%s is in the list of no client, or of another one", e.token)
			}
		}
	}
	return entries, size
}

func (c *tokenCache) checkShare(t testing.TB, s *share) int {
	t.Helper()
	n := 0
	var last *verified
	for e := s.oldest; e != nil; e = e.newer {
		n++
		if e.older != last || e.share != s {
			t.Errorf("%s does not fit into the list of its client", e.token)
		}
		last = e
	}
	if s.newest != last || n != s.entries || n == 0 {
		t.Errorf("the list of client %q has %d entries, its figure says %d", s.key.id, n, s.entries)
	}
	return n
}
