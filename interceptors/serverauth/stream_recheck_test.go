// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// A stream ends at the first look after something became known that would refuse its
// call now, with the reason that the call would get.
func TestE11RecheckEndsStreams(t *testing.T) {
	t.Parallel()
	for _, row := range endingChanges {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, cut %t", row.name, cut), func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					options := []serverauth.Option{serverauth.RecheckStreams(recheckEvery)}
					if cut {
						options = append(options, serverauth.CutIdleStreams(), serverauth.RefuseBeforeDecoding())
					}
					l := newRecheckLab(t, row.listed, row.asked, setup{options: options})
					c := l.stream(t, chat)
					l.at(t, time.Minute)
					c.pass(t)
					row.do(t, l)
					changed := time.Since(l.clock.begin)
					if row.not > 0 {
						l.at(t, changed+row.not)
						c.pass(t)
					}
					l.at(t, changed+row.known+recheckEvery+row.takes)
					if cut {
						row.refusal.checkCut(t, l.streamLab, chat, c.finish(t))
						return
					}
					l.decisions.checkNone(t)
					c.send(t, nil)
					row.refusal.check(t, l.streamLab, chat, c.finish(t))
				})
			})
		}
	}
}

// Without the option open streams are not looked at: they end with their token.
func TestE11WithoutRecheck(t *testing.T) {
	t.Parallel()
	for _, row := range endingChanges {
		if row.listed {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				l := newRecheckLab(t, row.listed, row.asked, setup{})
				c := l.stream(t, chat)
				l.at(t, time.Minute)
				row.do(t, l)
				for _, after := range []time.Duration{5 * time.Minute, 30 * time.Minute, tokenTime - time.Nanosecond} {
					l.at(t, after)
					c.pass(t)
				}
				l.at(t, tokenTime)
				c.send(t, nil)
				expired.check(t, l.streamLab, chat, c.finish(t))
			})
		})
	}
}

// With an access file streams are looked at each second, whatever changes.
func TestE11AccessFileLooksEachSecond(t *testing.T) {
	t.Parallel()
	for _, row := range endingChanges {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				l := newRecheckLab(t, true, row.asked, setup{})
				c := l.stream(t, chat)
				l.at(t, time.Minute)
				c.pass(t)
				row.do(t, l)
				l.at(t, time.Since(l.clock.begin)+row.known+time.Second+row.takes)
				c.send(t, nil)
				row.refusal.check(t, l.streamLab, chat, c.finish(t))
			})
		})
	}
}

// What an access file promises of streams holds beside a RecheckStreams of hours, too.
func TestE11AccessFileBesideRareRechecks(t *testing.T) {
	t.Parallel()
	for _, row := range endingChanges {
		if !row.listed {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				l := newRecheckLab(t, true, false, setup{options: []serverauth.Option{serverauth.RecheckStreams(time.Hour)}})
				c := l.stream(t, chat)
				l.at(t, time.Minute+100*time.Millisecond)
				c.pass(t)
				row.do(t, l)
				l.at(t, time.Since(l.clock.begin)+row.known+time.Second)
				c.send(t, nil)
				row.refusal.check(t, l.streamLab, chat, c.finish(t))
			})
		})
	}
}

