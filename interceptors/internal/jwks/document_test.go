// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
)

// TestRejectedDocuments has the rows D4, D6, D7, D8 and D12: the old keys stay, and
// somebody is told.
func TestRejectedDocuments(t *testing.T) {
	t.Parallel()
	for id, doc := range map[string]string{
		"D6/HTML":           "<html>",
		"D6/empty":          "",
		"D6/truncated":      document(key("a", 1))[:50],
		"D6/trailing bytes": document(key("a", 1)) + "x",
		"D6/duplicate keys": `{"keys":[],` + document(key("a", 1))[1:],
		"D7/empty set":      document(),
		"D7/none usable":    document(`{"kty":"EC","kid":"e"}`),
		"D8/same kid":       document(key("a", 1), key("a", 2)),
		"D12/oct":           document(key("a", 1), `{"kty":"oct","kid":"s","k":"AAAA"}`),
		"D12/private":       document(strings.Replace(key("a", 1), `{`, `{"d":"AQAB",`, 1)),
		"D4/too large":      document(key("a", 1)) + strings.Repeat(" ", jose.MaxKeySetBytes),
	} {
		synctest.Test(t, func(t *testing.T) {
			var told []error
			s, e := start(t, Config{
				OnReject: func(err error) { told = append(told, err) },
				OnRotate: func(added, removed []string) { t.Errorf("%s: got changes %v %v", id, added, removed) },
			}, serve(document(key("a", 1), key("b", 2))))
			generation := s.Generation()
			e.set(serve(doc))
			sleep(17 * time.Minute)
			wantKey(t, s, "a")
			wantKey(t, s, "b")
			wantState(t, s, StateStale)
			if len(told) == 0 || !errors.Is(told[0], jose.ErrKeySet) || uint64(len(told)) != s.Stats().Rejected {
				t.Errorf("%s: got %v for %d rejections, want each told", id, told, s.Stats().Rejected)
			}
			if s.Generation() != generation {
				t.Errorf("%s: the generation moved", id)
			}
		})
	}
}

// TestD7UntilMaxStale: an empty set takes the keys away only with their age.
func TestD7UntilMaxStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		e.set(serve(document()))
		sleep(maxStale - time.Nanosecond)
		wantKey(t, s, "a")
		sleep(time.Nanosecond)
		wantError(t, s, "a", ErrUnavailable, 0)
		wantState(t, s, StateDead)
	})
}

// TestUnusableEntries has the rows D9 to D11: the good keys beside them serve.
func TestUnusableEntries(t *testing.T) {
	t.Parallel()
	for id, entry := range map[string]string{
		"D9/kty":     `{"kty":"AKP","kid":"x","pub":"AAAA"}`,
		"D9/crv":     `{"kty":"EC","kid":"x","crv":"P-999"}`,
		"D9/alg":     strings.Replace(key("x", 2), "RS256", "RS999", 1),
		"D10/1024":   `{"kty":"RSA","kid":"x","e":"AQAB","n":"` + strings.Repeat("_", 170) + `"}`,
		"D10/e 1":    strings.Replace(key("x", 2), "AQAB", "AQ", 1),
		"D11/use":    strings.Replace(key("x", 2), `"sig"`, `"enc"`, 1),
		"D11/oaep":   strings.Replace(key("x", 2), "RS256", "RSA-OAEP", 1),
		"D11/no ops": strings.Replace(key("x", 2), `{`, `{"key_ops":["encrypt"],`, 1),
	} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := start(t, Config{}, serve(document(entry, key("a", 1))))
			wantKey(t, s, "a")
			if _, ok := s.Lookup("x"); ok {
				t.Errorf("%s: the entry serves", id)
			}
			wantError(t, s, "x", ErrUnknownKey, 0)
			wantState(t, s, StateFresh)
		})
	}
}

// endless is a body without end, which counts what is read of it. Whoever sets no limit
// is stopped before the memory is full.
type endless struct{ read int }

func (b *endless) Read(p []byte) (int, error) {
	if b.read > 8*jose.MaxKeySetBytes {
		return 0, errors.New("this body is read without a limit")
	}
	for i := range p {
		p[i] = ' '
	}
	b.read += len(p)
	return len(p), nil
}

