// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

func sourceOf(t *testing.T, secret SecretFunc, transport http.RoundTripper, handler slog.Handler) *ClientCredentials {
	t.Helper()
	c, err := NewClientCredentials(Config{TokenURL: testURL, ClientID: testClient, Secret: secret},
		WithTransport(transport), WithLogger(slog.New(handler)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestFlightHasNoValuesOfACaller: a flight serves all callers, so the first one's
// traces and metadata are not for it.
func TestFlightHasNoValuesOfACaller(t *testing.T) {
	t.Parallel()
	type key struct{}
	seen := func(ctx context.Context) bool {
		md, _ := metadata.FromOutgoingContext(ctx)
		return len(md) > 0 || ctx.Value(key{}) != nil || httptrace.ContextClientTrace(ctx) != nil
	}
	var inSecret, inTransport bool
	transport := roundTripper(func(req *http.Request) (*http.Response, error) {
		inTransport = seen(req.Context())
		return (&fakeEndpoint{}).RoundTrip(req)
	})
	c := sourceOf(t, func(ctx context.Context) (Secret, error) {
		inSecret = seen(ctx)
		return NewSecret(testSecret), nil
	}, transport, slog.DiscardHandler)
	ctx := metadata.AppendToOutgoingContext(context.WithValue(t.Context(), key{}, 1), "x-user", "private")
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{})
	if _, err := c.Token(ctx, Request{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if inSecret || inTransport {
		t.Errorf("the caller's values reach the secret function: %v, the transport: %v, want neither", inSecret, inTransport)
	}
}

type roundTripper func(req *http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestHungFunctions: a secret function or transport that ignores its context holds
// nobody, is not called again and again, and recovers.
func TestHungFunctions(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]Reason{"secret": ReasonSecret, "transport": ReasonNetwork} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				hung, calls := false, 0
				release := make(chan struct{})
				wait := func() {
					mu.Lock()
					calls++
					stuck := hung
					mu.Unlock()
					if stuck {
						<-release
					}
				}
				secret, transport := StaticSecret(testSecret), http.RoundTripper(&fakeEndpoint{})
				if name == "secret" {
					secret = func(context.Context) (Secret, error) { wait(); return NewSecret(testSecret), nil }
				} else {
					transport = roundTripper(func(req *http.Request) (*http.Response, error) {
						wait()
						return (&fakeEndpoint{}).RoundTrip(req)
					})
				}
				c := sourceOf(t, secret, transport, slog.DiscardHandler)
				value(t, c)
				mu.Lock()
				hung = true
				mu.Unlock()
				time.Sleep(50 * time.Minute)
				value(t, c) // stale: a renewal begins and hangs
				time.Sleep(20 * time.Minute)
				for range 100 {
					start := time.Now()
					_, err := c.Token(t.Context(), Request{})
					wantReason(t, err, reason, codes.Unavailable)
					if d := time.Since(start); d > 12250*time.Millisecond {
						t.Fatalf("waited %v, want at most 12.25 s", d)
					}
					time.Sleep(10 * time.Second)
				}
				mu.Lock()
				hung = false
				if calls != 1+4 {
					t.Errorf("got %d calls of the hung function, want 4", calls-1)
				}
				mu.Unlock()
				close(release)
				synctest.Wait()
				time.Sleep(10 * time.Second)
				value(t, c)
				if err := c.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		})
	}
}

// TestLeftBehind: a request that ignores its context is given up 250 ms after its 5 s.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := stubborn{release: make(chan struct{})}
		c := newSource(t, s)
		f := &flight{over: make(chan struct{})}
		f.running.Store(1)
		start := time.Now()
		_, err := c.attempt(t.Context(), &tokenSet{}, f, 0)
		if err == nil || err.Reason() != ReasonNetwork || time.Since(start) != 5250*time.Millisecond {
			t.Errorf("got %v after %v, want %s after 5.25 s", err, time.Since(start), ReasonNetwork)
		}
		close(s.release)
	})
}

