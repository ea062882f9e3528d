// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"bytes"
	"encoding"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The values that nothing may print. The parts of a token count too.
const (
	hiddenToken  = "HIDDENTOKEN0123456789"
	hiddenSecret = "hiddensecret0123456789"
)

var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%10.3v"}

// everyWay prints x in each way that a program might.
func everyWay(x any) string {
	var out bytes.Buffer
	for _, verb := range verbs {
		fmt.Fprintf(&out, verb+"\n", x)
		// In a struct, a pointer, a slice, a map, and a field that fmt may not call.
		fmt.Fprintf(&out, verb+"\n", struct{ X any }{x})
		fmt.Fprintf(&out, verb+"\n", &struct{ x any }{x})
		fmt.Fprintf(&out, verb+"\n", []any{x})
		fmt.Fprintf(&out, verb+"\n", map[string]any{"x": x})
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("x", "x", x, "in", []any{x}, slog.Group("g", "x", x))
	}
	if b, err := json.Marshal(x); err == nil {
		out.Write(b)
	}
	if b, err := json.Marshal(map[string]any{"x": []any{x}}); err == nil {
		out.Write(b)
	}
	if b, err := xml.Marshal(x); err == nil {
		out.Write(b)
	}
	fmt.Fprintln(&out, fmt.Errorf("wrapped: %v", x))
	return out.String()
}

func hidden(t *testing.T, what, text string) {
	t.Helper()
	for _, value := range []string{hiddenToken, hiddenSecret} {
		for _, form := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value), fmt.Sprintf("%d", []byte(value))} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%s prints it: ...%s", what, text[max(0, i-60):i+len(form)])
			}
		}
	}
}

// plain is what Token would be without its methods.
type plain struct{ value string }

// TestNothingIsPrinted is alone and waits until its source rests: with a verb that
// does not fit, fmt follows pointers in unexported fields into what is live.
func TestNothingIsPrinted(t *testing.T) {
	synctest.Test(t, nothingIsPrinted)
}

func nothingIsPrinted(t *testing.T) {
	t.Helper()
	// The control: the ways of printing do find an unprotected value.
	if text := everyWay(plain{value: hiddenToken}); !strings.Contains(text, hiddenToken) {
		t.Fatal("the control was not printed, so this test finds nothing")
	}

	logs := &logBuffer{}
	endpoint := &fakeEndpoint{answer: func(int, request) reply { return okToken(hiddenToken, "3600") }}
	cfg := Config{TokenURL: testURL, ClientID: testClient, Secret: StaticSecret(hiddenSecret), NextSecret: StaticSecret(hiddenSecret)}
	var fetches reports
	c, err := NewClientCredentials(cfg, WithTransport(endpoint), WithLogger(logs.logger()), WithReporter(&fetches), WithReporter(LogFetches(logs.logger())))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	token, err := c.Token(t.Context(), Request{Scopes: []string{"demo/read.file"}})
	if err != nil {
		t.Fatal(err)
	}
	if token.Value() != hiddenToken {
		t.Fatalf("got %q, want the token: without it this test finds nothing", token.Value())
	}
	carrier, err := newCarrier(c, AllClientScopes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := carrier.selected.others.metadata(carrier.key, token); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	lastFetch := fetches.all()[0]
	secret := NewSecret(hiddenSecret)
	for what, x := range map[string]any{
		"Token": token, "*Token": &token, "NewToken": NewToken(hiddenToken, time.Now()), "Secret": secret, "*Secret": &secret,
		"Request": Request{Rejected: token}, "*Request": &Request{Rejected: token}, "Config": cfg, "*Config": &cfg,
		"*ClientCredentials": c, "carrier": carrier, "call": &callCarrier{carrier: carrier, rejected: token},
		"Fetch": lastFetch, "Stats": c.Stats(), "Reporter": LogFetches(logs.logger()),
		"unexported fields": struct {
			t Token
			s Secret
		}{token, secret},
		"SecretFunc": cfg.Secret,
	} {
		hidden(t, what, everyWay(x))
	}
	wantRedacted(t, "Token", token)
	wantRedacted(t, "Secret", secret)
	if got, err := json.Marshal([]any{token, secret}); err != nil || string(got) != `["[redacted]","[redacted]"]` {
		t.Errorf("JSON: got %s, %v", got, err)
	}
	if !strings.Contains(logs.String(), "token fetched") {
		t.Error("the fetch was not logged: without it this test finds nothing")
	}
	hidden(t, "the log", logs.String())
}

// wantRedacted asks each of the methods that print.
func wantRedacted(t *testing.T, what string, x interface {
	fmt.Stringer
	fmt.GoStringer
	slog.LogValuer
	encoding.TextMarshaler
	json.Marshaler
},
) {
	t.Helper()
	asText, errText := x.MarshalText()
	asJSON, errJSON := x.MarshalJSON()
	if err := errors.Join(errText, errJSON); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	for method, text := range map[string]string{
		"Format": fmt.Sprint(x), "String": x.String(), "GoString": x.GoString(), "LogValue": x.LogValue().String(),
		"MarshalText": string(asText), "MarshalJSON": strings.Trim(string(asJSON), `"`),
	} {
		if text != redacted {
			t.Errorf("%s of %s: got %q, want %s", method, what, text, redacted)
		}
	}
}

// TestWhatTestsPrint is the control of what newSource does for all tests: what a source
// says is heard, and a leak is found.
func TestWhatTestsPrint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := []reply{oauthError("invalid_client"), ok(0, 3600)}
		c, err := NewClientCredentials(Config{TokenURL: testURL, ClientID: testClient, Secret: StaticSecret(testSecret)},
			WithTransport(&fakeEndpoint{answer: func(n int, _ request) reply { return answers[n] }}), WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		printed := listen(c)
		for range 2 {
			_, _ = c.Token(t.Context(), Request{Scopes: []string{"demo/read.file"}})
			time.Sleep(time.Minute)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		text := printed()
		for _, part := range []string{"clientauth: no new token", "token not fetched", "token fetched", "Cause:cold", "SuppressedBackoff:0", "clientauth.ClientCredentials(", "clientauth: token endpoint"} {
			if !strings.Contains(text, part) {
				t.Errorf("%q was not heard in %s", part, text)
			}
		}
		if leak := leakIn(text); leak != "" {
			t.Errorf("it was printed: %s", leak)
		}
		for _, value := range []string{testSecret, opaque(3), jwt(nil)} {
			c.cfg.log().Info("told", "x", value)
			if leakIn(printed()) == "" {
				t.Errorf("%q was not found", value)
			}
		}
	})
}

