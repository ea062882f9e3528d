// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// askForAnHour asks ten times a second and returns the last error.
func askForAnHour(t *testing.T, c *ClientCredentials, scopes ...string) error {
	t.Helper()
	var last error
	for range 36_000 {
		_, last = c.Token(t.Context(), Request{Scopes: scopes})
		time.Sleep(100 * time.Millisecond)
	}
	synctest.Wait()
	return last
}

// TestHourOfFailures counts what an hour of the same failure costs: pauses of 30, 60,
// 120, 240 and then 300 s make about 15 requests.
func TestHourOfFailures(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reply  reply
		opts   []Option
		reason Reason
		code   codes.Code
	}{
		"token too long":        {reply: okToken(strings.Repeat("a", 9<<10), "3600"), reason: ReasonResponse, code: codes.Unavailable},
		"no token_type":         {reply: reply{body: `{"access_token":"abc","expires_in":3600}`}, reason: ReasonResponse, code: codes.Unavailable},
		"text/plain":            {reply: reply{mime: "text/plain", body: ok(0, 3600).body}, reason: ReasonResponse, code: codes.Unavailable},
		"expires_in 0":          {reply: okToken("abc", "0"), reason: ReasonResponse, code: codes.Unavailable},
		"over when issued":      {reply: okToken(jwt(map[string]any{"iat": 2, "exp": 1}), "60"), reason: ReasonResponse, code: codes.Unavailable},
		"scopes not told":       {reply: okToken("opaque", "3600"), opts: []Option{RequireGrantedScopes()}, reason: ReasonScopeNotGranted, code: codes.Unauthenticated},
		"a scope not granted":   {reply: okToken(jwt(map[string]any{"scope": "b"}), "3600"), opts: []Option{RequireGrantedScopes()}, reason: ReasonScopeNotGranted, code: codes.Unauthenticated},
		"invalid_client":        {reply: oauthError("invalid_client"), reason: ReasonRefused, code: codes.Unauthenticated},
		"invalid_scope, scopes": {reply: oauthError("invalid_scope"), reason: ReasonRefused, code: codes.Unauthenticated},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				endpoint := &fakeEndpoint{answer: func(int, request) reply { return test.reply }}
				c := newSource(t, endpoint, test.opts...)
				wantReason(t, askForAnHour(t, c, "a"), test.reason, test.code)
				if got := endpoint.count(); got < 13 || got > 16 {
					t.Errorf("got %d requests in an hour, want 13 to 16", got)
				}
			})
		})
	}
}

// TestUnpaidAnswerIsRepeated: what holds no token costs nothing.
func TestUnpaidAnswerIsRepeated(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, `{"access_token":null,"token_type":"Bearer"}`, `{"access_token":7}`, `[]`, ``} {
		synctest.Test(t, func(t *testing.T) {
			endpoint := &fakeEndpoint{answer: func(int, request) reply { return reply{body: body} }}
			_, err := newSource(t, endpoint).Token(t.Context(), Request{})
			wantReason(t, err, ReasonResponse, codes.Unavailable)
			wantCount(t, endpoint, flightAttempts)
		})
	}
}

// TestSuccessResetsThePauses: the failure after a success waits as the first does.
func TestSuccessResetsThePauses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		bad     reply
		longest time.Duration // of a first pause
	}{
		"transient": {bad: page(500), longest: 1500 * time.Millisecond},
		"refusals":  {bad: oauthError("invalid_client"), longest: 33 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				good := false
				endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
					if good {
						return ok(n, 100)
					}
					return test.bad
				}}
				c := newSource(t, endpoint)
				for range 6 {
					_, _ = c.Token(t.Context(), Request{})
					time.Sleep(10 * time.Minute)
				}
				good = true
				value(t, c)
				good = false
				time.Sleep(10 * time.Minute)
				before := endpoint.count()
				if _, err := c.Token(t.Context(), Request{}); err == nil {
					t.Fatal("got no error")
				}
				attempts := endpoint.count() - before
				time.Sleep(test.longest)
				_, _ = c.Token(t.Context(), Request{})
				wantCount(t, endpoint, before+2*attempts)
			})
		})
	}
}

// TestTransientFailuresDoNotLengthenARefusal: the two have counts of their own.
func TestTransientFailuresDoNotLengthenARefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refuse := false
		endpoint := &fakeEndpoint{answer: func(int, request) reply {
			if refuse {
				return oauthError("invalid_client")
			}
			return page(500)
		}}
		c := newSource(t, endpoint)
		for range 6 {
			_, _ = c.Token(t.Context(), Request{})
			time.Sleep(time.Minute)
		}
		refuse = true
		before := endpoint.count()
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		time.Sleep(33 * time.Second)
		_, _ = c.Token(t.Context(), Request{})
		wantCount(t, endpoint, before+2)
	})
}

// brokenBody fails after a few bytes.
func brokenBody() io.Reader { return io.MultiReader(strings.NewReader("<ht"), failingReader{}) }

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errReset }

