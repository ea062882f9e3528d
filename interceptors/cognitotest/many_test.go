// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestManyPoolsMakeKeysLazily has Cognito's default quota of pools, each with ten
// clients: only the pools that are asked get keys, each once and its own.
func TestManyPoolsMakeKeysLazily(t *testing.T) {
	t.Parallel()
	s, clients := manyPools(t, KeyPair{})
	if got := len(s.Pools()); got != 1000 || len(clients) != 10_000 {
		t.Fatalf("got %d pools and %d clients, want 1000 and 10000", got, len(clients))
	}
	made := func() (n int) {
		for _, p := range s.Pools() {
			if p.keys.pairs.Load() != nil {
				n++
			}
		}
		return n
	}
	if got := made(); got != 0 {
		t.Errorf("before the first request: %d pools have keys, want none", got)
	}
	asked := []int{0, 999}
	var (
		callers sync.WaitGroup
		mu      sync.Mutex
		headers = make(map[int]map[string]bool) // of the tokens, by pool
	)
	for _, pool := range asked {
		headers[pool] = make(map[string]bool)
		for client := range 4 {
			callers.Go(func() {
				c := clients[10*pool+client]
				resp, body := exchange(t, s.Transport(), http.MethodPost, c.url, cc, formHeader(c.id, testSecret))
				if resp.StatusCode != http.StatusOK {
					t.Errorf("pool %d: got %d %s, want a token", pool, resp.StatusCode, body)
					return
				}
				header, _, _ := strings.Cut(strings.Trim(jwtPattern.FindString(body), `"`), ".")
				mu.Lock()
				defer mu.Unlock()
				headers[pool][header] = true
			})
		}
	}
	callers.Wait()
	if got := made(); got != len(asked) {
		t.Errorf("after requests to %d pools: %d have keys", len(asked), got)
	}
	seen := make(map[string]int)
	for _, pool := range asked {
		if len(headers[pool]) != 1 {
			t.Errorf("pool %d: tokens of %d keys, want one", pool, len(headers[pool]))
		}
		p := s.Pool(fmt.Sprintf("pool %d", pool))
		_, keys := fetchKeys(t, s, p.JWKSURL())
		for _, key := range keys {
			if other, there := seen[key.N.String()]; there {
				t.Errorf("pools %d and %d share a key", other, pool)
			}
			seen[key.N.String()] = pool
		}
	}
	if len(seen) != 2*len(asked) {
		t.Errorf("got %d keys, want two for each pool", len(seen))
	}
}
