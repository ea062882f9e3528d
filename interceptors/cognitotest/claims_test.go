// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"crypto/rsa"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

var headerPattern = regexp.MustCompile(`^\{"kid":"([A-Za-z0-9+/]{43}=)","alg":"RS256"\}$`)

var jtiPattern = regexp.MustCompile(`"jti":"([^"]*)"`)

func TestTokenIsAsCognitoWritesIt(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener(), fixedClock())
	token := getToken(t, s, "demo/read.file")
	header, payload := parts(t, token)

	t.Run("23 header", func(t *testing.T) {
		t.Parallel()
		m := headerPattern.FindStringSubmatch(header)
		if m == nil {
			t.Fatalf("got %s, want kid of 44 characters and alg, in this order", header)
		}
		if !strings.ContainsAny(m[1], "+/") {
			t.Errorf("kid: got %s, want + or / in it", m[1])
		}
	})
	t.Run("24 payload", func(t *testing.T) {
		t.Parallel()
		if m := jtiPattern.FindStringSubmatch(payload); m == nil || !uuidPattern.MatchString(m[1]) {
			t.Errorf("jti: got %v, want a UUID", m)
		}
		const want = `{"sub":"6fn8h3u2vd0c1m7k5s9q4t2b0e","token_use":"access","scope":"demo/read.file","auth_time":1795348800,` +
			`"iss":"https://cognito.invalid/eu-central-1_Ab3dEf9hI","exp":1795352400,"iat":1795348800,"version":2,"jti":"<uuid>",` +
			`"client_id":"6fn8h3u2vd0c1m7k5s9q4t2b0e"}`
		if got := jtiPattern.ReplaceAllString(payload, `"jti":"<uuid>"`); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	t.Run("25 key", func(t *testing.T) {
		t.Parallel()
		ids, keys := fetchKeys(t, s, s.JWKSURL())
		if len(ids) != 2 || !strings.Contains(header, `"`+ids[1]+`"`) {
			t.Fatalf("got keys %v and header %s, want two keys and the second one's id", ids, header)
		}
		if err := verify(t, token, keys); err != nil {
			t.Errorf("signature: %v", err)
		}
		if err := verifyWith(t, token, keys[ids[0]]); err == nil {
			t.Error("signature: the first key of the set fits, want the second only")
		}
		for id, k := range keys {
			if k.N.BitLen() != 2048 || k.E != 65537 {
				t.Errorf("key %s: got %d bits, exponent %d, want 2048 and 65537", id, k.N.BitLen(), k.E)
			}
		}
	})
}

func TestEachTokenHasItsOwnID(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener(), fixedClock())
	one, two := getToken(t, s, ""), getToken(t, s, "")
	if one == two {
		t.Error("two requests: got the same token twice")
	}
}

func TestRow32Lifetime(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		client time.Duration
		opts   []Option
		body   string
		exp    string
	}{
		"default":                  {0, nil, `"expires_in":3600,`, `"exp":1795352400,`},
		"client, shortest":         {5 * time.Minute, nil, `"expires_in":300,`, `"exp":1795349100,`},
		"client, longest":          {24 * time.Hour, nil, `"expires_in":86400,`, `"exp":1795435200,`},
		"below Cognito's shortest": {time.Hour, []Option{WithTokenLifetime(time.Second)}, `"expires_in":1,`, `"exp":1795348801,`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := testPool()
			p.Clients[0].AccessTokenValidity = tc.client
			s := newServer(t, append(tc.opts, WithPool(p), WithoutListener(), fixedClock())...)
			_, body := exchange(t, s.Transport(), "POST", s.TokenURL(), cc, basic())
			if !strings.Contains(body, tc.body) {
				t.Errorf("body: got %s, want %s", jwtPattern.ReplaceAllString(body, ""), tc.body)
			}
			if _, payload := parts(t, strings.Trim(jwtPattern.FindString(body), `"`)); !strings.Contains(payload, tc.exp) {
				t.Errorf("payload: got %s, want %s", payload, tc.exp)
			}
		})
	}
}

