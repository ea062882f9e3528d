// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFaultsThatAnswer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault  Fault
		status int
		body   string
		header map[string]string
	}{
		"status":            {Fault{Status: 503}, 503, "", map[string]string{"Content-Type": ""}},
		"status and header": {Fault{Status: 429, Header: http.Header{"retry-after": {"7"}}}, 429, "", map[string]string{"Retry-After": "7"}},
		"status and body":   {Fault{Status: 500, Body: []byte(`{"error":"server_error"}`)}, 500, `{"error":"server_error"}`, map[string]string{"Content-Type": "application/json;charset=UTF-8"}},
		"body":              {Fault{Body: []byte("oops")}, 200, "oops", nil},
		"empty body":        {Fault{Body: []byte{}}, 200, "", nil},
		"HTML":              {HTMLFault(200), 200, "<!DOCTYPE html>\n<html><body><h1>It works!</h1></body></html>\n", map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		"redirect":          {Fault{Redirect: "https://evil.example/"}, 307, "", map[string]string{"Location": "https://evil.example/"}},
		"redirect, status":  {Fault{Redirect: "https://evil.example/", Status: 302}, 302, "", map[string]string{"Location": "https://evil.example/"}},
		"impossible status": {Fault{Status: 42}, 500, "", nil},
		"filled up":         {Fault{Body: []byte("{}"), BodySize: 5}, 200, "{}   ", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, WithPool(testPool()))
			s.SetFault(TokenEndpoint, tc.fault)
			for way, rt := range transports(t, s) {
				resp, body := exchange(t, rt, http.MethodPost, s.TokenURL(), cc, basic())
				if resp.StatusCode != tc.status || body != tc.body {
					t.Errorf("%s: got %d %q, want %d %q", way, resp.StatusCode, body, tc.status, tc.body)
				}
				for name, want := range tc.header {
					if got := resp.Header.Get(name); got != want {
						t.Errorf("%s: %s: got %q, want %q", way, name, got, want)
					}
				}
			}
			if got, want := s.Counts(), (Counts{TokenRequests: 2, TokensFaulted: 2}); got != want {
				t.Errorf("counts: got %+v, want %+v", got, want)
			}
			if got := s.TokenRequests(); len(got) != 2 || !got[0].Fault || got[0].Status != tc.status {
				t.Errorf("record: got %+v, want two faults with status %d", got, tc.status)
			}
		})
	}
}

func TestFaultsEndAndApplyWhereTheyAreSet(t *testing.T) {
	t.Parallel()
	second := testPool()
	second.ID, second.Name, second.Domain, second.Keys = "", "second", "second", testKeys()[1]
	s := newServer(t, WithPool(testPool()), WithPool(second), WithoutListener())
	status := func(address string) int {
		resp, _ := exchange(t, s.Transport(), http.MethodGet, address, "", nil)
		return resp.StatusCode
	}
	one, two := s.Pool("s2s-test").JWKSURL(), s.Pool("second").JWKSURL()
	want := func(when, address string, codes ...int) {
		t.Helper()
		for i, code := range codes {
			if got := status(address); got != code {
				t.Errorf("%s, request %d: got %d, want %d", when, i, got, code)
			}
		}
	}
	s.SetFault(JWKSEndpoint, Fault{Status: 500, Times: 2}, Fault{Status: 503, Times: 1})
	want("one after the other", one, 500, 500, 503, 200)
	s.SetFault(JWKSEndpoint, Fault{Status: 500})
	want("until cleared", one, 500, 500, 500)
	want("all pools", two, 500)
	want("other endpoints work", s.Issuer()+"/.well-known/openid-configuration", 200)
	s.SetFault(JWKSEndpoint)
	want("replaced by none", one, 200)
	s.Pool("second").SetFault(JWKSEndpoint, Fault{Status: 502})
	want("one pool", two, 502)
	want("not the other", one, 200)
	s.SetFault(DiscoveryEndpoint, Fault{Status: 504})
	want("discovery", s.Issuer()+"/.well-known/openid-configuration", 504)
	s.ClearFaults()
	want("cleared", two, 200)
	want("cleared", s.Issuer()+"/.well-known/openid-configuration", 200)
	if got := s.Pool("second").Counts(); got.JWKSRequests != 3 {
		t.Errorf("second pool: got %d JWKS requests, want 3", got.JWKSRequests)
	}
	if got := s.Counts(); got.JWKSRequests != 12 || got.DiscoveryRequests != 3 {
		t.Errorf("counts: got %+v, want 12 JWKS and 3 discovery requests", got)
	}
}