// TestGoexit: as t.FailNow does it in a test's fake.
func TestGoexit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := sourceOf(t, func(context.Context) (Secret, error) {
			if n++; n == 1 {
				runtime.Goexit()
			}
			return NewSecret(testSecret), nil
		}, &fakeEndpoint{}, slog.DiscardHandler)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := c.Token(ctx, Request{})
		wantReason(t, err, ReasonPanic, codes.Internal)
		time.Sleep(2 * time.Second)
		value(t, c)
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestPanicInATransport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		logs := &logBuffer{}
		c := newSource(t, roundTripper(func(*http.Request) (*http.Response, error) { panic("with " + testSecret) }), WithLogger(logs.logger()))
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonPanic, codes.Internal)
		synctest.Wait()
		if all := logs.String() + err.Error(); strings.Contains(all, testSecret) || strings.Count(all, "stack=") != 1 {
			t.Errorf("got %q, want the panic once and without its value", all)
		}
	})
}

// handlerFunc is a log handler.
type handlerFunc func()

func (handlerFunc) Enabled(context.Context, slog.Level) bool    { return true }
func (f handlerFunc) Handle(context.Context, slog.Record) error { f(); return nil }
func (f handlerFunc) WithAttrs([]slog.Attr) slog.Handler        { return f }
func (f handlerFunc) WithGroup(string) slog.Handler             { return f }

// TestLogHandlers: what a log handler does is nobody's wait and no one's end.
func TestLogHandlers(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]func(){
		"slow":   func() { time.Sleep(time.Second) },
		"panics": func() { panic("a handler") },
		"exits":  runtime.Goexit,
	} {
		for kind, answer := range map[string]reply{"failure": oauthError("invalid_client"), "finding": okToken("opaque", "")} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					called := 0
					c := sourceOf(t, StaticSecret(testSecret), &fakeEndpoint{answer: func(int, request) reply { return answer }},
						handlerFunc(func() { called++; handle() }))
					start := time.Now()
					_, err := c.Token(t.Context(), Request{})
					if (err != nil) != (kind == "failure") || time.Since(start) != 0 {
						t.Errorf("got %v after %v, want the outcome at once", err, time.Since(start))
					}
					if err := c.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
					if called != 1 {
						t.Errorf("the handler was called %d times, want 1", called)
					}
				})
			})
		}
	}
}

// TestLevelOfAFailure: it is a warning while calls go on, and an error when they fail.
func TestLevelOfAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		logs := &logBuffer{}
		c := newSource(t, &fakeEndpoint{answer: func(n int, _ request) reply {
			if n == 0 {
				return ok(n, 3600)
			}
			return page(503)
		}}, WithLogger(logs.logger()))
		value(t, c)
		time.Sleep(52 * time.Minute)
		value(t, c)
		time.Sleep(time.Second)
		if got := logs.String(); !strings.Contains(got, "level=WARN") || strings.Contains(got, "level=ERROR") {
			t.Errorf("with a token: got the log %q, want a warning", got)
		}
		time.Sleep(10 * time.Minute)
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonHTTPStatus, codes.Unavailable)
		synctest.Wait()
		if got := logs.String(); strings.Count(got, "level=ERROR") != 1 {
			t.Errorf("without a token: got the log %q, want one error", got)
		}
	})
}

// TestCloseIsNoFailure: a request that Close gave up is not logged as one.
func TestCloseIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		logs := &logBuffer{}
		c := newSource(t, &fakeEndpoint{answer: func(int, request) reply { return reply{after: time.Hour} }}, WithLogger(logs.logger()))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _, _ = c.Token(ctx, Request{}) }()
		synctest.Wait()
		set, err := c.set(nil)
		if err != nil {
			t.Fatal(err)
		}
		set.mu.Lock()
		f := set.flight
		set.mu.Unlock()
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wantReason(t, f.err, ReasonClosed, codes.Canceled)
		if got := logs.String(); got != "" {
			t.Errorf("got the log %q, want none", got)
		}
	})
}
