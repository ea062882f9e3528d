// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const soakLife = 5 // seconds

// faulty answers with faults at random.
func faulty(random *rand.Rand, mu *sync.Mutex) func(n int, _ request) reply {
	return func(n int, _ request) reply {
		mu.Lock()
		defer mu.Unlock()
		r := ok(n, soakLife)
		r.after = time.Duration(random.IntN(300)) * time.Millisecond
		switch random.IntN(30) {
		case 0, 1:
			r = page(500)
		case 2:
			r = reply{status: 429, header: http.Header{"Retry-After": {strconv.Itoa(random.IntN(4))}}}
		case 3:
			r.err = errReset
		case 4:
			r = page(200)
		case 5:
			r.after = time.Hour
		case 6:
			r.after = 3 * time.Second
		case 7:
			if random.IntN(10) == 0 {
				r = oauthError("invalid_client")
			}
		default:
		}
		return r
	}
}

// TestSoak is an hour with tokens of 5 s, faults at random, clocks that are set, tokens
// that are refused and calls that end early: no token is given out after its end, no
// call waits or fails while there is one, and the requests stay within what the pauses
// allow.
func TestSoak(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]Option{"by calls": nil, "kept warm": {KeepWarm()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { soak(t, opts) })
		})
	}
}

func soak(t *testing.T, opts []Option) {
	t.Helper()
	var mu sync.Mutex // guards random
	random := rand.New(rand.NewPCG(1, 2))
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	var fetches reports
	endpoint := &fakeEndpoint{answer: faulty(random, &mu)}
	store := &vault{secret: testSecret}
	c := sourceWithSecrets(t, endpoint, store.read, nil, append(opts, WithReporter(&fetches))...)
	set, err := c.set(nil)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var last Token
			for time.Since(start) < time.Hour {
				time.Sleep(time.Duration(draw(1000)) * time.Millisecond)
				req := Request{}
				if draw(150) == 0 {
					req.Rejected = last
				}
				switch draw(600) {
				case 0:
					c.clock.step.Store(int64(time.Duration(draw(7200)-3600) * time.Second))
				case 1:
					store.set("secret" + strconv.Itoa(draw(1000)))
				}
				if token := soakCall(t, c, set, req, time.Duration(1+draw(5000))*time.Millisecond); !token.IsZero() {
					checkAge(t, endpoint, token)
					last = token
				}
			}
		})
	}
	wg.Wait()
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}

	succeeded, failed, attempts := 0, 0, 0
	for _, f := range fetches.all() {
		attempts += f.Attempts
		if f.Reason == "" {
			succeeded++
		} else {
			failed++
		}
	}
	stats := c.Stats()
	causes := map[Cause]int{}
	for _, f := range fetches.all() {
		causes[f.Cause]++
	}
	for _, cause := range []Cause{CauseCold, CauseExpired, CauseRejected, CauseSuspect} {
		if causes[cause] == 0 {
			t.Errorf("no fetch of the cause %s: got %v", cause, causes)
		}
	}
	if attempts != endpoint.count() || stats.Requests != uint64(attempts) || stats.Fetches != uint64(succeeded+failed) || stats.Failures != uint64(failed) {
		t.Errorf("got %d requests, the reports say %d (%d fetches, %d failed), the counters %+v", endpoint.count(), attempts, succeeded+failed, failed, stats)
	}
	// A token is renewed 3 s after its fetch began at the earliest, a forced fetch comes
	// once in 60 s and a suspect clock's once in 30 s; after a failure there are 0.5 s.
	if most := 3600/3 + 60 + 120; succeeded > most || succeeded < 3600/soakLife/2 {
		t.Errorf("got %d tokens in an hour, want %d to %d", succeeded, 3600/soakLife/2, most)
	}
	if most := succeeded; failed == 0 || failed > most { // most faults are repeated within the flight
		t.Errorf("got %d failed fetches, want 1 to %d", failed, most)
	}
}

// soakCall asks as a call with a deadline does.
func soakCall(t *testing.T, c *ClientCredentials, set *tokenSet, req Request, patience time.Duration) Token {
	t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	step := c.clock.step.Load()
	held := set.current.Load()
	mono, wall := c.clock.hands()
	usable := held != nil && mono < held.hardAt
	token, err := c.Token(ctx, req)
	took := time.Since(begin)
	switch {
	case took > patience:
		t.Errorf("a call with %v took %v", patience, took)
	case usable && wall < held.over && req.Rejected.IsZero() && c.clock.step.Load() == step && (err != nil || took != 0):
		// Another may set the clock between the look at the token and the call.
		t.Errorf("a call with a token at hand took %v: %v", took, err)
	case err == nil:
		return token
	case !knownFailure(err):
		t.Errorf("got %v (%s)", err, status.Code(err))
	}
	return Token{}
}

func knownFailure(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	switch e.Code() {
	case codes.Unavailable:
		return true
	case codes.DeadlineExceeded:
		return e.Reason() == ReasonContext
	case codes.Unauthenticated:
		return e.Reason() == ReasonRefused || e.Reason() == ReasonRejected
	default:
		return false
	}
}

// checkAge: the token is out of use a tenth of its life before its end.
func checkAge(t *testing.T, endpoint *fakeEndpoint, token Token) {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimPrefix(token.Value(), opaque(0)[:len(opaque(0))-1]))
	if err != nil {
		t.Fatal(err)
	}
	endpoint.mu.Lock()
	age := time.Since(endpoint.requests[n].at)
	endpoint.mu.Unlock()
	if age >= soakLife*time.Second*9/10 {
		t.Errorf("token %d was given out %v after its request", n, age)
	}
}
