// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"errors"
	"fmt"
	"slices"
)

// MaxKeySetBytes bounds a key set document. Cognito's have about a kilobyte.
const MaxKeySetBytes = 256 << 10

// ErrKeySet is the error that all errors of [ParseKeySet] wrap.
var ErrKeySet = errors.New("jose: key set refused")

// KeySet is what an accepted document holds.
type KeySet struct {
	// Keys are the usable keys in the order of the document, at least one; no two
	// have one kid.
	Keys []*Key
	// Ignored are the entries that are no key for RS256 signatures.
	Ignored []Ignored
}

// Ignored is an entry of a key set that is not used.
type Ignored struct {
	// KeyID is the entry's kid, empty if it has no usable one.
	KeyID string
	// Why says what is wrong with the entry. It holds nothing from the document.
	Why string
}

// secretMembers are the members of keys that must not be public: RFC 7518 6.2.2,
// 6.3.2 and 6.4, and priv of the AKP keys.
var secretMembers = [...]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// ParseKeySet reads a JWK Set (RFC 7517 5). The document is refused as a whole, with
// an error that wraps [ErrKeySet], if it is no strict JSON object, has no array
// "keys" of objects, shows secret key material, holds two usable keys of one kid,
// or holds no usable key at all. An entry is ignored, not refused, if it is of
// another type, for another use or algorithm, too weak, too large, or without a
// proper kid: a set may hold keys for others.
func ParseKeySet(doc []byte) (*KeySet, error) {
	if len(doc) > MaxKeySetBytes {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrKeySet, MaxKeySetBytes)
	}
	members, syntax := parseObject(string(doc))
	if syntax != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeySet, syntax)
	}
	raw, ok := find(members, "keys")
	if !ok {
		return nil, fmt.Errorf(`%w: there is no "keys"`, ErrKeySet)
	}
	entries, ok := elements(raw)
	if !ok {
		return nil, fmt.Errorf(`%w: "keys" is not an array`, ErrKeySet)
	}
	set := &KeySet{}
	for i, entry := range entries {
		if err := set.add(entry); err != nil {
			return nil, fmt.Errorf("%w: entry %d: %w", ErrKeySet, i, err)
		}
	}
	if len(set.Keys) == 0 {
		return nil, fmt.Errorf("%w: no usable key%s", ErrKeySet, set.firstIgnored())
	}
	return set, nil
}

// What refuses a whole document because of one entry.
var (
	errNotObject = errors.New("not an object")
	errSecret    = errors.New("secret key material is published; the issuer's keys must be replaced")
	errSameKID   = errors.New("a second usable key has the same kid")
)

func (s *KeySet) add(raw string) error {
	if raw[0] != '{' {
		return errNotObject
	}
	members, syntax := parseObject(raw)
	if syntax != nil {
		return syntax
	}
	if showsSecret(members) {
		return errSecret
	}
	id, why := entryID(members)
	if why == "" {
		why = unusable(members)
	}
	var k *Key
	if why == "" {
		var err error
		if k, why, err = newKey(id, stringMember(members, "n"), stringMember(members, "e")); err != nil {
			return err
		}
	}
	if why != "" {
		s.Ignored = append(s.Ignored, Ignored{id, why})
		return nil
	}
	if slices.ContainsFunc(s.Keys, func(other *Key) bool { return other.id == id }) {
		return errSameKID
	}
	s.Keys = append(s.Keys, k)
	return nil
}

func showsSecret(members []member) bool {
	if stringMember(members, "kty") == "oct" {
		return true
	}
	return slices.ContainsFunc(secretMembers[:], func(name string) bool {
		_, ok := find(members, name)
		return ok
	})
}

func entryID(members []member) (id, why string) {
	id, e := keyID(members)
	if e != nil {
		return "", e.detail
	}
	return id, ""
}

// unusable says why an entry is no RSA key for RS256 signatures, or nothing
// (RFC 7517 4.1 to 4.4). A member that restricts the use and has the wrong type
// restricts it, too.
func unusable(members []member) string {
	if stringMember(members, "kty") != "RSA" {
		return "kty is not RSA"
	}
	if _, ok := find(members, "use"); ok && stringMember(members, "use") != "sig" {
		return "use is not sig"
	}
	if _, ok := find(members, "alg"); ok && stringMember(members, "alg") != algRS256 {
		return "alg is not " + algRS256
	}
	if raw, ok := find(members, "key_ops"); ok && !permitsVerify(raw) {
		return "key_ops does not hold verify"
	}
	return ""
}

func permitsVerify(keyOps string) bool {
	ops, ok := elements(keyOps)
	found := false
	for _, raw := range ops {
		op, isString := unquote(raw)
		ok = ok && isString
		found = found || op == "verify"
	}
	return ok && found
}

// stringMember returns the member's value, empty if it is absent or not a string.
func stringMember(members []member, name string) string {
	raw, ok := find(members, name)
	if !ok {
		return ""
	}
	s, _ := unquote(raw)
	return s
}

func (s *KeySet) firstIgnored() string {
	if len(s.Ignored) == 0 {
		return ": the set is empty"
	}
	return fmt.Sprintf(" among %d entries; the first: %s", len(s.Ignored), s.Ignored[0].Why)
}
