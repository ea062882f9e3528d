// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"math"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// repeatLab is a cache with an issuer whose keys and clients are there.
type repeatLab struct {
	*tokenCache

	verifier *Verifier
	issuer   *trustedIssuer
	auth     *Authorizer
}

func newRepeatLab(t testing.TB, opts ...VerifierOption) *repeatLab {
	t.Helper()
	v := newCacheVerifier(t, opts...)
	return &repeatLab{tokenCache: v.cache, verifier: v, issuer: v.issuers[cacheIssuer], auth: &Authorizer{own: v}}
}

const repeatMethod = "/acme.S/A"

// entry puts an entry of the usual header, and returns it with the very string of it.
func (l *repeatLab) entry(client, token string) (*verified, string) {
	header := usualScheme + " " + token
	return l.entryOf(client, header[len(usualScheme)+1:]), header
}

// entryOf puts an entry of this very string.
func (l *repeatLab) entryOf(client, token string) *verified {
	e := cacheEntry(client, token)
	e.issuer = l.issuer
	e.generation.Store(l.issuer.keys.Generation())
	e.clients.Store(l.issuer.clients.Load())
	l.put(e, cacheNow())
	return e
}

// noted is an entry with a slot.
func (l *repeatLab) noted(client, token string) (*verified, string) {
	e, header := l.entry(client, token)
	l.noteRepeat(e.token, e, l.auth.noted.of(l.auth, repeatMethod))
	return e, header
}

// recalls expects that the header finds the entry, or nothing if it is nil.
func (l *repeatLab) recalls(t testing.TB, what, header string, want *verified) {
	t.Helper()
	who, called := l.recall(header)
	if who != want {
		t.Errorf("%s: got another caller than expected (found %v, want %v)", what, who != nil, want != nil)
	}
	if (called != nil) != (want != nil) || called != nil && (called.auth != l.auth || called.method != repeatMethod) {
		t.Errorf("%s: got the method %+v", what, called)
	}
}

// checkRepeats fails the test unless each slot is that of an entry, and is found.
func (c *tokenCache) checkRepeats(t testing.TB) {
	t.Helper()
	table := c.repeats.Load()
	if table == nil {
		if c.repeated != 0 {
			t.Errorf("%d slots without a table", c.repeated)
		}
		return
	}
	n, linked := 0, c.linked()
	for i := range table.slots {
		s := &table.slots[i]
		text := s.text.Load()
		if s.version.Load()%2 != 0 {
			t.Errorf("slot %d is being written for ever", i)
		}
		if text == nil {
			if s.who.Load() != nil || s.standing.Load() != nil || s.called.Load() != nil || s.used.Load() {
				t.Errorf("slot %d is free and keeps something", i)
			}
			continue
		}
		n++
		e := s.who.Load()
		if e == nil || linked[e.token] != e || unsafe.StringData(e.token) != text || s.tag.Load() != c.tag(e.token) {
			t.Errorf("slot %d is that of no entry", i)
			continue
		}
		if c.slotOf(e) != s {
			t.Errorf("slot %d is not found", i)
		}
	}
	if n != c.repeated {
		t.Errorf("%d slots are used, the figure says %d", n, c.repeated)
	}
	if 4*n > 3*len(table.slots) || len(table.slots) > minRepeats && 8*n < len(table.slots) {
		t.Errorf("%d slots for %d", len(table.slots), n)
	}
}

func TestRepeatFindsNothingButTheSameString(t *testing.T) {
	t.Parallel()
	l := newRepeatLab(t)
	e, header := l.noted("a", cacheToken(cacheClient, 1))
	l.recalls(t, "the same string", header, e)
	l.recalls(t, "a copy", strings.Clone(header), nil)
	l.recalls(t, "without its last byte", header[:len(header)-1], nil)
	l.recalls(t, "without its first byte", header[1:], nil)
	l.recalls(t, "the token alone", e.token, nil)
	l.recalls(t, "empty", "", nil)
	l.recalls(t, "shorter than what is compared", header[:len(usualScheme)+hashed], nil)
	if who, _ := l.slotOf(e).recall(address(header), l.tag(e.token)); who != nil {
		t.Error("the slot of a string that is another one since it was found")
	}
	alike, alikeHeader := l.noted("a", strings.Repeat("x", 100)) // its end is at each of its bytes
	l.recalls(t, "of equal characters", alikeHeader, alike)
	l.recalls(t, "of fewer of them", alikeHeader[:len(alikeHeader)-1], nil)
	if l.checkRepeats(t); l.repeated != 2 {
		t.Errorf("%d slots, want 2", l.repeated)
	}
	var none *tokenCache
	if who, _ := none.recall(header); who != nil {
		t.Error("no cache has something in it")
	}
}