// What would not refuse the call now ends no stream either.
func TestE11ChangesThatEndNoStream(t *testing.T) {
	t.Parallel()
	for _, row := range []change{
		{name: "nothing", do: func(testing.TB, *recheckLab) {}},
		{name: "a key is added", do: func(_ testing.TB, l *recheckLab) {
			l.issuer.publish("new", l.issuer.stranger, goodKeyID, l.issuer.access, otherKeyID, l.issuer.id)
		}},
		{name: "another key is removed", do: func(_ testing.TB, l *recheckLab) { l.issuer.publish(goodKeyID, l.issuer.access) }},
		{name: "the issuer is down", do: func(_ testing.TB, l *recheckLab) { l.issuer.down.Store(true) }},
		{name: "the client gets a name", do: func(t testing.TB, l *recheckLab) {
			t.Helper()
			l.setClients(t, serverauth.NamedClients(map[string]string{"billing": clientID}))
		}},
		{name: "the client gets a name while keys change", do: func(t testing.TB, l *recheckLab) {
			t.Helper()
			l.issuer.publish("new", l.issuer.stranger, goodKeyID, l.issuer.access)
			l.setClients(t, serverauth.NamedClients(map[string]string{"billing": clientID}))
		}},
		{name: "a client is added", do: func(t testing.TB, l *recheckLab) {
			t.Helper()
			l.setClients(t, serverauth.Clients("another", clientID))
		}},
		{name: "any client may come", do: func(t testing.TB, l *recheckLab) { t.Helper(); l.setClients(t, serverauth.AnyClient()) }},
		{name: "the access file denies others", listed: true, do: func(t testing.TB, l *recheckLab) {
			t.Helper()
			l.deny(t, `{"clients": ["another"]}, {"methods": ["`+count+`"]}, {"token_ids": ["another"]}`)
		}},
		{name: "the access file is broken", listed: true, do: func(t testing.TB, l *recheckLab) { t.Helper(); l.deny(t, `{`) }},
		{name: "CheckRevoked says no, slowly", asked: true, do: func(_ testing.TB, l *recheckLab) {
			l.answerRevoked(func(context.Context, *serverauth.Principal) (bool, error) {
				time.Sleep(5*time.Second - time.Nanosecond)
				return false, nil
			})
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				l := newRecheckLab(t, row.listed, row.asked, setup{options: []serverauth.Option{serverauth.RecheckStreams(recheckEvery)}})
				c := l.stream(t, chat)
				l.at(t, time.Minute)
				c.pass(t)
				row.do(t, l)
				for _, after := range []time.Duration{2 * time.Minute, keysKnown + 2*time.Minute, tokenTime - time.Nanosecond} {
					l.at(t, after)
					c.pass(t)
				}
				l.decisions.checkNone(t)
				l.at(t, tokenTime)
				c.send(t, nil)
				expired.check(t, l.streamLab, chat, c.finish(t))
			})
		})
	}
}

// Keys that could not be fetched for a day are used no more, in open streams neither.
func TestE11KeysTooOld(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		l := newStreamLab(t, setup{options: []serverauth.Option{serverauth.RecheckStreams(recheckEvery)}})
		l.issuer.down.Store(true)
		const opened, dead = 12 * time.Hour, 24 * time.Hour
		l.at(t, opened)
		c := l.dial(t)
		at := l.clock.now().Unix()
		c.open(t, chat, bearer(l.issuer.token(goodHeader, with("scope", `"echo/call echo/stream"`,
			"iat", strconv.FormatInt(at, 10), "exp", strconv.FormatInt(at+20*3600, 10)))))
		for after := opened; after < dead; after += time.Hour {
			l.at(t, after)
			c.pass(t)
		}
		l.at(t, dead+recheckEvery)
		c.send(t, nil)
		refusal{code: codes.Unavailable, fine: serverauth.ReasonKeysUnavailable}.check(t, l, chat, c.finish(t))
	})
}

// CheckRevoked is asked about the caller, as often as the option says, with 5 s to
// answer, and no more once the stream is over.
func TestE11RecheckAsks(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{time.Second, time.Minute, 90 * time.Second, 5 * time.Minute} { // a look at the clock is no question
		t.Run(every.String(), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) { recheckAsks(t, every) })
		})
	}
}

