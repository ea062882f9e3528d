// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestTransientFailureOnceIsNotSeen(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]reply{
		"500": page(500), "503": page(503), "reset": {err: errReset}, "DNS": {err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}, "refused": {err: &net.OpError{Op: "dial", Err: errReset}}, "HTML": page(200), "truncated": {body: `{"access_`}, "405": {status: 405}, "hang": {after: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
					if n == 0 {
						return bad
					}
					return ok(n, 3600)
				}}
				c := newSource(t, endpoint)
				if got := value(t, c); got != opaque(1) {
					t.Errorf("got %q, want token 1", got)
				}
				if gap := endpoint.all()[1].at.Sub(endpoint.all()[0].at); bad.after == 0 && gap > 200*time.Millisecond {
					t.Errorf("the second attempt came after %v, want at most 200 ms", gap)
				}
			})
		})
	}
}

// TestDownWithoutToken: 50 callers share 3 requests, and until the next try all
// others fail at once.
func TestDownWithoutToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(int, request) reply { r := page(500); r.after = 20 * time.Millisecond; return r }}
		c := newSource(t, endpoint)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := c.Token(t.Context(), Request{}); status.Code(err) != codes.Unavailable {
					t.Errorf("got %v, want Unavailable", err)
				}
			})
		}
		wg.Wait()
		wantCount(t, endpoint, 3)
		start := time.Now()
		for range 1000 {
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonHTTPStatus, codes.Unavailable)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("1000 calls took %v, want 0", d)
		}
		wantCount(t, endpoint, 3)
		time.Sleep(1500 * time.Millisecond) // the first pause is 1 s x U(0.5, 1.5)
		if _, err := c.Token(t.Context(), Request{}); err == nil {
			t.Error("got no error")
		}
		wantCount(t, endpoint, 6)
	})
}

// TestDownForTenMinutes counts the tries: neither a hot loop nor a standstill.
func TestDownForTenMinutes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		withToken bool
		low, high int // flights of 3 requests
	}{
		"usable token": {withToken: true, low: 12, high: 26},
		"no token":     {low: 60, high: 130},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
					if n == 0 && test.withToken {
						return ok(n, 24*3600)
					}
					return page(500)
				}}
				c := newSource(t, endpoint)
				_, _ = c.Token(t.Context(), Request{})
				if test.withToken {
					time.Sleep(21 * time.Hour) // stale
				}
				before := endpoint.count()
				for range 6000 {
					token, err := c.Token(t.Context(), Request{})
					if test.withToken && token.Value() != opaque(0) {
						t.Fatalf("got %q, %v, want the old token", token.Value(), err)
					}
					time.Sleep(100 * time.Millisecond)
				}
				synctest.Wait()
				got := endpoint.count() - before
				if got < 3*test.low || got > 3*test.high {
					t.Errorf("got %d requests in 10 min, want %d to %d", got, 3*test.low, 3*test.high)
				}
			})
		})
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	transient := &Error{transient: true}
	after := func(d time.Duration) *Error { return &Error{transient: true, retryAfter: d} }
	tests := map[string]struct {
		err       *Error
		failures  int
		remaining time.Duration
		low, high time.Duration
	}{
		"first":                          {err: transient, low: 500 * time.Millisecond, high: 1500 * time.Millisecond},
		"second":                         {err: transient, failures: 1, low: time.Second, high: 3 * time.Second},
		"capped without a token":         {err: transient, failures: 16, low: 3 * time.Second, high: 10 * time.Second},
		"capped with a token":            {err: transient, failures: 16, remaining: time.Hour, low: 20 * time.Second, high: 60 * time.Second},
		"a third of what remains":        {err: transient, failures: 16, remaining: 30 * time.Second, low: 3 * time.Second, high: 10 * time.Second},
		"no hot loop at the end":         {err: transient, remaining: time.Millisecond, low: 500 * time.Millisecond, high: 500 * time.Millisecond},
		"first refusal":                  {err: &Error{}, low: 30 * time.Second, high: 33 * time.Second},
		"second refusal":                 {err: &Error{}, failures: 1, low: 60 * time.Second, high: 66 * time.Second},
		"fourth refusal":                 {err: &Error{}, failures: 3, low: 240 * time.Second, high: 264 * time.Second},
		"capped refusals":                {err: &Error{}, failures: 16, remaining: time.Hour, low: 300 * time.Second, high: 330 * time.Second},
		"Retry-After":                    {err: after(20 * time.Second), low: 20 * time.Second, high: 22 * time.Second},
		"Retry-After below the pause":    {err: after(time.Millisecond), low: 500 * time.Millisecond, high: 1500 * time.Millisecond},
		"Retry-After capped, no token":   {err: after(24 * time.Hour), low: 30 * time.Second, high: 33 * time.Second},
		"Retry-After capped, token":      {err: after(24 * time.Hour), remaining: time.Hour, low: 300 * time.Second, high: 330 * time.Second},
		"Retry-After beyond the token":   {err: after(24 * time.Hour), remaining: 10 * time.Second, low: 40 * time.Second, high: 44 * time.Second},
		"refusal, Retry-After, no token": {err: &Error{retryAfter: 24 * time.Hour}, low: 30 * time.Second, high: 33 * time.Second},
		"refusal, Retry-After, token":    {err: &Error{retryAfter: 200 * time.Second}, remaining: time.Hour, low: 200 * time.Second, high: 220 * time.Second},
		"Retry-After with a token, 60 s": {err: after(60 * time.Second), remaining: time.Hour, low: 60 * time.Second, high: 66 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 500 {
				// Only the failures of the same kind count.
				count := failures{final: maxFailures - test.failures, transient: test.failures}
				want := failures{final: count.final, transient: min(test.failures+1, maxFailures)}
				if !test.err.transient {
					count = failures{final: test.failures, transient: maxFailures - test.failures}
					want = failures{final: min(test.failures+1, maxFailures), transient: count.transient}
				}
				if got := count.pause(test.err, test.remaining); got < test.low || got > test.high {
					t.Fatalf("got %v, want %v to %v", got, test.low, test.high)
				}
				if count != want {
					t.Fatalf("counted %+v, want %+v", count, want)
				}
			}
		})
	}
}

