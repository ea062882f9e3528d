// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

const (
	testURL    = "https://files.auth.eu-west-1.amazoncognito.com/oauth2/token"
	testClient = "1example23456789"
	testSecret = "9example87654321secret"
)

// reply is what the fake endpoint answers.
type reply struct {
	status int // 200 if 0
	mime   string
	header http.Header
	body   string
	reader io.Reader // in place of body
	after  time.Duration
	err    error
}

// request is what the fake endpoint got.
type request struct {
	at     time.Time
	header http.Header
	form   url.Values
}

// fakeEndpoint is a token endpoint without a network, for use in a bubble too.
type fakeEndpoint struct {
	// answer gets the number of the request, from 0. Nil answers with ok.
	answer func(n int, r request) reply

	mu       sync.Mutex
	requests []request
}

func (f *fakeEndpoint) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	got := request{at: time.Now(), header: req.Header.Clone(), form: form}
	f.mu.Lock()
	n := len(f.requests)
	f.requests = append(f.requests, got)
	f.mu.Unlock()

	var r reply
	if f.answer == nil {
		r = ok(n, 3600)
	} else {
		r = f.answer(n, got)
	}
	if r.after > 0 {
		timer := time.NewTimer(r.after)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	header := r.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if r.mime == "" {
		r.mime = "application/json;charset=UTF-8"
	}
	header.Set("Content-Type", r.mime)
	if r.status == 0 {
		r.status = http.StatusOK
	}
	reader := r.reader
	if reader == nil {
		reader = strings.NewReader(r.body)
	}
	return &http.Response{StatusCode: r.status, Header: header, Body: io.NopCloser(reader), Request: req}, nil
}

func (f *fakeEndpoint) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.requests)
}

func (f *fakeEndpoint) all() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]request(nil), f.requests...)
}

// ok answers with token number n.
func ok(n, expiresIn int) reply {
	return reply{body: fmt.Sprintf(`{"access_token":%q,"expires_in":%d,"token_type":"Bearer"}`, opaque(n), expiresIn)}
}

func opaque(n int) string { return fmt.Sprintf("opaque-token-number-%d", n) }

// oauthError answers as Cognito does.
func oauthError(code string) reply {
	return reply{status: http.StatusBadRequest, body: `{"error":"` + code + `"}`}
}

func page(code int) reply { return reply{status: code, mime: "text/html", body: "<html>broken</html>"} }

// jwt returns a token of the form of Cognito's with the given claims.
func jwt(claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		return ""
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + encode(payload) + "." + tokenSignature
}

// tokenSignature ends each token that jwt makes.
const tokenSignature = "dGhlLXNpZ25hdHVyZQ"

func okToken(token string, expiresIn string) reply {
	if expiresIn != "" {
		expiresIn = `,"expires_in":` + expiresIn
	}
	return reply{body: fmt.Sprintf(`{"access_token":%q%s,"token_type":"Bearer"}`, token, expiresIn)}
}

var errReset = errors.New("connection reset by a fake")

// logBuffer collects records; many goroutines may log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// listen keeps what c says from now on, beside its own logger and reporters: log
// records, events, errors and figures. The result returns it.
func listen(c *ClientCredentials) (printed func() string) {
	all := &logBuffer{}
	own := c.cfg.log().Handler()
	c.cfg.logger = slog.New(slog.NewMultiHandler(own, all.logger().Handler()))
	c.cfg.reporters = append(c.cfg.reporters, LogFetches(all.logger()), reporterFunc(func(_ context.Context, f Fetch) {
		stats := c.Stats()
		_, _ = fmt.Fprintf(all, "%+v %+v %v\n", f, stats, c)
		for _, set := range stats.Sets {
			_, _ = fmt.Fprintf(all, "%v\n", set.LastError)
		}
	}))
	return all.String
}

// leakIn returns where text has a secret or a token of these tests, or "".
func leakIn(text string) string {
	for _, value := range []string{testSecret, hiddenSecret, hiddenToken, strings.TrimSuffix(opaque(0), "0"), tokenSignature} {
		if i := strings.Index(text, value); i >= 0 {
			return "..." + text[max(0, i-200):i+len(value)]
		}
	}
	return ""
}

// newSource returns a source at the fake endpoint that is closed with the test.
func newSource(tb testing.TB, endpoint http.RoundTripper, opts ...Option) *ClientCredentials {
	tb.Helper()
	opts = append([]Option{WithTransport(endpoint), WithLogger(slog.New(slog.DiscardHandler))}, opts...)
	c, err := NewClientCredentials(Config{TokenURL: testURL, ClientID: testClient, Secret: StaticSecret(testSecret)}, opts...)
	if err != nil {
		tb.Fatalf("NewClientCredentials: %v", err)
	}
	wantNoLeak(tb, c)
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return c
}

// wantNoLeak fails at the end of the test, after its Close, if c has
// printed a token or a secret.
func wantNoLeak(tb testing.TB, c *ClientCredentials) {
	tb.Helper()
	printed := listen(c)
	tb.Cleanup(func() {
		if leak := leakIn(printed()); leak != "" {
			tb.Errorf("the source printed a token or secret: %s", leak)
		}
	})
}
