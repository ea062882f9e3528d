// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

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
func (l slowLog) WithAttrs([]slog.Attr) slog.Handler             { return l }

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
