// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package soak_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/soak/model"
)

// tally is what the judge has counted.
type tally struct {
	expected  int // as was expected before the call
	undecided int // a fetch had to decide
	changed   int // the world changed during the call
	single    int // calls that had one right outcome
	by        map[string]int
	streams   int // that were opened
	ended     map[string]int
	looks     int
}

// queue is when calls may have waited for one issuer's keys at one server.
type queue struct{ starts, ends []time.Time }

// waiting is how many calls at most waited at the same time as one within the span.
func (q *queue) waiting(s model.Span) int {
	started, _ := slices.BinarySearchFunc(q.starts, s.To, func(t, to time.Time) int {
		if t.After(to) {
			return 1
		}
		return -1
	})
	ended, _ := slices.BinarySearchFunc(q.ends, s.From, func(t, from time.Time) int {
		if t.Before(from) {
			return -1
		}
		return 1
	})
	return started - ended
}

// opening is the time in which a call was decided, or a stream was opened.
func (a *attempt) opening() model.Span {
	if a.opened.IsZero() {
		return model.Span{From: a.start, To: a.end}
	}
	return model.Span{From: a.start, To: a.opened}
}

// queues are by the issuer as a server sees it.
func (s *soak) queues() map[*model.Issuer]*queue {
	queues := make(map[*model.Issuer]*queue)
	for _, a := range s.attempts {
		t := &a.token.Token
		if t.Form != model.WellFormed || t.Unacceptable || t.Issuer == model.Foreign {
			continue
		}
		seen, span := a.server.model.Issuers[t.Issuer], a.opening()
		if !seen.Keys.MayLack(t.KeyID, span) {
			continue
		}
		if queues[seen] == nil {
			queues[seen] = &queue{}
		}
		queues[seen].starts = append(queues[seen].starts, span.From)
		queues[seen].ends = append(queues[seen].ends, span.To)
	}
	for _, q := range queues {
		slices.SortFunc(q.starts, time.Time.Compare)
		slices.SortFunc(q.ends, time.Time.Compare)
	}
	return queues
}

// judge compares every call with what was right, when all is known, and returns what
// there is to report.
func (s *soak) judge(end time.Time) string {
	sum := tally{by: make(map[string]int), ended: make(map[string]int)}
	queues := s.queues()
	for _, a := range s.attempts {
		c := a.openingAt(a.opening())
		if t := &a.token.Token; t.Issuer != model.Foreign {
			if q := queues[a.server.model.Issuers[t.Issuer]]; q != nil {
				c.Waiting = q.waiting(c.Span)
			}
		}
		s.judgeCall(a, c, &sum)
	}
	s.ran.Range(func(id, _ any) bool {
		if _, late := s.late.Load(id); !late {
			s.violate(fmt.Sprintf("a handler ran after its call had ended: call %v", id))
		}
		return true
	})
	var b strings.Builder
	fmt.Fprintf(&b, "%d calls: %d as expected beforehand, %d that a fetch had to decide, %d during which the world changed; %d had one right outcome\n",
		len(s.attempts), sum.expected, sum.undecided, sum.changed, sum.single)
	writeCounts(&b, "calls by outcome", sum.by)
	fmt.Fprintf(&b, "%d open streams, %d looks at watched ones\n", sum.streams, sum.looks)
	writeCounts(&b, "open streams by their end", sum.ended)
	b.WriteString("the longest delays, which are no failures:\n")
	for _, what := range slices.Sorted(maps.Keys(s.delays.longest)) {
		fmt.Fprintf(&b, "%12v  %s\n", s.delays.longest[what].Round(time.Millisecond), what)
	}
	s.judgeFetches(end, &b)
	fmt.Fprintf(&b, "violations: %d\n", s.violations)
	return b.String()
}

func writeCounts(b *strings.Builder, title string, counts map[string]int) {
	b.WriteString(title + ":\n")
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(b, "%8d  %s\n", counts[k], k)
	}
}

