// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"container/heap"
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// verified is a token that passed every check, as the cache keeps it. What it says is
// immutable; the atomics note under which keys and clients it was last found good, and
// what it was seen to permit.
//
// What a look-up reads stands first, in 128 bytes. The whole is 256 bytes, so that the
// allocator lets it begin where a line of the processor's cache does: with many tokens,
// how many lines a look-up reads is what it costs.
type verified struct {
	hash  uint64
	token string
	next  atomic.Pointer[verified] // in its bucket
	// validFrom and validUntil are Unix nanoseconds, with the clock skew in them.
	validFrom, validUntil int64
	// issuer, and what depends on it, is empty for a principal that a TokenVerifier of the
	// user's own made.
	issuer     *trustedIssuer
	generation atomic.Uint64             // of the issuer's keys
	clients    atomic.Pointer[ClientSet] // of the issuer
	principal  *Principal
	permitted  [maxPermitted]atomic.Pointer[target] // no gaps
	used       atomic.Bool                          // since an eviction looked at it last

	kid         string
	fingerprint [32]byte // of the key that the signature was checked with

	// Guarded by the cache's lock.
	share        *share
	older, newer *verified
	size         int64

	_ [48]byte
}

// tokenCache holds verified tokens, keyed by all their bytes. Only tokens that passed
// every check get in, so strangers cannot fill it; a token's size and how many there
// are is bounded, and one client that makes many tokens loses its own first.
//
// Readers take no lock: a bucket is a chain of atomic pointers. The bucket is chosen
// by the last bytes of the signature, which nobody can choose, and the token is then
// compared as a whole. gRPC hands the same string to every call of a connection: most
// calls find what they need by its address, see [repeat]. docs/decisions.md has what was
// measured.
type tokenCache struct {
	buckets    []atomic.Pointer[verified]
	mask       uint64
	seed       [2]uint64
	repeats    atomic.Pointer[repeatTable] // nil until the first
	maxEntries int
	maxBytes   int64

	// Hits are not counted: that would be a write to one place by every call. A
	// Reporter is told for each.
	misses, stale, evicted atomic.Uint64

	mu       sync.Mutex // guards the fields below and every store into a chain
	entries  int
	bytes    int64
	repeated int // slots in use
	shares   map[clientKey]*share
	byCount  shareHeap
	hand     uint64 // the next bucket that an insertion sweeps
}

// clientKey names a client: ids are unique within an issuer only.
type clientKey struct {
	issuer *trustedIssuer
	id     string
}

// share is what one client has in the cache, in the order of insertion.
type share struct {
	key            clientKey
	entries        int
	oldest, newest *verified
	index          int // in byCount
}

// entryOverhead is what an entry takes beside the bytes of its token, its claims and
// its scopes: its slot too, which is 64 bytes of a table that was three eighths full at
// least when it grew. Entries of Cognito's usual tokens were measured to take nine tenths of
// the estimate.
const entryOverhead = 1024

// sizeWith estimates what an entry takes: the token as received, the claims decoded,
// and the two lists of scopes, 16 bytes a scope in each, of which a token can have
// thousands. They are often one list; the estimate is a bound, so it may be too large and
// not too small.
func (p *Principal) sizeWith(token string) int64 {
	scopes := cap(p.tokenScopes) + cap(p.scopes)
	return 2*int64(len(token)) + 16*int64(scopes) + entryOverhead
}

// The bounds of the options.
const (
	defaultCacheEntries = 10_000
	defaultCacheBytes   = 64 << 20
	maxCacheEntries     = 10_000_000
)

func newTokenCache(maxEntries int, maxBytes int64) *tokenCache {
	buckets := uint64(1) << bits.Len64(uint64(maxEntries)) //nolint:gosec // the option's bounds were checked
	return &tokenCache{
		buckets:    make([]atomic.Pointer[verified], buckets),
		mask:       buckets - 1,
		seed:       [2]uint64{rand.Uint64(), rand.Uint64()}, //nolint:gosec // spreads entries over buckets, no more
		maxEntries: maxEntries,
		maxBytes:   maxBytes,
		shares:     make(map[clientKey]*share),
	}
}

// hashed is how many bytes at a token's end choose its bucket. Every RS256 token is
// longer.
const hashed = 16

func (c *tokenCache) hash(token string) uint64 {
	tail := token[len(token)-hashed:]
	a, b := word(tail[:8]), word(tail[8:])
	hi, lo := bits.Mul64(a^c.seed[0], b^c.seed[1])
	return hi ^ lo
}

func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// get returns the entry of exactly this token, or nil. Whether it is still good is the
// caller's to check. It counts nothing: see the callers.
func (c *tokenCache) get(token string) *verified {
	if c == nil || len(token) < hashed {
		return nil
	}
	h := c.hash(token)
	for e := c.buckets[h&c.mask].Load(); e != nil; e = e.next.Load() {
		if e.hash == h && e.token == token {
			if !e.used.Load() { // no write to a shared line for each hit
				e.used.Store(true)
			}
			return e
		}
	}
	return nil
}

