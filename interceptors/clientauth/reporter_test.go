// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestReporterOwnsTheScopes that it is told, and not those of the source.
func TestReporterOwnsTheScopes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var second reports
		c := newSource(t, &fakeEndpoint{}, WithReporter(reporterFunc(func(_ context.Context, f Fetch) { clear(f.Scopes) })), WithReporter(&second))
		if err := c.Warm(t.Context(), "a", "b"); err != nil {
			t.Fatal(err)
		}
		for where, got := range map[string][]string{"the second reporter": second.all()[0].Scopes, "Stats": c.Stats().Sets[0].Scopes} {
			if !slices.Equal(got, []string{"a", "b"}) {
				t.Errorf("%s: got the scopes %q, want a and b", where, got)
			}
		}
	})
}

// TestReporterAndLogHandlerPanic: there is nobody left to tell, and the program goes on.
func TestReporterAndLogHandlerPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := NewClientCredentials(Config{TokenURL: testURL, ClientID: testClient, Secret: StaticSecret(testSecret)},
			WithTransport(&fakeEndpoint{}), WithLogger(slog.New(handlerFunc(func() { panic("a handler") }))), WithReporter(reporterFunc(func(context.Context, Fetch) { panic("a reporter") })))
		if err != nil {
			t.Fatal(err)
		}
		value(t, c)
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestLogFetchesWithoutALogger writes nothing.
func TestLogFetchesWithoutALogger(t *testing.T) {
	t.Parallel()
	LogFetches(nil).Report(t.Context(), Fetch{})
}

// TestStatsAfterAPause: BACKOFF and DENIED end when the next try may begin, though nobody
// has asked.
func TestStatsAfterAPause(t *testing.T) {
	t.Parallel()
	for state, answer := range map[string]reply{"BACKOFF": page(503), "DENIED": oauthError("invalid_client")} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newSource(t, &fakeEndpoint{answer: func(int, request) reply { return answer }})
				_, err := c.Token(t.Context(), Request{})
				if err == nil {
					t.Fatal("got no error")
				}
				if got := c.Stats().Sets[0].State; got != state {
					t.Errorf("got %s, want %s", got, state)
				}
				time.Sleep(firstRefusal + firstRefusal/10)
				if got := c.Stats().Sets[0].State; got != "EMPTY" {
					t.Errorf("after the pause: got %s, want EMPTY", got)
				}
			})
		})
	}
}
