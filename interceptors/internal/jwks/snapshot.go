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
	keys       map[string]*jose.Key
	generation uint64
	fetchedAt  time.Time // with its monotonic reading
	// askedAt is when a fetch that an unknown kid caused last succeeded; zero if none did.
	askedAt time.Time
	// dead, if not nil, is what every reader gets instead of a key.
	dead error
	// replaced is closed when another snapshot has taken this one's place.
	replaced chan struct{}
}

// successor returns the snapshot that follows on a success: with the keys of set, or
// with the same ones if set is nil (304). Keys that did not change keep their
// pointers; the generation moves only if any did.
func (p *snapshot) successor(set *jose.KeySet, now time.Time, asked bool) (next *snapshot, added, removed []string) {
	next = &snapshot{
		keys:       p.keys,
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