func TestFaultUnknownKeyID(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	s.SetFault(TokenEndpoint, Fault{UnknownKeyID: true, Times: 2})
	ids, keys := fetchKeys(t, s, s.JWKSURL())
	for range 2 {
		token := getToken(t, s, "")
		header, payload := parts(t, token)
		if strings.Contains(header, ids[0]) || strings.Contains(header, ids[1]) || !headerPattern.MatchString(header) {
			t.Errorf("got header %s, want a kid of Cognito's form that is not %v", header, ids)
		}
		if !strings.Contains(payload, `"scope":"demo/read.file demo/write.file"`) || verifyWith(t, token, keys[ids[1]]) != nil {
			t.Errorf("the rest of the token is not right: %s", payload)
		}
	}
	if err := verify(t, getToken(t, s, ""), keys); err != nil {
		t.Errorf("after the fault: %v", err)
	}
	if got, want := s.Counts(), (Counts{TokenRequests: 3, TokensIssued: 3, JWKSRequests: 1}); got != want {
		t.Errorf("counts: got %+v, want %+v", got, want)
	}
}

func TestFaultStaleKeys(t *testing.T) {
	t.Parallel()
	pairs := testKeys()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	p := s.Pool("s2s-test")
	published := func() []string {
		ids, _ := fetchKeys(t, s, s.JWKSURL())
		return ids
	}
	first := published()
	s.SetFault(JWKSEndpoint, Fault{StaleKeys: true})
	if got := published(); !slices.Equal(got, first) {
		t.Errorf("before any rotation: got %v, want %v", got, first)
	}
	if err := p.RotateKeysTo(pairs[1], 1); err != nil {
		t.Fatal(err)
	}
	if got := published(); !slices.Equal(got, first) {
		t.Errorf("after a rotation: got %v, want %v", got, first)
	}
	if header, _ := parts(t, getToken(t, s, "")); strings.Contains(header, first[1]) {
		t.Errorf("a new token is signed by the old key: %s", header)
	}
	p.SetFault(JWKSEndpoint, Fault{Times: 1})
	overlap := published()
	if len(overlap) != 4 || !slices.Equal(overlap[2:], first) {
		t.Errorf("without the fault: got %v, want the new pair before %v", overlap, first)
	}
	if err := p.DropOldKeys(); err != nil {
		t.Fatal(err)
	}
	if got := published(); !slices.Equal(got, overlap) {
		t.Errorf("after old keys were dropped: got %v, want %v", got, overlap)
	}
	s.ClearFaults()
	if got := published(); !slices.Equal(got, overlap[:2]) {
		t.Errorf("cleared: got %v, want %v", got, overlap[:2])
	}
}

func TestFaultCutBody(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()))
	for _, endpoint := range []struct {
		name    Endpoint
		method  string
		address string
		body    string
	}{
		{TokenEndpoint, http.MethodPost, s.TokenURL(), cc},
		{JWKSEndpoint, http.MethodGet, s.JWKSURL(), ""},
	} {
		s.SetFault(endpoint.name, Fault{Cut: true})
		for way, rt := range transports(t, s) {
			req, err := http.NewRequestWithContext(t.Context(), endpoint.method, endpoint.address, strings.NewReader(endpoint.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = basic()
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if !errors.Is(err, io.ErrUnexpectedEOF) || len(body) == 0 || int64(len(body)) >= resp.ContentLength {
				t.Errorf("%s %s: got %d of %d bytes and error %v, want a part and %v", way, endpoint.name, len(body), resp.ContentLength, err, io.ErrUnexpectedEOF)
			}
		}
	}
}

func TestFaultHugeBodyStaysJSON(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	s := newServer(t, WithPool(testPool()))
	s.SetFault(JWKSEndpoint, Fault{BodySize: size})
	for way, rt := range transports(t, s) {
		_, body := exchange(t, rt, http.MethodGet, s.JWKSURL(), "", nil)
		if got := keyPattern.ReplaceAllString(strings.TrimRight(body, " "), "<key>"); len(body) != size || got != jwksBody {
			t.Errorf("%s: got %d bytes, %q before the spaces, want %d and a JWKS", way, len(body), got, size)
		}
	}
}

func TestFaultSlowBodyOverTheNetwork(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()))
	s.SetFault(JWKSEndpoint, Fault{Body: []byte("{}"), BytePause: time.Millisecond})
	_, body := exchange(t, transports(t, s)["network"], http.MethodGet, s.JWKSURL(), "", nil)
	if body != "{}" {
		t.Errorf("got %q, want {}", body)
	}
}

