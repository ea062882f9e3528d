// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// How often a signature was checked shows in what the callers get: each check that
// succeeds makes a new entry, each that fails a new refusal. So callers with the same
// one share one check.

type verdict struct {
	who     *verified
	cached  bool
	refusal *Error
}

// together verifies the token with so many goroutines at once, and returns what each got.
func together(ctx context.Context, v *Verifier, token string, n int) []verdict {
	verdicts := make([]verdict, n)
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range verdicts {
		wg.Go(func() {
			<-begin
			d := &verdicts[i]
			d.who, d.cached, d.refusal = v.verify(ctx, strings.Clone(token))
		})
	}
	close(begin)
	wg.Wait()
	return verdicts
}

// different counts the different entries and refusals.
func different(verdicts []verdict) (entries, refusals int) {
	who, why := make(map[*verified]bool), make(map[*Error]bool)
	for _, d := range verdicts {
		who[d.who], why[d.refusal] = true, true
	}
	delete(who, nil)
	delete(why, nil)
	return len(who), len(why)
}

// held is a check that began and goes on until the test ends it: its signature is
// checked by the test, in prove.
type held struct {
	candidate *candidate
	own       *check
}

// hold begins the check of the token, as the first caller does.
func hold(t *testing.T, v *Verifier, token string) held {
	t.Helper()
	c, refusal := v.examine(token, v.cfg.now())
	if refusal != nil {
		t.Fatal(refusal)
	}
	key, generation, ok := c.issuer.keys.LookupWithGeneration(c.parsed.KeyID())
	if !ok {
		t.Fatal("the key is unknown")
	}
	c.key, c.generation = key, generation
	running, own, found := v.join(c)
	if running != nil || found != nil || own == nil {
		t.Fatalf("join: got %v, %v, %v, want a check of one's own", running, own, found)
	}
	return held{c, own}
}

func (v *Verifier) running() int {
	v.burst.mu.Lock()
	defer v.burst.mu.Unlock()
	return len(v.burst.running)
}

// However 1,000 callers with the same new token meet, its signature is checked once.
func TestBurstChecksOnce(t *testing.T) {
	t.Parallel()
	v := newCacheVerifier(t)
	for n := range 5 {
		verdicts := together(t.Context(), v, cacheToken(cacheClient, n), 1000)
		if entries, refusals := different(verdicts); entries != 1 || refusals != 0 {
			t.Errorf("%d checks succeeded and %d failed, want one that succeeded", entries, refusals)
		}
	}
	if n := v.running(); n != 0 {
		t.Errorf("%d checks are left behind", n)
	}
	if s := v.Stats().Cache; s.Entries != 5 || s.Stale != 0 {
		t.Errorf("got %+v, want 5 entries", s)
	}
}

// All who come while a check runs wait for it, also without a cache.
func TestBurstWaits(t *testing.T) {
	for name, opts := range map[string][]VerifierOption{"with a cache": nil, "without": {WithoutCache()}} {
		for _, good := range []bool{true, false} {
			token := brokenToken(cacheClient, 1)
			if good {
				token = cacheToken(cacheClient, 1)
			}
			synctest.Test(t, func(t *testing.T) {
				v := newCacheVerifier(t, opts...)
				first := hold(t, v, token)
				results := make(chan []verdict)
				go func() { results <- together(t.Context(), v, token, 1000) }()
				synctest.Wait() // all wait for the check by now
				if n := v.running(); n != 1 {
					t.Errorf("%s: %d checks run, want one", name, n)
				}
				who, refusal := v.prove(first.candidate, first.own, v.cfg.now())
				for _, d := range <-results {
					if d.who != who || d.refusal != refusal || d.cached {
						t.Errorf("%s: got %v, %v, remembered %v, want the result of the one check", name, d.who, d.refusal, d.cached)
						break
					}
				}
				if (who != nil) != good || (refusal == nil) != good || !good && refusal.reason != ReasonSignatureInvalid {
					t.Errorf("%s: the check of a token that is good %v: got %v, %v", name, good, who, refusal)
				}
				if n := v.running(); n != 0 {
					t.Errorf("%s: %d checks are left behind", name, n)
				}
			})
		}
	}
}

// A bad token is refused for everybody, and nothing of it is remembered.
func TestBurstOfABadToken(t *testing.T) {
	t.Parallel()
	v := newCacheVerifier(t)
	for i, d := range together(t.Context(), v, brokenToken(cacheClient, 1), 1000) {
		if d.who != nil || d.refusal == nil || d.refusal.reason != ReasonSignatureInvalid {
			t.Fatalf("caller %d: got %v, %v, want SIGNATURE_INVALID", i, d.who, d.refusal)
		}
	}
	if s := v.Stats().Cache; s.Entries != 0 || v.running() != 0 {
		t.Errorf("got %+v and %d checks, want nothing left", s, v.running())
	}
}

