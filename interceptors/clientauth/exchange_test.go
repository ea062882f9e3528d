// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

func TestRequestForm(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		id, secret string
		style      AuthStyle
		scopes     []string
		basic      bool
		scope      string
	}{
		"generated id and secret":       {id: "1abc", secret: "9v_-Z", basic: true},
		"plus in the secret":            {id: "1abc", secret: "a+b"},
		"plus in the id":                {id: "1+abc", secret: "ab"},
		"colon in the id":               {id: "a:b", secret: "ab"},
		"not ASCII":                     {id: "abc", secret: "ä"},
		"body fixed":                    {id: "abc", secret: "ab", style: AuthStyleBody},
		"Basic fixed, plus not encoded": {id: "abc", secret: "a+b", style: AuthStyleBasic, basic: true},
		"one scope":                     {id: "a", secret: "b", basic: true, scopes: []string{"demo/read.file"}, scope: "demo/read.file"},
		"two scopes, sorted":            {id: "a", secret: "b", basic: true, scopes: []string{"demo/write.file", "demo/read.file", "demo/read.file"}, scope: "demo/read.file demo/write.file"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint := &fakeEndpoint{}
			c, err := NewClientCredentials(Config{TokenURL: testURL, ClientID: test.id, Secret: StaticSecret(test.secret)},
				WithTransport(endpoint), WithAuthStyle(test.style), WithLogger((&logBuffer{}).logger()))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Warm(t.Context(), test.scopes...); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			got := endpoint.all()[0]
			user, password, basic := (&http.Request{Header: got.header}).BasicAuth()
			if basic != test.basic {
				t.Fatalf("Basic: got %v, want %v", basic, test.basic)
			}
			if basic && (user != test.id || password != test.secret || got.form.Has("client_id") || got.form.Has("client_secret")) {
				t.Errorf("Basic: got %s:%s and the form %v", user, password, got.form)
			}
			if !basic && (got.form.Get("client_id") != test.id || got.form.Get("client_secret") != test.secret || got.header.Get("Authorization") != "") {
				t.Errorf("body: got the form %v and Authorization %q", got.form, got.header.Get("Authorization"))
			}
			if g := got.form.Get("grant_type"); g != "client_credentials" {
				t.Errorf("grant_type: got %q", g)
			}
			if got.form.Has("scope") != (test.scope != "") || got.form.Get("scope") != test.scope {
				t.Errorf("scope: got %q, want %q", got.form["scope"], test.scope)
			}
			for key, want := range map[string]string{"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"} {
				if g := got.header.Get(key); g != want {
					t.Errorf("%s: got %q, want %q", key, g, want)
				}
			}
		})
	}
}

