// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// TestSecretFileReplacedDuringARun: the next fetch uses the new secret. What is not a
// secret in between keeps the old one.
func TestSecretFileReplacedDuringARun(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(p secretPath, read func()){
		"written in its place":    func(p secretPath, _ func()) { p.write("new-secret\n") },
		"half-written":            func(p secretPath, read func()) { p.write(""); read(); p.write("new-secret") },
		"space allocated":         func(p secretPath, read func()) { p.write("\x00\x00\x00"); read(); p.write("new-secret") },
		"missing":                 func(p secretPath, read func()) { p.remove(); read(); p.write("new-secret") },
		"a folder":                func(p secretPath, read func()) { p.remove(); p.folder(); read(); p.remove(); p.write("new-secret") },
		"another renamed over it": func(p secretPath, _ func()) { p.replace("new-secret\n") },
		"a link to another":       func(p secretPath, _ func()) { p.remove(); p.link(newSecretPath(p.t, "new-secret").path) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				endpoint, p := newApp("old-secret"), newSecretPath(t, "old-secret")
				secret := SecretFromFile(p.path)
				c := sourceWithSecrets(t, endpoint, secret, nil)
				value(t, c)
				ctx, _ := warnings(t)
				replace(p, func() { wantSecret(ctx, t, secret, "old-secret") })
				endpoint.accept("new-secret")
				wantRenewed(t, c, endpoint)
			})
		})
	}
	t.Run("by symlink swap", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			endpoint, m := newApp("old-secret"), newMounted(t, "old-secret")
			c := sourceWithSecrets(t, endpoint, SecretFromFile(m.path()), nil)
			value(t, c)
			m.swap("..2027_02", "new-secret")
			endpoint.accept("new-secret")
			wantRenewed(t, c, endpoint)
		})
	})
}

// replace renames a new file over it.
func (p secretPath) replace(content string) {
	p.t.Helper()
	next := secretPath{p.t, p.path + ".next"}
	next.write(content)
	if err := os.Rename(next.path, p.path); err != nil {
		p.t.Fatal(err)
	}
}

// wantRenewed waits until the first token, of 1000 s, is stale and wants another from
// one request.
func wantRenewed(t *testing.T, c *ClientCredentials, endpoint *app) {
	t.Helper()
	time.Sleep(900 * time.Second)
	if got := value(t, c); got != opaque(0) {
		t.Errorf("got %q, want the token that is held", got)
	}
	wantCount(t, &endpoint.fakeEndpoint, 2)
	if got := value(t, c); got != opaque(1) {
		t.Errorf("got %q, want the token of the new secret", got)
	}
}

// TestSecretFileRepairedWhileDenied: DENIED is cleared by the first call that finds
// another content, and nothing but a changed content costs a request.
func TestSecretFileRepairedWhileDenied(t *testing.T) {
	t.Parallel()
	for name, repair := range map[string]func(p secretPath){
		"written in its place":    func(p secretPath) { p.write("right") },
		"another renamed over it": func(p secretPath) { p.replace("right\n") },
		"missing before":          func(p secretPath) { p.remove(); p.write("right") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				endpoint, p := newApp("right"), newSecretPath(t, "wrong")
				c := sourceWithSecrets(t, endpoint, SecretFromFile(p.path), nil)
				wantDenied(t, c, 5*time.Second)
				for _, same := range []func(){
					func() { p.write("wrong") }, func() { p.write("wrong\n") }, func() { p.replace("wrong") }, func() { p.write("") }, p.remove,
				} {
					same()
					wantDenied(t, c, 2*time.Second)
				}
				wantCount(t, &endpoint.fakeEndpoint, 1)
				repair(p)
				time.Sleep(lookGap)
				if got := value(t, c); got != opaque(1) {
					t.Errorf("got %q, want a token", got)
				}
				wantCount(t, &endpoint.fakeEndpoint, 2)
			})
		})
	}
	t.Run("by symlink swap", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			endpoint, m := newApp("right"), newMounted(t, "wrong")
			c := sourceWithSecrets(t, endpoint, SecretFromFile(m.path()), nil)
			wantDenied(t, c, 5*time.Second)
			m.swap("..2027_02", "right")
			time.Sleep(lookGap)
			value(t, c)
			wantCount(t, &endpoint.fakeEndpoint, 2)
		})
	})
	t.Run("first half of the secret read", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			endpoint, p := newApp("the-whole-secret"), newSecretPath(t, "the-whole")
			c := sourceWithSecrets(t, endpoint, SecretFromFile(p.path), nil)
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonRefused, codes.Unauthenticated)
			p.write("the-whole-secret")
			time.Sleep(lookGap)
			value(t, c)
		})
	})
}

