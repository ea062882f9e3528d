// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

const testURL = "https://issuer.test/pool/.well-known/jwks.json"

// key returns an entry with the given kid. The material is odd, long enough and
// different for each number; nobody signs with it.
func key(kid string, number int64) string {
	n := new(big.Int).Lsh(big.NewInt(1), 2047)
	n.Add(n, big.NewInt(2*number+1))
	return fmt.Sprintf(`{"kty":"RSA","alg":"RS256","use":"sig","kid":%q,"e":"AQAB","n":%q}`,
		kid, base64.RawURLEncoding.EncodeToString(n.Bytes()))
}

func document(entries ...string) string {
	return `{"keys":[` + strings.Join(entries, ",") + `]}`
}

// endpoint is a key set endpoint in memory. It answers like the handler of the
// moment and remembers what it was asked, and when.
type endpoint struct {
	mu      sync.Mutex
	handler http.RoundTripper
	asked   []request
}

type request struct {
	at     time.Time
	header http.Header
}

type handlerFunc func(*http.Request) (*http.Response, error)

func (f handlerFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	e.asked = append(e.asked, request{time.Now(), r.Header.Clone()})
	handler := e.handler
	e.mu.Unlock()
	return handler.RoundTrip(r)
}

func (e *endpoint) set(h handlerFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.handler = h
}

func (e *endpoint) requests() []request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked
}

func (e *endpoint) count() int { return len(e.requests()) }

func (e *endpoint) client() *http.Client { return &http.Client{Transport: e} }

// serve answers 200 with the document. Each header is "Name: value".
func serve(doc string, headers ...string) handlerFunc {
	return status(http.StatusOK, doc, headers...)
}

func status(code int, doc string, headers ...string) handlerFunc {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{}
		for _, line := range headers {
			name, value, _ := strings.Cut(line, ": ")
			h.Add(name, value)
		}
		return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(doc)), Request: r}, nil
	}
}

// slow answers like h after a while, or fails when the request ends before.
func slow(d time.Duration, h handlerFunc) handlerFunc {
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return h(r)
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

// hang answers never.
var hang = slow(1000*time.Hour, nil)

var down = status(http.StatusServiceUnavailable, "")

// start returns a Set that has loaded the document, and its endpoint. It is closed
// when the test ends.
func start(t *testing.T, cfg Config, h handlerFunc) (*Set, *endpoint) {
	t.Helper()
	e := &endpoint{handler: h}
	cfg.URL, cfg.Client = testURL, e.client()
	s, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s, e
}

// sleep lets fake time pass, and then everybody finish what is due.
func sleep(d time.Duration) {
	time.Sleep(d)
	settle()
}