// put inserts e, whose token has just passed every check. It makes room first, so the
// bounds hold at every moment; a token too large for the cache stays outside.
func (c *tokenCache) put(e *verified, now time.Time) {
	if c == nil || len(e.token) < hashed {
		return
	}
	e.hash = c.hash(e.token)
	e.size = e.principal.sizeWith(e.token)
	if e.size > c.maxBytes {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(now.UnixNano())
	for old := c.buckets[e.hash&c.mask].Load(); old != nil; old = old.next.Load() {
		if old.token == e.token { // an older finding about the same token
			c.remove(old)
			break
		}
	}
	for c.entries+1 > c.maxEntries || c.bytes+e.size > c.maxBytes {
		c.evict(clientKey{e.issuer, e.principal.clientID})
	}
	c.insert(e)
}

// drop removes e, which was found to be no longer good.
func (c *tokenCache) drop(e *verified) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.share != nil {
		c.remove(e)
	}
}

// insert and remove are called with the lock held.

func (c *tokenCache) insert(e *verified) {
	key := clientKey{e.issuer, e.principal.clientID}
	s := c.shares[key]
	if s == nil {
		s = &share{key: key}
		c.shares[key] = s
		heap.Push(&c.byCount, s)
	}
	e.share = s
	s.append(e)
	heap.Fix(&c.byCount, s.index)
	c.entries++
	c.bytes += e.size
	bucket := &c.buckets[e.hash&c.mask]
	e.next.Store(bucket.Load())
	bucket.Store(e)
}

func (c *tokenCache) remove(e *verified) {
	link := &c.buckets[e.hash&c.mask]
	for link.Load() != e {
		link = &link.Load().next
	}
	link.Store(e.next.Load()) // readers that stand on e go on from there
	c.forgetRepeat(e)
	s := e.share
	s.unlink(e)
	e.share = nil
	c.entries--
	c.bytes -= e.size
	if s.entries > 0 {
		heap.Fix(&c.byCount, s.index)
		return
	}
	heap.Remove(&c.byCount, s.index)
	delete(c.shares, s.key)
}

func (s *share) append(e *verified) {
	e.older = s.newest
	if s.newest != nil {
		s.newest.newer = e
	} else {
		s.oldest = e
	}
	s.newest = e
	s.entries++
}

func (s *share) unlink(e *verified) {
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		s.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		s.newest = e.older
	}
	e.older, e.newer = nil, nil
	s.entries--
}

// secondChances bounds how many used entries one eviction passes over.
const secondChances = 16

// evict takes an entry from the client that has most, which is the one that wants
// another if several have as many: so nobody loses an entry to a client that has as
// many as itself. It is the oldest that was not used since the last eviction came by.
func (c *tokenCache) evict(wants clientKey) {
	s := c.byCount[0]
	if own := c.shares[wants]; own != nil && own.entries == s.entries {
		s = own
	}
	victim := s.oldest
	for range secondChances {
		if !c.wasUsed(victim) {
			break
		}
		s.unlink(victim)
		s.append(victim)
		victim = s.oldest
	}
	c.remove(victim)
	c.evicted.Add(1)
}

// wasUsed reports whether e was used since the last call of this.
func (c *tokenCache) wasUsed(e *verified) bool {
	used := e.used.Swap(false)
	if s := c.slotOf(e); s != nil && s.used.Swap(false) {
		return true
	}
	return used
}

// swept is how many buckets an insertion looks through for expired tokens, so that
// they do not stay for ever. They count for nothing before that, see [Verifier.recheck].
const swept = 2

func (c *tokenCache) sweep(now int64) {
	for range swept {
		c.hand++
		for e := c.buckets[c.hand&c.mask].Load(); e != nil; e = e.next.Load() {
			if now >= e.validUntil {
				c.remove(e)
			}
		}
	}
}

// shareHeap has the client with most entries first.
//
//nolint:recvcheck // as container/heap has it
type shareHeap []*share

func (h shareHeap) Len() int           { return len(h) }
func (h shareHeap) Less(i, j int) bool { return h[i].entries > h[j].entries }
func (h shareHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements [heap.Interface].
func (h *shareHeap) Push(x any) {
	s, _ := x.(*share) // only shares are pushed
	s.index = len(*h)
	*h = append(*h, s)
}

// Pop implements [heap.Interface].
func (h *shareHeap) Pop() any {
	last := len(*h) - 1
	s := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return s
}

// CacheStats says how the cache of verified tokens is doing. Counters count since
// [NewVerifier]. All are zero with [WithoutCache].
type CacheStats struct {
	Misses  uint64 // calls whose token was not there
	Stale   uint64 // calls whose token was there and no longer good: expired, key or client gone
	Evicted uint64 // tokens that made room for others
	Entries int    // tokens now
	Bytes   int64  // what they take now, estimated
	Clients int    // clients that have tokens now
}

func (c *tokenCache) stats() CacheStats {
	if c == nil {
		return CacheStats{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return CacheStats{
		Misses: c.misses.Load(), Stale: c.stale.Load(), Evicted: c.evicted.Load(),
		Entries: c.entries, Bytes: c.bytes, Clients: len(c.shares),
	}
}
