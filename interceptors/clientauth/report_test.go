// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// reports is a Reporter that keeps what it is told.
type reports struct {
	mu   sync.Mutex
	list []Fetch
}

func (r *reports) Report(_ context.Context, f Fetch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, f)
}

// all returns the reports once all is quiet; it is for a bubble.
func (r *reports) all() []Fetch {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

type reporterFunc func(ctx context.Context, f Fetch)

func (r reporterFunc) Report(ctx context.Context, f Fetch) { r(ctx, f) }

// TestReports goes through the causes: one event for each fetch, whatever the number of
// callers.
func TestReports(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetches reports
		answers := []reply{
			page(503), ok(0, 1000), // cold, with a repetition
			ok(1, 1000),                     // stale
			oauthError("invalid_client"),    // rejected
			ok(2, 1000),                     // suspect
			page(500), page(500), page(500), // expired
			ok(3, 1000), // warm
		}
		for i := range answers {
			answers[i].after = time.Millisecond
		}
		c := newSource(t, &fakeEndpoint{answer: func(n int, _ request) reply { return answers[n] }}, WithReporter(&fetches))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { _, _ = c.Token(t.Context(), Request{Scopes: []string{"b", "a"}}) })
		}
		wg.Wait()
		get := func(rejected Token) Token {
			token, _ := c.Token(t.Context(), Request{Scopes: []string{"a", "b"}, Rejected: rejected})
			return token
		}
		time.Sleep(900 * time.Second)
		get(Token{})
		time.Sleep(time.Second)
		get(get(Token{})) // refused
		time.Sleep(time.Minute)
		setWall(c, time.Hour)
		get(Token{})
		time.Sleep(time.Hour)
		get(Token{})
		time.Sleep(time.Minute)
		if err := c.Warm(t.Context(), "a", "b"); err != nil {
			t.Error(err)
		}

		want := []Fetch{
			{Cause: CauseCold, Attempts: 2, TokenUsable: true},
			{Cause: CauseStale, Attempts: 1, TokenUsable: true},
			{Cause: CauseRejected, Attempts: 1, TokenUsable: true, Reason: ReasonRefused, OAuthCode: "invalid_client", HTTPStatus: 400},
			{Cause: CauseSuspect, Attempts: 1, TokenUsable: true},
			{Cause: CauseExpired, Attempts: 3, Reason: ReasonHTTPStatus, HTTPStatus: 500},
			{Cause: CauseWarm, Attempts: 1, TokenUsable: true},
		}
		got := fetches.all()
		for i := range got {
			if d, least := got[i].Duration, time.Duration(got[i].Attempts)*time.Millisecond; d < least || d > least+600*time.Millisecond {
				t.Errorf("fetch %d: took %v, want %v and the gaps", i, d, least)
			}
			got[i].Duration = 0
		}
		for i := range want {
			want[i].ClientID, want[i].Scopes = testClient, []string{"a", "b"}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v\nwant\n%+v", got, want)
		}
	})
}

// TestStats counts what costs money and what was spared.
func TestStats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := []reply{ok(0, 1000), page(500), page(500), page(500), okToken("x y", "60"), ok(1, 1000)}
		c := newSource(t, &fakeEndpoint{answer: func(n int, _ request) reply { return answers[n] }})
		if got := c.Stats(); !reflect.DeepEqual(got, Stats{}) {
			t.Errorf("at the start: got %+v, want nothing", got)
		}
		want := func(want Stats, set SetStats) {
			t.Helper()
			synctest.Wait()
			got := c.Stats()
			if len(got.Sets) != 1 || (got.Sets[0].LastError != nil) != (set.LastError != nil) {
				t.Fatalf("sets: got %+v, want one like %+v", got.Sets, set)
			}
			got.Sets[0].LastError, set.LastError = nil, nil
			want.Sets = []SetStats{set}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, want)
			}
		}
		old, err := c.Token(t.Context(), Request{})
		if err != nil {
			t.Fatal(err)
		}
		figures := Stats{Tokens: 1, Requests: 1, Fetches: 1}
		want(figures, SetStats{State: "FRESH", Remaining: 970 * time.Second})
		time.Sleep(970 * time.Second)
		want(figures, SetStats{State: "EXPIRED"})
		start := time.Now()
		_, _ = c.Token(t.Context(), Request{})
		figures = Stats{Tokens: 1, Requests: 4, Fetches: 2, Failures: 1}
		want(figures, SetStats{State: "BACKOFF", LastError: errReset})
		for range 7 {
			_, _ = c.Token(t.Context(), Request{})
		}
		c.counts.suppressed(nil) // a token came while the call waited for the lock
		c.counts.suppressed(closedError())
		figures.SuppressedBackoff = 7
		want(figures, SetStats{State: "BACKOFF", LastError: errReset})
		time.Sleep(3*time.Second - time.Since(start))
		_, _ = c.Token(t.Context(), Request{})
		figures.Tokens, figures.Requests, figures.Fetches, figures.Failures = 2, 5, 3, 2 // paid for, and of no use
		want(figures, SetStats{State: "DENIED", LastError: errReset})
		time.Sleep(33 * time.Second)
		old, err = c.Token(t.Context(), Request{Rejected: old})
		if err != nil {
			t.Fatal(err)
		}
		set, err := c.set(nil)
		if err != nil {
			t.Fatal(err)
		}
		set.forcedUntil = c.clock.mono() + time.Second
		_, err = c.Token(t.Context(), Request{Rejected: old})
		wantReason(t, err, ReasonRejected, 16)
		c.counts.retries.Add(2)
		c.counts.retriesFailed.Add(1)
		figures.Tokens, figures.Requests, figures.Fetches, figures.SuppressedCooldown = 3, 6, 4, 1
		figures.Retries, figures.RetriesFailed = 2, 1
		want(figures, SetStats{State: "FRESH", Remaining: 970 * time.Second})
		time.Sleep(860 * time.Second)
		want(figures, SetStats{State: "STALE", Remaining: 110 * time.Second})
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		want(figures, SetStats{State: "CLOSED"})
	})
}

