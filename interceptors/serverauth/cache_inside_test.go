// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// fill puts so many entries of a client, numbered from first.
func (c *tokenCache) fill(client string, first, n int) {
	for i := range n {
		c.put(cacheEntry(client, cacheName(first+i)), cacheNow())
	}
}

// count says how many entries each of the clients has.
func (c *tokenCache) count(clients ...string) []int {
	var counts []int
	for _, id := range clients {
		counts = append(counts, len(c.order(clientKey{id: id})))
	}
	return counts
}

func TestCacheFindsNothingButTheSameBytes(t *testing.T) {
	t.Parallel()
	c := newTokenCache(10, math.MaxInt64)
	c.narrow(0)
	token := cacheToken(cacheClient, 1)
	c.put(cacheEntry(cacheClient, token), cacheNow())
	if e := c.get(strings.Clone(token)); e == nil || e.token != token {
		t.Error("a copy of the token was not found")
	}
	for i := range len(token) {
		changed := []byte(token)
		changed[i] ^= 1
		if c.get(string(changed)) != nil {
			t.Errorf("found a token that differs in byte %d", i)
		}
	}
	signature := token[strings.LastIndexByte(token, '.'):]
	for name, other := range map[string]string{
		"empty":                                "",
		"shorter than what chooses the bucket": token[len(token)-hashed+1:],
		"what chooses the bucket":              token[len(token)-hashed:],
		"the signature":                        signature[1:],
		"the payload of another token":         cacheUnsigned(cacheClient, 2) + signature,
		"without its first byte":               token[1:],
		"without its last byte":                token[:len(token)-1],
		"with another first byte":              "e" + token,
		"with another last byte":               token + "A",
	} {
		if c.get(other) != nil {
			t.Errorf("%s: found", name)
		}
	}
}

// Two tokens with the same hash are two tokens.
func TestCacheSameHash(t *testing.T) {
	t.Parallel()
	c := newTokenCache(10, math.MaxInt64)
	tail := strings.Repeat("s", hashed)
	one, two := cacheEntry("a", "one"+tail), cacheEntry("a", "two"+tail)
	c.put(one, cacheNow())
	c.put(two, cacheNow())
	if c.get(one.token) != one || c.get(two.token) != two || c.get("six"+tail) != nil {
		t.Error("tokens with the same hash are not kept apart")
	}
	c.check(t)
}

// Of one token there is one entry, the newest.
func TestCacheKeepsTheLastFinding(t *testing.T) {
	t.Parallel()
	c := newTokenCache(10, math.MaxInt64)
	before, after := cacheEntry("a", cacheName(1)), cacheEntry("b", cacheName(1))
	c.put(before, cacheNow())
	c.put(after, cacheNow())
	if got := c.get(cacheName(1)); got != after {
		t.Errorf("got %v, want the last entry that was put", got)
	}
	if c.check(t); c.entries != 1 || len(c.shares) != 1 || c.evicted.Load() != 0 {
		t.Errorf("%d entries of %d clients, %d evicted, want 1 of 1 and none", c.entries, len(c.shares), c.evicted.Load())
	}
}

// A client that makes many tokens loses its own, whoever comes and however many there
// are of them.
func TestCacheIsFair(t *testing.T) {
	t.Parallel()
	c := newTokenCache(100, math.MaxInt64)
	others := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"}
	for n, id := range others {
		c.fill(id, 1000*n, 10)
	}
	c.fill("many", 100_000, 10)
	want := []int{10, 10, 10, 10, 10, 10, 10, 10, 10}
	c.fill("many", 200_000, 1000) // has as many as each of the others
	if got := c.count(others...); !slices.Equal(got, want) {
		t.Errorf("the others have %v, want %v", got, want)
	}
	for n := range others {
		for i := range 10 {
			if c.get(cacheName(1000*n+i)) == nil {
				t.Errorf("an entry of client %s has gone", others[n])
			}
		}
	}
	if got := c.evicted.Load(); got != 1000 {
		t.Errorf("evicted: got %d, want 1000", got)
	}
	c.check(t)
}

// Who came first has no right to it all: the others get their share out of what the
// greedy one has.
func TestCacheGivesRoomToOthers(t *testing.T) {
	t.Parallel()
	c := newTokenCache(100, math.MaxInt64)
	c.fill("many", 0, 500)
	c.fill("a", 1000, 30)
	c.fill("b", 2000, 30)
	if got := c.count("many", "a", "b"); !slices.Equal(got, []int{40, 30, 30}) {
		t.Errorf("got %v, want 40, 30 and 30", got)
	}
	c.fill("a", 3000, 500) // may have no more than the one that has most
	if got := c.count("many", "a", "b"); !slices.Equal(got, []int{35, 35, 30}) {
		t.Errorf("got %v, want 35, 35 and 30", got)
	}
	c.check(t)
}

