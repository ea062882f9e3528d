// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
)

// keyBits is the size of Cognito's keys (developer guide, "Verifying JSON web tokens").
const keyBits = 2048

// KeyPair is the two RSA-2048 keys of a user pool: Cognito signs access tokens
// with one and ID tokens with the other. Nothing in the JWKS tells which is which.
type KeyPair struct {
	AccessToken *rsa.PrivateKey
	IDToken     *rsa.PrivateKey
}

// GenerateKeys makes a pair of keys. It takes some tenths of a second; a test
// binary does it once and gives the pair to [WithKeys].
func GenerateKeys() (KeyPair, error) {
	access, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return KeyPair{}, fmt.Errorf("cognitotest: access token key: %w", err)
	}
	id, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return KeyPair{}, fmt.Errorf("cognitotest: ID token key: %w", err)
	}
	return KeyPair{AccessToken: access, IDToken: id}, nil
}

func (k KeyPair) isZero() bool { return k.AccessToken == nil && k.IDToken == nil }

// problem says what is wrong with the pair, or nothing.
func (k KeyPair) problem() string {
	if k.AccessToken == nil || k.IDToken == nil {
		return "a key pair needs both keys, AccessToken and IDToken; make one with GenerateKeys"
	}
	if a, i := k.AccessToken.N.BitLen(), k.IDToken.N.BitLen(); a != keyBits || i != keyBits {
		return fmt.Sprintf("signing keys have %d bits as Cognito's do, got %d and %d", keyBits, a, i)
	}
	if k.AccessToken.Equal(k.IDToken) {
		return "the keys of a pair are two keys, got the same one twice"
	}
	return ""
}

// signingKey is a key with the id under which it is published.
type signingKey struct {
	id  string
	key *rsa.PrivateKey
}

func newSigningKey(poolID string, key *rsa.PrivateKey) signingKey {
	return signingKey{id: keyID(poolID, key), key: key}
}

// sign returns the RS256 signature (RFC 7518, section 3.3) of data.
func (k signingKey) sign(data []byte) ([]byte, error) {
	digest := sha256.Sum256(data)
	return rsa.SignPKCS1v15(nil, k.key, crypto.SHA256, digest[:])
}

// keyID derives a key id of Cognito's shape: standard base64 of 32 bytes. Real
// ones often contain + and /; these always contain one of them, so that code
// which treats a key id as URL-safe fails at once.
func keyID(poolID string, key *rsa.PrivateKey) string {
	for n := uint32(0); ; n++ {
		h := sha256.New()
		h.Write([]byte(poolID))
		h.Write(binary.BigEndian.AppendUint32(nil, n))
		h.Write(key.N.Bytes())
		id := base64.StdEncoding.EncodeToString(h.Sum(nil))
		if strings.ContainsAny(id, "+/") {
			return id
		}
	}
}

// keyPair is a published pair.
type keyPair struct{ access, id signingKey }

// keyRing holds a pool's pairs, newest first. The first pair signs. It is safe
// for concurrent use; pairs are never changed once they are in. Who only reads
// never waits, unless there are no keys yet: then one makes them for all.
type keyRing struct {
	pool   *UserPool
	making sync.Mutex // held while keys are made, before the store's mutexes
	pairs  atomic.Pointer[[]keyPair]
	before atomic.Pointer[[]keyPair] // the last change, for a fault; not kept in a state
}

// stale returns the pairs as they were before the last change of them.
func (r *keyRing) stale() ([]keyPair, error) {
	if pairs := r.before.Load(); pairs != nil {
		return *pairs, nil
	}
	return r.all()
}

// all returns the pairs, newest first, and makes the first pair if there is none.
func (r *keyRing) all() ([]keyPair, error) {
	if pairs := r.pairs.Load(); pairs != nil {
		return *pairs, nil
	}
	r.making.Lock()
	defer r.making.Unlock()
	return r.made()
}

