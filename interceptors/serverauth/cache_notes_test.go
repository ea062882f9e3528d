// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// keysOf serves a document that the test can replace.
type keysOf struct{ document atomic.Pointer[string] }

// RoundTrip implements http.RoundTripper.
func (k *keysOf) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Request: r,
		Body: io.NopCloser(strings.NewReader(*k.document.Load())),
	}, nil
}

// An entry notes under which keys and clients it was found good, so that what changed is
// looked at once and not with each call.
func TestCacheNotesWhatItLookedAt(t *testing.T) {
	cacheKey()
	token := cacheToken(cacheClient, 1)
	synctest.Test(t, func(t *testing.T) {
		begin, keys := time.Now(), &keysOf{}
		document := `{"keys":[` + cacheJWK(cacheKeyID) + `]}`
		keys.document.Store(&document)
		v, err := NewVerifier(t.Context(), []Issuer{{URL: cacheIssuer, Clients: NamedClients(map[string]string{"one": cacheClient})}},
			WithClock(func() time.Time { return cacheNow().Add(time.Since(begin)) }), WithLogger(nil), WithHTTPClient(&http.Client{Transport: keys}))
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		issuer := v.issuers[cacheIssuer]
		notes := func(what string, cached bool) *verified {
			t.Helper()
			who, was, refusal := v.verify(t.Context(), token)
			if refusal != nil || was != cached {
				t.Fatalf("%s: got %v, remembered %v", what, refusal, was)
			}
			if got, want := who.generation.Load(), issuer.keys.Generation(); got != want {
				t.Errorf("%s: the keys' generation is %d, noted is %d", what, want, got)
			}
			if who.clients.Load() != issuer.clients.Load() {
				t.Errorf("%s: other clients are noted than those that may come", what)
			}
			return who
		}
		first := notes("at first", false)
		two := `{"keys":[` + cacheJWK(cacheKeyID) + `,` + strings.Replace(cacheJWK("another"), "AQAB", "Aw", 1) + `]}`
		keys.document.Store(&two)
		before := issuer.keys.Generation()
		time.Sleep(17 * time.Minute)
		if issuer.keys.Generation() == before {
			t.Fatal("no key was added")
		}
		if notes("with another key", true) != first {
			t.Error("another entry")
		}
		if err := v.SetClients(cacheIssuer, NamedClients(map[string]string{"one": cacheClient, "two": "another"})); err != nil {
			t.Fatal(err)
		}
		if notes("with another client", true) != first {
			t.Error("another entry")
		}
	})
}
