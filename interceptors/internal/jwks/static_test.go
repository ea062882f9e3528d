// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
)

// unsound is an entry that is ignored.
const unsound = `{"kty":"AKP","kid":"x","pub":"AAAA"}`

func wantStatic(t *testing.T, s *Set, want bool, ignored int, kids ...string) {
	t.Helper()
	if got := s.Stats(); got.Static != want || got.Ignored != ignored || !slices.Equal(got.KeyIDs, kids) {
		t.Errorf("got static %v, %d ignored, kids %v; want %v, %d, %v", got.Static, got.Ignored, got.KeyIDs, want, ignored, kids)
	}
}

// startStatic returns a Set whose New lasted a minute without success, and then
// fell back on the static document.
func startStatic(t *testing.T, cfg Config, h handlerFunc) (*Set, *endpoint) {
	t.Helper()
	e := &endpoint{handler: h}
	cfg.URL, cfg.Client = testURL, e.client()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	before := time.Now()
	s, err := New(ctx, cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	if d := time.Since(before); d != time.Minute {
		t.Errorf("New took %v, want to try for a minute", d)
	}
	return s, e
}

func TestStaticRefused(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"empty":       "",
		"no key":      document(),
		"none usable": document(unsound),
		"HTML":        "<html>",
		"private":     document(strings.Replace(key("a", 1), `{`, `{"d":"AQAB",`, 1)),
		"same kid":    document(key("a", 1), key("a", 2)),
	} {
		for _, cfg := range []Config{
			{Static: []byte(doc), Offline: true},
			{Static: []byte(doc), Lazy: true, URL: testURL},
			{Static: []byte(doc), URL: testURL},
		} {
			synctest.Test(t, func(t *testing.T) {
				e := &endpoint{handler: serve(document(key("a", 1)))}
				cfg.Client = e.client()
				s, err := New(t.Context(), cfg)
				if !errors.Is(err, errStatic) || !errors.Is(err, jose.ErrKeySet) || e.count() != 0 {
					t.Errorf("%s: got %v and %d requests, want the document refused and none", name, err, e.count())
				}
				if s != nil {
					s.Close()
					t.Errorf("%s: got a set beside the error", name)
				}
			})
		}
	}
}

// TestStaticNeedsURL: without Offline the keys are to be fetched, too.
func TestStaticNeedsURL(t *testing.T) {
	t.Parallel()
	for _, lazy := range []bool{false, true} {
		if err := tryNew(t, Config{Static: []byte(document(key("a", 1))), Lazy: lazy}); !errors.Is(err, errURL) {
			t.Errorf("lazy %v: got %v, want the URL refused", lazy, err)
		}
	}
}

func TestOfflineNeedsStatic(t *testing.T) {
	t.Parallel()
	s, err := New(t.Context(), Config{URL: testURL, Offline: true, Lazy: true})
	if s != nil || !errors.Is(err, errStatic) || !strings.Contains(err.Error(), "Offline needs") {
		t.Errorf("got %v, %v, want that the document is missing", s, err)
	}
}

// TestOffline: no request, no age, no waiting, whatever is asked.
func TestOffline(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"no URL": "", "URL": testURL, "what is no URL": "::"} {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{handler: down}
			cfg := Config{URL: url, Client: e.client(), Static: []byte(document(key("a", 1), unsound)), Offline: true, Lazy: name == "URL"}
			gone, cancel := context.WithCancel(t.Context())
			cancel() // nothing that New would need it for
			s, err := New(gone, cfg)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			cfg.Static[0] = 'x' // the set has its own
			for range 10 {
				wantKey(t, s, "a")
				wantError(t, s, "b", ErrUnknownKey, 0)
				sleep(maxStale)
			}
			wantStatic(t, s, true, 1, "a")
			stats := s.Stats()
			if stats.State != StateStatic || !s.Ready() || stats.Generation != 1 || stats.KeyAge != 10*maxStale || stats.LastError != nil {
				t.Errorf("got %+v, want ten days old static keys", stats)
			}
			for range 2 {
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
			wantState(t, s, StateClosed)
			wantError(t, s, "a", errClosed, 0)
			wantError(t, s, "b", ErrUnavailable, 0)
			wantFetches(t, s, e, 0, 0)
		})
	}
}