// TestFaultsInABubble measures with the fake clock what would need sleeps.
func TestFaultsInABubble(t *testing.T) {
	keys := testKeys()[0] // made outside: it takes long
	for name, tc := range map[string]struct {
		fault   Fault
		timeout time.Duration
		took    time.Duration
		body    string
		err     error
		record  TokenRequest
	}{
		"latency":                   {fault: Fault{Latency: 3 * time.Second, Body: []byte("x")}, took: 3 * time.Second, body: "x"},
		"latency beyond the caller": {fault: Fault{Latency: time.Hour}, timeout: time.Second, took: time.Second, err: context.DeadlineExceeded},
		"hang":                      {fault: Fault{Hang: true}, timeout: time.Minute, took: time.Minute, err: context.DeadlineExceeded},
		"slow body":                 {fault: Fault{Body: []byte("four"), BytePause: time.Second}, took: 4 * time.Second, body: "four"},
		"slow body, caller leaves":  {fault: Fault{Body: []byte("four"), BytePause: time.Second}, timeout: 2500 * time.Millisecond, took: 2500 * time.Millisecond, body: "fo", err: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, WithoutListener(), WithKeys(keys))
				s.SetFault(TokenEndpoint, tc.fault)
				ctx := t.Context()
				if tc.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.timeout)
					defer cancel()
				}
				begin := time.Now()
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.TokenURL(), strings.NewReader(cc))
				if err != nil {
					t.Fatal(err)
				}
				var body []byte
				resp, err := (&http.Client{Transport: s.Transport()}).Do(req)
				if err == nil {
					body, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				if took := time.Since(begin); took != tc.took {
					t.Errorf("took %v, want %v", took, tc.took)
				}
				if !errors.Is(err, tc.err) || string(body) != tc.body {
					t.Errorf("got %q and error %v, want %q and %v", body, err, tc.body, tc.err)
				}
			})
		})
	}
}

func TestClientTimeoutInABubble(t *testing.T) {
	keys := testKeys()[0]
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithoutListener(), WithKeys(keys))
		s.SetFault(JWKSEndpoint, Fault{Hang: true, Times: 1})
		client := &http.Client{Transport: s.Transport(), Timeout: 5 * time.Second}
		begin := time.Now()
		resp, err := client.Get(s.JWKSURL())
		if err == nil {
			resp.Body.Close()
			t.Error("hang: got an answer, want a timeout")
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("took %v, want 5s", took)
		}
		resp, err = client.Get(s.JWKSURL())
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || !bytes.HasPrefix(body, []byte(`{"keys":`)) {
			t.Errorf("afterwards: got %q, %v, want keys", body, err)
		}
		if got := s.Counts().JWKSRequests; got != 2 {
			t.Errorf("got %d requests for keys, want 2: the one without an answer counts", got)
		}
	})
}

func TestHangOverTheNetworkEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()))
	s.SetFault(TokenEndpoint, Fault{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.TokenURL(), strings.NewReader(cc))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	rt := transports(t, s)["network"]
	go func() {
		resp, err := rt.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	for s.Counts().TokensFaulted == 0 { // the request has arrived
		select {
		case err := <-done:
			t.Fatalf("got %v before the request was counted", err)
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
