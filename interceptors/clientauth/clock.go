// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"sync/atomic"
	"time"
)

// clock is the one clock that decisions about a token's life read. It has two hands,
// which count from its start. Only mono ends a token: it cannot be set, so a change of
// the machine's time of day ends none early and keeps none. But on some systems it
// stands still while the machine sleeps; then wall is ahead of it.
type clock struct {
	start     time.Time
	wallStart int64 // Unix nanoseconds

	// step is added to the wall hand. Only tests set it, to take the hands apart: a
	// clock that is set and a machine that sleeps both move wall against mono.
	step atomic.Int64
}

func (c *clock) begin(now time.Time) { c.start, c.wallStart = now, now.UnixNano() }

// hands returns both from one reading.
func (c *clock) hands() (mono, wall time.Duration) {
	now := time.Now()
	return now.Sub(c.start), time.Duration(now.UnixNano() - c.wallStart + c.step.Load())
}

// mono returns the hand that cannot be set.
func (c *clock) mono() time.Duration { return time.Since(c.start) }

// date returns what a calendar shows when the wall hand stands at wall.
func (c *clock) date(wall time.Duration) time.Time { return time.Unix(0, c.wallStart+int64(wall)) }
