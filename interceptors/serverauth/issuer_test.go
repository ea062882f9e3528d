// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An issuer of tokens made of nothing but the standard library, so that it shares
// no mistake with the code under test.

const (
	poolID      = "eu-central-1_TestPool1"
	issuerURL   = "https://cognito-idp.eu-central-1.amazonaws.com/" + poolID
	clientID    = "1example23456789abcdefghij"
	goodKeyID   = "c2lnbmluZyBrZXkgb2YgYWNjZXNzIHRva2Vucy4uLi4="
	otherKeyID  = "c2lnbmluZyBrZXkgb2YgSUQgdG9rZW5zLi4uLi4uLi4="
	tokenIssued = 1_790_000_000 // the fixed clock of these tests, a time of 2026
)

var testKeys = sync.OnceValue(func() [3]*rsa.PrivateKey {
	var keys [3]*rsa.PrivateKey
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

// testIssuer serves two keys as a user pool does and counts how often it is asked.
type testIssuer struct {
	access, id, stranger *rsa.PrivateKey
	server               *httptest.Server
	fetches              atomic.Int64
	down                 atomic.Bool
	document             atomic.Pointer[string] // served instead of the two keys, if not nil
}

func newTestIssuer(t testing.TB) *testIssuer {
	t.Helper()
	i := newMemoryIssuer()
	i.server = httptest.NewTLSServer(http.HandlerFunc(i.serveKeys))
	t.Cleanup(i.server.Close)
	return i
}

// newMemoryIssuer has no server: its keys are served by a transport in memory.
func newMemoryIssuer() *testIssuer {
	keys := testKeys()
	return &testIssuer{access: keys[0], id: keys[1], stranger: keys[2]}
}

// publish makes the issuer serve other keys, as pairs of key id and key.
func (i *testIssuer) publish(entries ...any) {
	list := []any{}
	for n := 0; n < len(entries); n += 2 {
		kid, _ := entries[n].(string)
		key, _ := entries[n+1].(*rsa.PrivateKey)
		list = append(list, jwk(kid, &key.PublicKey))
	}
	doc, err := json.Marshal(map[string]any{"keys": list})
	if err != nil {
		panic(err)
	}
	text := string(doc)
	i.document.Store(&text)
}

// RoundTrip implements http.RoundTripper: a client of the keys without a network.
func (i *testIssuer) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	i.serveKeys(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func (i *testIssuer) serveKeys(w http.ResponseWriter, _ *http.Request) {
	i.fetches.Add(1)
	if i.down.Load() {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	if doc := i.document.Load(); doc != nil {
		_, _ = io.WriteString(w, *doc)
		return
	}
	doc, err := json.Marshal(map[string]any{"keys": []any{jwk(otherKeyID, &i.id.PublicKey), jwk(goodKeyID, &i.access.PublicKey)}})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(doc)
}

func jwk(kid string, key *rsa.PublicKey) map[string]string {
	return map[string]string{
		"alg": "RS256", "kty": "RSA", "use": "sig", "kid": kid,
		"e": "AQAB", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
	}
}

// goodClaims are the claims of a Cognito M2M token, in its order.
const goodClaims = `{"sub":"1example23456789abcdefghij","token_use":"access","scope":"demo/read.file","auth_time":1790000000,` +
	`"iss":"https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_TestPool1","exp":1790003600,"iat":1790000000,` +
	`"version":2,"jti":"8dcf56f9-0000-4000-8000-000000000000","client_id":"1example23456789abcdefghij"}`

// with returns goodClaims with members replaced or added (as raw JSON) or, if the
// value is empty, taken away.
func with(pairs ...string) string {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(goodClaims), &members); err != nil {
		panic(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			delete(members, pairs[i])
			continue
		}
		members[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	var b strings.Builder
	for n, name := range slices.Sorted(maps.Keys(members)) {
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", name, members[name])
	}
	return "{" + b.String() + "}"
}

const goodHeader = `{"kid":"` + goodKeyID + `","alg":"RS256"}`

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// token signs header and payload, whatever they are, with the pool's access key.
func (i *testIssuer) token(header, payload string) string {
	return sign(i.access, b64(header)+"."+b64(payload))
}

func (i *testIssuer) good() string { return i.token(goodHeader, goodClaims) }

func sign(key *rsa.PrivateKey, signed string) string {
	return signHash(key, signed, crypto.SHA256)
}

func signHash(key *rsa.PrivateKey, signed string, hash crypto.Hash) string {
	h := hash.New()
	_, _ = io.WriteString(h, signed)
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, hash, h.Sum(nil))
	if err != nil {
		panic(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func signPSS(key *rsa.PrivateKey, signed string) string {
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], nil)
	if err != nil {
		panic(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func signHMAC(secret []byte, signed string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func publicPEM(key *rsa.PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(key)})
}

func publicDER(key *rsa.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err)
	}
	return der
}

func testNow() time.Time { return time.Unix(tokenIssued+60, 0) }

// frame is a gRPC message on the wire.
func frame(message []byte) []byte {
	out := make([]byte, 5, 5+len(message))
	binary.BigEndian.PutUint32(out[1:], uint32(len(message)))
	return append(out, message...)
}
