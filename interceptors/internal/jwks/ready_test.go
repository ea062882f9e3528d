// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// witness is a hook for OnReady. It objects to two equal calls in a row, to two calls
// at a time and to calls after Close, and remembers them.
type witness struct {
	t      *testing.T
	closed atomic.Bool // the test sets it when Close has returned
	inside atomic.Bool
	mu     sync.Mutex
	told   []bool
}

func (w *witness) hook(ready bool) {
	if w.inside.Swap(true) {
		w.t.Error("two calls at a time")
	}
	defer w.inside.Store(false)
	if w.closed.Load() {
		w.t.Errorf("told %v after Close", ready)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.told); n > 0 && w.told[n-1] == ready || n == 0 && !ready {
		w.t.Errorf("told %v after %v, want a change", ready, w.told)
	}
	w.told = append(w.told, ready)
}

func (w *witness) want(told ...bool) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.told, told) {
		w.t.Fatalf("told %v, want %v", w.told, told)
	}
}

// TestOnReady goes through all states.
func TestOnReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &witness{t: t}
		s, e := start(t, Config{OnReady: w.hook}, serve(document(key("a", 1))))
		w.want(true)
		sleep(17 * time.Minute)
		e.set(serve(document(key("b", 2))))
		sleep(17 * time.Minute)
		e.set(down)
		sleep(maxStale - 20*time.Minute)
		wantState(t, s, StateStale)
		w.want(true)
		sleep(20 * time.Minute)
		wantState(t, s, StateDead)
		w.want(true, false)
		e.set(serve(document(key("b", 2))))
		sleep(maxBackoff)
		w.want(true, false, true)
		s.Close()
		w.closed.Store(true)
		w.want(true, false, true, false)
		s.Close()
		sleep(2 * maxStale)
		w.want(true, false, true, false)
	})
}

// TestOnReadyIsPunctual: the death of the keys is told on time.
func TestOnReadyIsPunctual(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &witness{t: t}
		_, e := start(t, Config{OnReady: w.hook}, serve(document(key("a", 1))))
		e.set(down)
		sleep(maxStale - time.Nanosecond)
		w.want(true)
		sleep(time.Nanosecond)
		w.want(true, false)
	})
}

func TestOnReadyOfDeadSetIsNotToldAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &witness{t: t}
		s, e := start(t, Config{OnReady: w.hook}, serve(document(key("a", 1))))
		e.set(down)
		sleep(2 * maxStale)
		w.want(true, false)
		s.Close()
		w.want(true, false)
	})
}

func TestOnReadyOffline(t *testing.T) {
	t.Parallel()
	w := &witness{t: t}
	s, err := New(t.Context(), Config{Offline: true, Static: []byte(document(key("a", 1))), OnReady: w.hook})
	if err != nil {
		t.Fatal(err)
	}
	w.want(true)
	s.Close()
	w.want(true, false)
}

// TestOnReadyStatic: the start of static keys is told, their replacement is none.
func TestOnReadyStatic(t *testing.T) {
	t.Parallel()
	for _, lazy := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := &witness{t: t}
			cfg := Config{Static: []byte(document(key("a", 1))), Lazy: lazy, OnReady: w.hook}
			var s *Set
			var e *endpoint
			if lazy {
				s, e = start(t, cfg, down)
			} else {
				s, e = startStatic(t, cfg, down)
			}
			w.want(true)
			e.set(serve(document(key("b", 1))))
			sleep(maxBackoff)
			wantKey(t, s, "b")
			w.want(true)
			s.Close()
			w.want(true, false)
		})
	}
}

func TestOnReadyLazy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &witness{t: t}
		s, e := start(t, Config{Lazy: true, OnReady: w.hook}, down)
		sleep(2 * maxStale)
		w.want()
		e.set(serve(document(key("a", 1))))
		sleep(maxBackoff)
		w.want(true)
		s.Close()
		w.want(true, false)
	})
}

// TestOnReadyOfFailedNew: there was no change.
func TestOnReadyOfFailedNew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{handler: down}
		w := &witness{t: t}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := New(ctx, Config{URL: testURL, Client: e.client(), OnReady: w.hook}); err == nil {
			t.Error("got no error")
		}
		w.want()
	})
}

// TestOnReadyMayAsk: the hook may use the set, and finds what it is told.
func TestOnReadyMayAsk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var set atomic.Pointer[Set]
		var asked []string
		s, e := start(t, Config{Lazy: true, OnReady: func(ready bool) {
			s := set.Load()
			_, found := s.Lookup("a")
			_, err := s.Key(t.Context(), "a")
			stats := s.Stats()
			if s.Ready() != ready || found != ready || (err == nil) != ready || s.Current(stats.Generation) != ready {
				t.Errorf("told %v: got ready %v, found %v, %v", ready, s.Ready(), found, err)
			}
			asked = append(asked, fmt.Sprintf("%v %s", ready, stats.State))
		}}, slow(time.Second, serve(document(key("a", 1)))))
		set.Store(s)
		sleep(time.Second)
		e.set(down)
		sleep(maxStale + time.Hour)
		e.set(serve(document(key("a", 1))))
		sleep(maxBackoff)
		s.Close()
		if want := "[true FRESH false DEAD true FRESH false CLOSED]"; fmt.Sprint(asked) != want {
			t.Errorf("got %v, want %s", asked, want)
		}
	})
}