// TestStaticNotNeeded: keys that New fetches are the first ones.
func TestStaticNotNeeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{
			Static:   []byte(document(key("a", 1), unsound)),
			OnRotate: func(added, removed []string) { t.Errorf("got changes %v %v", added, removed) },
		}, serve(document(key("b", 2))))
		wantKey(t, s, "b")
		wantStatic(t, s, false, 0, "b")
		wantState(t, s, StateFresh)
		wantError(t, s, "a", ErrUnknownKey, 0)
		wantFetches(t, s, e, 2, 1)
	})
}

// TestD1StaticFallback has the row D1 with static keys: they serve where New would
// fail, and the first success replaces all of them.
func TestD1StaticFallback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logged syncBuffer
		var changes []string
		s, e := startStatic(t, Config{
			Static:   []byte(document(slices.Concat([]string{key("old", 1), key("both", 2), key("other", 3)}, slices.Repeat([]string{unsound}, 20))...)),
			Logger:   slog.New(slog.NewTextHandler(&logged, nil)),
			OnRotate: func(added, removed []string) { changes = append(changes, fmt.Sprint(added, removed)) },
		}, down)
		wantState(t, s, StateStale)
		wantStatic(t, s, true, 20, "both", "old", "other")
		wantKey(t, s, "old")
		both, generation, _ := s.LookupWithGeneration("both")
		if stats := s.Stats(); stats.KeyAge != time.Minute || !errors.Is(stats.LastError, errStatus) {
			t.Errorf("got age %v, error %v, want New's minute and the status", stats.KeyAge, stats.LastError)
		}
		_, warning, _ := strings.Cut(logged.String(), "level=WARN msg=\"jwks: no fetch has succeeded, the static keys serve")
		warning, _, _ = strings.Cut(warning, "\n")
		if !strings.Contains(warning, "503") || !strings.Contains(warning, "24h") {
			t.Errorf("got warning %q, want the cause, and how long the keys live", warning)
		}
		for _, want := range []string{"added=\"[both old other]\"", "entry ignored", testURL} {
			if !strings.Contains(logged.String(), want) {
				t.Errorf("the log lacks %q", want)
			}
		}
		if n := strings.Count(logged.String(), "entry ignored"); n != maxIgnoredLines {
			t.Errorf("got %d lines for 20 ignored entries, want %d", n, maxIgnoredLines)
		}

		before := e.count()
		sleep(time.Hour)
		wantError(t, s, "new", ErrUnavailable, 0)
		if n := e.count() - before; n < 12 || n > 300 {
			t.Errorf("got %d requests in an hour, want the back-off to go on", n)
		}
		if n := s.Stats().KidFetches; n != 0 {
			t.Errorf("got %d fetches for a kid, want none in the back-off", n)
		}

		e.set(serve(document(key("both", 2), key("other", 4), key("new", 5), unsound)))
		sleep(maxBackoff)
		wantState(t, s, StateFresh)
		wantStatic(t, s, false, 1, "both", "new", "other")
		if n := strings.Count(logged.String(), "entry ignored"); n != maxIgnoredLines+1 {
			t.Errorf("got %d lines, want one more for the entry of the new document", n)
		}
		if k, _ := s.Lookup("both"); k != both {
			t.Error("the key in both sets has another pointer")
		}
		if _, ok := s.Lookup("old"); ok {
			t.Error("a static key is still there, want the set replaced, not merged")
		}
		if s.Current(generation) || fmt.Sprint(changes) != "[[new other] [old other]]" {
			t.Errorf("got generation %d, changes %v, want the next one and what came and went", s.Generation(), changes)
		}
	})
}