// TestErrorsPrintNothing makes every kind of failure with an endpoint that repeats
// the secret and a token in all that it sends.
func TestErrorsPrintNothing(t *testing.T) {
	t.Parallel()
	echo := hiddenToken + " " + hiddenSecret
	replies := map[string]reply{
		"status line of an error":   {status: 500, body: echo},
		"WAF":                       {status: 403, mime: "text/html", body: echo},
		"throttled":                 {status: 429, header: http.Header{"Retry-After": {echo}}, body: echo},
		"redirect":                  {status: 302, header: http.Header{"Location": {"https://" + hiddenSecret}}},
		"content type":              {mime: hiddenSecret + "/" + hiddenToken, body: echo},
		"OAuth code":                {status: 400, body: `{"error":"` + hiddenSecret + `"}`},
		"OAuth description":         {status: 400, body: `{"error":"invalid_client","error_description":"` + echo + `"}`},
		"truncated":                 {body: `{"access_token":"` + hiddenToken},
		"token_type":                {body: `{"access_token":"` + hiddenToken + `","token_type":"` + hiddenSecret + `"}`},
		"expires_in":                {body: `{"access_token":"` + hiddenToken + `","token_type":"Bearer","expires_in":"` + hiddenSecret + `"}`},
		"token with a line break":   {body: `{"access_token":"` + hiddenToken + `\n","token_type":"Bearer"}`},
		"transport error":           {err: fmt.Errorf("malformed HTTP response %q", echo)},
		"no life and no scope":      okToken(hiddenToken, ""),
		"scopes that were dropped":  okToken(jwt(map[string]any{"scope": "x", "jti": hiddenToken, "sub": hiddenSecret}), ""),
		"life that is over already": okToken(jwt(map[string]any{"exp": 1, "iat": 2, "jti": hiddenToken}), "60"),
	}
	for name, r := range replies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				logs := &logBuffer{}
				c, err := NewClientCredentials(Config{TokenURL: testURL, ClientID: testClient, Secret: StaticSecret(hiddenSecret)},
					WithTransport(&fakeEndpoint{answer: func(int, request) reply { return r }}), WithLogger(logs.logger()), WithReporter(LogFetches(logs.logger())))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = c.Close() }()
				_, err = c.Token(t.Context(), Request{Scopes: []string{"demo/read.file"}})
				synctest.Wait()
				if !strings.Contains(logs.String(), "msg=\"clientauth: ") || !strings.Contains(logs.String(), "fetched") {
					t.Error("nothing was logged: without it this test finds nothing")
				}
				hidden(t, "the log", logs.String())
				hidden(t, "the figures", everyWay(c.Stats()))
				if err == nil {
					return
				}
				hidden(t, "the error", everyWay(err))
				for cause := errors.Unwrap(err); cause != nil; cause = errors.Unwrap(cause) {
					hidden(t, "a cause", everyWay(cause))
				}
				e, _ := errors.AsType[*Error](err)
				hidden(t, "the status", fmt.Sprint(e.GRPCStatus().Proto()))
			})
		})
	}
}
