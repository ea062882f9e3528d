// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"fmt"
	"net/http"
	"slices"
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

// fail makes the store fail.
func (v *vault) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secret, v.err = "", err
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
		// After a success it is as at first.
		endpoint.accept("new")
		time.Sleep(1100 * time.Second)
		wantDenied(t, c, 5*time.Second)
		store.set("new")
		time.Sleep(lookGap)
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

// TestManyChangesInVain: however many secrets did not help, another one is tried within
// about half a minute, and not after the pause that refusals have come to.
func TestManyChangesInVain(t *testing.T) {
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
		for range 3600 {
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonRefused, codes.Unauthenticated)
			time.Sleep(time.Second)
		}
		if got := endpoint.count(); got < 90 || got > 125 {
			t.Errorf("got %d requests in an hour, want 90 to 125", got)
		}
	})
}

// TestStoreThatFailsWhileDenied changes nothing: neither its failure nor the same secret
// after it is another secret.
func TestStoreThatFailsWhileDenied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, store := newApp("right"), &vault{secret: "wrong"}
		c := sourceWithSecrets(t, endpoint, store.read, nil)
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		time.Sleep(lookGap)
		store.fail(errReset)
		wantDenied(t, c, 5*time.Second)
		store.set("wrong")
		wantDenied(t, c, 5*time.Second)
		wantCount(t, &endpoint.fakeEndpoint, 1)
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

// TestOtherPausesStay: a changed secret does not cure a throttled or broken endpoint,
// not even if the fetches for other scopes read it.
func TestOtherPausesStay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		throttled := 0
		endpoint := &fakeEndpoint{answer: func(n int, r request) reply {
			if r.form.Get("scope") == "other" {
				return ok(n, 1)
			}
			throttled++
			return reply{status: 429, header: http.Header{"Retry-After": {"25"}}}
		}}
		store := &vault{secret: "a"}
		c := sourceWithSecrets(t, endpoint, store.read, nil)
		for n := range 25 {
			store.set(fmt.Sprint("secret", n))
			before := store.count()
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonThrottled, codes.Unavailable)
			if got := store.count(); n > 0 && got != before {
				t.Errorf("the secret was read %d times while throttled, want 0", got-before)
			}
			if _, err := c.Token(t.Context(), Request{Scopes: []string{"other"}}); err != nil {
				t.Errorf("other scopes: got %v", err)
			}
			time.Sleep(time.Second - 1)
		}
		if throttled != 1 {
			t.Errorf("got %d throttled requests, want 1", throttled)
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
