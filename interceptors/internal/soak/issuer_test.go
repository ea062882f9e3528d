// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package soak_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"sync"

	"github.com/scopeauth/scopeauth/interceptors/internal/soak/model"
)

// signingKey is an RSA key and its name in the model.
type signingKey struct {
	name    string
	private *rsa.PrivateKey
}

// keyNames are the keys of a run: one for each issuer that stays, and some that key ids
// take turns with, since making a key takes longer than anything else here.
var keyNames = []string{"stable 0", "stable 1", "turning 0", "turning 1", "turning 2"}

var signingKeys = sync.OnceValues(func() (map[string]*signingKey, error) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		keys = make(map[string]*signingKey)
		last error
	)
	for _, name := range keyNames {
		wg.Go(func() {
			private, err := rsa.GenerateKey(rand.Reader, 2048)
			mu.Lock()
			defer mu.Unlock()
			keys[name] = &signingKey{name, private}
			if err != nil {
				last = err
			}
		})
	}
	wg.Wait()
	return keys, last
})

// entry is a key as a key set publishes it.
func (k *signingKey) entry(kid string) map[string]string {
	encode := base64.RawURLEncoding.EncodeToString
	return map[string]string{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
		"n": encode(k.private.N.Bytes()), "e": encode(big.NewInt(int64(k.private.E)).Bytes()),
	}
}

// heldKey is a key under its id.
type heldKey struct {
	kid string
	key *signingKey
}

const (
	stableKID = "stable" // the same in both issuers, with different keys
	reusedKID = "reused" // its key is replaced now and then
)

// issuer is where tokens come from, and its keys as of now. Servers know of a change when
// they fetch the next time.
type issuer struct {
	index  int
	url    string
	keys   map[string]*signingKey
	stable heldKey
	live   int // how many turning keys are published

	mu      sync.Mutex
	turning []heldKey // published, the oldest first
	removed []heldKey // the last few
	signing heldKey
	reused  heldKey
	turn    int
}

func newIssuer(index, live int, keys map[string]*signingKey) *issuer {
	i := &issuer{
		index:  index,
		url:    fmt.Sprintf("https://issuer-%d.soak.test/pool", index),
		keys:   keys,
		live:   live,
		stable: heldKey{stableKID, keys["stable "+strconv.Itoa(index)]},
	}
	i.replace()
	i.add()
	i.switchOver()
	return i
}

func (i *issuer) turningKey(n int) *signingKey {
	return i.keys["turning "+strconv.Itoa((n+i.index)%3)]
}

// add publishes a new key, which signs nothing yet.
func (i *issuer) add() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.turn++
	i.turning = append(i.turning, heldKey{fmt.Sprintf("turn-%d-%d", i.index, i.turn), i.turningKey(i.turn)})
}

// switchOver signs with the newest key from now on.
func (i *issuer) switchOver() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.signing = i.turning[len(i.turning)-1]
}

// remove takes the oldest key back, if enough are published.
func (i *issuer) remove() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.turning) <= i.live {
		return false
	}
	i.removed = append(i.removed, i.turning[0])
	i.turning = i.turning[1:]
	if len(i.removed) > i.live {
		i.removed = i.removed[1:]
	}
	return true
}

// replace publishes another key under an id that stays.
func (i *issuer) replace() {
	i.mu.Lock()
	defer i.mu.Unlock()
	next := i.turningKey(0)
	if i.reused.key == next {
		next = i.turningKey(1)
	}
	i.reused = heldKey{reusedKID, next}
}

// pick returns a key that signs, has signed or will sign.
func (i *issuer) pick(rng *mathrand.Rand) heldKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := slices.Concat(i.removed, i.turning, []heldKey{i.signing, i.signing, i.signing})
	return all[rng.IntN(len(all))]
}

// document returns the key set as of now, with one more key of the id marker, by which
// the document can be told from all others.
func (i *issuer) document(marker string) ([]byte, model.Keys, error) {
	i.mu.Lock()
	held := append(slices.Clone(i.turning), i.stable, i.reused, heldKey{marker, i.stable.key})
	i.mu.Unlock()
	keys := make(model.Keys)
	var entries []map[string]string
	for _, h := range held {
		keys[h.kid] = h.key.name
		entries = append(entries, h.key.entry(h.kid))
	}
	doc, err := json.Marshal(map[string]any{"keys": entries})
	return doc, keys, err
}
