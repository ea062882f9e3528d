// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
)

// static returns the keys of the static document, nil if there is none. An empty
// document is one, and no usable one: it is what an empty file gives.
func (c *Config) static() (*jose.KeySet, error) {
	if c.Static == nil {
		if c.Offline {
			return nil, fmt.Errorf("%w: Offline needs a key set document in Static", errStatic)
		}
		return nil, nil //nolint:nilnil // no static keys is a proper answer
	}
	set, err := jose.ParseKeySet(c.Static)
	if err != nil {
		return nil, fmt.Errorf("%w: the document in Static: %w", errStatic, err)
	}
	return set, nil
}

// serveStatic makes the keys of set the first ones, and reports whether it did: not
// if set is nil or there are keys already. Unless they are the only ones for ever,
// they live as if they had been fetched when New was called.
func (s *Set) serveStatic(ctx context.Context, set *jose.KeySet) bool {
	if set == nil {
		return false
	}
	s.mu.Lock()
	old := s.current.Load()
	if !old.empty() {
		s.mu.Unlock()
		return false
	}
	next, added, _ := old.successor(set, time.Time{}, false)
	s.swap(next)
	if !s.cfg.Offline {
		s.arm(next, maxStale-time.Since(s.born))
	}
	s.mu.Unlock()
	s.log.InfoContext(ctx, "jwks: static keys", slog.Any("added", added), slog.Int("ignored", len(set.Ignored)))
	s.logIgnored(ctx, set)
	return true
}
