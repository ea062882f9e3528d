// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// The rows about keys, as a request meets them: raw frames to a real server, whose
// issuer's keys come from an endpoint that does what the test says. Nothing is
// remembered of tokens here (for that see the tests of the cache), so each call shows
// what a new token meets.

// keysEndpoint serves an issuer's keys, unless behave says otherwise.
type keysEndpoint struct {
	*testIssuer

	behave atomic.Pointer[roundTripper]
	asked  atomic.Int64
}

func newKeysEndpoint() *keysEndpoint { return &keysEndpoint{testIssuer: newMemoryIssuer()} }

// RoundTrip implements http.RoundTripper.
func (e *keysEndpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	e.asked.Add(1)
	if f := e.behave.Load(); f != nil {
		return (*f)(r)
	}
	return e.testIssuer.RoundTrip(r)
}

func (e *keysEndpoint) now(f roundTripper) { e.behave.Store(&f) }
func (e *keysEndpoint) well()              { e.behave.Store(nil) }

// setup has no TLS, which the many calls here would spend their time on: plaintext is
// safe in memory.
func (e *keysEndpoint) setup() setup {
	return setup{memory: true, insecure: true, verifier: []serverauth.VerifierOption{
		serverauth.WithHTTPClient(&http.Client{Transport: e}), serverauth.WithoutCache(),
	}}
}

func keysAnswer(r *http.Request, code int, body io.Reader, fields ...string) (*http.Response, error) {
	resp := &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(body), Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	for i := 0; i < len(fields); i += 2 {
		resp.Header.Set(fields[i], fields[i+1])
	}
	return resp, nil
}

func keysFail(err error) roundTripper {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

func keysHang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// newHeader is that of a token of a key that is unknown at first.
const newHeader = `{"kid":"new","alg":"RS256"}`

// newToken is signed with that key.
func (e *keysEndpoint) newToken() string {
	return sign(e.stranger, b64(newHeader)+"."+b64(goodClaims))
}

// publishNew makes the endpoint serve the new key beside the two.
func (e *keysEndpoint) publishNew() {
	e.publish(otherKeyID, e.id, goodKeyID, e.access, "new", e.stranger)
}

// keysLab is a lab with such an endpoint.
type keysLab struct {
	*lab

	endpoint *keysEndpoint
}

func newKeysLab(t *testing.T, e *keysEndpoint) keysLab {
	t.Helper()
	return keysLab{newLab(t, e.setup()), e}
}

// meets expects what a call ends with, and how many requests for keys it caused.
func (l keysLab) meets(t *testing.T, what, token string, code codes.Code, fine, wire serverauth.Reason, fetches int64) {
	t.Helper()
	asked, ran := l.endpoint.asked.Load(), l.files.ran.Load()
	got := l.call(t, whoAmI, bearer(token))
	if got.code != code || got.reason != wire {
		t.Errorf("%s: got %v %s, want %v %s", what, got.code, got.reason, code, wire)
	}
	if refusal := l.lastRefusal(); fine != "" && (refusal == nil || refusal.Reason() != fine) {
		t.Errorf("%s: got %v, want %s", what, refusal, fine)
	}
	if n := l.endpoint.asked.Load() - asked; n != fetches {
		t.Errorf("%s: %d fetches of keys, want %d", what, n, fetches)
	}
	if passed := l.files.ran.Load() != ran; passed != (code == ok) {
		t.Errorf("%s: the handler ran: %v", what, passed)
	}
}

func (l keysLab) passes(t *testing.T, what, token string, fetches int64) {
	t.Helper()
	l.meets(t, what, token, ok, "", "", fetches)
}

func (l keysLab) unavailable(t *testing.T, what, token string, fetches int64) {
	t.Helper()
	l.meets(t, what, token, codes.Unavailable, serverauth.ReasonKeysUnavailable, serverauth.ReasonKeysUnavailable, fetches)
}

func (l keysLab) refuses(t *testing.T, what, token string, fine serverauth.Reason, fetches int64) {
	t.Helper()
	l.meets(t, what, token, u, fine, serverauth.ReasonTokenInvalid, fetches)
}

// unavailableAnyway does not count fetches: those that follow failures have jitter.
func (l keysLab) unavailableAnyway(t *testing.T, token string) {
	t.Helper()
	if got := l.call(t, whoAmI, bearer(token)); got.code != codes.Unavailable || got.reason != serverauth.ReasonKeysUnavailable {
		t.Errorf("got %v %s, want UNAVAILABLE KEYS_UNAVAILABLE", got.code, got.reason)
	}
}

// crowd sends so many calls at once, each with its own token, and waits until all are
// answered or wait for a key.
func (l keysLab) crowd(t *testing.T, n int, token func(i int) string) []*rawCall {
	t.Helper()
	calls := make([]*rawCall, n)
	for i := range calls {
		calls[i] = l.dial(t)
		t.Cleanup(calls[i].close)
		calls[i].open(t, readFile, bearer(token(i)))
		calls[i].send(t, nil)
		calls[i].closeSend(t)
	}
	synctest.Wait()
	return calls
}