// Programs that make strings of buffers which they use again break Go's rule that a
// string does not change. One token is not taken for another even so, unless the ends of
// their signatures are equal.
func TestRepeatOfABufferThatChanges(t *testing.T) {
	t.Parallel()
	l := newRepeatLab(t)
	buffer := []byte(usualScheme + " " + cacheToken(cacheClient, 1))
	header := unsafe.String(&buffer[0], len(buffer))
	e := l.entryOf("a", header[len(usualScheme)+1:])
	l.noteRepeat(e.token, e, l.auth.noted.of(l.auth, repeatMethod))
	l.recalls(t, "before", header, e)
	for i := range hashed {
		at := len(buffer) - 1 - i
		buffer[at] ^= 1
		l.recalls(t, "another end", header, nil)
		buffer[at] ^= 1
	}
	l.recalls(t, "the same again", header, e)
}

// A slot has one method of one authorizer; what else its token may call is asked of the
// entry.
func TestRepeatIsForOneMethod(t *testing.T) {
	t.Parallel()
	l := newRepeatLab(t)
	e, header := l.entry("a", cacheToken(cacheClient, 1))
	other := &Authorizer{own: l.verifier}
	e.notePermitted(l.auth, repeatMethod)
	for range 2 { // by its bucket first, then by its address
		for _, row := range []struct {
			auth   *Authorizer
			method string
			want   bool
		}{{l.auth, repeatMethod, true}, {l.auth, "/acme.S/B", false}, {other, repeatMethod, false}} {
			who, called := row.auth.rememberedWith([]string{header}, row.method)
			if who != e || (called != nil) != row.want || called != nil && (called.auth != row.auth || called.method != row.method) {
				t.Errorf("%s: got %+v, want one: %v", row.method, called, row.want)
			}
		}
	}
	l.recalls(t, "noted", header, e)
	e.notePermitted(l.auth, "/acme.S/B")
	e.notePermitted(other, repeatMethod)
	if _, called := l.auth.rememberedWith([]string{header}, "/acme.S/B"); called == nil || called.method != "/acme.S/B" {
		t.Errorf("another method: got %+v", called)
	}
	if _, called := other.rememberedWith([]string{header}, repeatMethod); called == nil || called.auth != other {
		t.Errorf("another authorizer: got %+v", called)
	}
}

// What makes a remembered token unusable makes its slot so: the longer way decides, and
// the slot is brought up to date only by a token that is good.
func TestRepeatIsLookedAtEachTime(t *testing.T) {
	t.Parallel()
	now := cacheNow()
	l := newRepeatLab(t, WithClock(func() time.Time { return now }))
	e, header := l.entry("a", cacheToken(cacheClient, 1))
	e.validFrom, e.validUntil = now.UnixNano(), now.Add(time.Minute).UnixNano()
	note := func() { l.noteRepeat(e.token, e, l.auth.noted.of(l.auth, repeatMethod)) }
	note()
	begin := now
	for after, want := range map[time.Duration]*verified{
		-1: nil, 0: e, time.Minute - time.Second - 1: e, time.Minute - time.Second: nil, time.Minute: nil, time.Hour: nil,
	} {
		now = begin.Add(after)
		l.recalls(t, "after "+after.String(), header, want)
	}
	now = begin
	before := l.issuer.clients.Load()
	if err := l.verifier.SetClients(cacheIssuer, NamedClients(map[string]string{"one": "a"})); err != nil {
		t.Fatal(err)
	}
	l.recalls(t, "with other clients", header, nil)
	note()
	l.recalls(t, "noted as before", header, nil)
	e.clients.Store(l.issuer.clients.Load()) // as the longer way does
	note()
	l.recalls(t, "found good under the other clients", header, e)
	e.generation.Add(1)
	l.issuer.clients.Store(before) // else the slot is good as it is
	e.clients.Store(before)
	note()
	l.recalls(t, "of another generation of keys", header, nil)
	e.generation.Add(^uint64(0))
	note()
	l.recalls(t, "of the same again", header, e)
	l.checkRepeats(t)
}

// All tokens of an issuer share what they were found good under.
func TestRepeatStandingIsShared(t *testing.T) {
	t.Parallel()
	l := newRepeatLab(t)
	a, _ := l.noted("a", cacheName(1))
	b, _ := l.noted("b", cacheName(2))
	shared := l.slotOf(a).standing.Load()
	if shared != l.slotOf(b).standing.Load() {
		t.Error("two tokens have one each")
	}
	for what, change := range map[string]func(){
		"generation": func() { b.generation.Add(1) },
		"clients":    func() { b.clients.Store(&ClientSet{}) },
	} {
		change()
		if b.standingOf() == shared {
			t.Errorf("another %s is the same", what)
		}
	}
}

