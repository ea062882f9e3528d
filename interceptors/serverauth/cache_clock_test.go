// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The clock of remembered tokens is late by a tenth of a second at most, never early,
// and rests when nobody asks.
func TestCacheClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &clock{now: time.Now}
		for _, between := range []time.Duration{time.Millisecond, 7 * time.Millisecond, 99 * time.Millisecond, 100 * time.Millisecond, 101 * time.Millisecond, time.Second} {
			for range 50 {
				now := time.Now().UnixNano()
				if late := time.Duration(now - c.unixNano()); late < 0 || late > 100*time.Millisecond {
					t.Errorf("asked each %v: %v late, want at most 100 ms", between, late)
				}
				time.Sleep(between)
				synctest.Wait()
			}
		}
		time.Sleep(3 * clockTick)
		synctest.Wait()
		if at := c.at.Load(); at != 0 {
			t.Error("the timer goes on without anybody who asks")
		}
		if now := time.Now().UnixNano(); c.unixNano() != now {
			t.Error("the first one after a pause gets an old time")
		}
		time.Sleep(3 * clockTick) // the timer rests again, so the bubble can end
	})
}

func TestCacheClockThatIsExact(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &clock{now: time.Now, exact: true}
		for range 10 {
			if now := time.Now().UnixNano(); c.unixNano() != now || c.at.Load() != 0 {
				t.Error("it is not exact")
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// Many may ask while the timer reads and comes to rest.
func TestCacheClockAskedByMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &clock{now: time.Now}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for n := range 200 {
					now := time.Now().UnixNano()
					if late := time.Duration(now - c.unixNano()); late < 0 || late > 100*time.Millisecond {
						t.Errorf("%v late", late)
						return
					}
					time.Sleep(time.Duration(1+n%5*60) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		time.Sleep(3 * clockTick)
	})
}

// A remembered token that is in use all the time ends with its time, and not before.
func TestCacheEndsByItsClock(t *testing.T) {
	cacheKey()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		v := newCacheVerifier(t, verifierOptionFunc(func(cfg *verifierConfig) {
			cfg.now, cfg.exactClock = func() time.Time { return cacheNow().Add(time.Since(begin)) }, false
		}))
		token := cacheToken(cacheClient, 1)
		end := begin.Add(time.Hour - time.Minute + 30*time.Second) // exp and the clock skew
		if _, _, refusal := v.verify(t.Context(), token); refusal != nil {
			t.Fatal(refusal)
		}
		time.Sleep(time.Until(end) - time.Second)
		for time.Now().Before(end) {
			if who, cached, refusal := v.verify(t.Context(), token); who == nil || !cached || refusal != nil {
				t.Fatalf("%v before the end: got %v", time.Until(end), refusal)
			}
			time.Sleep(3 * time.Millisecond)
		}
		time.Sleep(time.Until(end))
		if _, _, refusal := v.verify(t.Context(), token); refusal == nil || refusal.reason != ReasonTokenExpired || refusal.principal == nil {
			t.Errorf("at the end: got %v, want a proven TOKEN_EXPIRED", refusal)
		}
		time.Sleep(3 * clockTick)
	})
}
