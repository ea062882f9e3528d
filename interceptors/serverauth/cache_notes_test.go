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
	"unsafe"
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

// What was noted of a token's methods is the authorizer's own: another one has other
// rules.
func TestCacheNotesPermittedMethods(t *testing.T) {
	t.Parallel()
	one, other := &Authorizer{}, &Authorizer{}
	e := cacheEntry("a", cacheName(1))
	e.issuer = &trustedIssuer{}
	for range 3 { // each is noted once
		e.notePermitted(one, "/acme.S/A")
		e.notePermitted(one, "/acme.S/B")
		e.notePermitted(other, "/acme.S/C")
	}
	may := func(e *verified, a *Authorizer, method string) bool {
		called := e.mayCall(a, method)
		if called != nil && (called.auth != a || called.method != method) {
			t.Errorf("%q: got another method or authorizer", method)
		}
		return called != nil
	}
	for method, want := range map[string][2]bool{
		"/acme.S/A": {true, false}, "/acme.S/B": {true, false}, "/acme.S/C": {false, true}, "/acme.S/D": {}, "": {},
	} {
		if got := [2]bool{may(e, one, method), may(e, other, method)}; got != want {
			t.Errorf("%q: got %v, want %v", method, got, want)
		}
	}
	noted := 0
	for i := range e.permitted {
		if e.permitted[i].Load() != nil {
			noted++
		}
	}
	if noted != 3 {
		t.Errorf("%d notes, want 3", noted)
	}
	for n := range 2 * maxPermitted { // more than there is room for
		e.notePermitted(one, cacheName(n))
	}
	if !may(e, one, "/acme.S/A") || !may(e, one, cacheName(0)) || may(e, one, cacheName(maxPermitted)) {
		t.Error("the first methods are not those that are noted")
	}
	untracked := cacheEntry("a", cacheName(2)) // of a TokenVerifier of the user's own: nobody will see it again
	if untracked.notePermitted(one, "/acme.S/A"); may(untracked, one, "/acme.S/A") {
		t.Error("it was noted for a token that is not remembered")
	}
}

// What a look-up reads of an entry is two lines of the processor's cache.
func TestCacheEntryLayout(t *testing.T) {
	t.Parallel()
	var e verified
	if end := unsafe.Offsetof(e.used) + unsafe.Sizeof(e.used); end > 128 {
		t.Errorf("what a look-up reads ends at byte %d, want 128 at most", end)
	}
	if size := unsafe.Sizeof(e); size != 256 {
		t.Errorf("an entry has %d bytes, want 256, which the allocator aligns", size)
	}
}