// TestThrottledOnce: 429 ends the flight and is 429 whatever its body.
func TestThrottledOnce(t *testing.T) {
	t.Parallel()
	retryAfter := http.Header{"Retry-After": {"20"}}
	for name, test := range map[string]struct {
		reply func() reply
		pause time.Duration
	}{
		"bare":        {reply: func() reply { return reply{status: 429} }},
		"broken body": {reply: func() reply { return reply{status: 429, header: retryAfter, reader: brokenBody()} }, pause: 20 * time.Second},
		"large body": {reply: func() reply {
			return reply{status: 429, header: retryAfter, reader: bytes.NewReader(make([]byte, maxBody+1))}
		}, pause: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				endpoint := &fakeEndpoint{answer: func(int, request) reply { return test.reply() }}
				c := newSource(t, endpoint)
				_, err := c.Token(t.Context(), Request{})
				wantReason(t, err, ReasonThrottled, codes.Unavailable)
				wantCount(t, endpoint, 1)
				if test.pause > 0 {
					time.Sleep(test.pause - 1)
					_, _ = c.Token(t.Context(), Request{})
					wantCount(t, endpoint, 1)
				}
			})
		})
	}
}

// TestEndpointThatSaysWhen is not asked before, not even once more in the same fetch.
func TestEndpointThatSaysWhen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		busy := reply{status: 503, header: http.Header{"Retry-After": {"20"}}}
		endpoint := &fakeEndpoint{answer: func(int, request) reply { return busy }}
		c := newSource(t, endpoint)
		for _, want := range []struct {
			after    time.Duration
			requests int
		}{{0, 1}, {20*time.Second - 1, 1}, {2*time.Second + 1, 2}} {
			time.Sleep(want.after)
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonHTTPStatus, codes.Unavailable)
			wantCount(t, endpoint, want.requests)
		}
	})
}

// TestGapsAreSpread: programs that started together do not repeat together.
// TestGapsAreSpread over 0 to 200 ms and 0 to 400 ms.
func TestGapsAreSpread(t *testing.T) {
	t.Parallel()
	gaps := map[time.Duration]bool{}
	var longest [2]time.Duration
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			endpoint := &fakeEndpoint{answer: func(int, request) reply { return page(500) }}
			_, _ = newSource(t, endpoint).Token(t.Context(), Request{})
			all := endpoint.all()
			for i := range longest {
				gap := all[i+1].at.Sub(all[i].at)
				gaps[gap], longest[i] = true, max(longest[i], gap)
			}
		})
	}
	if len(gaps) < 150 {
		t.Errorf("got %d different gaps of 200, want nearly all", len(gaps))
	}
	if longest[0] < 150*time.Millisecond || longest[0] > 200*time.Millisecond || longest[1] < 300*time.Millisecond || longest[1] > 400*time.Millisecond {
		t.Errorf("the longest gaps are %v, want nearly 200 ms and 400 ms", longest)
	}
}

// TestPausesAreSpread of each kind.
func TestPausesAreSpread(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]*Error{
		"transient": {transient: true}, "refusal": {}, "Retry-After": {transient: true, retryAfter: 20 * time.Second},
	} {
		different := map[time.Duration]bool{}
		for range 20 {
			different[new(failures).pause(err, 0)] = true
		}
		if len(different) < 15 {
			t.Errorf("%s: got %d different pauses of 20, want nearly all", name, len(different))
		}
	}
}

// TestSecondSecretThatCannotBeRead: it neither hides the refusal nor makes the tries
// more frequent.
func TestSecondSecretThatCannotBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(int, request) reply { return oauthError("invalid_client") }}
		c := sourceWithSecrets(t, endpoint, StaticSecret("wrong"), unreadable)
		err := askForAnHour(t, c)
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		if got := endpoint.count(); got < 13 || got > 16 {
			t.Errorf("got %d requests in an hour, want 13 to 16 as with one secret", got)
		}
	})
}

// TestFirstSecretThatCannotBeRead: the second is tried.
func TestFirstSecretThatCannotBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, r request) reply {
			if _, password, _ := (&http.Request{Header: r.header}).BasicAuth(); password != "second" {
				return oauthError("invalid_client")
			}
			return ok(n, 3600)
		}}
		value(t, sourceWithSecrets(t, endpoint, unreadable, StaticSecret("second")))
		wantCount(t, endpoint, 1)

		_, err := sourceWithSecrets(t, endpoint, unreadable, StaticSecret("wrong")).Token(t.Context(), Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		wantCount(t, endpoint, 2)
	})
}

func TestNoSecretCanBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{}
		first := func(context.Context) (Secret, error) { return Secret{}, errReset }
		second := &vault{err: os.ErrNotExist}
		_, err := sourceWithSecrets(t, endpoint, first, second.read).Token(t.Context(), Request{})
		wantReason(t, err, ReasonSecret, codes.Unavailable)
		if !strings.Contains(err.Error(), errReset.Error()) {
			t.Errorf("got %v, want the error of the first secret", err)
		}
		if got := second.count(); got != 1 {
			t.Errorf("the second secret was read %d times, want once in a fetch", got)
		}
		wantCount(t, endpoint, 0)
	})
}

var unreadable = SecretFromFile("/nonexistent/secret")

func sourceWithSecrets(t *testing.T, endpoint http.RoundTripper, first, second SecretFunc, opts ...Option) *ClientCredentials {
	t.Helper()
	c, err := NewClientCredentials(Config{TokenURL: testURL, ClientID: testClient, Secret: first, NextSecret: second},
		append(opts, WithTransport(endpoint), WithLogger((&logBuffer{}).logger()))...)
	if err != nil {
		t.Fatal(err)
	}
	wantNoLeak(t, c)
	t.Cleanup(func() { _ = c.Close() })
	return c
}
