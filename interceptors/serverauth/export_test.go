// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"math"
	"time"
)

// WithUnlimitedLog logs every refusal, so that a test can look for secrets in all lines.
func WithUnlimitedLog() Option {
	return optionFunc(func(cfg *config) { cfg.refusalsBurst = math.MaxInt })
}

// WithClock fixes the time by which tokens are checked.
func WithClock(now func() time.Time) VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) { cfg.now, cfg.exactClock = now, true })
}

// parseAuthorization is all that happens to a value before a TokenVerifier sees it.
func parseAuthorization(value string, maxBytes int) (string, *Error) {
	token, refusal := cutAuthorization(value, maxBytes)
	if refusal != nil {
		return "", refusal
	}
	if refusal := checkAlphabet(token); refusal != nil {
		return "", refusal
	}
	return token, nil
}

// WithTimerClock undoes the part of [WithClock] that reads the clock each time.
func WithTimerClock() VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) { cfg.exactClock = false })
}

// Repeats says how many tokens have a slot that their header's address finds, and how many
// of those were found that way since this was last asked.
func (v *Verifier) Repeats() (slots, used int) {
	v.cache.mu.Lock()
	defer v.cache.mu.Unlock()
	t := v.cache.repeats.Load()
	if t == nil {
		return 0, 0
	}
	for i := range t.slots {
		if s := &t.slots[i]; s.used.Swap(false) && s.text.Load() != nil {
			used++
		}
	}
	return v.cache.repeated, used
}
