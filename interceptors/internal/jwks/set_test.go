// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var settle = synctest.Wait

// wantKey fails unless kid is found, at once.
func wantKey(t *testing.T, s *Set, kid string) {
	t.Helper()
	before := time.Now()
	k, err := s.Key(t.Context(), kid)
	if err != nil || k.ID() != kid {
		t.Errorf("Key(%q): got %v, %v, want the key", kid, k, err)
		return
	}
	if d := time.Since(before); d != 0 {
		t.Errorf("Key(%q) took %v, want no wait", kid, d)
	}
	if found, ok := s.Lookup(kid); !ok || found != k {
		t.Errorf("Lookup(%q): got %v, %v, want %v", kid, found, ok, k)
	}
}

func wantError(t *testing.T, s *Set, kid string, want error, waits time.Duration) {
	t.Helper()
	before := time.Now()
	k, err := s.Key(t.Context(), kid)
	if k != nil || !errors.Is(err, want) {
		t.Errorf("Key(%q): got %v, %v, want error %v", kid, k, err, want)
	}
	if d := time.Since(before); d != waits {
		t.Errorf("Key(%q) took %v, want %v", kid, d, waits)
	}
}

func wantFetches(t *testing.T, s *Set, e *endpoint, all, byKID int) {
	t.Helper()
	stats := s.Stats()
	if e.count() != all || stats.Fetches != uint64(all) || stats.KidFetches != uint64(byKID) {
		t.Fatalf("got %d requests, %d fetches, %d for a kid; want %d, %d for a kid",
			e.count(), stats.Fetches, stats.KidFetches, all, byKID)
	}
}

func wantState(t *testing.T, s *Set, want State) {
	t.Helper()
	if got := s.Stats().State; got != want {
		t.Fatalf("state: got %s, want %s", got, want)
	}
	if got, want := s.Ready(), want == StateFresh || want == StateStale; got != want {
		t.Fatalf("ready: got %v, want %v", got, want)
	}
}

func TestD1StartFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{handler: down}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		before := time.Now()
		s, err := New(ctx, Config{URL: testURL, Client: e.client()})
		if s != nil || !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errStatus) {
			t.Fatalf("got %v, %v, want an error of three causes", s, err)
		}
		for _, want := range []string{testURL, "503", "check the URL"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got %q, want it to hold %q", err, want)
			}
		}
		if d := time.Since(before); d != time.Minute {
			t.Errorf("New took %v, want to try for a minute", d)
		}
		// The waits are below 1, 2, 4, 8, 16, 32 s and not below 100 ms.
		if n := e.count(); n < 6 || n > 601 {
			t.Errorf("got %d requests in a minute, want back-off", n)
		}
	})
}

func TestD1StartGivesUpBeforeTheFirstAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{handler: hang}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := New(ctx, Config{URL: testURL, Client: e.client()})
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, errNoAnswer) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that there was no answer yet", err)
		}
	})
}

func TestD1StartRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		good := serve(document(key("a", 1)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		e := &endpoint{}
		e.set(func(r *http.Request) (*http.Response, error) {
			if n++; n < 3 {
				return nil, errors.New("refused")
			}
			return good(r)
		})
		s, err := New(ctx, Config{URL: testURL, Client: e.client()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		cancel() // bounds the first fetch and nothing later
		wantKey(t, s, "a")
		wantFetches(t, s, e, 3, 0)
		sleep(17 * time.Minute)
		wantFetches(t, s, e, 4, 0)
		wantState(t, s, StateFresh)
	})
}

func TestD2DownLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logged syncBuffer
		s, e := start(t, Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))}, serve(document(key("a", 1))))
		e.set(down)
		sleep(17 * time.Minute)
		wantState(t, s, StateStale)
		wantKey(t, s, "a")
		if age := s.Stats().KeyAge; age != 17*time.Minute {
			t.Errorf("age: got %v, want 17m", age)
		}
		sleep(maxStale - 17*time.Minute - time.Nanosecond)
		wantState(t, s, StateStale)
		wantKey(t, s, "a")
		sleep(time.Nanosecond)
		wantState(t, s, StateDead)
		wantError(t, s, "a", ErrUnavailable, 0)
		wantError(t, s, "b", ErrUnavailable, 0)
		if err := s.current.Load().dead; !errors.Is(err, errStatus) {
			t.Errorf("got %v, want the last failure as a cause", err)
		}
		if _, ok := s.Lookup("a"); ok {
			t.Error("Lookup finds a key that is too old")
		}
		if !strings.Contains(logged.String(), "keys too old") {
			t.Error("nothing was logged")
		}
		before := e.count()
		generation := s.Generation()
		e.set(serve(document(key("a", 1))))
		sleep(maxBackoff)
		wantState(t, s, StateFresh)
		wantKey(t, s, "a")
		if e.count() != before+1 || s.Generation() != generation {
			t.Errorf("got %d requests, generation %d, want one, and generation %d", e.count()-before, s.Generation(), generation)
		}
	})
}

// TestD2DeathIsPunctual: keys die on time though the fetching goroutine is stuck.
func TestD2DeathIsPunctual(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s, e := start(t, Config{OnReject: func(error) { <-release }}, serve(document(key("a", 1))))
		defer close(release)
		e.set(serve("<html>"))
		sleep(maxStale - time.Nanosecond)
		wantKey(t, s, "a")
		sleep(time.Nanosecond)
		wantState(t, s, StateDead)
		if e.count() != 2 {
			t.Errorf("got %d requests, want the hook to hold the goroutine", e.count())
		}
	})
}

