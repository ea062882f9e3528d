// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

func reportOnly(r policy.ReportOnly) serverauth.Option {
	r.Mandatory = "2030-01-01"
	return serverauth.ReportOnly(r)
}

// checkWaived fails unless the stream's first decision was this one, which was reported
// and no more; and returns the decisions after it.
func (l *streamLab) checkWaived(t testing.TB, r refusal) []serverauth.Decision {
	t.Helper()
	synctest.Wait()
	got := l.decisions.ofStreams()
	if len(got) == 0 {
		t.Fatalf("nothing was reported, want that it would deny for %s", r.fine)
	}
	first := got[0]
	if first.Outcome != serverauth.OutcomeWouldDeny || first.Reason != r.fine || first.Code != r.code || first.Method != chat || first.ClientID != clientID {
		t.Errorf("reported %+v, want that it would deny for %s", first, r.fine)
	}
	if n := strings.Count(l.log.String(), `"would refuse `+string(r.fine)+`"`); n != 1 {
		t.Errorf("logged %d times that it would refuse for %s:\n%s", n, r.fine, l.log.String())
	}
	return got[1:]
}

// If authentication is only reported on, the token's end is reported once, and the stream
// lives on.
func TestE10ReportOnlyStreamLivesOn(t *testing.T) {
	t.Parallel()
	for _, options := range [][]serverauth.Option{
		nil,
		{serverauth.CutIdleStreams(), serverauth.RefuseBeforeDecoding()},
		{serverauth.RecheckStreams(time.Second), serverauth.CutIdleStreams()},
	} {
		t.Run(fmt.Sprintf("%d options", len(options)), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				l := newStreamLab(t, setup{options: append(options, reportOnly(policy.ReportOnly{Authentication: true}))})
				c := l.stream(t, chat)
				l.at(t, tokenTime-time.Nanosecond)
				c.pass(t)
				l.decisions.checkNone(t)
				for after := tokenTime; after < 5*time.Hour; after += time.Hour {
					l.at(t, after)
					c.pass(t)
				}
				c.closeSend(t)
				if got := c.finish(t); got.code != ok || strings.Contains(got.trailer, "scopeauth-reason") {
					t.Errorf("got %v and\n%s, want OK", got.code, got.trailer)
				}
				if more := l.checkWaived(t, expired); len(more) != 0 {
					t.Errorf("reported more: %+v", more)
				}
			})
		})
	}
}

// A key or a client that has gone is a matter of authentication, too.
func TestE11ReportOnlyKeyOrClientHasGone(t *testing.T) {
	t.Parallel()
	for _, row := range endingChanges {
		if row.refusal != keyRefusal && row.refusal != clientRefusal || row.listed {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				l := newRecheckLab(t, false, false, setup{options: []serverauth.Option{
					serverauth.RecheckStreams(recheckEvery), reportOnly(policy.ReportOnly{Authentication: true}),
				}})
				c := l.stream(t, chat)
				l.at(t, time.Minute)
				row.do(t, l)
				for _, after := range []time.Duration{30 * time.Minute, tokenTime + time.Minute} {
					l.at(t, after)
					c.pass(t)
				}
				if more := l.checkWaived(t, row.refusal); len(more) != 0 {
					t.Errorf("reported more: %+v", more)
				}
			})
		})
	}
}

// What is closed on purpose ends the stream in any case: before the token's end, with it,
// and long after it was reported.
func TestE11ReportOnlyStillEnds(t *testing.T) {
	t.Parallel()
	for _, row := range endingChanges {
		if !row.listed && !row.asked {
			continue
		}
		for _, at := range []time.Duration{time.Minute, tokenTime - listKnown, tokenTime + time.Hour} {
			t.Run(fmt.Sprintf("%s after %v", row.name, at), func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					l := newRecheckLab(t, row.listed, row.asked, setup{options: []serverauth.Option{
						serverauth.RecheckStreams(recheckEvery), reportOnly(policy.ReportOnly{Authentication: true, Authorization: true}),
					}})
					c := l.stream(t, chat)
					l.at(t, time.Minute)
					c.pass(t)
					l.at(t, at)
					row.do(t, l)
					changed := time.Since(l.clock.begin)
					l.at(t, changed+row.known+recheckEvery+row.takes)
					c.send(t, nil)
					got := c.finish(t)
					if got.code != row.refusal.code || got.reason != row.refusal.fine {
						t.Errorf("the stream ended with %v %s, want %v %s", got.code, got.reason, row.refusal.code, row.refusal.fine)
					}
					decisions := l.decisions.ofStreams()
					if at > tokenTime {
						decisions = l.checkWaived(t, expired)
					}
					last := decisions[len(decisions)-1]
					if last.Outcome != serverauth.OutcomeDenied || last.Reason != row.refusal.fine || len(decisions) > 2 {
						t.Errorf("reported %+v, want that it was denied for %s", decisions, row.refusal.fine)
					}
				})
			})
		}
	}
}

