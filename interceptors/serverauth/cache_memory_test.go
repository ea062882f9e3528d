// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// What an entry is said to take is what it takes on the heap, or somewhat more: the
// bound in bytes is one of memory. Not parallel: it measures the heap of the process.
func TestCacheEstimateOfBytes(t *testing.T) { //nolint:paralleltest // see above
	var many strings.Builder
	for n := range 1200 {
		many.WriteString(strconv.FormatInt(int64(n), 36) + " ")
	}
	for _, row := range []struct {
		name, scope string
		n           int
	}{
		{"usual", "demo/read.file demo/write.file", 300},
		{"50 scopes", strings.Repeat("https://api.example.com/", 2) + many.String()[:150], 100},
		{"1,200 scopes", many.String(), 50},
		{"a long scope", strings.Repeat("x", 5000), 50},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := newCacheVerifier(t)
			tokens := make([]string, row.n)
			for i := range tokens {
				tokens[i] = cacheSign(cacheUnsignedFor(row.scope, cacheClient, i))
			}
			before := heapBytes()
			called := &target{method: "/acme.S/A"}
			for _, token := range tokens {
				value := "Bearer " + token // as the transport has it: the entry keeps all of that
				who, _, refusal := v.verify(t.Context(), value[len("Bearer "):])
				if refusal != nil {
					t.Fatal(refusal)
				}
				v.cache.noteRepeat(who.token, who, called) // all have a slot
			}
			taken := heapBytes() - before
			stats := v.Stats().Cache
			if stats.Entries != row.n || v.cache.repeated != row.n {
				t.Fatalf("%d entries with %d slots, want %d", stats.Entries, v.cache.repeated, row.n)
			}
			t.Logf("an entry of a token of %d bytes takes %d bytes, estimated at %d",
				len(tokens[0]), taken/int64(row.n), stats.Bytes/int64(row.n))
			if taken > stats.Bytes || taken < stats.Bytes/2 {
				t.Errorf("%d bytes on the heap, estimated at %d: want no more, and not less than half of it", taken, stats.Bytes)
			}
			runtime.KeepAlive(v)
			runtime.KeepAlive(tokens)
		})
	}
}

func heapBytes() int64 {
	for range 3 { // what sync.Pool holds goes with the second
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
