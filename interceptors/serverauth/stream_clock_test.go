// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// A wall clock that is set forward, or a machine that was suspended, ends a stream within
// a minute: no timer notices either.
func TestE10ClockSetForward(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		options []serverauth.Option
		within  time.Duration
	}{
		{"default", nil, time.Minute},
		{"RecheckStreams less often", []serverauth.Option{serverauth.RecheckStreams(time.Hour)}, time.Minute},
		{"RecheckStreams more often", []serverauth.Option{serverauth.RecheckStreams(time.Second)}, time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				l := newStreamLab(t, setup{options: row.options})
				c := l.stream(t, chat)
				set := 10*time.Minute + 10*time.Millisecond // just after a look
				l.at(t, set)
				c.pass(t)
				l.clock.set(time.Hour)
				l.at(t, set+row.within)
				c.send(t, nil)
				expired.check(t, l, chat, c.finish(t))
			})
		})
	}
}

// A wall clock that is set back ends no stream: not when the timer fires by the monotonic
// clock, and not because the token would not be good yet. The stream then ends by the
// wall clock.
func TestE10ClockSetBack(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		options []serverauth.Option
		cut     bool
	}{
		{"default", nil, false},
		{"RecheckStreams", []serverauth.Option{serverauth.RecheckStreams(time.Second)}, false},
		{"CutIdleStreams", []serverauth.Option{serverauth.CutIdleStreams()}, true},
	} {
		for _, back := range []time.Duration{time.Minute, 30 * time.Minute, 3 * time.Hour} {
			t.Run(row.name+" "+back.String(), func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					l := newStreamLab(t, setup{options: row.options})
					c := l.stream(t, chat)
					l.at(t, tokenTime-time.Second)
					c.pass(t)
					l.clock.set(-back)
					for sinceBack := time.Duration(0); sinceBack <= back; sinceBack += 20 * time.Second {
						l.at(t, tokenTime-time.Second+sinceBack)
						c.pass(t)
					}
					l.at(t, tokenTime+back-time.Nanosecond)
					c.pass(t)
					l.at(t, tokenTime+back)
					c.send(t, nil)
					if got := c.finish(t); row.cut {
						expired.checkCut(t, l, chat, got)
					} else {
						expired.check(t, l, chat, got)
					}
				})
			})
		}
	}
}

// A clock that is set back and put right again ends the stream at its time.
func TestE10ClockPutRight(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		l := newStreamLab(t, setup{options: []serverauth.Option{serverauth.RecheckStreams(time.Second)}})
		c := l.stream(t, chat)
		l.at(t, time.Minute)
		l.clock.set(-3 * time.Hour)
		l.at(t, 2*time.Minute)
		c.pass(t)
		l.clock.set(3 * time.Hour)
		l.at(t, tokenTime-time.Nanosecond)
		c.pass(t)
		l.at(t, tokenTime)
		c.send(t, nil)
		expired.check(t, l, chat, c.finish(t))
	})
}

// A message costs no look at the clock.
func TestE10MessagesDoNotReadTheClock(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		l := newStreamLab(t, setup{})
		c := l.stream(t, chat)
		c.pass(t)
		before := l.clock.reads.Load()
		for range 1000 {
			c.pass(t)
		}
		if got := l.clock.reads.Load() - before; got != 0 {
			t.Errorf("1,000 messages read the clock %d times", got)
		}
	})
}