// TestThrottledWithRetryAfter: not before, not after the time and a tenth. What is too
// long is capped, and garbage is none.
func TestThrottledWithRetryAfter(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		header    func() string
		withToken bool
		low, high time.Duration
	}{
		"seconds":            {header: func() string { return "20" }, low: 20 * time.Second, high: 22 * time.Second},
		"date":               {header: func() string { return time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat) }, low: 20 * time.Second, high: 22 * time.Second},
		"garbage":            {header: func() string { return "a while" }, low: 500 * time.Millisecond, high: 1500 * time.Millisecond},
		"a year":             {header: func() string { return "31536000" }, low: 30 * time.Second, high: 33 * time.Second},
		"seconds, token":     {header: func() string { return "20" }, withToken: true, low: 20 * time.Second, high: 22 * time.Second},
		"a year, token":      {header: func() string { return "31536000" }, withToken: true, low: 300 * time.Second, high: 330 * time.Second},
		"date in past":       {header: func() string { return "Sun, 06 Nov 1994 08:49:37 GMT" }, low: 500 * time.Millisecond, high: 1500 * time.Millisecond},
		"none":               {header: func() string { return "" }, low: 500 * time.Millisecond, high: 1500 * time.Millisecond},
		"none, with a token": {header: func() string { return "" }, withToken: true, low: 500 * time.Millisecond, high: 1500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				busy := false
				endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
					if busy {
						return reply{status: 429, header: http.Header{"Retry-After": {test.header()}}}
					}
					return ok(n, 24*3600)
				}}
				c := newSource(t, endpoint)
				if test.withToken {
					value(t, c)
					time.Sleep(21 * time.Hour) // stale
				}
				busy = true
				before := endpoint.count()
				_, err := c.Token(t.Context(), Request{})
				if !test.withToken {
					wantReason(t, err, ReasonThrottled, codes.Unavailable)
				}
				wantCount(t, endpoint, before+1)
				start := time.Now()
				for endpoint.count() == before+1 {
					time.Sleep(10 * time.Millisecond)
					if _, err = c.Token(t.Context(), Request{}); (err == nil) != test.withToken {
						t.Fatalf("got %v", err)
					}
					synctest.Wait()
				}
				if d := time.Since(start); d < test.low || d > test.high+10*time.Millisecond {
					t.Errorf("the next request came after %v, want %v to %v", d, test.low, test.high)
				}
			})
		})
	}
}

// TestBadBodiesAreNoEnd: the tries go on however often the answer is of no use.
func TestBadBodiesAreNoEnd(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]reply{
		"HTML": page(200), "empty": {}, "truncated": {body: `{"access_`}, "array": {body: `[]`}, "trailing data": {body: `{"token_type":"Bearer"} {}`},
		"405": {status: 405}, "403": page(403),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				good := false
				endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
					if good {
						return ok(n, 3600)
					}
					return bad
				}}
				c := newSource(t, endpoint)
				for range 600 {
					if _, err := c.Token(t.Context(), Request{}); status.Code(err) != codes.Unavailable {
						t.Fatalf("got %v, want Unavailable", err)
					}
					time.Sleep(time.Second)
				}
				good = true
				time.Sleep(maxPauseNoToken)
				value(t, c)
			})
		})
	}
}

func TestInvalidClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(int, request) reply { return oauthError("invalid_client") }}
		c := newSource(t, endpoint)
		for range 300 {
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonRefused, codes.Unauthenticated)
			time.Sleep(99 * time.Millisecond)
		}
		wantCount(t, endpoint, 1)
		time.Sleep(4 * time.Second)
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
		wantCount(t, endpoint, 2)
	})
}

func TestInvalidClientWhileTheTokenIsUsable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
			if n == 0 {
				return ok(n, 1000)
			}
			return oauthError("invalid_client")
		}}
		var fetches reports
		c := newSource(t, endpoint, WithReporter(&fetches))
		for range 96 { // to 960 s, the token ends at 970 s
			if got := value(t, c); got != opaque(0) {
				t.Fatalf("got %q, want the old token", got)
			}
			time.Sleep(10 * time.Second)
		}
		refused := fetches.all()[1:]
		if len(refused) < 2 {
			t.Errorf("got %d reports of a refusal, want some", len(refused))
		}
		for _, f := range refused {
			if f.Reason != ReasonRefused || f.OAuthCode != "invalid_client" || !f.TokenUsable {
				t.Errorf("got the report %+v, want a refusal while the token is usable", f)
			}
		}
		time.Sleep(10 * time.Second)
		_, err := c.Token(t.Context(), Request{})
		wantReason(t, err, ReasonRefused, codes.Unauthenticated)
	})
}