func recheckAsks(t *testing.T, every time.Duration) {
	t.Helper()
	l := newRecheckLab(t, false, true, setup{options: []serverauth.Option{serverauth.RecheckStreams(every)}})
	var asked atomic.Int64
	l.answerRevoked(func(ctx context.Context, p *serverauth.Principal) (bool, error) {
		asked.Add(1)
		deadline, ok := ctx.Deadline()
		if left := time.Until(deadline); asked.Load() > 1 && (!ok || left != 5*time.Second) {
			t.Errorf("the function has %v, %t, want 5 s", left, ok)
		}
		if in, ok := serverauth.PrincipalFromContext(ctx); !ok || in != p || p.ClientID() != clientID {
			t.Errorf("asked about %v, with %v in the context", p.ClientID(), in.ClientID())
		}
		return false, nil
	})
	c := l.stream(t, chat)
	c.pass(t)
	l.at(t, 10*every)
	if got := asked.Load(); got != 11 {
		t.Errorf("asked %d times in 10 intervals, want 11, the call itself included", got)
	}
	c.closeSend(t)
	if got := c.finish(t); got.code != ok {
		t.Errorf("got %v, want OK", got.code)
	}
	l.at(t, 20*every)
	if got := asked.Load(); got != 11 {
		t.Errorf("asked %d times after the stream was over", got-11)
	}
}

// A question to CheckRevoked that takes its time delays nothing else.
func TestE11SlowQuestionsDelayNothing(t *testing.T) {
	t.Parallel()
	const takes = 5*time.Second - time.Millisecond
	for _, row := range endingChanges {
		if row.asked {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				l := newRecheckLab(t, row.listed, true, setup{options: []serverauth.Option{serverauth.RecheckStreams(time.Second)}})
				c := l.stream(t, chat)
				var running atomic.Int64
				l.answerRevoked(func(ctx context.Context, _ *serverauth.Principal) (bool, error) {
					if running.Add(1) > 1 {
						t.Error("asked before it has answered")
					}
					defer running.Add(-1)
					select {
					case <-ctx.Done():
					case <-time.After(takes):
					}
					return false, ctx.Err()
				})
				l.at(t, time.Minute)
				c.pass(t)
				row.do(t, l)
				l.at(t, time.Since(l.clock.begin)+row.known+time.Second)
				c.send(t, nil)
				row.refusal.check(t, l.streamLab, chat, c.finish(t))
			})
		})
	}
}

// Once a stream is over nobody looks at it or asks about it any more, although its
// handler goes on.
func TestE11NoLookOnceItIsOver(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		l := newRecheckLab(t, false, true, setup{options: []serverauth.Option{serverauth.RecheckStreams(recheckEvery)}})
		c := l.stream(t, chat)
		var asked atomic.Int64
		l.at(t, time.Second)
		l.answerRevoked(func(context.Context, *serverauth.Principal) (bool, error) {
			asked.Add(1)
			return true, nil
		})
		l.at(t, 2*recheckEvery)
		before := l.clock.reads.Load()
		l.at(t, 2*tokenTime)
		if got := l.clock.reads.Load() - before; got != 0 || asked.Load() != 1 {
			t.Errorf("the clock was read %d times and %d questions asked, want none and one", got, asked.Load())
		}
		c.send(t, nil)
		revokedRefusal.check(t, l.streamLab, chat, c.finish(t))
	})
}

// Whatever CheckRevoked does, the stream does not outlive its token by it.
func TestE10RevocationDoesNotDelayTheEnd(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		f    func(t testing.TB) serverauth.RevokedFunc
	}{
		{"that minds its context", func(testing.TB) serverauth.RevokedFunc { return mindful }},
		{"that does not", mindless},
	} {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, cut %t", row.name, cut), func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					options := []serverauth.Option{serverauth.RecheckStreams(time.Second)}
					if cut {
						options = append(options, serverauth.CutIdleStreams())
					}
					l := newRecheckLab(t, false, true, setup{options: options})
					c := l.stream(t, chat)
					l.at(t, tokenTime-2500*time.Millisecond)
					c.pass(t)
					l.answerRevoked(row.f(t))
					l.at(t, tokenTime-time.Nanosecond)
					c.pass(t)
					l.at(t, tokenTime)
					if cut {
						expired.checkCut(t, l.streamLab, chat, c.finish(t))
						return
					}
					c.send(t, nil)
					expired.check(t, l.streamLab, chat, c.finish(t))
				})
			})
		}
	}
}
