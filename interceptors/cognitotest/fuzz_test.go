// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// FuzzParseForm compares with a reader that is written down from the URL
// standard's text and RFC 6749, section 3.2: no parameter twice.
func FuzzParseForm(f *testing.F) {
	for _, r := range tokenRows {
		f.Add([]byte(r.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseForm(body)
		if err != nil && (got != nil || !errors.Is(err, errForm)) {
			t.Fatalf("got %v, %v, want nothing and the fixed error", got, err)
		}
		want, ok := formByHand(string(body))
		if ok && err == nil && !maps.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		// net/url bounds the number of parameters.
		if ok != (err == nil) && strings.Count(string(body), "&") < 9000 {
			t.Fatalf("got error %v, want accepted: %v", err, ok)
		}
	})
}

func formByHand(body string) (map[string]string, bool) {
	form := make(map[string]string)
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, ok1 := unescapeByHand(name)
		value, ok2 := unescapeByHand(value)
		_, twice := form[name]
		if !ok1 || !ok2 || twice || strings.Contains(pair, ";") {
			return nil, false
		}
		form[name] = value
	}
	return form, true
}

func unescapeByHand(s string) (string, bool) {
	const digits = "0123456789abcdef"
	var out []byte
	for s != "" {
		switch {
		case s[0] == '+':
			out, s = append(out, ' '), s[1:]
		case s[0] != '%':
			out, s = append(out, s[0]), s[1:]
		default:
			if len(s) < 3 {
				return "", false
			}
			hex := strings.ToLower(s[1:3])
			high, low := strings.IndexByte(digits, hex[0]), strings.IndexByte(digits, hex[1])
			if high < 0 || low < 0 {
				return "", false
			}
			out, s = append(out, byte(high<<4|low)), s[3:]
		}
	}
	return string(out), true
}

// FuzzParseBasic compares with net/http where both accept.
func FuzzParseBasic(f *testing.F) {
	f.Add(basic().Get("Authorization"))
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
		r := &http.Request{Header: http.Header{"Authorization": {value}}}
		if httpID, httpSecret, ok := r.BasicAuth(); ok && (httpID != id || httpSecret != secret) {
			t.Fatalf("net/http reads %q, got %q", httpID, id)
		}
	})
}

// fuzzTarget is a server with all kinds of clients, two pools and a trigger.
func fuzzTarget(f *testing.F) *Server {
	f.Helper()
	return newServer(f, append(twoPools(), WithoutListener(), fixedClock(),
		WithPreTokenGeneration(func(_ context.Context, e PreTokenGeneration) (AccessTokenGeneration, error) {
			changes := AccessTokenGeneration{ClaimsToAddOrOverride: make(map[string]any)}
			for name, value := range e.ClientMetadata { // whatever a stranger wants
				changes.ClaimsToAddOrOverride[name] = value
			}
			return changes, nil
		}))...)
}

// FuzzTokenEndpoint looks for a token without the right credentials or with more
// than the client may have, and for answers that Cognito does not give.
func FuzzTokenEndpoint(f *testing.F) {
	s := fuzzTarget(f)
	for _, r := range tokenRows {
		f.Add("", cmp.Or(r.method, http.MethodPost), cmp.Or(r.path, "/my-prefix/oauth2/token"), r.header.Get("Content-Type"), r.header.Get("Authorization"), []byte(r.body))
	}
	f.Fuzz(func(t *testing.T, host, method, path, contentType, authorization string, body []byte) {
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL(), bytes.NewReader(body))
		if err != nil {
			return
		}
		req.URL.Path = path
		req.Header = http.Header{"Content-Type": {contentType}}
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		rep, err := s.answer(t.Context(), req, cmp.Or(host, req.URL.Host))
		if err != nil {
			t.Fatal(err)
		}
		checkAnswer(t, rep, path)
		if m := jwtPattern.FindString(string(rep.body)); m != "" {
			checkGranted(t, strings.Trim(m, `"`), authorization, body)
		}
	})
}

