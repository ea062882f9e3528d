// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func FuzzParseForm(f *testing.F) {
	for _, r := range tokenRows {
		f.Add([]byte(r.body))
	}
	f.Add([]byte("a=1&a=2"))
	f.Add([]byte("&&=&a"))
	f.Fuzz(func(t *testing.T, body []byte) {
		form, err := parseForm(body)
		if err != nil {
			if form != nil {
				t.Fatal("a form beside an error")
			}
			return
		}
		// What was read, written again, is read the same way: nothing was dropped.
		values := url.Values{}
		for name, value := range form {
			values.Set(name, value)
		}
		again, err := parseForm([]byte(values.Encode()))
		if err != nil || len(again) != len(form) {
			t.Fatalf("read again: got %v, %v, want %v", again, err, form)
		}
		named := 0
		for p := range strings.SplitSeq(string(body), "&") {
			if p != "" {
				named++
			}
		}
		if named != len(form) {
			t.Fatalf("got %d parameters of %d: one is there twice", len(form), named)
		}
	})
}

func FuzzParseBasic(f *testing.F) {
	f.Add("Basic " + base64.StdEncoding.EncodeToString([]byte("id:secret")))
	f.Add("basic  eA==")
	f.Add("Basic eDp5")
	f.Add("Bearer x")
	f.Add("")
	f.Fuzz(func(t *testing.T, value string) {
		id, secret, err := parseBasic(value)
		if err != nil {
			if id != "" || secret != "" || !errors.Is(err, errBasic) {
				t.Fatalf("got %q, %v beside an error, want nothing and the fixed one", id, err)
			}
			return
		}
		if strings.Contains(id, ":") {
			t.Fatalf("id %q has a colon", id)
		}
		again, secretAgain, err := parseBasic("Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret)))
		if err != nil || again != id || secretAgain != secret {
			t.Fatalf("read again: got %q, %v, want %q", again, err, id)
		}
	})
}

// FuzzTokenEndpoint looks for a token without the right credentials and for
// answers that Cognito does not give.
func FuzzTokenEndpoint(f *testing.F) {
	s := newServer(f, WithPool(testPool()), WithoutListener())
	for _, r := range tokenRows {
		f.Add(r.method, r.path, r.header.Get("Content-Type"), r.header.Get("Authorization"), []byte(r.body))
	}
	codes := []string{"invalid_request", "invalid_client", "invalid_grant", "invalid_scope", "unauthorized_client", "unsupported_grant_type", "unsupported_token_type"}
	f.Fuzz(func(t *testing.T, method, path, contentType, authorization string, body []byte) {
		if method == "" {
			method = http.MethodPost
		}
		if path == "" {
			path = "/oauth2/token"
		}
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL(), bytes.NewReader(body))
		if err != nil {
			return
		}
		req.URL.Path = path
		req.Header = http.Header{"Content-Type": {contentType}}
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		rep, err := s.answer(t.Context(), req, req.URL.Host)
		if err != nil {
			t.Fatal(err)
		}
		text := string(rep.body)
		switch rep.status {
		case 200:
			if strings.HasSuffix(path, revokePath) && text == "" {
				return
			}
			if !strings.HasPrefix(text, `{"access_token":"eyJ`) && !strings.HasPrefix(text, `{"keys":`) && !strings.HasPrefix(text, `{"authorization_endpoint":`) {
				t.Fatalf("got 200 %q", text)
			}
			if strings.Contains(text, "access_token") && !hasSecret(authorization, body) {
				t.Fatalf("a token without the secret: %q %q", authorization, body)
			}
		case 400, 401:
			known := slices.ContainsFunc(codes, func(c string) bool { return text == `{"error":"`+c+`"}` })
			if !known && !strings.HasPrefix(text, `{"__type":`) && text != badRequest {
				t.Fatalf("got %d %q", rep.status, text)
			}
		case 404, 405:
			if text != "" {
				t.Fatalf("got %d %q, want no body", rep.status, text)
			}
		default:
			t.Fatalf("got status %d", rep.status)
		}
	})
}

// hasSecret reports whether one of the test pool's secrets is in the request.
func hasSecret(authorization string, body []byte) bool {
	var raw []byte
	if _, rest, ok := strings.Cut(authorization, " "); ok {
		raw, _ = base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	}
	form, _ := url.QueryUnescape(string(body))
	for _, s := range []string{testSecret, strings.ToUpper(testSecret), "aaaaaaaaaaaa+bbbbbbbbbbbb"} {
		if bytes.HasSuffix(raw, []byte(":"+s)) || strings.Contains(form, s) {
			return true
		}
	}
	return false
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(wholeConfig))
	f.Add([]byte(`{"pools":[{"clients":[{"secrets":[null]}]}]}`))
	f.Add([]byte(`{"pools":[{"resource_servers":[{"scopes":[{}]}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var found problems
		pools := parseConfig(&found, "f.json", data)
		if found.err() != nil {
			return
		}
		if len(pools) == 0 {
			t.Fatal("no pools and no problem")
		}
		// What is read can be completed and checked without a crash.
		o := options{pools: pools}
		_, _ = o.resolve()
	})
}
