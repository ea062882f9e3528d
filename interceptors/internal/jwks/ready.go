// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

// tell calls OnReady for the changes that swap noted. Whoever swapped calls it after
// s.mu is free. It returns when all earlier changes are told, also those that another
// goroutine tells at the moment.
//
// The changes are a queue under s.mu, so none is lost and their order is that of the
// swaps. telling serializes the calls. No method but New and Close waits for it, so
// the hook may call all others.
func (s *Set) tell() {
	s.telling <- struct{}{}
	defer func() { <-s.telling }()
	for {
		ready, ok := s.nextChange()
		if !ok {
			return
		}
		if s.cfg.OnReady != nil {
			s.cfg.OnReady(ready)
		}
	}
}

func (s *Set) nextChange() (ready, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.changes) == 0 {
		return false, false
	}
	ready = s.changes[0]
	s.changes = s.changes[1:]
	return ready, true
}
