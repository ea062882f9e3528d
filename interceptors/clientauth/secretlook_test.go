// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// TestSlowStore: those who are denied do not wait for it, and a later call has the
// outcome.
func TestSlowStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, store := newApp("right"), &vault{secret: "wrong"}
		c := sourceWithSecrets(t, endpoint, store.read, nil)
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		store.mu.Lock()
		store.delay = 2 * time.Second
		store.mu.Unlock()
		store.set("right")
		for i, want := range []time.Duration{100 * time.Millisecond, 0, 0} { // the patience counts from the look's beginning
			start := time.Now()
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonRefused, codes.Unauthenticated)
			if took := time.Since(start); took != want {
				t.Errorf("call %d: the refusal took %v, want %v", i, took, want)
			}
		}
		time.Sleep(2 * time.Second)
		value(t, c)
	})
}

// TestNobodyWaitsForALookBeyondTheOwnDeadline: what is known is the answer then.
func TestNobodyWaitsForALookBeyondTheOwnDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, store := newApp("right"), &vault{secret: "wrong"}
		c := sourceWithSecrets(t, endpoint, store.read, nil)
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		store.mu.Lock()
		store.delay = 50 * time.Millisecond
		store.mu.Unlock()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err = c.Token(ctx, Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		if took := time.Since(start); took != time.Millisecond {
			t.Errorf("the refusal took %v, want 1ms", took)
		}
	})
}

// TestFunctionThatStopsReturning: its secret has not changed because of that.
func TestFunctionThatStopsReturning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, release := newApp("right"), make(chan struct{})
		var calls atomic.Int32
		c := sourceWithSecrets(t, endpoint, func(context.Context) (Secret, error) {
			if calls.Add(1) > 1 {
				<-release
			}
			return NewSecret("right"), nil
		}, nil)
		defer close(release)
		value(t, c)
		time.Sleep(1100 * time.Second)
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonSecret, codes.Unavailable)
		set, err := c.set(nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.secrets.changed(set.used) {
			t.Error("the secret counts as changed")
		}
	})
}

// TestLookThatEndsWithThePatience: its outcome counts, each time.
func TestLookThatEndsWithThePatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newSource(t, &fakeEndpoint{})
		running, ended := make(chan struct{}), make(chan struct{})
		close(ended)
		for range 100 {
			c.secrets.look = &look{done: ended, giveUp: c.clock.mono()}
			if !c.looked(t.Context()) {
				t.Fatal("the look has ended, and nobody was told")
			}
			c.secrets.look = &look{done: running, giveUp: c.clock.mono()}
			if c.looked(t.Context()) {
				t.Fatal("the look still runs, and its outcome was told")
			}
		}
	})
}

// TestStoreThatHangs: a function that ignores its context takes a few goroutines at
// most, and nobody's time.
func TestStoreThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := newApp()
		hang, release := false, make(chan struct{})
		hung := 0
		var mu sync.Mutex
		c := sourceWithSecrets(t, endpoint, func(context.Context) (Secret, error) {
			mu.Lock()
			hangs := hang
			if hangs {
				hung++
			}
			mu.Unlock()
			if hangs {
				<-release
			}
			return NewSecret("wrong"), nil
		}, nil)
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		mu.Lock()
		hang = true
		mu.Unlock()
		for range 290 {
			start := time.Now()
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonRefused, codes.Unauthenticated)
			if took := time.Since(start); took > 100*time.Millisecond {
				t.Fatalf("the refusal took %v, want at most 100 ms", took)
			}
			time.Sleep(time.Until(start.Add(100 * time.Millisecond)))
		}
		mu.Lock()
		if hung != 4 {
			t.Errorf("got %d calls that hang, want 4", hung)
		}
		mu.Unlock()
		wantCount(t, &endpoint.fakeEndpoint, 1)
		start := time.Now()
		if err := c.Close(); !errors.Is(err, errStillRunning) || time.Since(start) != 2*time.Second {
			t.Errorf("Close: got %v after %v, want an error after 2 s", err, time.Since(start))
		}
		close(release)
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Errorf("Close: got %v", err)
		}
	})
}

// TestCloseDuringALook: it ends with the source, and so do those who wait for it.
func TestCloseDuringALook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, store := newApp(), &vault{secret: "wrong"}
		c := sourceWithSecrets(t, endpoint, store.read, nil)
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		store.mu.Lock()
		store.delay = time.Hour
		store.mu.Unlock()
		start, done := time.Now(), make(chan error)
		go func() {
			_, err := c.Token(t.Context(), Request{})
			done <- err
		}()
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Errorf("Close: got %v", err)
		}
		if err := <-done; err == nil || time.Since(start) != 0 {
			t.Errorf("got %v after %v, want an error at once", err, time.Since(start))
		}
		time.Sleep(lookGap)
		if l := c.startLook(); l != nil {
			t.Error("a look began after Close")
		}
	})
}

// TestPanicDuringALook: the program goes on, and the denial stands.
func TestPanicDuringALook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, calls := newApp(), 0
		c := sourceWithSecrets(t, endpoint, func(context.Context) (Secret, error) {
			if calls++; calls > 1 {
				panic("of the store's")
			}
			return NewSecret("wrong"), nil
		}, nil)
		wantDenied(t, c, 10*time.Second)
		wantCount(t, &endpoint.fakeEndpoint, 1)
	})
}

// TestWarningsAreLogged by the source that reads the file, once for each change,
// whether a request or a look finds it.
func TestWarningsAreLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := newApp("right")
		p, logs := newSecretPath(t, hiddenSecret), &logBuffer{}
		c, err := NewClientCredentials(Config{TokenURL: testURL, ClientID: testClient, Secret: SecretFromFile(p.path)}, WithTransport(endpoint), WithLogger(logs.logger()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, _ = c.Token(t.Context(), Request{})
		warned := func(want int) {
			t.Helper()
			synctest.Wait()
			if got := strings.Count(logs.String(), "secret file cannot be used"); got != want {
				t.Errorf("got %d warnings, want %d:\n%s", got, want, logs)
			}
		}
		warned(0)
		p.write("\n" + hiddenSecret)
		wantDenied(t, c, 40*time.Second) // by looks, then by a request
		warned(1)
		p.remove()
		wantDenied(t, c, 5*time.Second)
		warned(2)
		p.write("right")
		time.Sleep(lookGap)
		value(t, c)
		p.remove()
		time.Sleep(980 * time.Second)
		value(t, c) // by a request
		warned(3)
		hidden(t, "the log", logs.String())
		if strings.Contains(logs.String(), "right") {
			t.Errorf("the log has the secret:\n%s", logs)
		}
	})
}

// TestWarningWithoutASource goes to the default logger. The test is alone: it sets that.
func TestWarningWithoutASource(t *testing.T) {
	p, logs := newSecretPath(t, "good"), &logBuffer{}
	logger, output := slog.Default(), log.Writer()
	slog.SetDefault(logs.logger())
	defer func() {
		slog.SetDefault(logger)
		log.SetOutput(output) // SetDefault took it
	}()
	secret := SecretFromFile(p.path)
	wantSecret(t.Context(), t, secret, "good")
	if err := os.Remove(p.path); err != nil {
		t.Fatal(err)
	}
	wantSecret(t.Context(), t, secret, "good")
	if !strings.Contains(logs.String(), p.path) {
		t.Errorf("got the log %q, want the path in it", logs)
	}
}