func TestRow30Rotation(t *testing.T) {
	t.Parallel()
	pairs := testKeys()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	p := s.Pool("s2s-test")
	first := getToken(t, s, "")

	if err := p.RotateKeysTo(pairs[1], 1); err != nil {
		t.Fatal(err)
	}
	second := getToken(t, s, "")
	check := func(when string, wantKeys int, good []string, bad []string) {
		t.Helper()
		ids, keys := fetchKeys(t, s, s.JWKSURL())
		if len(ids) != wantKeys {
			t.Errorf("%s: got %d keys, want %d", when, len(ids), wantKeys)
		}
		for _, token := range good {
			if err := verify(t, token, keys); err != nil {
				t.Errorf("%s: a token that must verify: %v", when, err)
			}
		}
		for _, token := range bad {
			if err := verify(t, token, keys); err == nil {
				t.Errorf("%s: a token of a dropped key verifies", when)
			}
		}
		header, _ := parts(t, getToken(t, s, ""))
		if !strings.Contains(header, `"`+ids[1]+`"`) {
			t.Errorf("%s: new tokens are signed by %s, want the second key, %s", when, header, ids[1])
		}
	}
	check("overlap of one", 4, []string{first, second}, nil)

	if err := p.RotateKeysTo(pairs[2], 1); err != nil {
		t.Fatal(err)
	}
	third := getToken(t, s, "")
	check("second rotation", 4, []string{second, third}, []string{first})

	if err := p.DropOldKeys(); err != nil {
		t.Fatal(err)
	}
	check("old keys dropped", 2, []string{third}, []string{first, second})

	if err := p.RotateKeysTo(pairs[0], 0); err != nil {
		t.Fatal(err)
	}
	check("no overlap", 2, []string{first}, []string{second, third}) // the first pair is back

	if err := p.RotateKeysTo(pairs[0], 1); err == nil {
		t.Error("rotation to the present pair: got no error")
	}
	if err := p.RotateKeysTo(KeyPair{}, 1); err == nil {
		t.Error("rotation to no keys: got no error")
	}
}

func TestKeysAreMadeWhenNeeded(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithoutListener())
	p := s.Pool("s2s-test")
	if p.keys.pairs.Load() != nil {
		t.Error("keys are there before they are needed")
	}
	token := getToken(t, s, "")
	if err := p.RotateKeys(1); err != nil {
		t.Fatal(err)
	}
	ids, keys := fetchKeys(t, s, s.JWKSURL())
	if len(ids) != 4 {
		t.Errorf("after rotation: got %d keys, want 4", len(ids))
	}
	if err := verify(t, token, keys); err != nil {
		t.Error(err)
	}
}

func TestKeyIDs(t *testing.T) {
	t.Parallel()
	key := testKeys()[0].AccessToken
	seen := make(map[string]bool)
	for _, pool := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		id := keyID(pool, key)
		if len(id) != 44 || !strings.HasSuffix(id, "=") || !strings.ContainsAny(id, "+/") {
			t.Errorf("got %q, want 44 characters of base64 with + or / and = at the end", id)
		}
		if seen[id] || id != keyID(pool, key) {
			t.Errorf("pool %s: the id must depend on key and pool alone", pool)
		}
		seen[id] = true
	}
}

func TestKeyPairIsChecked(t *testing.T) {
	t.Parallel()
	good := testKeys()[0]
	small := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: good.AccessToken.Primes[0], E: 65537}}
	for name, pair := range map[string]KeyPair{
		"no ID token key":     {AccessToken: good.AccessToken},
		"no access token key": {IDToken: good.IDToken},
		"the same twice":      {AccessToken: good.AccessToken, IDToken: good.AccessToken},
		"small":               {AccessToken: good.AccessToken, IDToken: small},
	} {
		if pair.problem() == "" {
			t.Errorf("%s: got no problem", name)
		}
		p := testPool()
		p.Keys = pair
		for how, opts := range map[string][]Option{
			"WithPool": {WithPool(p)},
			"WithKeys": {WithKeys(pair)},
		} {
			if _, err := NewServer(append(opts, WithoutListener())...); err == nil {
				t.Errorf("%s, %s: got no error", name, how)
			}
		}
	}
}

// A pool that is deleted while its keys are rotated is gone, and that is all.
func TestRotationOfAPoolThatIsBeingDeleted(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	pairs := testKeys()
	for i := range 60 {
		pool := Pool{Name: "short-lived", Keys: pairs[0]}.completed(DropScopes, 0)
		if err := s.store.commit(func() (change, error) { return pool.change(testNow), nil }); err != nil {
			t.Fatal(err)
		}
		p := s.Pool(pool.ID)
		rotations := make(chan struct{})
		var rotating sync.WaitGroup
		rotating.Go(func() {
			defer close(rotations)
			for n := 1; p.RotateKeysTo(pairs[n%3], 1) == nil; n++ {
				select {
				case rotations <- struct{}{}:
				default:
				}
			}
		})
		for range i % 7 {
			<-rotations
		}
		if err := p.commit(func() (change, error) { return change{Delete: true}, nil }); err != nil {
			t.Error(err)
		}
		rotating.Wait()
	}
}