// A caller that comes when the check has just ended finds what it found. It looked
// before, in vain.
func TestBurstFindsWhatJustEnded(t *testing.T) {
	t.Parallel()
	v := newCacheVerifier(t)
	token := cacheToken(cacheClient, 1)
	c, refusal := v.examine(token, v.cfg.now()) // the caller's first look
	if refusal != nil {
		t.Fatal(refusal)
	}
	who, _, _ := v.verify(t.Context(), token) // another one's
	c.key, _, _ = c.issuer.keys.LookupWithGeneration(c.parsed.KeyID())
	running, own, found := v.join(c)
	if running != nil || own != nil || found == nil || found != who {
		t.Errorf("join: got %v, %v, %v, want what was found", running, own, found)
	}
	if n := v.running(); n != 0 {
		t.Errorf("%d checks are left behind", n)
	}
}

// A call that verifies a token while another call of the same token does so gets what
// that has found, and says that it did.
func TestBurstFindsWhatAnotherCallVerifiedMeanwhile(t *testing.T) {
	t.Parallel()
	var meanwhile func() // runs once, when a call has looked into the cache and goes on
	v := newCacheVerifier(t, WithClock(func() time.Time {
		if f := meanwhile; f != nil {
			meanwhile = nil
			f()
		}
		return cacheNow()
	}))
	for n, verify := range []func(token string) (*verified, bool, *Error){
		func(token string) (*verified, bool, *Error) { return v.verify(t.Context(), token) },
		func(token string) (*verified, bool, *Error) {
			who, cached, _, refusal := v.verifyAtOnce(token)
			return who, cached, refusal
		},
	} {
		token := cacheToken(cacheClient, n)
		var first *verified
		meanwhile = func() { first, _, _ = v.verify(t.Context(), token) }
		if who, cached, refusal := verify(token); who == nil || who != first || !cached || refusal != nil {
			t.Errorf("way %d: got %v, remembered %v, %v, want what was found", n, who, cached, refusal)
		}
	}
}

// A caller that does not wait any more leaves at once, with its context's code, and
// the others stay.
func TestBurstWaiterLeaves(t *testing.T) {
	token := cacheToken(cacheClient, 1)
	synctest.Test(t, func(t *testing.T) {
		v := newCacheVerifier(t)
		first := hold(t, v, token)
		cancelled, cancel := context.WithCancel(t.Context())
		late, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		begin := time.Now()
		leave := func(ctx context.Context) chan verdict {
			left := make(chan verdict, 1)
			go func() {
				var d verdict
				d.who, d.cached, d.refusal = v.verify(ctx, token)
				left <- d
			}()
			return left
		}
		byCancel, byDeadline, stays := leave(cancelled), leave(late), leave(t.Context())
		synctest.Wait()
		cancel()
		if d := <-byCancel; d.who != nil || d.refusal.Code() != codes.Canceled || d.refusal.reason != ReasonKeysUnavailable || !errors.Is(d.refusal, context.Canceled) {
			t.Errorf("cancelled: got %v, %v, want CANCELED", d.who, d.refusal)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("cancelled: left after %v, want at once", took)
		}
		if d := <-byDeadline; d.who != nil || d.refusal.Code() != codes.DeadlineExceeded {
			t.Errorf("past its deadline: got %v, %v, want DEADLINE_EXCEEDED", d.who, d.refusal)
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("past its deadline: left after %v, want 1 s", took)
		}
		select {
		case d := <-stays:
			t.Errorf("left with the others: %v, %v", d.who, d.refusal)
		default:
		}
		who, _ := v.prove(first.candidate, first.own, v.cfg.now())
		if d := <-stays; d.who == nil || d.who != who {
			t.Errorf("who stayed: got %v, %v, want the result", d.who, d.refusal)
		}
	})
}

// A check does not end with the call that began it.
func TestBurstOfALeaderThatLeft(t *testing.T) {
	t.Parallel()
	v := newCacheVerifier(t)
	token := cacheToken(cacheClient, 1)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	leader, _, refusal := v.verify(gone, token)
	if refusal != nil {
		t.Errorf("the check of a call that was cancelled: got %v, want its result", refusal)
	}
	if who, cached, refusal := v.verify(t.Context(), token); refusal != nil || !cached || who != leader {
		t.Errorf("the next call: got %v, remembered %v, %v, want the same result", who, cached, refusal)
	}
}

