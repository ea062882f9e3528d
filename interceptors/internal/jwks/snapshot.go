// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"maps"
	"slices"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
)

// snapshot is the state that readers see. It is immutable.
type snapshot struct {
	keys       map[string]*jose.Key // nil if there were never any
	ignored    int                  // entries of the keys' document that are no keys
	generation uint64
	// fetchedAt is when the last fetch succeeded, with its monotonic reading; zero if
	// none did.
	fetchedAt time.Time
	// askedAt is when a fetch that an unknown kid caused last succeeded; zero if none did.
	askedAt time.Time
	// dead, if not nil, is what every reader gets instead of a key.
	dead error
	// replaced is closed when another snapshot has taken this one's place.
	replaced chan struct{}
}

// empty reports whether there were no keys so far, neither static nor fetched.
func (p *snapshot) empty() bool { return p.keys == nil }

// static reports whether the keys are the static ones.
func (p *snapshot) static() bool { return !p.empty() && p.fetchedAt.IsZero() }

// successor returns the snapshot that follows on a success: with the keys of set, or
// with the same ones if set is nil (304). now is zero if set was not fetched. Keys that did not change keep their
// pointers; the generation moves only if any did.
func (p *snapshot) successor(set *jose.KeySet, now time.Time, asked bool) (next *snapshot, added, removed []string) {
	next = &snapshot{
		keys:       p.keys,
		ignored:    p.ignored,
		generation: p.generation,
		fetchedAt:  now,
		askedAt:    p.askedAt,
		replaced:   make(chan struct{}),
	}
	if asked {
		next.askedAt = now
	}
	if set == nil {
		return next, nil, nil
	}
	next.ignored = len(set.Ignored)
	keys := make(map[string]*jose.Key, len(set.Keys))
	for _, k := range set.Keys {
		old, ok := p.keys[k.ID()]
		if ok && old.Fingerprint() == k.Fingerprint() {
			k = old
		} else {
			added = append(added, k.ID())
		}
		keys[k.ID()] = k
	}
	for kid, old := range p.keys {
		if keys[kid] != old {
			removed = append(removed, kid)
		}
	}
	if len(added)+len(removed) > 0 {
		next.keys = keys
		next.generation++
	}
	slices.Sort(added)
	slices.Sort(removed)
	return next, added, removed
}

// withoutLife returns the snapshot with the same keys that gives them to nobody.
func (p *snapshot) withoutLife(err error) *snapshot {
	next := *p
	next.dead = err
	next.replaced = make(chan struct{})
	return &next
}

func (p *snapshot) keyIDs() []string {
	return slices.Sorted(maps.Keys(p.keys))
}