// A reader that finds parts of two tokens takes neither.
func TestRepeatThatIsBeingWritten(t *testing.T) {
	t.Parallel()
	meanwhile := func() {}
	l := newRepeatLab(t, WithClock(func() time.Time { meanwhile(); return cacheNow() }))
	e, header := l.noted("a", cacheName(1))
	other, _ := l.noted("b", cacheName(2))
	s := l.slotOf(e)
	s.version.Add(1)
	l.recalls(t, "while it is written", header, nil)
	s.version.Add(1)
	l.recalls(t, "when it is written", header, e)
	// The clock is read after all of the slot was.
	meanwhile = func() {
		meanwhile = func() {}
		s.write(unsafe.StringData(other.token), l.tag(other.token), other.standingOf(), l.slotOf(other).called.Load(), other)
	}
	l.recalls(t, "written meanwhile", header, nil)
	s.write(unsafe.StringData(e.token), l.tag(e.token), e.standingOf(), l.slotOf(other).called.Load(), e)
	s.standing.Store(nil) // a writer was between this and the version
	l.recalls(t, "emptied meanwhile", header, nil)
}

// A length that has more bits than a tag has for it is not taken for a shorter one.
func TestRepeatOfALongerString(t *testing.T) {
	t.Parallel()
	for range 20 { // whether the longer one has the same tag is a matter of the seed
		l := newRepeatLab(t)
		long := usualScheme + " " + strings.Repeat("x", math.MaxUint16+1+100)
		header := long[:len(usualScheme)+1+100]
		e := l.entryOf("a", header[len(usualScheme)+1:])
		l.noteRepeat(e.token, e, l.auth.noted.of(l.auth, repeatMethod))
		l.recalls(t, "the short one", header, e)
		l.recalls(t, "the long one", long, nil)
	}
}

// Real tokens are no parts of each other. If they were, the one would have a slot that came
// first.
func TestRepeatOfAPartOfAToken(t *testing.T) {
	t.Parallel()
	l := newRepeatLab(t)
	whole, header := l.noted("a", strings.Repeat("x", 100))
	part := l.entryOf("b", whole.token[:50])
	if err := l.verifier.SetClients(cacheIssuer, AnyClient()); err != nil { // the slot is outdated
		t.Fatal(err)
	}
	l.noteRepeat(part.token, part, l.auth.noted.of(l.auth, repeatMethod))
	l.recalls(t, "a part", header[:len(usualScheme)+1+50], nil)
	if l.slotOf(whole) == nil {
		t.Error("the part took the slot")
	}
	whole.clients.Store(l.issuer.clients.Load())
	l.noteRepeat(whole.token, whole, l.auth.noted.of(l.auth, repeatMethod))
	l.drop(part)
	l.recalls(t, "the whole", header, whole)
	if l.checkRepeats(t); l.repeated != 1 {
		t.Errorf("%d slots, want 1", l.repeated)
	}
}

// Only the string that the cache keeps anyway gets a slot: with HPACK a caller of many
// tokens makes a new one for each call.
func TestRepeatIsNotNotedOfCopies(t *testing.T) {
	t.Parallel()
	l := newRepeatLab(t)
	e, header := l.entry("a", cacheName(1))
	called := l.auth.noted.of(l.auth, repeatMethod)
	other := strings.Clone(header)
	l.noteRepeat(other[len(usualScheme)+1:], e, called)
	l.recalls(t, "a copy", other, nil)
	l.recalls(t, "of a copy", header, nil)
	long, longHeader := l.entry("a", strings.Repeat("x", math.MaxUint16+1))
	l.noteRepeat(long.token, long, called) // its length does not fit
	if l.recalls(t, "too long", longHeader, nil); l.slotOf(long) != nil {
		t.Error("a token that is too long has a slot")
	}
	longest, longestHeader := l.entry("a", strings.Repeat("x", math.MaxUint16))
	l.noteRepeat(longest.token, longest, called)
	l.recalls(t, "as long as can be", longestHeader, longest)
	l.mu.Lock()
	l.noteRepeat(e.token, e, called) // nobody waits for it
	l.mu.Unlock()
	l.recalls(t, "while the cache is locked", header, nil)
	l.noteRepeat(e.token, e, called)
	l.recalls(t, "the next time", header, e)
	l.mu.Lock()
	version := l.slotOf(e).version.Load()
	l.mu.Unlock()
	l.noteRepeat(e.token, e, called)
	if l.slotOf(e).version.Load() != version {
		t.Error("a slot that is up to date was written again")
	}
}
