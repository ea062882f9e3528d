// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"testing"
	"time"
)

// A token that is good from this moment on is good, although the clock of remembered
// tokens was read before; one that is good from the next moment on is not.
func TestCacheClockAtATokensBegin(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_790_000_000, 0)
	c := &clock{now: func() time.Time { return now }}
	c.at.Store(now.Add(-clockTick).UnixNano())
	token := untracked(NewPrincipal(PrincipalSpec{ClientID: "c"}))
	token.validFrom = now.UnixNano()
	if refusal, same := token.isGood(c); refusal != nil || !same {
		t.Errorf("from now on: got %v, want it good", refusal)
	}
	token.validFrom++
	if refusal, _ := token.isGood(c); refusal == nil || refusal.Reason() != ReasonTokenNotYetValid {
		t.Errorf("from later on: got %v, want TOKEN_NOT_YET_VALID", refusal)
	}
}

// A token whose time is over is not good, although the clock of remembered tokens was
// read before, by a timer that is late; a token that ends in the next moment is.
func TestCacheClockAtATokensEnd(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_790_000_000, 0)
	c := &clock{now: func() time.Time { return now }}
	c.at.Store(now.Add(-9 * clockTick).UnixNano())
	token := untracked(NewPrincipal(PrincipalSpec{ClientID: "c"}))
	token.validUntil = now.UnixNano()
	if refusal, _ := token.isGood(c); refusal == nil || refusal.Reason() != ReasonTokenExpired {
		t.Errorf("until now: got %v, want TOKEN_EXPIRED", refusal)
	}
	token.validUntil++
	if refusal, same := token.isGood(c); refusal != nil || !same {
		t.Errorf("until the next moment: got %v, want it good", refusal)
	}
}
