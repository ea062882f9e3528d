// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"math"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// repeat is what a call needs to know of its token if its header is the very string
// that the cache keeps. gRPC hands one string to all calls of a connection that send
// the same header, so that its address finds this, without a comparison of what it says.
//
// It is as long as a line of the processor's cache, and all that such a call reads beside
// the end of its token: with many tokens in turn, waiting for memory is what a call costs.
// Its fields are written under the cache's lock and read without it, so a reader looks at
// the version before and after.
type repeat struct {
	version  atomic.Uint32 // odd while it is being written
	used     atomic.Bool   // since an eviction looked at it last; set by readers
	text     atomic.Pointer[byte]
	tag      atomic.Uint64
	from     atomic.Int64 // as of the entry
	until    atomic.Int64
	standing atomic.Pointer[standing]
	called   atomic.Pointer[target]
	who      atomic.Pointer[verified]
}

// standing is under which keys and clients of its issuer a token was last found good. All
// tokens of an issuer share one, until one of the two changes.
type standing struct {
	issuer     *trustedIssuer
	generation uint64
	clients    *ClientSet
}

func (s *standing) holds() bool {
	return s.issuer.keys.Current(s.generation) && s.issuer.clients.Load() == s.clients
}

// standingOf returns what e was last found good under. The cache's lock is held.
func (e *verified) standingOf() *standing {
	generation, clients := e.generation.Load(), e.clients.Load()
	if s := e.issuer.standing; s != nil && s.generation == generation && s.clients == clients {
		return s
	}
	e.issuer.standing = &standing{e.issuer, generation, clients}
	return e.issuer.standing
}

// repeatTable has at most one slot of a string, at the place that its address chooses or
// behind it, before the first that is free (linear probing).
type repeatTable struct {
	slots []repeat // their number is a power of two
	shift int      // leaves the bits of a place of a 64-bit product
}

const minRepeats = 64

func newRepeatTable(n int) *repeatTable {
	return &repeatTable{slots: make([]repeat, n), shift: 64 - bits.Len(uint(n)-1)}
}

// address names a string by where it is. Nothing is read at it.
func address(s string) *byte {
	return unsafe.StringData(s) //nolint:gosec // see above
}

// place is where the search for a string begins (Fibonacci hashing: addresses are
// multiples of the size of what is allocated).
func (t *repeatTable) place(text *byte) int {
	const golden = 0x9E3779B97F4A7C15           // 2^64 by the golden ratio
	at := uint64(uintptr(unsafe.Pointer(text))) //nolint:gosec // a number: nothing is read at it
	return int(at * golden >> t.shift)          //nolint:gosec // less than the number of slots
}

// find returns the slot of the string, or nil.
func (t *repeatTable) find(text *byte) *repeat {
	if t == nil {
		return nil
	}
	mask := len(t.slots) - 1
	for i := t.place(text); ; i++ { // one slot is free at least
		s := &t.slots[i&mask]
		switch s.text.Load() {
		case text:
			return s
		case nil:
			return nil
		}
	}
}

// recall returns the caller whose header this is, and the method that it was permitted to
// call, if its token is good by the last reading of the clock. Whoever gets nothing
// looks for the token as if there were no slot.
func (s *repeat) recall(text *byte, tag uint64) (*verified, *target) {
	version := s.version.Load()
	if version%2 != 0 || s.text.Load() != text || s.tag.Load() != tag {
		return nil, nil
	}
	who, called, standing := s.who.Load(), s.called.Load(), s.standing.Load()
	if standing == nil { // it was emptied just now
		return nil, nil
	}
	now := standing.issuer.clock.unixNano()
	if now < s.from.Load() || now >= s.until.Load()-nearEnd || !standing.holds() {
		return nil, nil
	}
	if s.version.Load() != version { // parts of two tokens, perhaps
		return nil, nil
	}
	if !s.used.Load() { // no write to a shared line for each hit
		s.used.Store(true)
	}
	return who, called
}

// write is called with the cache's lock held, as all below.
func (s *repeat) write(text *byte, tag uint64, standing *standing, called *target, who *verified) {
	s.version.Add(1)
	s.text.Store(text)
	s.tag.Store(tag)
	s.standing.Store(standing)
	s.called.Store(called)
	s.who.Store(who)
	if who != nil {
		s.from.Store(who.validFrom)
		s.until.Store(who.validUntil)
	} else {
		s.used.Store(false)
	}
	s.version.Add(1)
}

