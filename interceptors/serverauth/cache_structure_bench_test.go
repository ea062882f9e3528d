// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Structures that the look-up of a verified token could be made of, compared by what a
// hit costs. Only the look-up is measured: none of the others has a bound or a fair
// share of it, which would cost some of them more.

// lookup is one structure with the entries in it.
type lookup interface {
	put(e *verified)
	get(token string) *verified
}

// chains is the cache as it is.
type chains struct{ *tokenCache }

func (c chains) put(e *verified) { c.tokenCache.put(e, cacheNow()) }

// copied is a map that each insertion copies.
type copied struct {
	entries atomic.Pointer[map[string]*verified]
}

func (c *copied) put(e *verified) {
	next := map[string]*verified{}
	if old := c.entries.Load(); old != nil {
		next = maps.Clone(*old)
	}
	next[e.token] = e
	c.entries.Store(&next)
}

// fill is put for all at once, since each one alone copies all before it.
func (c *copied) fill(entries []*verified) {
	next := make(map[string]*verified, len(entries))
	for _, e := range entries {
		next[e.token] = e
	}
	c.entries.Store(&next)
}

func (c *copied) get(token string) *verified { return (*c.entries.Load())[token] }

// syncMap is the standard library's concurrent map.
type syncMap struct{ entries sync.Map }

func (m *syncMap) put(e *verified) { m.entries.Store(e.token, e) }

func (m *syncMap) get(token string) *verified {
	e, _ := m.entries.Load(token)
	who, _ := e.(*verified)
	return who
}

// sharded is 64 maps, each with a lock of its own.
type sharded struct {
	seed   maphash.Seed
	shards [64]struct {
		mu      sync.RWMutex
		entries map[string]*verified
		_       [64]byte // no two locks in one cache line
	}
}

func (s *sharded) put(e *verified) {
	shard := &s.shards[maphash.String(s.seed, e.token)%uint64(len(s.shards))]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.entries == nil {
		shard.entries = make(map[string]*verified)
	}
	shard.entries[e.token] = e
}

func (s *sharded) get(token string) *verified {
	shard := &s.shards[maphash.String(s.seed, token)%uint64(len(s.shards))]
	shard.mu.RLock()
	e := shard.entries[token]
	shard.mu.RUnlock()
	return e
}

// slots is what a connection would have: the last token that came over it, in front of
// the cache as it is. It has no say when tokens come in turn.
type slots struct {
	chains

	last atomic.Pointer[verified]
}

func (s *slots) get(token string) *verified {
	if e := s.last.Load(); e != nil && e.token == token {
		return e
	}
	e := s.chains.get(token)
	s.last.Store(e)
	return e
}

// BenchmarkLookupStructures gives the table: structure, tokens in turn, whether the call
// has the very string that was put (as gRPC hands it to all calls of a connection) or a
// copy, and goroutines.
func BenchmarkLookupStructures(b *testing.B) {
	for _, n := range []int{1, 1024, 100_000} {
		entries := benchEntries(n)
		shared, copies := make([]string, n), make([]string, n)
		for i, e := range entries {
			shared[i], copies[i] = e.token, strings.Clone(e.token)
		}
		for _, s := range []struct {
			name string
			make func() lookup
		}{
			{"chains", func() lookup { return chains{newTokenCache(n, math.MaxInt64)} }},
			{"copied map", func() lookup {
				c := &copied{}
				c.fill(entries)
				return c
			}},
			{"sync.Map", func() lookup { return &syncMap{} }},
			{"64 shards", func() lookup { return &sharded{seed: maphash.MakeSeed()} }},
			{"slot and chains", func() lookup { return &slots{chains: chains{newTokenCache(n, math.MaxInt64)}} }},
		} {
			structure := s.make()
			if _, filled := structure.(*copied); !filled {
				for _, e := range entries {
					structure.put(e)
				}
			}
			for _, tokens := range []struct {
				name string
				list []string
			}{{"same", shared}, {"copies", copies}} {
				for _, goroutines := range []int{1, 2} {
					b.Run(fmt.Sprintf("%s/tokens=%d/%s/goroutines=%d", s.name, n, tokens.name, goroutines), func(b *testing.B) {
						benchHits(b, structure, tokens.list, goroutines)
					})
				}
			}
		}
	}
}

// benchEntries makes entries with tokens of Cognito's size. Their signatures, by which
// the cache finds them, are not those of a key.
func benchEntries(n int) []*verified {
	rest := strings.Repeat("x", 800)
	entries := make([]*verified, n)
	var seed [2]maphash.Seed
	seed[0], seed[1] = maphash.MakeSeed(), maphash.MakeSeed()
	for i := range entries {
		number := strconv.Itoa(i)
		entries[i] = cacheEntry(fmt.Sprint("client", i%100),
			fmt.Sprintf("%s%016x%016x", rest, maphash.String(seed[0], number), maphash.String(seed[1], number)))
	}
	return entries
}

func benchHits(b *testing.B, structure lookup, tokens []string, goroutines int) {
	b.Helper()
	b.ReportAllocs()
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			structure := structure
			if s, ok := structure.(*slots); ok {
				structure = &slots{chains: s.chains} // another connection
			}
			at := g * len(tokens) / goroutines
			for range b.N / goroutines {
				if structure.get(tokens[at]) == nil {
					b.Error("a token was not found")
					return
				}
				if at++; at == len(tokens) {
					at = 0
				}
			}
		})
	}
	wg.Wait()
}