// checkAnswer knows all answers that there are.
func checkAnswer(t *testing.T, rep reply, path string) {
	t.Helper()
	codes := []string{"invalid_request", "invalid_client", "invalid_grant", "invalid_scope", "unauthorized_client", "unsupported_grant_type", "unsupported_token_type"}
	text := string(rep.body)
	switch rep.status {
	case 200:
		token := strings.HasPrefix(text, `{"access_token":"eyJ`) && strings.HasSuffix(text, `,"token_type":"Bearer"}`)
		document := strings.HasPrefix(text, `{"keys":[`) || strings.HasPrefix(text, `{"authorization_endpoint":`)
		if !token && !document && (text != "" || !strings.HasSuffix(path, revokePath)) {
			t.Fatalf("got 200 %q", text)
		}
	case 400, 401:
		known := slices.ContainsFunc(codes, func(c string) bool { return text == `{"error":"`+c+`"}` })
		if !known && !strings.HasPrefix(text, `{"__type":`) && text != badRequest {
			t.Fatalf("got %d %q", rep.status, text)
		}
	case 404, 405:
		if text != "" && !strings.HasPrefix(text, "this server has several user pools") {
			t.Fatalf("got %d %q, want no body", rep.status, text)
		}
	default:
		t.Fatalf("got status %d", rep.status)
	}
}

// checkGranted looks into a token: its client's secret must have been in the
// request, its claims must be Cognito's, its scopes the client's own.
func checkGranted(t *testing.T, token, authorization string, body []byte) {
	t.Helper()
	_, payload := parts(t, token)
	var claims map[string]any
	if err := json.Unmarshal([]byte(payload), &claims); err != nil {
		t.Fatalf("payload %s: %v", payload, err)
	}
	id, _ := claims["client_id"].(string)
	secrets := map[string][]string{
		testID: {testSecret}, "mixed": {testSecret}, "caller": {testSecret}, "a+b_c": {"aaaaaaaaaaaa+bbbbbbbbbbbb"},
		"twosecrets": {testSecret, strings.ToUpper(testSecret)},
	}
	var raw []byte
	if _, rest, ok := strings.Cut(authorization, " "); ok {
		raw, _ = base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	}
	form, _ := formByHand(string(body))
	if !slices.ContainsFunc(secrets[id], func(secret string) bool {
		return string(raw) == id+":"+secret || form["client_id"] == id && form["client_secret"] == secret
	}) {
		t.Fatalf("a token for %q without its secret: %q %q", id, authorization, body)
	}
	pool, scopes := "eu-central-1_Ab3dEf9hI", []string{"demo/read.file", "demo/write.file"}
	if id == "caller" {
		pool, scopes = "us-gov-west-1_Zz9", []string{"https://api.example.com/v1/read"}
	}
	if iss, _ := claims["iss"].(string); !strings.HasSuffix(iss, "/"+pool) || claims["sub"] != id || claims["token_use"] != "access" ||
		claims["version"] != 2.0 || claims["iat"] != float64(testNow.Unix()) || claims["auth_time"] != claims["iat"] {
		t.Fatalf("claims that a request must not change: %s", payload)
	}
	granted, _ := claims["scope"].(string)
	for scope := range strings.SplitSeq(granted, " ") {
		if !slices.Contains(scopes, scope) {
			t.Fatalf("scope %q, want only %v", scope, scopes)
		}
	}
	if aud, there := claims["aud"]; there && aud != id {
		t.Fatalf("aud %v", aud)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(wholeConfig))
	f.Add([]byte(`{"pools":[{"clients":[{"secrets":[null]}]}]}`))
	f.Add([]byte(`{"pools":[{"resource_servers":[{"scopes":[{}]}]}]}`))
	f.Add([]byte(`{"answers":{"invalid_client_status":401,"no_credentials":"invalid_request","resource":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var found problems
		var answers Answers
		pools := parseConfig(&found, "f.json", data, &answers)
		if found.err() != nil {
			return
		}
		if len(pools) == 0 && !bytes.Contains(data, []byte("answers")) && !bytes.Contains(data, []byte(`\u`)) {
			t.Fatal("no pools and no problem")
		}
		// What is read can be completed and checked without a crash, and answers are right ones.
		o := options{pools: pools, answers: answers}
		if _, err := o.resolve(); err != nil && strings.Contains(err.Error(), "WithAnswers") {
			t.Fatal(err)
		}
	})
}

// What is encoded without an encoder is encoded as by one.
func FuzzRawJSON(f *testing.F) {
	for _, s := range []string{"", "demo/read.file", `a"b`, `a\b`, "a\nb", "\x7f", "é", "\xff", "<&>", "\u2028"} {
		f.Add(s, int64(len(s)))
	}
	f.Fuzz(func(t *testing.T, s string, n int64) {
		for _, v := range []any{s, n} {
			want, err := encodeJSON(v)
			if err != nil {
				t.Fatal(err)
			}
			if got := rawJSON(v); string(got) != string(want) {
				t.Errorf("%q: got %s, want %s", v, got, want)
			}
		}
	})
}
