// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// A slot that is used counts for its entry when something has to go.
func TestRepeatSecondChance(t *testing.T) {
	t.Parallel()
	l := newRepeatLab(t, CacheLimits(3, math.MaxInt64))
	var entries []*verified
	var headers []string
	for n := range 3 {
		e, header := l.noted("a", cacheName(n))
		entries, headers = append(entries, e), append(headers, header)
	}
	l.recalls(t, "the oldest", headers[0], entries[0])
	l.noted("a", cacheName(3))
	want := []string{cacheName(2), cacheName(0), cacheName(3)}
	if got := l.order(clientKey{l.issuer, "a"}); !slices.Equal(got, want) {
		t.Errorf("after one eviction: got %q, want %q", got, want)
	}
	l.noted("a", cacheName(4))
	l.noted("a", cacheName(5)) // a second chance is no third one
	want = []string{cacheName(3), cacheName(4), cacheName(5)}
	if got := l.order(clientKey{l.issuer, "a"}); !slices.Equal(got, want) {
		t.Errorf("after three: got %q, want %q", got, want)
	}
	l.recalls(t, "evicted", headers[0], nil)
	if l.checkRepeats(t); l.repeated != 3 {
		t.Errorf("%d slots, want 3", l.repeated)
	}
}

// What was used is known of a slot that has moved.
func TestRepeatThatHasMovedWasUsed(t *testing.T) {
	t.Parallel()
	l := newRepeatLab(t)
	used, header := l.noted("a", cacheName(0))
	unused, _ := l.noted("a", cacheName(1))
	l.recalls(t, "before", header, used)
	for n := range minRepeats {
		l.noted("a", cacheName(2+n))
	}
	if !l.slotOf(used).used.Load() || l.slotOf(unused).used.Load() {
		t.Error("the larger table does not have it")
	}
}

// A slot goes with its entry, whatever takes that away.
func TestRepeatGoesWithItsEntry(t *testing.T) {
	t.Parallel()
	l := newRepeatLab(t)
	dropped, droppedHeader := l.noted("a", cacheName(1))
	replaced, replacedHeader := l.noted("a", cacheName(2))
	l.recalls(t, "not dropped yet", droppedHeader, dropped)
	l.drop(dropped)
	l.checkRepeats(t)
	after, afterHeader := l.noted("a", cacheName(2))
	l.recalls(t, "dropped", droppedHeader, nil)
	l.recalls(t, "replaced", replacedHeader, nil)
	l.recalls(t, "the replacement", afterHeader, after)
	called := l.auth.noted.of(l.auth, repeatMethod)
	l.noteRepeat(dropped.token, dropped, called)
	l.noteRepeat(replaced.token, replaced, called)
	l.recalls(t, "dropped and noted", droppedHeader, nil)
	l.recalls(t, "replaced and noted", replacedHeader, nil)
	if l.checkRepeats(t); l.repeated != 1 {
		t.Errorf("%d slots, want 1", l.repeated)
	}
}

// Random programs of all that is done with the table, with many strings at few places.
func TestRepeatTableFollowsTheModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		l := newRepeatLab(t, CacheLimits(1000, math.MaxInt64))
		in := make(map[*verified]string)
		var all []*verified
		grow := true
		for step := range 1500 {
			if step%500 == 0 {
				grow = !grow
			}
			if len(all) == 0 || rnd.IntN(4) == 0 == grow {
				e, header := l.noted("a", cacheName(step)+strings.Repeat("y", rnd.IntN(100)))
				in[e], all = header, append(all, e)
				continue
			}
			i := rnd.IntN(len(all))
			l.drop(all[i])
			l.recalls(t, "dropped", in[all[i]], nil)
			delete(in, all[i])
			all = slices.Delete(all, i, i+1)
			if step%10 == 0 {
				l.checkRepeats(t)
			}
		}
		for e, header := range in {
			l.recalls(t, "at the end", header, e)
		}
		if l.checkRepeats(t); l.repeated != len(in) {
			t.Errorf("%d slots, want %d", l.repeated, len(in))
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// What a call reads of a slot is one line of the processor's cache, where there are so many
// that it counts: what is larger than 32 KiB begins with a page.
func TestRepeatLayout(t *testing.T) {
	t.Parallel()
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("measured on 64-bit machines only")
	}
	if size := unsafe.Sizeof(repeat{}); size != 64 {
		t.Errorf("a slot has %d bytes, want 64", size)
	}
	c := newTokenCache(1, 1)
	c.repeats.Store(newRepeatTable(1024)) // on the heap
	if at := uintptr(unsafe.Pointer(&c.repeats.Load().slots[0])) % 64; at != 0 {
		t.Errorf("the slots begin %d bytes after a line of the processor's cache", at)
	}
}
