// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"math/rand/v2"
	"time"
)

// The pauses between flights.
const (
	firstPause       = time.Second
	maxPauseNoToken  = 10 * time.Second
	maxPauseToken    = 60 * time.Second
	minPause         = 500 * time.Millisecond
	firstRefusal     = 30 * time.Second
	maxRefusal       = 300 * time.Second
	maxRetryAfter    = 300 * time.Second // while there is a token
	maxRetryAfterOut = 30 * time.Second  // when there is none
	maxFailures      = 16                // 2^16 s is beyond every limit
)

// failures counts the failed flights since the last success. The two kinds have
// each their own count: a network that was down for an hour must not make the first
// refusal a long one.
type failures struct{ transient, final int }

// pause returns how long to wait after a failed flight, which it counts. remaining
// is how long the held token is still usable.
func (n *failures) pause(err *Error, remaining time.Duration) time.Duration {
	result, limitAfter := n.own(err, remaining), maxRetryAfterOut
	if remaining > 0 {
		// When the token has ended, what holds without one does.
		limitAfter = min(maxRetryAfter, remaining+maxRetryAfterOut)
	}
	if after := min(err.retryAfter, limitAfter); after > result {
		result = after + rand.N(after/10+1) //nolint:gosec // spreads load
	}
	return result
}

// own is the pause where the endpoint does not ask for a longer one.
func (n *failures) own(err *Error, remaining time.Duration) time.Duration {
	if !err.transient {
		// The same request would fail again, or cost another token that cannot be used.
		base := min(firstRefusal<<n.final, maxRefusal)
		n.final = min(n.final+1, maxFailures)
		return base + rand.N(base/10) //nolint:gosec // spreads load
	}
	limit := maxPauseNoToken
	if remaining > 0 {
		limit = min(maxPauseToken, remaining/3)
	}
	// The random factor is 0.5 to 1.5 and the result within the limit: cutting it
	// there would make all processes wait the same time.
	base := min(firstPause<<n.transient, limit*2/3)
	n.transient = min(n.transient+1, maxFailures)
	return max(base/2+rand.N(max(base, 1)), minPause) //nolint:gosec // spreads load
}
