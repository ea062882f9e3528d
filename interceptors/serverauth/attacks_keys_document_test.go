// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// keysDocument is a document of these entries.
func keysDocument(entries ...any) string {
	doc, err := json.Marshal(map[string]any{"keys": entries})
	if err != nil {
		panic(err)
	}
	return string(doc)
}

// entry is the entry of a key, with members replaced or taken away (by an empty value).
func entry(kid string, key *rsa.PublicKey, pairs ...string) map[string]string {
	members := jwk(kid, key)
	for i := 0; i < len(pairs); i += 2 {
		if members[pairs[i]] = pairs[i+1]; pairs[i+1] == "" {
			delete(members, pairs[i])
		}
	}
	return members
}

// D4 to D8 and D12: documents that are not taken. The keys stay as they were, and a
// token of a new key cannot be decided about, by our fault.
func TestD4ToD12RejectedDocuments(t *testing.T) {
	t.Parallel()
	bubbleKeys := testKeys()
	good := []any{entry(goodKeyID, &bubbleKeys[0].PublicKey), entry("new", &bubbleKeys[2].PublicKey)}
	all := keysDocument(good...)
	elsewhere := func(code int) roundTripper {
		return func(r *http.Request) (*http.Response, error) {
			if r.URL.Path != "/keys" {
				return keysAnswer(r, http.StatusOK, strings.NewReader(all))
			}
			return keysAnswer(r, code, strings.NewReader(all), "Location", "https://keys.test/elsewhere")
		}
	}
	body := func(doc string, fields ...string) roundTripper {
		return func(r *http.Request) (*http.Response, error) {
			return keysAnswer(r, http.StatusOK, strings.NewReader(doc), fields...)
		}
	}
	for name, fault := range map[string]roundTripper{
		"D4/too large": body(all + strings.Repeat(" ", 256<<10)),
		"D4/endless": func(r *http.Request) (*http.Response, error) {
			return keysAnswer(r, http.StatusOK, io.MultiReader(strings.NewReader(all), spaces{}))
		},
		"D4/compressed":        body("\x1f\x8b", "Content-Encoding", "gzip"),
		"D5/301":               elsewhere(http.StatusMovedPermanently),
		"D5/302":               elsewhere(http.StatusFound),
		"D5/307":               elsewhere(http.StatusTemporaryRedirect),
		"D6/HTML":              body("<html>sign in</html>"),
		"D6/empty":             body(""),
		"D6/truncated":         body(all[:len(all)/2]),
		"D6/trailing bytes":    body(all + "x"),
		"D6/second document":   body(all + all),
		"D6/duplicate keys":    body(`{"keys":[],` + all[1:]),
		"D6/byte order mark":   body("\ufeff" + all),
		"D7/no key":            body(keysDocument()),
		"D7/null":              body(`{"keys":null}`),
		"D7/none usable":       body(keysDocument(entry("new", &bubbleKeys[2].PublicKey, "use", "enc"))),
		"D8/two of one kid":    body(keysDocument(append(good, entry("new", &bubbleKeys[0].PublicKey))...)),
		"D12/symmetric key":    body(keysDocument(append(good, map[string]string{"kty": "oct", "kid": "s", "k": "AAAA"})...)),
		"D12/private exponent": body(keysDocument(append(good, entry("x", &bubbleKeys[1].PublicKey, "d", "AQAB"))...)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				var rejected atomic.Int64
				e := newKeysEndpoint()
				s := e.setup()
				s.verifier = append(s.verifier, serverauth.OnKeysRejected(func(string, error) { rejected.Add(1) }))
				l := keysLab{newLab(t, s), e}
				e.now(fault)
				l.unavailable(t, "a token of a new key", e.newToken(), 1)
				l.unavailable(t, "another", sign(e.stranger, b64(newHeader)+"."+b64(with("jti", `"2"`))), 0) // back-off
				l.passes(t, "a token of a key from before", e.good(), 0)
				synctest.Wait() // who waits for a key is told of a failure before the hook is
				stats := l.verifier.Stats().Issuers[0]
				if want := !strings.HasPrefix(name, "D5"); (rejected.Load() == 1) != want || (stats.Rejected == 1) != want || stats.Failures != 1 {
					t.Errorf("%d calls of OnKeysRejected, %+v", rejected.Load(), stats)
				}
				e.well()
				e.publishNew()
				time.Sleep(10 * time.Second) // back-off
				l.passes(t, "a token of the new key, with a good document", e.newToken(), 0)
			})
		})
	}
}

// spaces is a body without an end.
type spaces struct{}

func (spaces) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte(" "), len(b))), nil }

// D9 to D11: entries that are of no use. Those beside them serve, and a token that
// names them is refused for good: the document was taken.
func TestD9ToD11UnusableEntries(t *testing.T) {
	t.Parallel()
	stranger := &testKeys()[2].PublicKey
	even := new(big.Int).Lsh(stranger.N, 1)
	for name, unusable := range map[string]map[string]string{
		"D9/unknown kty":        {"kty": "AKP", "kid": "new", "pub": "AAAA"},
		"D9/unknown curve":      {"kty": "EC", "kid": "new", "crv": "P-999", "x": "AAAA", "y": "AAAA"},
		"D9/unknown alg":        entry("new", stranger, "alg", "RS999"),
		"D10/1024 bits":         entry("new", &rsa.PublicKey{N: new(big.Int).Rsh(stranger.N, 1024)}),
		"D10/2047 bits":         entry("new", &rsa.PublicKey{N: new(big.Int).Rsh(stranger.N, 1)}),
		"D10/8193 bits":         entry("new", &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 8192)}),
		"D10/even":              entry("new", &rsa.PublicKey{N: even}),
		"D10/e is 1":            entry("new", stranger, "e", "AQ"),
		"D10/e is even":         entry("new", stranger, "e", "AQAA"),
		"D10/e is too large":    entry("new", stranger, "e", "AQAAAAE"),
		"D11/for encryption":    entry("new", stranger, "use", "enc"),
		"D11/RSA-OAEP":          entry("new", stranger, "alg", "RSA-OAEP"),
		"D11/of another digest": entry("new", stranger, "alg", "RS512"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				e := newKeysEndpoint()
				l := newKeysLab(t, e)
				doc := keysDocument(entry(otherKeyID, &e.id.PublicKey), unusable, entry(goodKeyID, &e.access.PublicKey))
				e.document.Store(&doc)
				l.refuses(t, "a token of the entry", e.newToken(), serverauth.ReasonKeyNotFound, 1)
				l.passes(t, "a token of a key beside it", e.good(), 0)
				if s := l.verifier.Stats().Issuers[0]; s.IgnoredKeys != 1 || s.Failures != 0 || len(s.KeyIDs) != 2 {
					t.Errorf("%d ignored, %d failures, keys %q, want one, none and two", s.IgnoredKeys, s.Failures, s.KeyIDs)
				}
			})
		})
	}
}