func TestD3HangingEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		e.set(hang)
		go s.Key(t.Context(), "unknown") // makes it hang now
		sleep(fetchTimeout - time.Nanosecond)
		wantKey(t, s, "a") // the clock does not move
		if n := s.Stats().Failures; n != 0 {
			t.Errorf("got %d failures before the time is over", n)
		}
		sleep(time.Nanosecond)
		if n := s.Stats().Failures; n != 1 {
			t.Errorf("got %d failures, want 1 after %v", n, fetchTimeout)
		}
		wantKey(t, s, "a")
	})
}

// TestTimer: a refresh each 15 minutes +-10 %, or as max-age says within bounds.
func TestTimer(t *testing.T) {
	t.Parallel()
	for header, interval := range map[string]time.Duration{
		"":                             refreshInterval,
		"max-age=60":                   time.Minute,
		"max-age=3600":                 time.Hour,
		"public, Max-Age=1800, immut":  30 * time.Minute,
		`max-age="300"`:                5 * time.Minute,
		"max-age=59":                   refreshInterval,
		"max-age=3601":                 refreshInterval,
		"max-age=0":                    refreshInterval,
		"max-age=-60":                  refreshInterval,
		"max-age=99999999999999999999": refreshInterval,
		"max-age=x, max-age=60":        refreshInterval,
		"s-maxage=60":                  refreshInterval,
	} {
		synctest.Test(t, func(t *testing.T) {
			_, e := start(t, Config{}, serve(document(key("a", 1)), "Cache-Control: "+header))
			sleep(12 * interval)
			asked := e.requests()
			if len(asked) < 11 || len(asked) > 14 {
				t.Errorf("%q: got %d requests in 12 intervals", header, len(asked))
			}
			seen := map[time.Duration]bool{}
			for i, r := range asked[1:] {
				d := r.at.Sub(asked[i].at)
				seen[d] = true
				if d < interval*9/10 || d > interval*11/10 {
					t.Errorf("%q: got an interval of %v, want %v +-10%%", header, d, interval)
				}
			}
			if len(seen) < 2 {
				t.Errorf("%q: all intervals are equal, want jitter", header)
			}
		})
	}
}

// TestD23Backoff checks the waits one by one.
func TestD23Backoff(t *testing.T) {
	t.Parallel()
	for failures, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		ceiling := time.Duration(seconds) * time.Second
		least, most := time.Hour, time.Duration(0)
		for range 1000 {
			d := backoff(failures)
			least, most = min(least, d), max(most, d)
		}
		if least < leastBackoff || most >= ceiling || most-least < ceiling/2 {
			t.Errorf("after %d failures: got %v to %v, want full jitter below %v", failures, least, most, ceiling)
		}
	}
	for _, failures := range []int{16, 63, 64, 1 << 20} {
		if d := backoff(failures); d < leastBackoff || d > maxBackoff {
			t.Errorf("after %d failures: got %v", failures, d)
		}
	}
}

// TestD23BackoffResets: a success begins anew.
func TestD23BackoffResets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		e.set(down)
		sleep(2 * time.Hour)
		if n := e.count(); n < 15 || n > 600 {
			t.Errorf("got %d requests in two hours", n)
		}
		e.set(serve(document(key("a", 1))))
		sleep(maxBackoff)
		wantState(t, s, StateFresh)
		e.set(down)
		before := e.count()
		wantError(t, s, "x", ErrUnavailable, 0)
		sleep(time.Second) // the first wait is below a second
		if n := e.count() - before; n < 2 {
			t.Errorf("got %d requests, want the back-off to begin at a second", n)
		}
	})
}

func TestReadersWhileRotating(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var round atomic.Int64
		s, e := start(t, Config{OnRotate: func([]string, []string) {}}, handlerFunc(func(r *http.Request) (*http.Response, error) {
			n := round.Add(1)
			return serve(document(key("a", 1), key(name(n), n)), "Cache-Control: max-age=60")(r)
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var readers sync.WaitGroup
		for i := range 16 {
			readers.Go(func() {
				for ctx.Err() == nil {
					if _, err := s.Key(ctx, "a"); err != nil {
						t.Errorf("the lasting key: %v", err)
						return
					}
					s.Lookup(name(round.Load()))
					s.Key(ctx, name(round.Load()+1))
					s.Stats()
					s.Ready()
					s.Generation()
					time.Sleep(time.Second + time.Duration(i)*time.Millisecond)
				}
			})
		}
		readers.Wait()
		if n := e.count(); n < 60 || n > 60*60/10+70 {
			t.Errorf("got %d requests in an hour", n)
		}
	})
}

func name(n int64) string { return "k" + strconv.FormatInt(n, 10) }

func TestStats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("b", 1), key("a", 2))))
		if got := s.Stats(); !slices.Equal(got.KeyIDs, []string{"a", "b"}) || got.Generation != 1 || got.LastError != nil || got.Waiters != 0 {
			t.Errorf("got %+v, want a and b, generation 1", got)
		}
		e.set(slow(time.Second, serve("x")))
		go s.Key(t.Context(), "c")
		settle()
		if n := s.Stats().Waiters; n != 1 {
			t.Errorf("got %d waiters, want 1", n)
		}
		sleep(time.Second)
		if got := s.Stats(); got.Failures != 1 || got.Rejected != 1 || !errors.Is(got.LastError, errRejected) || got.Waiters != 0 {
			t.Errorf("got %+v, want one rejection and no waiter", got)
		}
	})
}

// syncBuffer is a buffer that a logger and a test may use together.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
