// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"sync"
	"time"
)

// The documented numbers.
const (
	minRefetch = 10 * time.Second // between two fetches that unknown key ids cause
	maxWait    = 2 * time.Second  // for a fetch
	maxWaiters = 256
)

// Keys are the keys of one document: which key each key id stands for, by its name.
type Keys map[string]string

// KeySet is what a server knows of one issuer's keys, as far as that can be seen from
// outside: by its requests, and by the answers that it got. It is safe for concurrent
// use. The zero KeySet has made no request.
type KeySet struct {
	documents History[Keys]

	mu      sync.RWMutex
	fetches []*Fetch
	notYet  map[int]time.Time
}

// Fetch is one request for an issuer's keys.
type Fetch struct {
	set      *KeySet
	departed time.Time
	forced   bool // an unknown key id caused it: it goes past caches

	known     time.Time // when the server could know how it ended; zero before
	good      bool      // the answer is an acceptable document
	published time.Time // when the document was in force at the latest; zero before
	document  *Change[Keys]
}

// Depart notes a request.
func (k *KeySet) Depart(at time.Time, forced bool) *Fetch {
	f := &Fetch{set: k, departed: at, forced: forced}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fetches = append(k.fetches, f)
	return f
}

// NotYet notes that at that time no more than n requests had been made that unknown key
// ids caused, by the server's own word.
func (k *KeySet) NotYet(n int, at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.notYet == nil {
		k.notYet = make(map[int]time.Time)
	}
	if at.After(k.notYet[n]) {
		k.notYet[n] = at
	}
}

// Fail notes that the server could know from now on that the fetch failed. What comes
// after the first Fail or Arrive of a fetch changes nothing.
func (f *Fetch) Fail(at time.Time) {
	f.set.mu.Lock()
	defer f.set.mu.Unlock()
	if f.known.IsZero() {
		f.known = at
	}
}

// Arrive notes that the server could know the document as a whole from now on.
func (f *Fetch) Arrive(at time.Time, keys Keys) {
	f.set.mu.Lock()
	defer f.set.mu.Unlock()
	if f.known.IsZero() {
		f.known, f.good = at, true
		f.document = f.set.documents.Begin(keys, at)
	}
}

// Publish notes that the document is in force. It returns false if none has arrived.
func (f *Fetch) Publish(at time.Time) bool {
	f.set.mu.Lock()
	defer f.set.mu.Unlock()
	if !f.good || !f.published.IsZero() {
		return false
	}
	f.published = at
	f.document.Done(at)
	return true
}

// Keys returns the keys of the document, nil if none has arrived.
func (f *Fetch) Keys() Keys {
	f.set.mu.RLock()
	defer f.set.mu.RUnlock()
	if !f.good {
		return nil
	}
	return f.document.Value()
}

// Latest returns the last document that is known to be in force, or nil.
func (k *KeySet) Latest() Keys {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, f := range slices.Backward(k.fetches) {
		if !f.published.IsZero() {
			return f.document.Value()
		}
	}
	return nil
}

// lookup returns which keys a key id may stand for, and whether it may stand for none.
func (k *KeySet) lookup(keyID string, s Span) (names []string, lacking bool) {
	documents := k.documents.During(s)
	for _, keys := range documents {
		if name, ok := keys[keyID]; ok {
			names = append(names, name)
		} else {
			lacking = true
		}
	}
	return names, lacking || len(documents) == 0
}

// MayLack reports whether the server may have to ask for the key id.
func (k *KeySet) MayLack(keyID string, s Span) bool {
	_, lacking := k.lookup(keyID, s)
	return lacking
}

// unknown returns what may come of a key id that the keys lack. It is empty if a fetch
// must decide that has not ended.
func (k *KeySet) unknown(s Span, waiting int) Outcomes {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var outcomes Outcomes
	for i, f := range k.fetches {
		switch {
		case f.known.IsZero() || f.known.After(s.To):
		case !f.good && s.From.Before(k.recovery(i)):
			outcomes.add(KeysUnavailable)
		case f.good && f.forced && (f.published.IsZero() || s.From.Before(f.published.Add(minRefetch))):
			outcomes.add(TokenInvalid)
			if !f.published.IsZero() && !f.published.After(s.From) && s.To.Before(f.known.Add(minRefetch)) {
				return Outcomes{TokenInvalid} // whatever else happens
			}
		}
	}
	if s.To.Sub(s.From) >= maxWait || waiting > maxWaiters {
		outcomes.add(KeysUnavailable)
	}
	return outcomes
}

// recovery is when unknown key ids are no longer refused because of the failed fetch i.
func (k *KeySet) recovery(i int) time.Time {
	var end time.Time
	if k.fetches[i].forced {
		end = k.fetches[i].departed.Add(minRefetch)
	}
	for _, f := range k.fetches[i+1:] {
		if !f.published.IsZero() {
			if f.published.After(end) {
				end = f.published
			}
			return end
		}
	}
	return k.fetches[i].known.Add(24 * time.Hour) // it has not recovered yet
}
