// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// D17: unknown kids cause one fetch in 10 seconds, 256 calls wait for it at most, and
// good traffic does not notice.
func TestD17UnknownKids(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		release := make(chan struct{})
		e.now(func(r *http.Request) (*http.Response, error) {
			<-release
			return e.testIssuer.RoundTrip(r)
		})
		asked, begin := e.asked.Load(), time.Now()
		good := e.good()
		signature := good[strings.LastIndexByte(good, '.'):] // nobody will look at it
		stray := func(i int) string {
			return b64(fmt.Sprintf(`{"kid":"stray %d","alg":"RS256"}`, i)) + "." + b64(goodClaims) + signature
		}
		calls := l.crowd(t, 270, stray)
		for range 5 {
			if got := l.call(t, whoAmI, bearer(e.good())); got.code != ok || time.Since(begin) != 0 {
				t.Errorf("good traffic: got %v %s after %v, want OK at once", got.code, got.reason, time.Since(begin))
			}
		}
		if log := strings.Count(l.log.String(), "256 callers wait"); log == 0 {
			t.Error("nobody was turned away")
		}
		close(release)
		verdicts := map[serverauth.Reason]int{}
		for _, c := range calls {
			verdicts[c.finish(t).reason]++
		}
		if verdicts[serverauth.ReasonTokenInvalid] != 256 || verdicts[serverauth.ReasonKeysUnavailable] != 14 {
			t.Errorf("got %v, want 256 that waited and 14 that could not", verdicts)
		}
		for i := range 20 {
			l.refuses(t, "within 10 seconds", stray(1000+i), serverauth.ReasonKeyNotFound, 0)
		}
		if n := e.asked.Load() - asked; n != 1 {
			t.Errorf("%d fetches, want one", n)
		}
		time.Sleep(10 * time.Second)
		l.refuses(t, "after 10 seconds", stray(2000), serverauth.ReasonKeyNotFound, 1)
	})
}

// D18: a bad signature under a known kid causes no fetch.
func TestD18BadSignatures(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		for i := range 20 {
			forged := sign(e.stranger, b64(goodHeader)+"."+b64(with("jti", fmt.Sprintf(`"%d"`, i))))
			l.refuses(t, "a bad signature", forged, serverauth.ReasonSignatureInvalid, 0)
		}
		l.passes(t, "a good one", e.good(), 0)
	})
}

// D19: unknown kids cause no storm while the endpoint is down.
func TestD19UnknownKidsWhileDown(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		e.down.Store(true)
		token, good := e.newToken(), e.good()
		l.unavailable(t, "the first", token, 1)
		for range 20 {
			l.unavailable(t, "one at the same time", token, 0)
		}
		for range 30 {
			time.Sleep(2 * time.Second)
			l.unavailableAnyway(t, token)
			if got := l.call(t, whoAmI, bearer(good)); got.code != ok {
				t.Errorf("good traffic: got %v %s, want OK", got.code, got.reason)
			}
		}
		if s := l.verifier.Stats().Issuers[0]; s.KIDFetches != 1 {
			t.Errorf("%d fetches for unknown kids, want one", s.KIDFetches)
		}
	})
}

// D20: the fetch goes on when the call that caused it has gone.
func TestD20FirstWaiterLeaves(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		release := make(chan struct{})
		e.now(func(r *http.Request) (*http.Response, error) {
			select {
			case <-release:
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
			return e.testIssuer.RoundTrip(r)
		})
		e.publishNew()
		asked := e.asked.Load()
		first := l.crowd(t, 1, func(int) string { return e.newToken() })[0]
		second := l.crowd(t, 1, func(int) string { return e.newToken() })[0]
		first.close()
		synctest.Wait()
		if refusal := l.lastRefusal(); refusal == nil || refusal.Code() != codes.Canceled {
			t.Errorf("who left: got %v, want CANCELED", refusal)
		}
		close(release)
		if got := second.finish(t); got.code != ok {
			t.Errorf("who stayed: got %v %s, want OK", got.code, got.reason)
		}
		if n := e.asked.Load() - asked; n != 1 {
			t.Errorf("%d fetches, want one", n)
		}
	})
}

// D20: a call's own deadline ends its waiting, with its own code.
func TestD20WaiterWithADeadline(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		e.now(keysHang)
		begin := time.Now()
		// gRPC answers, or resets the stream: both have the same deadline.
		got, err := l.tryCall(whoAmI, bearer(e.newToken()), header{"grpc-timeout", "500m"})
		if took := time.Since(begin); took != 500*time.Millisecond || err == nil && got.code != codes.DeadlineExceeded && got.code != codes.Canceled {
			t.Errorf("got %v, %v after %v, want the end of the call after 500 ms", got.code, err, took)
		}
		synctest.Wait()
		if refusal := l.lastRefusal(); refusal == nil || refusal.Code() != codes.DeadlineExceeded && refusal.Code() != codes.Canceled {
			t.Errorf("got %v, want the end of the call itself", refusal)
		}
	})
}

// D23: after a failure the next attempts come at times of their own, further and further
// apart, whatever calls there are.
func TestD23BackoffUnderTraffic(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		e := newKeysEndpoint()
		l := newKeysLab(t, e)
		e.down.Store(true)
		token := e.newToken()
		l.unavailable(t, "the first", token, 1)
		for range 120 {
			time.Sleep(5 * time.Second)
			if got := l.call(t, whoAmI, bearer(token)); got.code != codes.Unavailable {
				t.Fatalf("got %v %s, want UNAVAILABLE", got.code, got.reason)
			}
		}
		// Without growth there would be some 1,200 in 10 minutes, or 600 of a fixed second.
		if n := e.asked.Load(); n < 3 || n > 200 {
			t.Errorf("%d fetches in 10 minutes", n)
		}
	})
}