// A token that is over and revoked at one look is reported for the one and ends the
// stream for the other.
func TestE11ReportOnlyOverAndRevokedAtOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		l := newRecheckLab(t, false, true, setup{options: []serverauth.Option{
			serverauth.RecheckStreams(tokenTime), reportOnly(policy.ReportOnly{Authentication: true}),
		}})
		c := l.stream(t, chat)
		l.at(t, tokenTime-time.Nanosecond)
		c.pass(t)
		l.answerRevoked(yes)
		l.at(t, tokenTime)
		c.send(t, nil)
		if got := c.finish(t); got.code != u || got.reason != serverauth.ReasonTokenRevoked {
			t.Errorf("the stream ended with %v %s, want UNAUTHENTICATED TOKEN_REVOKED", got.code, got.reason)
		}
		if more := l.checkWaived(t, expired); len(more) != 1 || more[0].Reason != serverauth.ReasonTokenRevoked {
			t.Errorf("reported then %+v, want that it was denied for TOKEN_REVOKED", more)
		}
	})
}

// A question to CheckRevoked that is open when the token's end is reported still ends the
// stream.
func TestE11ReportOnlyAnswerAfterTheEnd(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		const asked = tokenTime - 2*time.Second
		l := newRecheckLab(t, false, true, setup{options: []serverauth.Option{
			serverauth.RecheckStreams(asked), reportOnly(policy.ReportOnly{Authentication: true}),
		}})
		c := l.stream(t, chat)
		c.pass(t)
		l.answerRevoked(func(context.Context, *serverauth.Principal) (bool, error) {
			time.Sleep(3 * time.Second)
			return true, nil
		})
		l.at(t, tokenTime)
		c.pass(t)
		l.at(t, asked+3*time.Second)
		c.send(t, nil)
		if got := c.finish(t); got.code != u || got.reason != serverauth.ReasonTokenRevoked {
			t.Errorf("the stream ended with %v %s, want UNAUTHENTICATED TOKEN_REVOKED", got.code, got.reason)
		}
		l.checkWaived(t, expired)
	})
}

// A stream ends with its token if something else is only reported on.
func TestE10ReportOnlyOfSomethingElse(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		what policy.ReportOnly
	}{
		{"authorization", policy.ReportOnly{Authorization: true}},
		{"another method", policy.ReportOnly{Authentication: true, Methods: []string{count}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				l := newStreamLab(t, setup{options: []serverauth.Option{reportOnly(row.what)}})
				c := l.stream(t, chat)
				l.at(t, tokenTime)
				c.send(t, nil)
				expired.check(t, l, chat, c.finish(t))
			})
		})
	}
}

// A stream that was let pass without a caller has no token whose time could be over, one
// whose caller lacks a scope has.
func TestE10ReportOnlyStreamsThatWereLetPass(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, token string
		ends        bool
	}{
		{"without a valid token", "no.such.token", false},
		{"without the scope", "", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				what := policy.ReportOnly{Authorization: true, Authentication: !row.ends}
				l := newStreamLab(t, setup{options: []serverauth.Option{reportOnly(what), serverauth.RecheckStreams(time.Second)}})
				token := row.token
				if token == "" {
					token = l.issuer.good()
				}
				c := l.dial(t)
				c.open(t, chat, bearer(token))
				c.pass(t)
				l.at(t, tokenTime)
				if row.ends {
					c.send(t, nil)
					expired.check(t, l, chat, c.finish(t))
					return
				}
				c.pass(t)
				l.decisions.checkNone(t)
			})
		})
	}
}
