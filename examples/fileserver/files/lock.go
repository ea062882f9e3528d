// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"sync"
)

// locks are one lock per key. A file's lock serialises what changes the file, so
// it is held while the disk works; mu is not, and a caller that waits leaves when
// its context ends.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	free  chan struct{} // holds one value while nobody has the lock
	users int           // holder and waiters; the last one removes the entry
}

// acquire waits for the key's lock and returns the function that gives it back.
func (l *locks) acquire(ctx context.Context, key string) (release func(), err error) {
	entry := l.enter(key)
	select {
	case <-entry.free:
		return func() {
			entry.free <- struct{}{}
			l.leave(key, entry)
		}, nil
	case <-ctx.Done():
		l.leave(key, entry)
		return nil, ctx.Err()
	}
}

func (l *locks) enter(key string) *lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry := l.held[key]
	if entry == nil {
		entry = &lock{free: make(chan struct{}, 1)}
		entry.free <- struct{}{}
		if l.held == nil {
			l.held = make(map[string]*lock)
		}
		l.held[key] = entry
	}
	entry.users++
	return entry
}

func (l *locks) leave(key string, entry *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry.users--
	if entry.users == 0 {
		delete(l.held, key)
	}
}