// TestStaticEqualToFetched: what was verified with static keys holds on if the first
// fetch brings the same ones.
func TestStaticEqualToFetched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := startStatic(t, Config{
			Static:   []byte(document(key("a", 1), unsound)),
			OnRotate: func(added, removed []string) { t.Errorf("got changes %v %v", added, removed) },
		}, down)
		generation := s.Generation()
		e.set(serve(document(unsound, unsound, key("a", 1)), `ETag: "1"`))
		sleep(maxBackoff)
		wantState(t, s, StateFresh)
		wantStatic(t, s, false, 2, "a")
		if !s.Current(generation) {
			t.Error("the generation moved")
		}
		e.set(status(http.StatusNotModified, ""))
		sleep(17 * time.Minute)
		wantState(t, s, StateFresh)
		wantStatic(t, s, false, 2, "a")
		if got := e.requests()[e.count()-1].header.Get("If-None-Match"); got != `"1"` {
			t.Errorf("got If-None-Match %q, want the ETag", got)
		}
	})
}

// TestD2StaticFallback: static keys die 24 hours after New was called, and come to
// life with a success.
func TestD2StaticFallback(t *testing.T) {
	t.Parallel()
	for _, lazy := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var changes []string
			cfg := Config{
				Static:   []byte(document(key("a", 1))),
				OnRotate: func(added, removed []string) { changes = append(changes, fmt.Sprint(added, removed)) },
			}
			begin := time.Now()
			var s *Set
			var e *endpoint
			if cfg.Lazy = lazy; lazy {
				s, e = start(t, cfg, down)
				wantKey(t, s, "a")
			} else {
				s, e = startStatic(t, cfg, down)
			}
			sleep(maxStale - time.Since(begin) - time.Nanosecond)
			wantState(t, s, StateStale)
			wantKey(t, s, "a")
			sleep(time.Nanosecond)
			wantState(t, s, StateDead)
			wantError(t, s, "a", ErrUnavailable, 0)
			wantError(t, s, "b", errStatus, 0)
			wantStatic(t, s, true, 0, "a")
			generation := s.Generation()

			e.set(serve(document(key("b", 1))))
			sleep(maxBackoff)
			wantState(t, s, StateFresh)
			wantKey(t, s, "b")
			if s.Generation() != generation+1 || fmt.Sprint(changes) != "[[b] [a]]" {
				t.Errorf("got generation %d, changes %v, want one more and the static keys gone", s.Generation(), changes)
			}
			born := s.Stats().KeyAge
			sleep(maxStale - born) // the new keys have their own 24 hours
			wantKey(t, s, "b")
		})
	}
}

// TestStaticFallbackOfHangingEndpoint: the keys serve though there was no failure
// yet, and an unknown kid gets what the running fetch brings.
func TestStaticFallbackOfHangingEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{handler: slow(2*time.Second, serve(document(key("b", 2))))}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s, err := New(ctx, Config{URL: testURL, Client: e.client(), Static: []byte(document(key("a", 1)))})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		wantState(t, s, StateStale)
		wantKey(t, s, "a")
		if k, err := s.Key(t.Context(), "b"); err != nil || k.ID() != "b" {
			t.Errorf("got %v, %v, want the key of the first fetch", k, err)
		}
		wantState(t, s, StateFresh)
		wantFetches(t, s, e, 1, 0)
	})
}

// TestStaticComesTooLate: keys that were fetched when New's time was over stay.
func TestStaticComesTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, Config{}, serve(document(key("b", 2))))
		set, err := jose.ParseKeySet([]byte(document(key("a", 1))))
		if err != nil {
			t.Fatal(err)
		}
		if s.serveStatic(t.Context(), set) {
			t.Error("the static keys serve, want them to come too late")
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		s.loaded = nil // so that only the end of the context is seen
		if err := s.boot(gone, set); err != nil {
			t.Errorf("got %v, want no error", err)
		}
		wantKey(t, s, "b")
		wantStatic(t, s, false, 0, "b")
	})
}