// made is all for who holds the mutex.
func (r *keyRing) made() ([]keyPair, error) {
	if pairs := r.pairs.Load(); pairs != nil {
		return *pairs, nil
	}
	if r.pool.gone() {
		return nil, r.pool.goneError()
	}
	pair, err := GenerateKeys()
	if err != nil {
		return nil, err
	}
	if err := r.replace(keyPairs{pair}); err != nil {
		return nil, err
	}
	if pairs := r.pairs.Load(); pairs != nil {
		return *pairs, nil
	}
	return nil, r.pool.goneError() // deleted just now
}

// replace makes the change of all keys. It needs the mutex.
func (r *keyRing) replace(pairs keyPairs) error {
	return r.pool.server.store.commit(func() (change, error) {
		if r.pool.gone() {
			return change{}, r.pool.goneError()
		}
		return change{Pool: r.pool.id, Keys: pairs}, nil
	})
}

func (r *keyRing) current() (keyPair, error) {
	pairs, err := r.all()
	if err != nil {
		return keyPair{}, err
	}
	return pairs[0], nil
}

// rotate puts pair in front and keeps so many of the earlier ones.
func (r *keyRing) rotate(pair KeyPair, keep int) error {
	r.making.Lock()
	defer r.making.Unlock()
	old, err := r.made() // a pool that never signed still has keys to rotate away from
	if err != nil {
		return err
	}
	next := r.named(pair)
	for _, p := range old {
		if p.access.id == next.access.id || p.id.id == next.id.id || p.access.id == next.id.id || p.id.id == next.access.id {
			return failf("rotation to a key that the pool already has; give a new pair")
		}
	}
	kept := old[:min(max(keep, 0), len(old))] // not what there is now: the pool may have been deleted meanwhile
	return r.replace(append(keyPairs{pair}, given(kept)...))
}

func (r *keyRing) dropOld() error {
	r.making.Lock()
	defer r.making.Unlock()
	own := r.own()
	if len(own) < 2 {
		return nil
	}
	return r.replace(own[:1])
}

// set is for the store. No pairs: they are made when they are needed.
func (r *keyRing) set(own keyPairs) {
	if len(own) == 0 {
		r.pairs.Store(nil)
		return
	}
	pairs := make([]keyPair, len(own))
	for i, pair := range own {
		pairs[i] = r.named(pair)
	}
	r.before.Store(r.pairs.Swap(&pairs))
}

// own returns the pairs that there are now, as they are given from outside.
func (r *keyRing) own() keyPairs {
	pairs := r.pairs.Load()
	if pairs == nil {
		return nil
	}
	return given(*pairs)
}

func given(pairs []keyPair) keyPairs {
	own := make(keyPairs, len(pairs))
	for i, p := range pairs {
		own[i] = KeyPair{AccessToken: p.access.key, IDToken: p.id.key}
	}
	return own
}

func (r *keyRing) named(pair KeyPair) keyPair {
	return keyPair{access: newSigningKey(r.pool.id, pair.AccessToken), id: newSigningKey(r.pool.id, pair.IDToken)}
}

// webKey is one key of a JWKS, members in Cognito's order (alphabetical).
type webKey struct {
	Alg string `json:"alg"`
	E   string `json:"e"`
	Kid string `json:"kid"`
	Kty string `json:"kty"`
	N   string `json:"n"`
	Use string `json:"use"`
}

type webKeySet struct {
	Keys []webKey `json:"keys"`
}

// webKeys lists each pair's ID token key first: the access token key is the
// second of the set, so that "take the first key" fails.
func webKeys(pairs []keyPair) webKeySet {
	set := webKeySet{Keys: make([]webKey, 0, 2*len(pairs))}
	for _, p := range pairs {
		set.Keys = append(set.Keys, p.id.webKey(), p.access.webKey())
	}
	return set
}

func (k signingKey) webKey() webKey {
	return webKey{
		Alg: "RS256",
		E:   base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.key.E)).Bytes()),
		Kid: k.id,
		Kty: "RSA",
		N:   base64.RawURLEncoding.EncodeToString(k.key.N.Bytes()),
		Use: "sig",
	}
}
