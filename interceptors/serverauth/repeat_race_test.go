// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// Whatever happens to the table meanwhile, a header finds its own caller or none.
func TestRepeatReadersBesideWriters(t *testing.T) {
	t.Parallel()
	l := newRepeatLab(t, CacheLimits(300, math.MaxInt64))
	type known struct {
		header string
		entry  *verified
	}
	var (
		shown            [200]atomic.Pointer[known]
		over             atomic.Bool
		found            atomic.Int64
		writers, readers sync.WaitGroup
	)
	called := l.auth.noted.of(l.auth, repeatMethod)
	for w := range 2 {
		writers.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 5))
			for range 5000 {
				runtime.Gosched() // on one processor the readers get their turn, too
				i := rnd.IntN(len(shown))
				if k := shown[i].Load(); k != nil && rnd.IntN(2) == 0 {
					l.drop(k.entry)
					continue
				}
				e, header := l.entry("a", cacheName(i))
				shown[i].Store(&known{header, e})
				l.noteRepeat(e.token, e, called)
			}
		})
	}
	for r := range 2 {
		readers.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(r), 6))
			for !over.Load() {
				runtime.Gosched()
				k := shown[rnd.IntN(len(shown))].Load()
				if k == nil {
					continue
				}
				who, method := l.recall(k.header)
				if who == nil {
					continue
				}
				if found.Add(1); who != k.entry || method != called {
					t.Error("a header found the caller of another")
					return
				}
			}
		})
	}
	writers.Wait()
	over.Store(true)
	readers.Wait()
	l.check(t)
	l.checkRepeats(t)
	if found.Load() == 0 {
		t.Error("no header was found: nothing was tested")
	}
}
