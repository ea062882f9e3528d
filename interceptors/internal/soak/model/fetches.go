// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"time"
)

// leastBackOff is the shortest wait before a failed fetch is repeated.
const leastBackOff = 100 * time.Millisecond

// renewal is when a fetch without any cause comes at the earliest: 15 minutes less 10 %.
const renewal = 13*time.Minute + 30*time.Second

// FetchCounts are the requests for an issuer's keys, by their cause.
type FetchCounts struct {
	Forced  int // by unknown key ids
	Retries int // after a failure
	Failed  int
	Total   int
	Bound   int // what Total may be at most
}

// CheckFetches returns the counts, and what is wrong with the requests of a server that
// was started at the beginning of the span and had stopped at its end. Each request but
// the first has one of three causes: a failure before it, an unknown key id, or that the
// keys are old.
func (k *KeySet) CheckFetches(s Span) (FetchCounts, []string) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var (
		counts FetchCounts
		faults []string
	)
	fault := func(i int, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("fetch %d, %v after the start: ", i+1, k.fetches[i].departed.Sub(s.From))+fmt.Sprintf(format, args...))
	}
	lastForced := -1
	for i, f := range k.fetches {
		counts.Total++
		if !f.known.IsZero() && !f.good {
			counts.Failed++
		}
		if i > 0 {
			before := k.fetches[i-1]
			since := f.departed.Sub(before.known)
			switch {
			case before.known.IsZero():
				fault(i, "the one before has not ended")
			case before.good && before.published.IsZero():
				fault(i, "the document before was never taken")
			case before.good && !f.forced && since < renewal:
				fault(i, "nothing has caused it")
			case !before.good && f.forced:
				fault(i, "an unknown key id caused it during the back-off")
			case !before.good && since < leastBackOff:
				fault(i, "it is %v after a failure, without back-off", since)
			case !before.good:
				counts.Retries++
			}
		}
		if !f.forced {
			continue
		}
		if i == 0 {
			fault(i, "an unknown key id caused it before there were keys")
		}
		// The departure was measured a little later than the server counts it. It was not
		// before any of these.
		earliest := s.From
		if lastForced >= 0 {
			earliest = k.notYet[counts.Forced-1]
			if before := k.fetches[lastForced]; before.good && before.known.After(earliest) {
				earliest = before.known // the 10 s begin with the success
			}
			earliest = earliest.Add(minRefetch)
		}
		if f.departed.Before(earliest) {
			fault(i, "unknown key ids caused it and one less than %v before", minRefetch)
		}
		if f.departed.Before(s.From.Add(time.Duration(counts.Forced) * minRefetch)) {
			fault(i, "it is number %d that unknown key ids caused", counts.Forced+1)
		}
		counts.Forced++
		lastForced = i
	}
	length := s.To.Sub(s.From)
	counts.Bound = 1 + int(length/renewal) + 1 + int(length/minRefetch) + counts.Failed
	if counts.Total > counts.Bound {
		faults = append(faults, fmt.Sprintf("%d fetches, %d are the most that %v and %d failures explain", counts.Total, counts.Bound, length, counts.Failed))
	}
	if n := len(k.fetches); n > 0 && k.fetches[n-1].good && k.fetches[n-1].published.IsZero() {
		fault(n-1, "the document was never taken")
	}
	return counts, faults
}