// The issuers of two user pools can have clients of the same id.
func TestCacheClientsAreOfTheirIssuer(t *testing.T) {
	t.Parallel()
	c := newTokenCache(10, math.MaxInt64)
	mine := cacheEntry("same", cacheName(1))
	mine.issuer = &trustedIssuer{}
	c.put(mine, cacheNow())
	another := &trustedIssuer{}
	for n := range 50 {
		other := cacheEntry("same", cacheName(10+n))
		other.issuer = another
		c.put(other, cacheNow())
	}
	if c.get(mine.token) != mine {
		t.Error("a client lost its entry to one of the same id of another issuer")
	}
}

// Of a client's own entries the one goes that was not used for longest.
func TestCacheSecondChance(t *testing.T) {
	t.Parallel()
	c := newTokenCache(4, math.MaxInt64)
	c.fill("a", 0, 4)
	c.get(cacheName(0))
	c.get(cacheName(1))
	c.fill("a", 4, 1)
	key := clientKey{id: "a"}
	if got, want := c.order(key), []string{cacheName(3), cacheName(0), cacheName(1), cacheName(4)}; !slices.Equal(got, want) {
		t.Errorf("after one eviction: got %q, want %q", got, want)
	}
	c.fill("a", 5, 2) // a second chance is no third one
	if got, want := c.order(key), []string{cacheName(1), cacheName(4), cacheName(5), cacheName(6)}; !slices.Equal(got, want) {
		t.Errorf("after three evictions: got %q, want %q", got, want)
	}
}

// However many entries were used, an eviction passes over 16 at most.
func TestCacheEvictionIsBounded(t *testing.T) {
	t.Parallel()
	c := newTokenCache(40, math.MaxInt64)
	c.fill("a", 0, 40)
	for n := range 40 {
		c.get(cacheName(n))
	}
	c.fill("a", 40, 1)
	if c.get(cacheName(16)) != nil {
		t.Error("the 17th entry is still there")
	}
	if got := c.order(clientKey{id: "a"})[0]; got != cacheName(17) {
		t.Errorf("the oldest is %s, want the 18th", got)
	}
}

func TestCacheBoundInBytes(t *testing.T) {
	t.Parallel()
	small := 2*int64(len(cacheName(0))) + 1024
	c := newTokenCache(1000, 3*small)
	c.fill("a", 0, 10)
	if got := c.count("a"); got[0] != 3 || c.bytes != 3*small {
		t.Errorf("got %d entries of %d bytes, want 3 of %d", got[0], c.bytes, 3*small)
	}
	c.put(cacheEntry("b", strings.Repeat("x", int(small-512))), cacheNow()) // takes the room of two
	if got := c.count("a", "b"); !slices.Equal(got, []int{1, 1}) || c.bytes != 3*small {
		t.Errorf("got %v entries, want one beside one of twice the size", got)
	}
	c.check(t)
	for _, extra := range []int{0, 1} { // bytes more than the cache can have at all
		e := cacheEntry("c", strings.Repeat("y", int(3*small-1024)/2+extra))
		c.put(e, cacheNow())
		if found := c.get(e.token) != nil; found != (extra == 0) {
			t.Errorf("a token %d bytes larger than the cache: found %v", extra, found)
		}
		c.check(t)
	}
	if c.get(strings.Repeat("y", int(3*small-1024)/2)) == nil {
		t.Error("a token that was too large cost another its place")
	}
}

// Expired entries go with the insertions of others, and no good one goes with them.
func TestCacheSweepsExpiredEntries(t *testing.T) {
	t.Parallel()
	c := newTokenCache(100, math.MaxInt64)
	now := cacheNow()
	for n := range 50 {
		e := cacheEntry("a", cacheName(n))
		e.validUntil = now.Add(time.Duration(n%2) * time.Minute).UnixNano()
		c.put(e, now.Add(-time.Hour))
	}
	if c.entries != 50 {
		t.Fatalf("%d entries, want 50", c.entries)
	}
	// Two buckets an insertion: after half as many as there are buckets all were swept.
	for n := range len(c.buckets) / 2 {
		c.put(cacheEntry("b", cacheName(1000+n%2)), now)
	}
	for n := range 50 {
		if found := c.get(cacheName(n)) != nil; found != (n%2 == 1) {
			t.Errorf("entry %d: found %v", n, found)
		}
	}
	if c.check(t); c.evicted.Load() != 0 {
		t.Errorf("%d entries were evicted", c.evicted.Load())
	}
}