func (s *repeat) moveTo(other *repeat) {
	other.write(s.text.Load(), s.tag.Load(), s.standing.Load(), s.called.Load(), s.who.Load())
	other.used.Store(s.used.Load())
}

// insert returns a slot for a string that has none. There must be room.
func (t *repeatTable) insert(text *byte) *repeat {
	mask := len(t.slots) - 1
	i := t.place(text)
	for t.slots[i&mask].text.Load() != nil {
		i++
	}
	return &t.slots[i&mask]
}

// empty frees a slot, and moves those behind it up that would not be found any more. A
// reader that comes by meanwhile can miss one of them: it takes the longer way.
func (t *repeatTable) empty(s *repeat) {
	mask := len(t.slots) - 1
	hole := t.place(s.text.Load())
	for &t.slots[hole&mask] != s {
		hole++
	}
	for i := hole + 1; ; i++ {
		next := &t.slots[i&mask]
		text := next.text.Load()
		if text == nil {
			break
		}
		if (i-t.place(text))&mask >= i-hole { // the hole is on the way to it
			next.moveTo(&t.slots[hole&mask])
			hole = i
		}
	}
	t.slots[hole&mask].write(nil, 0, nil, nil, nil)
}

// longestRepeat is the length of the longest token that has a slot: it has 16 bits of a tag.
const longestRepeat = math.MaxUint16

// tag is what is compared beside a string's address: its length, and what chooses its
// token's bucket. The address alone would do, since the cache keeps the string and strings
// do not change. But there are programs that make strings of buffers which they use again.
// What stands before the token was a usual scheme when the slot was made.
func (c *tokenCache) tag(token string) uint64 {
	return c.hash(token)<<16 | uint64(len(token))
}

// recall returns the caller and the method of a header, if the cache remembers this very
// string.
func (c *tokenCache) recall(header string) (*verified, *target) {
	const before = len(usualScheme + " ")
	if c == nil || len(header) < before+hashed || len(header) > before+longestRepeat {
		return nil, nil
	}
	token := header[before:]
	text := address(token)
	s := c.repeats.Load().find(text)
	if s == nil {
		return nil, nil
	}
	return s.recall(text, c.tag(token))
}

// noteRepeat makes a slot of the token of a usual header that was just looked up, or
// brings it up to date, if it is the very string that the cache keeps. It never waits for
// the lock: the next call can do it. Each time that the slots double, the call that
// needs it copies them: of the default 10,000 tokens a few milliseconds in all.
func (c *tokenCache) noteRepeat(token string, who *verified, called *target) {
	text := address(token)
	if text != address(who.token) || len(token) > longestRepeat {
		return
	}
	if s := c.repeats.Load().find(text); s != nil {
		if st := s.standing.Load(); st != nil && st.holds() {
			return
		}
	}
	if !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	if who.share == nil { // it was removed
		return
	}
	s := c.repeats.Load().find(text)
	switch {
	case s == nil:
		s = c.newSlot(text)
	case s.who.Load() != who: // one token is a part of the other, as real ones cannot be
		return
	}
	s.write(text, c.tag(token), who.standingOf(), called, who)
}

// slotOf returns the slot of an entry, or nil.
func (c *tokenCache) slotOf(e *verified) *repeat {
	if s := c.repeats.Load().find(address(e.token)); s != nil && s.who.Load() == e {
		return s
	}
	return nil
}

func (c *tokenCache) newSlot(text *byte) *repeat {
	t := c.repeats.Load()
	switch {
	case t == nil:
		t = newRepeatTable(minRepeats)
		c.repeats.Store(t)
	case 4*(c.repeated+1) > 3*len(t.slots):
		t = c.resizeRepeats(2 * len(t.slots))
	}
	c.repeated++
	return t.insert(text)
}

// forgetRepeat frees the slot of an entry.
func (c *tokenCache) forgetRepeat(e *verified) {
	s := c.slotOf(e)
	if s == nil {
		return
	}
	t := c.repeats.Load()
	t.empty(s)
	if c.repeated--; len(t.slots) > minRepeats && 8*c.repeated < len(t.slots) {
		c.resizeRepeats(len(t.slots) / 2)
	}
}

func (c *tokenCache) resizeRepeats(n int) *repeatTable {
	t := newRepeatTable(n)
	old := c.repeats.Load()
	for i := range old.slots {
		if s := &old.slots[i]; s.text.Load() != nil {
			s.moveTo(t.insert(s.text.Load()))
		}
	}
	c.repeats.Store(t)
	return t
}