func (s *soak) judgeCall(a *attempt, c model.Call, sum *tally) {
	right := a.server.model.Decide(c)
	complain := func(format string, args ...any) { s.violate(a.describe() + "\n    " + fmt.Sprintf(format, args...)) }
	if a.wrong != "" {
		complain("%s", a.wrong)
	}
	answer := a.outcome
	if a.ran {
		answer = model.Passes // whatever ended it later
	}
	sum.by[answer.String()]++
	switch {
	case a.expected.Has(answer) && len(a.expected) == 1:
		sum.expected++
	case len(a.expected) == 0:
		sum.undecided++
	default:
		sum.changed++
	}
	if len(right) == 1 {
		sum.single++
	}
	switch {
	case a.stopped && !a.ran: // its caller did not wait for the answer
	case !right.Has(answer):
		complain("got %v, right is %v", answer, right)
	case answer == model.Passes && !a.ran:
		complain("it ended well, and no handler ran")
	case a.method == echoMethod && a.outcome != model.Passes && a.ran:
		complain("the handler ran, and the caller got %v", a.outcome)
	}
	if a.method != echoMethod && a.ran {
		s.judgeStream(a, c, sum, complain)
	}
}

// judgeStream is about what ended a stream that was open.
func (s *soak) judgeStream(a *attempt, c model.Call, sum *tally, complain func(string, ...any)) {
	sum.streams++
	how := a.outcome.String()
	if a.cut {
		how += ", cut"
	}
	c.To = a.end
	a.token.mu.Lock() // a look that the end of the stream has overtaken
	looks := slices.Clone(a.token.looks)
	a.token.mu.Unlock()
	switch ends := a.server.model.Ends(c, looks); {
	case a.stopped:
		how = "by its caller"
	case a.outcome == model.Passes:
	case !ends.Has(a.outcome):
		complain("the stream ended with %v, right is %v", a.outcome, ends)
	case a.cut && !a.server.cuts:
		complain("the stream was cut")
	}
	sum.ended[how]++
	if a.token.watched {
		sum.looks += len(looks)
		for _, fault := range a.server.model.CheckLooks(c, looks) {
			complain("%s", fault)
		}
	}
}

// describe tells how the call was made.
func (a *attempt) describe() string {
	since := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return t.Sub(a.server.soak.begin).Round(time.Microsecond).String()
	}
	t := a.token
	return fmt.Sprintf("call %s of %s to %s: token %s, %s; issuer %d, key id %q, signed with %q, client %q, scopes %q, expires at %s\n    begun at %s, open at %s, ended at %s with %v (%s); expected %v; handler ran: %v, stopped: %v, cut: %v",
		a.id, a.method, a.server.name, t.TokenID, t.Made, t.Issuer, t.KeyID, t.SignedWith, t.ClientID, t.Scopes, since(t.Expires),
		since(a.start), since(a.opened), since(a.end), a.outcome, a.reason, a.expected, a.ran, a.stopped, a.cut)
}

// judgeFetches is about the requests for keys.
func (s *soak) judgeFetches(end time.Time, b *strings.Builder) {
	b.WriteString("fetches of each issuer's keys by each server: in all, forced by unknown key ids, repeated after a failure, failed (at most in all); calls let pass by a remembered token, and by another:\n")
	for _, srv := range s.servers {
		for _, e := range srv.endpoints {
			counts, faults := e.keys.CheckFetches(model.Span{From: s.begin, To: end})
			for _, f := range faults {
				s.violate(fmt.Sprintf("%s, keys of issuer %d: %s", srv.name, e.issuer.index, f))
			}
			if srv.quiet && counts.Total != 1+counts.Failed {
				s.violate(fmt.Sprintf("%s, keys of issuer %d: %d fetches of which %d failed, though no key id was unknown", srv.name, e.issuer.index, counts.Total, counts.Failed))
			}
			fmt.Fprintf(b, "%6d %4d %4d %4d (%d)", counts.Total, counts.Forced, counts.Retries, counts.Failed, counts.Bound)
		}
		fmt.Fprintf(b, "   %6d %6d  %s\n", srv.cached.Load(), srv.fresh.Load(), srv.name)
	}
}