// drop may come late: the entry was evicted, replaced or dropped already.
func TestCacheDropTwice(t *testing.T) {
	t.Parallel()
	c := newTokenCache(1, math.MaxInt64)
	evicted, replaced, here := cacheEntry("a", cacheName(1)), cacheEntry("a", cacheName(2)), cacheEntry("a", cacheName(2))
	for _, e := range []*verified{evicted, replaced, here} {
		c.put(e, cacheNow())
	}
	c.drop(evicted)
	c.drop(replaced)
	c.drop(cacheEntry("a", cacheName(2))) // never was there
	if c.check(t); c.get(cacheName(2)) != here {
		t.Error("the entry in the cache was dropped with an old one")
	}
	c.drop(here)
	c.drop(here)
	if c.check(t); c.entries != 0 || c.bytes != 0 || len(c.shares) != 0 || c.get(cacheName(2)) != nil {
		t.Errorf("the cache is not empty: %d entries, %d bytes, %d clients", c.entries, c.bytes, len(c.shares))
	}
}

// A verifier without a cache has nil for one, and a token can be too short to be one.
func TestCacheThatIsNone(t *testing.T) {
	t.Parallel()
	var none *tokenCache
	e := cacheEntry("a", cacheName(1))
	none.put(e, cacheNow())
	none.drop(e)
	if none.get(e.token) != nil || none.stats() != (CacheStats{}) {
		t.Error("no cache has something in it")
	}
	c := newTokenCache(1, math.MaxInt64)
	c.put(cacheEntry("a", "short"), cacheNow())
	if c.get("short") != nil || c.entries != 0 {
		t.Error("a token that is too short was taken")
	}
	c.put(cacheEntry("a", strings.Repeat("x", hashed)), cacheNow())
	if c.get(strings.Repeat("x", hashed)) == nil {
		t.Error("the shortest token was not taken")
	}
}

// Where tokens are in the table differs from process to process.
func TestCacheSeed(t *testing.T) {
	t.Parallel()
	c, another := newTokenCache(1, 1), newTokenCache(1, 1)
	if c.hash(cacheName(1)) == another.hash(cacheName(1)) {
		t.Error("two caches hash alike")
	}
	for i := range hashed { // each of the bytes counts
		changed := []byte(cacheName(1))
		changed[len(changed)-hashed+i]++
		if c.hash(string(changed)) == c.hash(cacheName(1)) {
			t.Errorf("byte %d does not count", i)
		}
	}
}

func TestCacheStatsOfTheInside(t *testing.T) {
	t.Parallel()
	c := newTokenCache(3, math.MaxInt64)
	c.fill("a", 0, 3)
	c.fill("b", 3, 1)
	c.misses.Store(7)
	c.stale.Store(8)
	want := CacheStats{Misses: 7, Stale: 8, Evicted: 1, Entries: 3, Bytes: 3 * (2*int64(len(cacheName(0))) + 1024), Clients: 2}
	if got := c.stats(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// There are enough buckets for short chains, and no more memory than that takes.
func TestCacheBuckets(t *testing.T) {
	t.Parallel()
	for entries, want := range map[int]int{1: 2, 2: 4, 1000: 1024, 1024: 2048, 10_000: 16_384} {
		if got := len(newTokenCache(entries, 1).buckets); got != want {
			t.Errorf("%d entries: got %d buckets, want %d", entries, got, want)
		}
	}
}

// What makes a remembered token unusable, and what does not.
func TestRecheck(t *testing.T) {
	t.Parallel()
	own := untracked(&Principal{clientID: "a", expiresAt: time.Unix(100, 0)})
	end := time.Unix(100, 0).UnixNano()
	for now, want := range map[int64]Reason{math.MinInt64: "", 0: "", end - 1: "", end: ReasonTokenExpired, end + 1: ReasonTokenExpired} {
		refusal, same := own.recheck(now)
		if !same || (refusal == nil) != (want == "") || refusal != nil && refusal.reason != want {
			t.Errorf("a principal of the user's own at %d: got %v, %v, want %q", now, refusal, same, want)
		}
	}
	e := cacheEntry("a", cacheName(1))
	e.validFrom, e.validUntil = 10, 20
	for now, want := range map[int64]Reason{9: ReasonTokenNotYetValid, 10: "", 19: "", 20: ReasonTokenExpired} {
		refusal, same := e.recheck(now)
		if !same || (refusal == nil) != (want == "") || refusal != nil && refusal.reason != want {
			t.Errorf("at %d: got %v, %v, want %q", now, refusal, same, want)
		}
	}
}