// TestAnswer has the answers of 6.2 that are no token: how each is classed, that
// the error helps, and that nothing of the body is in it.
func TestAnswer(t *testing.T) {
	t.Parallel()
	const leak = "LEAKLEAK"
	tests := map[string]struct {
		reply     reply
		reason    Reason
		code      codes.Code
		transient bool
		oauth     string
		text      string
	}{
		"405, empty body":          {reply: reply{status: 405}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true, text: "/oauth2/token"},
		"405, OAuth error":         {reply: reply{status: 405, body: `{"error":"invalid_client"}`}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"403, HTML of a WAF":       {reply: reply{status: 403, mime: "text/html", body: leak}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true, text: "firewall"},
		"400, JSON without error":  {reply: reply{status: 400, body: `{"message":"` + leak + `"}`}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"400, error as plain text": {reply: reply{status: 400, mime: "text/plain", body: `{"error":"invalid_client"}`}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"400, no code but text":    {reply: reply{status: 400, body: `{"error":"` + leak + `"}`}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"408":                      {reply: reply{status: 408, body: `{"error":"invalid_client"}`}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"429, HTML":                {reply: reply{status: 429, mime: "text/html", body: leak}, reason: ReasonThrottled, code: codes.Unavailable, transient: true, text: "150 token requests"},
		"429, empty":               {reply: reply{status: 429}, reason: ReasonThrottled, code: codes.Unavailable, transient: true},
		"429, OAuth error":         {reply: reply{status: 429, body: `{"error":"invalid_request"}`}, reason: ReasonThrottled, code: codes.Unavailable, transient: true},
		"500":                      {reply: reply{status: 500, body: leak}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"503, OAuth error":         {reply: reply{status: 503, body: `{"error":"invalid_client"}`}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"301":                      {reply: reply{status: 301, header: http.Header{"Location": {"https://" + leak}}}, reason: ReasonRedirect, code: codes.Unavailable, transient: true, text: "final address"},
		"302":                      {reply: reply{status: 302, header: http.Header{"Location": {"https://" + leak}}}, reason: ReasonRedirect, code: codes.Unavailable, transient: true},
		"307":                      {reply: reply{status: 307, header: http.Header{"Location": {"https://" + leak}}}, reason: ReasonRedirect, code: codes.Unavailable, transient: true},
		"308":                      {reply: reply{status: 308, header: http.Header{"Location": {"https://" + leak}}}, reason: ReasonRedirect, code: codes.Unavailable, transient: true},
		"204":                      {reply: reply{status: 204}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"200, HTML":                {reply: reply{mime: "text/html", body: leak}, reason: ReasonResponse, code: codes.Unavailable, transient: true, text: "proxy"},
		"200, HTML as JSON":        {reply: reply{body: "<html>" + leak}, reason: ReasonResponse, code: codes.Unavailable, transient: true},
		"200, form":                {reply: reply{mime: "application/x-www-form-urlencoded", body: "access_token=" + leak}, reason: ReasonResponse, code: codes.Unavailable, transient: true},
		"200, JSON as text":        {reply: reply{mime: "text/plain", body: ok(0, 60).body}, reason: ReasonResponse, code: codes.Unavailable},
		"200, malformed type":      {reply: reply{mime: "application/json; charset", body: ok(0, 60).body}, reason: ReasonResponse, code: codes.Unavailable},
		"200, type of the API":     {reply: reply{mime: awsJSON, body: ok(0, 60).body}, reason: ReasonResponse, code: codes.Unavailable},
		"200, error":               {reply: reply{body: `{"error":"invalid_client"}`}, reason: ReasonResponse, code: codes.Unavailable, transient: true},
		"200, too large":           {reply: reply{body: strings.Repeat(" ", maxBody) + leak}, reason: ReasonResponse, code: codes.Unavailable, transient: true, text: "too large"},
		"400, too large":           {reply: reply{status: 400, body: strings.Repeat(" ", maxBody) + leak}, reason: ReasonResponse, code: codes.Unavailable, transient: true},
		"200, CR LF in the token":  {reply: reply{body: `{"access_token":"` + leak + `\r\n","token_type":"Bearer"}`}, reason: ReasonResponse, code: codes.Unavailable, text: "printable ASCII"},
		"invalid_client":           {reply: oauthError("invalid_client"), reason: ReasonRefused, code: codes.Unauthenticated, oauth: "invalid_client", text: "user pool"},
		"invalid_client, 401":      {reply: reply{status: 401, body: `{"error":"invalid_client","error_description":"` + leak + `"}`}, reason: ReasonRefused, code: codes.Unauthenticated, oauth: "invalid_client"},
		"invalid_grant":            {reply: oauthError("invalid_grant"), reason: ReasonRefused, code: codes.Unauthenticated, oauth: "invalid_grant", text: "AllowedOAuthFlowsUserPoolClient"},
		"invalid_scope":            {reply: oauthError("invalid_scope"), reason: ReasonRefused, code: codes.Unauthenticated, oauth: "invalid_scope", text: "AllowedOAuthScopes"},
		"unauthorized_client":      {reply: oauthError("unauthorized_client"), reason: ReasonRefused, code: codes.Unauthenticated, oauth: "unauthorized_client", text: "AllowedOAuthFlows"},
		"unsupported_grant_type":   {reply: oauthError("unsupported_grant_type"), reason: ReasonRefused, code: codes.Unauthenticated, oauth: "unsupported_grant_type"},
		"temporarily_unavailable":  {reply: oauthError("temporarily_unavailable"), reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true, oauth: "temporarily_unavailable"},
		"server_error":             {reply: oauthError("server_error"), reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true, oauth: "server_error"},
		"slow_down":                {reply: oauthError("slow_down"), reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true, oauth: "slow_down"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newSource(t, &fakeEndpoint{answer: func(int, request) reply { return test.reply }})
			_, err := c.exchange.fetch(t.Context(), NewSecret(testSecret), []string{"demo/read.file"})
			if err == nil {
				t.Fatal("got no error")
			}
			if err.Reason() != test.reason || err.Code() != test.code || err.transient != test.transient || err.OAuthCode() != test.oauth {
				t.Errorf("got %s %s transient=%v oauth=%q, want %s %s transient=%v oauth=%q", err.Reason(), err.Code(), err.transient, err.OAuthCode(),
					test.reason, test.code, test.transient, test.oauth)
			}
			wantStatus := max(test.reply.status, 200)
			if err.HTTPStatus() != wantStatus {
				t.Errorf("HTTP status: got %d, want %d", err.HTTPStatus(), wantStatus)
			}
			text := err.Error()
			if !strings.HasPrefix(text, "clientauth: ") || !strings.Contains(text, test.text) || !strings.Contains(text, testURL) {
				t.Errorf("got the text %q, want %q in it", text, test.text)
			}
			if strings.Contains(text, leak) {
				t.Errorf("the text has what the endpoint sent: %q", text)
			}
			if len(test.reply.body) <= maxBody {
				sum := sha256.Sum256([]byte(test.reply.body))
				if want := hex.EncodeToString(sum[:])[:16]; !strings.Contains(text, want) {
					t.Errorf("got the text %q, want the body's hash %s in it", text, want)
				}
			}
		})
	}
}

// endless is a body that never ends; it counts what was read.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

func TestHugeBodyIsNotRead(t *testing.T) {
	t.Parallel()
	body := &endless{}
	c := newSource(t, &fakeEndpoint{answer: func(int, request) reply { return reply{reader: body} }})
	_, err := c.exchange.fetch(t.Context(), NewSecret(testSecret), nil)
	if err == nil || err.Reason() != ReasonResponse {
		t.Fatalf("got %v, want %s", err, ReasonResponse)
	}
	if body.read != 64<<10+1 {
		t.Errorf("read %d bytes, want 64 KiB and one", body.read)
	}
}

// drip gives one byte a second.
type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

type dripEndpoint struct{}

func (dripEndpoint) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(drip{req.Context()})}, nil
}

func TestSlowBodyEndsWithTheAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newSource(t, dripEndpoint{})
		start := time.Now()
		f := &flight{over: make(chan struct{})}
		f.running.Store(1)
		_, err := c.attempt(t.Context(), &tokenSet{}, f, 0)
		if err == nil || err.Reason() != ReasonNetwork || err.Code() != codes.Unavailable {
			t.Fatalf("got %v, want %s", err, ReasonNetwork)
		}
		if got := time.Since(start); got != 5*time.Second {
			t.Errorf("ended after %v, want 5 s", got)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Error("the error is DeadlineExceeded, which a caller takes for its own")
		}
	})
}

func TestSecretFailure(t *testing.T) {
	t.Parallel()
	errVault := errors.New("the vault is sealed")
	for name, secret := range map[string]SecretFunc{
		"error": func(context.Context) (Secret, error) { return Secret{}, errVault },
		"zero":  func(context.Context) (Secret, error) { return Secret{}, nil },
		"empty": StaticSecret(""),
	} {
		_, err := readSecret(t.Context(), secret)
		if err == nil || err.Reason() != ReasonSecret || err.Code() != codes.Unavailable {
			t.Errorf("%s: got %v, want %s", name, err, ReasonSecret)
		}
		if name == "error" && !errors.Is(err, errVault) {
			t.Errorf("%s: got %v, want the cause in it", name, err)
		}
	}
}

// TestTransportWithoutAnswer: a transport that breaks the rules of http.RoundTripper is
// a fault of the network and no panic.
func TestTransportWithoutAnswer(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]*http.Response{"no answer": nil, "no body": {StatusCode: http.StatusOK}} {
		c := newSource(t, roundTripper(func(*http.Request) (*http.Response, error) { return answer, nil }))
		_, err := c.exchange.fetch(t.Context(), NewSecret(testSecret), nil)
		if err == nil || err.Reason() != ReasonNetwork || !err.transient || !strings.Contains(err.Error(), "neither an answer nor an error") {
			t.Errorf("%s: got %v, want %s", name, err, ReasonNetwork)
		}
	}
}

// TestNothingReplaysTheBody: net/http would send it again, with the secret and for a
// second token, where a connection ends in the middle of a request.
func TestNothingReplaysTheBody(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{TokenURL: testURL}, {UserPoolAPI: testAPI}} {
		cfg.ClientID, cfg.Secret = testClient, StaticSecret(testSecret)
		replays := true
		c, err := NewClientCredentials(cfg, WithTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
			replays = req.GetBody != nil
			return nil, errReset
		})))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.exchange.fetch(t.Context(), NewSecret(testSecret), nil); err == nil || replays {
			t.Errorf("%s: got %v, and GetBody: %v, want an error and none", c.exchange.endpoint.shown, err, replays)
		}
		_ = c.Close()
	}
}

// lastGasp gives spaces, and an error together with the last of them.
type lastGasp struct{ left int }

func (r *lastGasp) Read(p []byte) (int, error) {
	n := min(len(p), r.left)
	r.left -= n
	for i := range n {
		p[i] = ' '
	}
	if r.left == 0 {
		return n, errReset
	}
	return n, nil
}

// TestLargeBodyThatBreaksOff is too large first of all.
func TestLargeBodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]Reason{64 << 10: ReasonNetwork, 64<<10 + 1: ReasonResponse} {
		c := newSource(t, &fakeEndpoint{answer: func(int, request) reply { return reply{reader: &lastGasp{left: size}} }})
		if _, err := c.exchange.fetch(t.Context(), NewSecret(testSecret), nil); err == nil || err.Reason() != want {
			t.Errorf("%d bytes: got %v, want %s", size, err, want)
		}
	}
}
