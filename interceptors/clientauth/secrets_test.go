// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// vault is a store of a secret that a test changes.
type vault struct {
	mu     sync.Mutex
	secret string
	err    error
	calls  int
	delay  time.Duration
}

func (v *vault) read(ctx context.Context) (Secret, error) {
	v.mu.Lock()
	secret, err, delay := NewSecret(v.secret), v.err, v.delay
	v.calls++
	v.mu.Unlock()
	if !sleep(ctx, delay) {
		return Secret{}, ctx.Err()
	}
	return secret, err
}

// set makes the store give the secret.
func (v *vault) set(secret string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secret, v.err = secret, nil
}

func (v *vault) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls
}

// app is the endpoint of a client that accepts some secrets.
type app struct {
	fakeEndpoint

	mu    sync.Mutex
	valid []string
	life  int
}

func newApp(valid ...string) *app {
	a := &app{valid: valid, life: 1000}
	a.answer = func(n int, r request) reply {
		_, password, _ := (&http.Request{Header: r.header}).BasicAuth()
		a.mu.Lock()
		defer a.mu.Unlock()
		if !slices.Contains(a.valid, password) {
			return oauthError("invalid_client")
		}
		return ok(n, a.life)
	}
	return a
}

func (a *app) accept(valid ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.valid = valid
}

// wantDenied asks ten times a second for d and wants the refusal each time, at once.
func wantDenied(t *testing.T, c *ClientCredentials, d time.Duration) {
	t.Helper()
	for range d / (100 * time.Millisecond) {
		start := time.Now()
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		if took := time.Since(start); took > 0 {
			t.Fatalf("the refusal took %v, want 0", took)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestChangedSecretEndsTheDenial: the first call after the repair gets a token, however
// long the refusal would still have been remembered, and no request is made before.
func TestChangedSecretEndsTheDenial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, store := newApp("right"), &vault{secret: "wrong"}
		c := sourceWithSecrets(t, endpoint, store.read, nil)
		for range 5 { // until the pause is 300 s
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonRefused, codes.Unauthenticated)
			time.Sleep(330 * time.Second)
		}
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		requests, reads := endpoint.count(), store.count()
		wantDenied(t, c, 20*time.Second)
		wantCount(t, &endpoint.fakeEndpoint, requests)
		if got := store.count() - reads; got < 15 || got > 20 {
			t.Errorf("the secret was read %d times in 20 s, want about once a second", got)
		}
		time.Sleep(lookGap)
		store.set("right")
		value(t, c)
		wantCount(t, &endpoint.fakeEndpoint, requests+1)
	})
}

// TestWrongRepair: each change is tried at once, also after one that did not help.
func TestWrongRepair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, store := newApp("right"), &vault{secret: "wrong"}
		c := sourceWithSecrets(t, endpoint, store.read, nil)
		for n, secret := range []string{"wrong", "wrong too", "also wrong"} {
			store.set(secret)
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonRefused, codes.Unauthenticated)
			wantCount(t, &endpoint.fakeEndpoint, n+1)
			time.Sleep(4 * time.Second)
		}
		store.set("right")
		value(t, c)
	})
}

// TestSecretThatIsAnotherEachTime must not make the refusals more frequent than one in
// half a minute, for each set of scopes.
func TestSecretThatIsAnotherEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := newApp()
		n := 0
		var mu sync.Mutex
		c := sourceWithSecrets(t, endpoint, func(context.Context) (Secret, error) {
			mu.Lock()
			defer mu.Unlock()
			n++
			return NewSecret(fmt.Sprint("secret", n)), nil
		}, nil)
		for range 6000 {
			for _, scope := range []string{"a", "b"} {
				_, err := c.Token(t.Context(), Request{Scopes: []string{scope}})
				wantReason(t, err, ReasonRefused, codes.Unauthenticated)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := endpoint.count(); got < 2*15 || got > 2*26 {
			t.Errorf("got %d requests in 10 min for 2 sets of scopes, want 30 to 52", got)
		}
	})
}

// TestOneLookForAllSets: what one set of scopes finds ends the denial of the others.
func TestOneLookForAllSets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, store := newApp("right"), &vault{secret: "wrong"}
		c := sourceWithSecrets(t, endpoint, store.read, nil)
		for _, scope := range []string{"a", "b", "c"} {
			_, err := c.Token(t.Context(), Request{Scopes: []string{scope}})
			wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		}
		time.Sleep(lookGap)
		store.set("right")
		before := store.count()
		for _, scope := range []string{"a", "b", "c"} {
			if _, err := c.Token(t.Context(), Request{Scopes: []string{scope}}); err != nil {
				t.Errorf("%s: got %v", scope, err)
			}
		}
		if got := store.count() - before; got != 4 {
			t.Errorf("the secret was read %d times, want once to look and once for each of 3 requests", got)
		}
		wantCount(t, &endpoint.fakeEndpoint, 6)
	})
}

// TestRefusalsThatNoSecondSecretHelps: the second secret is not used then, so reading
// it for the first time is no change.
func TestRefusalsThatNoSecondSecretHelps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(int, request) reply { return oauthError("invalid_grant") }}
		c := sourceWithSecrets(t, endpoint, StaticSecret("first"), StaticSecret("second"))
		wantDenied(t, c, 20*time.Second)
		wantCount(t, endpoint, 1)
	})
}

// TestOtherPausesStay: a changed secret does not cure a throttled or broken endpoint.
func TestOtherPausesStay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(int, request) reply {
			return reply{status: 429, header: http.Header{"Retry-After": {"25"}}}
		}}
		store := &vault{secret: "a"}
		c := sourceWithSecrets(t, endpoint, store.read, nil)
		for n := range 25 {
			store.set(fmt.Sprint("secret", n))
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonThrottled, codes.Unavailable)
			time.Sleep(time.Second - 1)
		}
		wantCount(t, endpoint, 1)
		if got := store.count(); got != 1 {
			t.Errorf("the secret was read %d times, want 1", got)
		}
	})
}

// TestSecretThatAppears: the pause after an unreadable secret ends with it too.
func TestSecretThatAppears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, store := newApp("right"), &vault{err: errReset}
		c := sourceWithSecrets(t, endpoint, store.read, nil)
		for range 8 { // until the pause is the longest
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonSecret, codes.Unavailable)
			time.Sleep(10 * time.Second)
		}
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonSecret, codes.Unavailable)
		time.Sleep(lookGap)
		store.set("right")
		value(t, c)
		wantCount(t, &endpoint.fakeEndpoint, 1)
	})
}

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
		for i, want := range []time.Duration{lookPatience, 0, 0} { // the patience counts from the look's beginning
			start := time.Now()
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonRefused, codes.Unauthenticated)
			if took := time.Since(start); took != want {
				t.Errorf("call %d: the refusal took %v, want %v", i, took, want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err = c.Token(ctx, Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		time.Sleep(2 * time.Second)
		value(t, c)
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
			if took := time.Since(start); took > lookPatience {
				t.Fatalf("the refusal took %v, want at most %v", took, lookPatience)
			}
			time.Sleep(time.Until(start.Add(100 * time.Millisecond)))
		}
		mu.Lock()
		if hung != maxLeftBehind {
			t.Errorf("got %d calls that hang, want %d", hung, maxLeftBehind)
		}
		mu.Unlock()
		wantCount(t, &endpoint.fakeEndpoint, 1)
		start := time.Now()
		if err := c.Close(); !errors.Is(err, errStillRunning) || time.Since(start) != closePatience {
			t.Errorf("Close: got %v after %v, want an error after %v", err, time.Since(start), closePatience)
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
