// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// cacheModel says in the simplest way what the cache must have in it. Where any of
// several clients may lose an entry it takes the one that did.
type cacheModel struct {
	cache   *tokenCache // of which it takes seed and mask, and never what is in it
	order   map[clientKey][]*modelEntry
	hand    uint64
	evicted uint64
}

type modelEntry struct {
	token  string
	bucket uint64
	size   int64
	until  int64
	used   bool
}

func newCacheModel(c *tokenCache) *cacheModel {
	return &cacheModel{cache: c, order: make(map[clientKey][]*modelEntry)}
}

func (m *cacheModel) find(token string) (clientKey, int) {
	for key, entries := range m.order {
		if i := slices.IndexFunc(entries, func(e *modelEntry) bool { return e.token == token }); i >= 0 {
			return key, i
		}
	}
	return clientKey{}, -1
}

func (m *cacheModel) delete(match func(*modelEntry) bool) {
	for key, entries := range m.order {
		if m.order[key] = slices.DeleteFunc(entries, match); len(m.order[key]) == 0 {
			delete(m.order, key)
		}
	}
}

func (m *cacheModel) total() (entries int, size int64) {
	for _, list := range m.order {
		for _, e := range list {
			entries++
			size += e.size
		}
	}
	return entries, size
}

func (m *cacheModel) get(token string) bool {
	key, i := m.find(token)
	if i >= 0 {
		m.order[key][i].used = true
	}
	return i >= 0
}

// put is told what the cache has afterwards.
func (m *cacheModel) put(e *verified, now int64, after map[string]*verified) error {
	size := 2*int64(len(e.token)) + 1024
	if size > m.cache.maxBytes {
		return nil
	}
	for range 2 {
		m.hand++
		m.delete(func(old *modelEntry) bool { return old.bucket == m.hand&m.cache.mask && now >= old.until })
	}
	m.delete(func(old *modelEntry) bool { return old.token == e.token })
	key := clientKey{e.issuer, e.principal.clientID}
	if !m.makeRoom(key, size, after) {
		return errors.New("the cache evicted other entries than it may")
	}
	m.order[key] = append(m.order[key], &modelEntry{
		token: e.token, bucket: m.cache.hash(e.token) & m.cache.mask, size: size, until: e.validUntil,
	})
	return nil
}

// makeRoom evicts until there is room, by the choices that lead to what the cache has
// afterwards. It reports false if there are none.
func (m *cacheModel) makeRoom(wants clientKey, size int64, after map[string]*verified) bool {
	entries, sum := m.total()
	if entries < m.cache.maxEntries && sum+size <= m.cache.maxBytes {
		return entries+1 == len(after) && !slices.ContainsFunc(slices.Concat(slices.Collect(maps.Values(m.order))...), func(e *modelEntry) bool {
			return after[e.token] == nil
		})
	}
	most := 0
	for _, list := range m.order {
		most = max(most, len(list))
	}
	var losers []clientKey
	for key, list := range m.order {
		if len(list) == most {
			losers = append(losers, key)
		}
	}
	if slices.Contains(losers, wants) {
		losers = []clientKey{wants}
	}
	for _, key := range losers {
		before, evicted := m.clone(), m.evicted
		if m.evict(key); m.makeRoom(wants, size, after) {
			return true
		}
		m.order, m.evicted = before, evicted
	}
	return false
}

// evict takes the client's oldest entry that was not used, of the first 17 at most.
func (m *cacheModel) evict(key clientKey) {
	list := m.order[key]
	for range min(16, len(list)) {
		if !list[0].used {
			break
		}
		list[0].used = false
		list = append(list[1:], list[0])
	}
	m.evicted++
	if m.order[key] = list[1:]; len(list) == 1 {
		delete(m.order, key)
	}
}

func (m *cacheModel) clone() map[clientKey][]*modelEntry {
	order := maps.Clone(m.order)
	for key, list := range order {
		order[key] = nil
		for _, e := range list {
			same := *e
			order[key] = append(order[key], &same)
		}
	}
	return order
}

// compare says where the cache differs from the model.
func (m *cacheModel) compare(t testing.TB) {
	t.Helper()
	c := m.cache
	c.check(t)
	if c.evicted.Load() != m.evicted {
		t.Errorf("evicted: got %d, want %d", c.evicted.Load(), m.evicted)
	}
	if len(c.shares) != len(m.order) {
		t.Errorf("clients: got %d, want %d", len(c.shares), len(m.order))
	}
	for key, list := range m.order {
		var want []string
		for _, e := range list {
			want = append(want, e.token)
		}
		if got := c.order(key); !slices.Equal(got, want) {
			t.Errorf("client %s: got\n%s\nwant\n%s", key.id, strings.Join(got, "\n"), strings.Join(want, "\n"))
			continue
		}
		n := 0
		for e := c.shares[key].oldest; e != nil; e = e.newer {
			if e.used.Load() != list[n].used {
				t.Errorf("%s: used is %v, want %v", e.token, e.used.Load(), list[n].used)
			}
			n++
		}
	}
}

// Random programs of all that can be done with the cache, compared after each step.
func TestCacheFollowsTheModel(t *testing.T) {
	t.Parallel()
	issuers := []*trustedIssuer{{}, {}}
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		entries := 1 + rnd.IntN(40)
		c := newTokenCache(entries, int64(1200*(1+rnd.IntN(entries))))
		c.seed = [2]uint64{rnd.Uint64(), rnd.Uint64()}
		c.narrow(min(rnd.IntN(4), len(c.buckets)/2))
		m := newCacheModel(c)
		now := int64(0)
		// Some programs have a client that makes far more tokens than the others.
		clients := 1 + rnd.IntN(6)
		known := []*verified{cacheEntry("nobody", cacheName(-1))}
		for range 400 {
			switch op := rnd.IntN(10); {
			case op < 5:
				client := rnd.IntN(clients)
				if rnd.IntN(3) == 0 {
					client = 0
				}
				e := cacheEntry(fmt.Sprint("client", client/2), cacheName(rnd.IntN(4*entries))+strings.Repeat("x", rnd.IntN(2)*rnd.IntN(400)))
				e.issuer = issuers[client%2]
				e.validUntil = now + rnd.Int64N(300)
				known = append(known, e)
				c.put(e, time.Unix(0, now))
				if err := m.put(e, now, c.linked()); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			case op < 8:
				token := known[rnd.IntN(len(known))].token
				if got, want := c.get(token) != nil, m.get(token); got != want {
					t.Errorf("seed %d: get found %v, want %v", seed, got, want)
				}
			case op < 9:
				gone := known[rnd.IntN(len(known))]
				if c.linked()[gone.token] == gone { // else it is not there any more, and nothing may happen
					m.delete(func(e *modelEntry) bool { return e.token == gone.token })
				}
				c.drop(gone)
			default:
				now += rnd.Int64N(40)
			}
			if m.compare(t); t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}