// TestOnReadyTellsEachChange: changes while the hook runs are told afterwards, in
// their order, and those that cancel each other out as well.
func TestOnReadyTellsEachChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &witness{t: t}
		var hold atomic.Bool
		release := make(chan struct{})
		s, e := start(t, Config{OnReady: func(ready bool) {
			if hold.Load() {
				<-release
			}
			w.hook(ready)
		}}, serve(document(key("a", 1))))
		hold.Store(true)
		e.set(down)
		sleep(maxStale)
		wantState(t, s, StateDead) // though the hook is stuck
		e.set(serve(document(key("a", 1))))
		sleep(maxBackoff)
		wantState(t, s, StateFresh)
		sleep(maxStale)
		wantState(t, s, StateDead) // the fetching goroutine is stuck, too
		w.want(true)
		close(release)
		settle()
		w.want(true, false, true, false)
		sleep(17 * time.Minute)
		w.want(true, false, true, false, true)
	})
}

// TestNewAwaitsOnReady: the first change is told when New returns.
func TestNewAwaitsOnReady(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"fetched": {URL: testURL},
		"static":  {URL: testURL, Static: []byte(document(key("a", 1))), Lazy: true},
		"offline": {Static: []byte(document(key("a", 1))), Offline: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{handler: serve(document(key("a", 1)))}
			w := &witness{t: t}
			cfg.Client = e.client()
			cfg.OnReady = func(ready bool) {
				time.Sleep(time.Second)
				w.hook(ready)
			}
			before := time.Now()
			s, err := New(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			w.want(true)
			if d := time.Since(before); d != time.Second {
				t.Errorf("%s: New took %v, want as long as the hook", name, d)
			}
		})
	}
}

// TestCloseAwaitsOnReady: none of many Closes returns before false was told.
func TestCloseAwaitsOnReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &witness{t: t}
		s, _ := start(t, Config{OnReady: func(ready bool) {
			if !ready {
				time.Sleep(time.Second)
			}
			w.hook(ready)
		}}, serve(document(key("a", 1))))
		before := time.Now()
		var closers sync.WaitGroup
		for range 8 {
			closers.Go(func() {
				s.Close()
				w.closed.Store(true)
				w.want(true, false)
				if d := time.Since(before); d != time.Second {
					t.Errorf("Close took %v, want as long as the hook", d)
				}
			})
		}
		closers.Wait()
	})
}

// slowLog takes a second for each error that it writes.
type slowLog struct{ slog.Handler }

func (slowLog) Handle(context.Context, slog.Record) error {
	time.Sleep(time.Second)
	return nil
}

func (slowLog) Enabled(_ context.Context, level slog.Level) bool { return level == slog.LevelError }

func (l slowLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// TestCloseAwaitsDeath: the goroutine that ends the life of the keys has gone when
// Close returns, though it did not get to its own call of the hook.
func TestCloseAwaitsDeath(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &witness{t: t}
		s, _ := start(t, Config{
			Lazy: true, Static: []byte(document(key("a", 1))), OnReady: w.hook, Logger: slog.New(slowLog{}),
		}, down)
		sleep(maxStale)
		wantState(t, s, StateDead)
		w.want(true)
		before := time.Now()
		s.Close()
		w.want(true, false)
		if d := time.Since(before); d != time.Second {
			t.Errorf("Close took %v, want as long as the log line", d)
		}
	})
}

// TestCloseRacesOnReady: Close comes at the moment of the first success, of the death
// of the keys, and of their return. The answer that would make the set ready comes
// while Close begins, after that, or not at all. The calls alternate, false is the
// last, and none comes after Close.
func TestCloseRacesOnReady(t *testing.T) {
	t.Parallel()
	good := serve(document(key("a", 1)))
	answers := []handlerFunc{
		good,
		func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return good(r)
		},
		hang,
	}
	for name, race := range map[string]struct {
		static bool
		// handler closes moment when it is time to close the set.
		handler     func(moment chan struct{}, answer handlerFunc) handlerFunc
		least, most int // calls
	}{
		"first success": {false, func(moment chan struct{}, answer handlerFunc) handlerFunc {
			return slow(time.Second, func(r *http.Request) (*http.Response, error) {
				close(moment)
				return answer(r)
			})
		}, 0, 2},
		"death": {true, func(moment chan struct{}, _ handlerFunc) handlerFunc {
			time.AfterFunc(maxStale, func() { close(moment) })
			return down
		}, 2, 2},
		"return": {true, func(moment chan struct{}, answer handlerFunc) handlerFunc {
			begin := time.Now()
			return func(r *http.Request) (*http.Response, error) {
				if time.Since(begin) < maxStale+time.Hour {
					return down(r)
				}
				close(moment)
				return answer(r)
			}
		}, 2, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for round := range 30 {
				synctest.Test(t, func(t *testing.T) {
					w := &witness{t: t}
					cfg := Config{Lazy: true, OnReady: w.hook}
					if race.static {
						cfg.Static = []byte(document(key("a", 1)))
					}
					moment := make(chan struct{})
					s, _ := start(t, cfg, race.handler(moment, answers[round%len(answers)]))
					var closers sync.WaitGroup
					for range 4 {
						closers.Go(func() {
							<-moment
							s.Close()
							w.closed.Store(true)
						})
					}
					closers.Wait()
					sleep(2 * maxStale)
					w.mu.Lock()
					defer w.mu.Unlock()
					if n := len(w.told); n < race.least || n > race.most || n%2 != 0 {
						t.Fatalf("told %v, want %d to %d changes, the last one false", w.told, race.least, race.most)
					}
				})
			}
		})
	}
}