// TestStatsOfWaiters also says EMPTY.
func TestStatsOfWaiters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newSource(t, &fakeEndpoint{answer: func(n int, r request) reply { a := ok(n, 60); a.after = time.Second; return a }})
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() { _, _ = c.Token(t.Context(), Request{Scopes: []string{"a", "b"}[:1+i%2]}) })
		}
		synctest.Wait()
		want := []SetStats{{Scopes: []string{"a"}, State: "EMPTY", Waiters: 2}, {Scopes: []string{"a", "b"}, State: "EMPTY", Waiters: 1}}
		if got := c.Stats().Sets; !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		wg.Wait()
		if got := c.Stats().Sets[0].Waiters; got != 0 {
			t.Errorf("waiters afterwards: got %d, want 0", got)
		}
		clear(c.Stats().Sets[1].Scopes) // a copy
		if got := c.Stats().Sets[1].Scopes; !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("got the scopes %q, want a and b", got)
		}
	})
}

// TestReportersHoldNobody: what a reporter does is nobody's wait and no one's end.
func TestReportersHoldNobody(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(){
		"slow":   func() { time.Sleep(time.Second) },
		"panics": func() { panic(hiddenSecret) },
		"exits":  runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				logs := &logBuffer{}
				var second reports
				c := newSource(t, &fakeEndpoint{}, WithLogger(logs.logger()),
					WithReporter(reporterFunc(func(context.Context, Fetch) { do() })), WithReporter(&second))
				start := time.Now()
				if value(t, c); time.Since(start) != 0 {
					t.Errorf("the call took %v, want 0", time.Since(start))
				}
				if err := c.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if name != "exits" && len(second.all()) != 1 {
					t.Errorf("the second reporter was told %d fetches, want 1", len(second.all()))
				}
				if got := logs.String(); (name == "panics") != strings.Contains(got, "a Reporter panicked (string)") || strings.Contains(got, hiddenSecret) {
					t.Errorf("got the log %q", got)
				}
			})
		})
	}
	if _, err := NewClientCredentials(Config{TokenURL: testURL, ClientID: testClient, Secret: StaticSecret(testSecret)}, WithReporter(nil)); err == nil {
		t.Error("WithReporter(nil): got no error")
	}
}

func TestLogFetches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		logs := &logBuffer{}
		l := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		answers := []reply{oauthError("invalid_client"), ok(0, 60)}
		c := newSource(t, &fakeEndpoint{answer: func(n int, _ request) reply { return answers[n] }}, WithReporter(LogFetches(l)), WithReporter(LogFetches(nil)))
		_ = c.Warm(t.Context(), "b", "a")
		time.Sleep(time.Minute)
		if _, err := c.Token(t.Context(), Request{Scopes: []string{"a", "b"}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		const want = `level=INFO msg="token not fetched" client_id=1example23456789 scopes="a b" cause=warm attempts=1 duration=0s token_usable=false reason=REFUSED oauth_code=invalid_client http_status=400
level=INFO msg="token fetched" client_id=1example23456789 scopes="a b" cause=cold attempts=1 duration=0s token_usable=true
`
		LogFetches(l).Report(t.Context(), Fetch{Cause: CauseCold, Reason: ReasonRefused, APIErrorType: "NotAuthorizedException"})
		const api = `level=INFO msg="token not fetched" client_id="" scopes="" cause=cold attempts=0 duration=0s token_usable=false reason=REFUSED api_error_type=NotAuthorizedException
`
		if got := logs.String(); got != want+api {
			t.Errorf("got\n%swant\n%s", got, want+api)
		}
	})
}

// TestCloseIsReported: each fetch has its event, also one that Close gave up.
func TestCloseIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetches reports
		c := newSource(t, &fakeEndpoint{answer: func(int, request) reply { return reply{after: time.Hour} }}, WithReporter(&fetches))
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = c.Token(t.Context(), Request{}) })
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		fetches.mu.Lock() // Close has waited
		if len(fetches.list) != 1 || fetches.list[0].Reason != ReasonClosed {
			t.Errorf("got %+v, want one fetch that was closed", fetches.list)
		}
		fetches.mu.Unlock()
		wg.Wait()
	})
}

// TestRequestsThatWereNotSent are not counted: a secret that comes with the end of the
// attempt leaves no time for one.
func TestRequestsThatWereNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint, told := &fakeEndpoint{}, &reports{}
		c := sourceWithSecrets(t, endpoint, func(ctx context.Context) (Secret, error) {
			<-ctx.Done()
			return NewSecret(testSecret), nil
		}, nil, WithReporter(told))
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonNetwork, codes.Unavailable)
		wantCount(t, endpoint, 0)
		if got := c.Stats().Requests; got != 0 {
			t.Errorf("requests: got %d, want 0", got)
		}
		synctest.Wait()
		if all := told.all(); len(all) != 1 || all[0].Attempts != 0 {
			t.Errorf("reports: got %+v, want one without attempts", all)
		}
	})
}
