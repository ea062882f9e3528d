// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A reader that stands on an entry while that is removed finds all that was behind it.
func TestCacheReadersGoOnFromRemovedEntries(t *testing.T) {
	t.Parallel()
	const n = 6
	for removed := range 1 << n {
		c := newTokenCache(n, math.MaxInt64)
		c.narrow(0)
		c.fill("a", 0, n)
		var chain []*verified // the newest first, as a reader meets them
		for e := c.buckets[0].Load(); e != nil; e = e.next.Load() {
			chain = append(chain, e)
		}
		for i, e := range chain {
			if removed&(1<<i) != 0 {
				c.drop(e)
			}
		}
		c.fill("a", n, 1) // at the head, before all readers
		for at := range chain {
			found := make(map[*verified]bool)
			for e := chain[at].next.Load(); e != nil; e = e.next.Load() {
				found[e] = true
			}
			for i := at + 1; i < n; i++ {
				if removed&(1<<i) == 0 && c.get(chain[i].token) != nil && !found[chain[i]] {
					t.Fatalf("of the entries removed %06b, a reader at %d does not find %d", removed, at, i)
				}
			}
		}
	}
}

// Readers always find an entry that is there all the time, whatever happens around it
// in its chain.
func TestCacheReadersBesideWriters(t *testing.T) {
	t.Parallel()
	c := newTokenCache(1000, math.MaxInt64)
	c.narrow(0) // one chain, the worst case
	var stay []string
	for n := range 3 {
		c.fill("many", 10*n, 5)
		stay = append(stay, cacheName(100+n))
		c.put(cacheEntry("stays", stay[n]), cacheNow())
	}
	var writers, readers sync.WaitGroup
	var over atomic.Bool
	for w := range 2 {
		writers.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 2))
			for range 3000 {
				token := cacheName(rnd.IntN(20))
				if e := c.get(token); e != nil {
					c.drop(e)
				} else {
					c.put(cacheEntry("many", token), cacheNow())
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for !over.Load() {
				for _, token := range stay {
					if e := c.get(token); e == nil || e.token != token {
						t.Error("an entry was not found that is there all the time")
						return
					}
				}
			}
		})
	}
	writers.Wait()
	over.Store(true)
	readers.Wait()
	c.check(t)
}

// The bounds hold at each moment at which anybody can look.
func TestCacheBoundsHoldWhileManyInsert(t *testing.T) {
	t.Parallel()
	const maxEntries, maxBytes = 50, 60_000
	c := newTokenCache(maxEntries, maxBytes)
	c.narrow(3)
	var writers, watchers sync.WaitGroup
	var over atomic.Bool
	for w := range 8 {
		writers.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 3))
			var mine []*verified
			for range 1500 {
				e := cacheEntry(strconv.Itoa(rnd.IntN(5)), cacheName(rnd.IntN(200))+strings.Repeat("x", rnd.IntN(2)*rnd.IntN(3000)))
				e.validUntil = rnd.Int64N(1000)
				c.put(e, time.Unix(0, rnd.Int64N(1000)))
				mine = append(mine, e)
				c.get(mine[rnd.IntN(len(mine))].token)
				if rnd.IntN(10) == 0 {
					c.drop(mine[rnd.IntN(len(mine))])
				}
			}
		})
	}
	watchers.Go(func() {
		for !over.Load() {
			if s := c.stats(); s.Entries > maxEntries || s.Bytes > maxBytes || s.Clients > s.Entries {
				t.Errorf("over the bounds: %+v", s)
				return
			}
			if c.check(t); t.Failed() {
				return
			}
		}
	})
	writers.Wait()
	over.Store(true)
	watchers.Wait()
	c.check(t)
}