// TestD4EndlessBody is what a gzip bomb looks like behind a lent transport that
// inflates: the limit holds for what comes out of it.
func TestD4EndlessBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1))))
		body := &endless{}
		e.set(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(body), Request: r}, nil
		})
		wantError(t, s, "b", errRejected, 0)
		if body.read > jose.MaxKeySetBytes+1 {
			t.Errorf("got %d bytes read, want %d at most", body.read, jose.MaxKeySetBytes+1)
		}
		wantKey(t, s, "a")
	})
}

// TestNotModified: a 304 renews the age of the keys and nothing else, and only an
// answer to a conditional request counts.
func TestNotModified(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{OnRotate: func(added, removed []string) {
			t.Errorf("got changes %v %v", added, removed)
		}}, serve(document(key("a", 1)), `ETag: W/"v1"`))
		old, _ := s.Lookup("a")
		e.set(status(http.StatusNotModified, "", `ETag: W/"v1"`, "Cache-Control: max-age=60"))
		sleep(17 * time.Minute)
		if got := e.requests()[1].header.Get("If-None-Match"); got != `W/"v1"` {
			t.Errorf("got If-None-Match %q, want the ETag", got)
		}
		if k, _ := s.Lookup("a"); k != old || s.Generation() != 1 {
			t.Error("the keys changed")
		}
		if age := s.Stats().KeyAge; age > 4*time.Minute {
			t.Errorf("got age %v, want it renewed", age)
		}
		wantState(t, s, StateFresh)
		wantError(t, s, "b", errRedirect, 0) // forced, so a 304 answers nothing
		wantState(t, s, StateStale)
	})
}

// TestETagOfRejectedDocument: it is not the ETag of the keys in use.
func TestETagOfRejectedDocument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e := start(t, Config{}, serve(document(key("a", 1)), `ETag: "good"`))
		e.set(serve("<html>", `ETag: "bad"`))
		sleep(17 * time.Minute)
		before := e.count()
		e.set(serve(document(key("b", 1)), "ETag: "+strings.Repeat("x", maxETagBytes+1)))
		sleep(maxBackoff)
		wantKey(t, s, "b")
		sleep(17 * time.Minute)
		asked := e.requests()[before:]
		if got := asked[0].header.Get("If-None-Match"); got != "" {
			t.Errorf("got If-None-Match %q, want none after a failure", got)
		}
		if got := asked[1].header.Get("If-None-Match"); got != "" {
			t.Errorf("got If-None-Match of %d bytes, want none: it is too long", len(got))
		}
	})
}

// TestConditionRefused: an endpoint that fails on a condition costs a retry, and
// never the keys.
func TestConditionRefused(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]handlerFunc{
		"400":               status(http.StatusBadRequest, ""),
		"redirect":          status(http.StatusFound, ""),
		"rejected document": serve("<html>"),
		"no answer":         hang,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, e := start(t, Config{}, serve(document(key("a", 1)), `ETag: "1"`))
				e.set(func(r *http.Request) (*http.Response, error) {
					if r.Header.Get("If-None-Match") != "" {
						return fails(r)
					}
					return serve(document(key("a", 1)), `ETag: "1"`)(r)
				})
				for range 48 * 4 { // two days
					sleep(15 * time.Minute)
					if age := s.Stats().KeyAge; age > 20*time.Minute {
						t.Fatalf("got age %v, want each failure to be followed by a success", age)
					}
				}
				wantKey(t, s, "a")
				if stats := s.Stats(); stats.Failures == 0 || stats.Failures*2 > stats.Fetches {
					t.Errorf("got %d failures in %d fetches, want one in two", stats.Failures, stats.Fetches)
				}
			})
		})
	}
}

// TestConditionAgain: many answers of 304 in a row keep the ETag.
func TestConditionAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, e := start(t, Config{}, serve(document(key("a", 1)), `ETag: "1"`))
		e.set(status(http.StatusNotModified, ""))
		sleep(4 * 17 * time.Minute)
		asked := e.requests()
		if len(asked) < 4 {
			t.Fatalf("got %d requests, want 4 at least", len(asked))
		}
		for i, r := range asked[1:] {
			if got := r.header.Get("If-None-Match"); got != `"1"` {
				t.Errorf("request %d: got If-None-Match %q, want the ETag", i+1, got)
			}
		}
	})
}
