// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// TestChangedSecretIsNoReasonToHurry: an endpoint that asked for a pause has it, and
// another secret does not make a broken one work.
func TestChangedSecretIsNoReasonToHurry(t *testing.T) {
	t.Parallel()
	later := http.Header{"Retry-After": {"20"}}
	for name, r := range map[string]reply{
		"503 with Retry-After":       {status: 503, header: later},
		"a refusal with Retry-After": {status: 400, header: later, body: `{"error":"invalid_client"}`},
		"a paid answer":              {status: 200, body: `{"access_token":"a","expires_in":60}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				endpoint := &fakeEndpoint{answer: func(int, request) reply { return r }}
				store := &vault{secret: "a"}
				c := sourceWithSecrets(t, endpoint, store.read, nil)
				_, _ = c.Token(t.Context(), Request{})
				requests, reads := endpoint.count(), store.count()
				store.set("b")
				time.Sleep(lookGap)
				if _, err := c.Token(t.Context(), Request{}); err == nil {
					t.Error("got no error")
				}
				wantCount(t, endpoint, requests)
				if got := store.count(); got != reads {
					t.Errorf("the secret was read %d times in the pause, want 0", got-reads)
				}
			})
		})
	}
}

// TestChangedSecretIsSeenByAnotherSet: a request that reads another secret ends the
// denials of all sets of scopes, as a look does.
func TestChangedSecretIsSeenByAnotherSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, store := newApp("new"), &vault{secret: "old"}
		c := sourceWithSecrets(t, endpoint, store.read, nil)
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		time.Sleep(lookGap)
		store.set("new")
		if err := c.Warm(t.Context(), "another"); err != nil {
			t.Fatal(err)
		}
		reads := store.count()
		value(t, c)
		if got := store.count() - reads; got != 1 {
			t.Errorf("the secret was read %d times, want once, for the request", got)
		}
		wantCount(t, &endpoint.fakeEndpoint, 3)
	})
}

// TestSecretChangedDuringAFlight: the refusal of the old secret is no refusal of the new
// one.
func TestSecretChangedDuringAFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, store := newApp("new"), &vault{secret: "old"}
		accept := endpoint.answer
		endpoint.answer = func(n int, r request) reply {
			answer := accept(n, r)
			answer.after = 2 * time.Second
			return answer
		}
		c := sourceWithSecrets(t, endpoint, store.read, nil)
		go func() {
			time.Sleep(time.Second)
			store.set("new")
		}()
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		time.Sleep(lookGap)
		value(t, c)
		wantCount(t, &endpoint.fakeEndpoint, 2)
	})
}

// TestSecretReadAnewAndRefused: the flight that reads the changed secret itself is not
// excused.
func TestSecretReadAnewAndRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, store := newApp(), &vault{secret: "a"}
		c := sourceWithSecrets(t, endpoint, store.read, nil)
		for _, secret := range []string{"a", "b"} {
			store.set(secret)
			_, _ = c.Token(t.Context(), Request{})
			time.Sleep(29 * time.Second)
			_, _ = c.Token(t.Context(), Request{})
			time.Sleep(4 * time.Second)
		}
		wantCount(t, &endpoint.fakeEndpoint, 2)
	})
}

// TestChangedSecretWithKeepWarm: the renewal that was refused is tried with the new
// secret soon, without a call, and what is not repaired is no hot loop.
func TestChangedSecretWithKeepWarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, store := newApp("old"), &vault{secret: "old"}
		c := sourceWithSecrets(t, endpoint, store.read, nil, KeepWarm())
		value(t, c)
		endpoint.accept("new")
		time.Sleep(855 * time.Second)
		requests, reads := endpoint.count(), store.count()
		if requests < 2 {
			t.Fatalf("got %d requests, want a renewal that failed", requests)
		}
		time.Sleep(10 * time.Second)
		if got := store.count() - reads; got < 4 || got > 11 {
			t.Errorf("the secret was read %d times in 10 s, want once in 1 or 2 s", got)
		}
		if got := c.Stats(); got.SuppressedBackoff != 0 || got.SuppressedIdle != 0 {
			t.Errorf("got %+v, want no call that got nothing", got)
		}
		if got := endpoint.count(); got > requests+1 { // the pause may have ended by itself
			t.Errorf("got %d requests in 10 s, want 1 at most", got-requests)
		}
		requests = endpoint.count()
		store.set("new")
		time.Sleep(3 * lookGap)
		wantCount(t, &endpoint.fakeEndpoint, requests+1)
		if got := value(t, c); got != opaque(requests) {
			t.Errorf("got %q, want token %d", got, requests)
		}
	})
}

// TestChangedSecretStartsThePausesAnew: the refusal of a new secret is its first.
func TestChangedSecretStartsThePausesAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, store := newApp(), &vault{secret: "a"}
		c := sourceWithSecrets(t, endpoint, store.read, nil)
		for range 4 {
			_, _ = c.Token(t.Context(), Request{})
			time.Sleep(6 * time.Minute)
		}
		_, _ = c.Token(t.Context(), Request{})
		time.Sleep(lookGap)
		store.set("b")
		_, _ = c.Token(t.Context(), Request{})
		wantCount(t, &endpoint.fakeEndpoint, 6)
		time.Sleep(33 * time.Second)
		_, _ = c.Token(t.Context(), Request{})
		wantCount(t, &endpoint.fakeEndpoint, 7)
	})
}

// TestDeniedCallsAreCountedOnce, also those that looked for a changed secret.
func TestDeniedCallsAreCountedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := sourceWithSecrets(t, newApp(), (&vault{secret: "a"}).read, nil)
		_, _ = c.Token(t.Context(), Request{})
		for n := range uint64(5) {
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonRefused, codes.Unauthenticated)
			if got := c.Stats().SuppressedBackoff; got != n+1 {
				t.Errorf("got %d, want %d", got, n+1)
			}
			time.Sleep(lookGap)
		}
		if got := c.Stats().Sets[0].State; got != "DENIED" {
			t.Errorf("state: got %s, want DENIED", got)
		}
	})
}