// A check that ends in a panic leaves a refusal, and the next one begins anew.
func TestBurstOfACheckThatPanics(t *testing.T) {
	token := cacheToken(cacheClient, 1)
	synctest.Test(t, func(t *testing.T) {
		v := newCacheVerifier(t)
		first := hold(t, v, token)
		results := make(chan []verdict)
		go func() { results <- together(t.Context(), v, token, 10) }()
		synctest.Wait()
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			broken := *first.candidate
			broken.parsed = nil
			_, _ = v.prove(&broken, first.own, v.cfg.now())
		}()
		for _, d := range <-results {
			if d.who != nil || d.refusal == nil || d.refusal.reason != ReasonTokenInvalid || !errors.Is(d.refusal, errCheckFailed) {
				t.Fatalf("a waiter got %v, %v, want TOKEN_INVALID", d.who, d.refusal)
			}
		}
		if n := v.running(); n != 0 {
			t.Errorf("%d checks are left behind", n)
		}
		if who, cached, refusal := v.verify(t.Context(), token); who == nil || cached || refusal != nil {
			t.Errorf("the next call: got %v, remembered %v, %v, want a check that succeeds", who, cached, refusal)
		}
	})
}

// The same token under another key is another check: after a rotation one must not get
// the result of the other.
func TestBurstKeepsKeysApart(t *testing.T) {
	t.Parallel()
	v := newCacheVerifier(t)
	first := hold(t, v, cacheToken(cacheClient, 1))
	other := *first.candidate
	same := *other.key
	other.key = &same // as after a kid came back with other material
	running, own, found := v.join(&other)
	if running != nil || own == nil || found != nil {
		t.Errorf("join: got %v, %v, %v, want a check of its own", running, own, found)
	}
	another := hold(t, v, cacheToken(cacheClient, 2))
	if n := v.running(); n != 3 {
		t.Errorf("%d checks run, want 3", n)
	}
	v.burst.finish(burstKey{first.candidate.token, first.candidate.key}, first.own)
	v.burst.finish(burstKey{other.token, other.key}, own)
	v.burst.finish(burstKey{another.candidate.token, another.candidate.key}, another.own)
}

// A caller that comes after its client was taken off the list gets nothing from a check
// that looked before.
func TestBurstAfterTheClientWasRemoved(t *testing.T) {
	token := cacheToken(cacheClient, 1)
	synctest.Test(t, func(t *testing.T) {
		v := newCacheVerifier(t)
		first := hold(t, v, token)
		first.own.result, first.own.refusal = v.believe(first.candidate) // the client was allowed then
		if err := v.SetClients(cacheIssuer, Clients("another")); err != nil {
			t.Fatal(err)
		}
		results := make(chan []verdict)
		go func() { results <- together(t.Context(), v, token, 3) }()
		synctest.Wait()
		v.burst.finish(burstKey{token, first.candidate.key}, first.own)
		for _, d := range <-results {
			if d.who != nil || d.refusal == nil || d.refusal.reason != ReasonClientNotAllowed {
				t.Errorf("got %v, %v, want CLIENT_NOT_ALLOWED", d.who, d.refusal)
			}
		}
	})
}

// Where nothing may wait, a running check leaves the call undecided.
func TestBurstWhereNothingMayWait(t *testing.T) {
	t.Parallel()
	v := newCacheVerifier(t)
	token := cacheToken(cacheClient, 1)
	first := hold(t, v, token)
	who, cached, undecided, refusal := v.verifyAtOnce(token)
	if who != nil || cached || !undecided || refusal != nil {
		t.Errorf("while the check runs: got %v, remembered %v, undecided %v, %v, want undecided", who, cached, undecided, refusal)
	}
	proven, _ := v.prove(first.candidate, first.own, v.cfg.now())
	who, cached, undecided, refusal = v.verifyAtOnce(token)
	if who == nil || who != proven || !cached || undecided || refusal != nil {
		t.Errorf("afterwards: got %v, remembered %v, undecided %v, %v, want the result", who, cached, undecided, refusal)
	}
	who, cached, undecided, refusal = v.verifyAtOnce(cacheToken(cacheClient, 2))
	if who == nil || cached || undecided || refusal != nil {
		t.Errorf("a new token: got %v, remembered %v, undecided %v, %v, want a result", who, cached, undecided, refusal)
	}
	who, cached, undecided, refusal = v.verifyAtOnce(brokenToken(cacheClient, 3))
	if who != nil || cached || undecided || refusal == nil || refusal.reason != ReasonSignatureInvalid {
		t.Errorf("a bad one: got %v, remembered %v, undecided %v, %v, want SIGNATURE_INVALID", who, cached, undecided, refusal)
	}
}