// TestInvalidClientAtRefreshThenSecretChanged: the token is served all the time, and
// the renewal comes within 3 s of the repair, not after the pause of a refusal.
func TestInvalidClientAtRefreshThenSecretChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, p := newApp("old-secret"), newSecretPath(t, "old-secret")
		c := sourceWithSecrets(t, endpoint, SecretFromFile(p.path), nil)
		value(t, c)
		endpoint.accept("new-secret")
		time.Sleep(860 * time.Second)
		serve := func(d time.Duration) {
			t.Helper()
			for range d / (100 * time.Millisecond) {
				if got := value(t, c); got != opaque(0) {
					t.Fatalf("got %q, want the token that is held", got)
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		serve(20 * time.Second)
		value(t, c) // looks
		set, err := c.set(nil)
		if err != nil {
			t.Fatal(err)
		}
		if set.quietUntil.Load() <= int64(c.clock.mono()) {
			t.Error("the next call has to take the lock")
		}
		wantCount(t, &endpoint.fakeEndpoint, 2)
		synctest.Wait()
		p.write("new-secret")
		for range 3 * lookGap / (100 * time.Millisecond) {
			value(t, c)
			time.Sleep(100 * time.Millisecond)
		}
		wantCount(t, &endpoint.fakeEndpoint, 3)
		if got := value(t, c); got != opaque(2) {
			t.Errorf("got %q, want the new token", got)
		}
	})
}

// TestSecretRotatedAtTheServerFirst: the second configured secret is used, first from
// then on; without one the source recovers on the change of the file.
func TestSecretRotatedAtTheServerFirst(t *testing.T) {
	t.Parallel()
	t.Run("second secret", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			endpoint := newApp("old-secret")
			first, second := newSecretPath(t, "old-secret"), newSecretPath(t, "new-secret")
			c := sourceWithSecrets(t, endpoint, SecretFromFile(first.path), SecretFromFile(second.path))
			renewed := func(requests int) {
				t.Helper()
				before := endpoint.count()
				time.Sleep(1100 * time.Second) // the token has ended
				value(t, c)
				wantCount(t, &endpoint.fakeEndpoint, before+requests)
			}
			value(t, c)
			wantCount(t, &endpoint.fakeEndpoint, 1)
			endpoint.accept("new-secret")
			renewed(2)
			renewed(1) // the one that worked comes first
			// The new secret moves to the first place, and the second is emptied.
			first.write("new-secret")
			second.write("")
			renewed(1)
			// The next rotation begins: the second is tried first, until it fails.
			second.write("not-yet-known")
			renewed(2)
			renewed(1)
		})
	})
	t.Run("second secret comes while denied", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			endpoint, second := newApp("new-secret"), newSecretPath(t, "")
			c := sourceWithSecrets(t, endpoint, StaticSecret("old-secret"), SecretFromFile(second.path))
			wantDenied(t, c, 5*time.Second)
			second.write("new-secret")
			time.Sleep(lookGap)
			value(t, c)
			wantCount(t, &endpoint.fakeEndpoint, 3) // old, then old and new
		})
	})
	t.Run("change of the file", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			endpoint, p := newApp("old-secret"), newSecretPath(t, "old-secret")
			c := sourceWithSecrets(t, endpoint, SecretFromFile(p.path), nil)
			value(t, c)
			endpoint.accept("new-secret")
			time.Sleep(1100 * time.Second)
			wantDenied(t, c, 20*time.Second)
			p.write("new-secret")
			time.Sleep(lookGap)
			value(t, c)
			wantCount(t, &endpoint.fakeEndpoint, 3)
		})
	})
}

// TestInvalidClientAtStartThenSecretChanged: one request in 30 s, doubling, however
// many callers; the change of the secret ends it.
func TestInvalidClientAtStartThenSecretChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, store := newApp("right"), &vault{secret: "wrong"}
		c := sourceWithSecrets(t, endpoint, store.read, nil)
		wantReason(t, askForAnHour(t, c), ReasonRefused, codes.Unauthenticated)
		if got := endpoint.count(); got < 13 || got > 16 {
			t.Errorf("got %d requests in an hour, want 13 to 16", got)
		}
		before := endpoint.count()
		store.set("right")
		time.Sleep(lookGap)
		value(t, c)
		wantCount(t, &endpoint.fakeEndpoint, before+1)
	})
}
