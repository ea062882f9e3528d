// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"sync/atomic"
	"time"
)

// clock is the time by which remembered tokens are checked. To read the machine's clock
// takes as long as all the rest of a look-up, so while calls come a timer reads it, ten
// times a second. Where that could be too old to tell, see [verified.isGood], and after a
// pause, a call reads the clock itself.
type clock struct {
	now   func() time.Time
	exact bool // read now each time

	at    atomic.Int64 // Unix nanoseconds as of the last reading; 0 while the timer rests
	asked atomic.Bool  // since the last reading
}

// clockTick is how old a reading can be, but for what the timer is late.
const clockTick = 100 * time.Millisecond

// nearEnd is how long before a token's end the last reading does no more, in nanoseconds:
// ten times as long as it can be old, for a timer that is late.
const nearEnd = int64(10 * clockTick)

func (c *clock) unixNano() int64 {
	at := c.at.Load()
	if at == 0 {
		return c.read()
	}
	if !c.asked.Load() { // no write to a shared line by each call
		c.asked.Store(true)
	}
	return at
}

// read reads the machine's clock, and lets the timer do it from now on.
func (c *clock) read() int64 {
	now := c.now().UnixNano()
	if !c.exact && c.at.CompareAndSwap(0, now) {
		time.AfterFunc(clockTick, c.tick)
	}
	return now
}

// tick is what the timer does. It rests if nobody has asked.
func (c *clock) tick() {
	if !c.asked.Swap(false) {
		c.at.Store(0)
		return
	}
	c.at.Store(c.now().UnixNano())
	time.AfterFunc(clockTick, c.tick)
}
