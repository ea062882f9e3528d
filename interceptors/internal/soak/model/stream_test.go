// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"strings"
	"testing"
	"time"
)

func TestEnds(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		change func(s *Server, c *Call)
		looks  []Look
		want   Outcomes
	}{
		{"nothing is against it", func(*Server, *Call) {}, nil, nil},
		{"expired", func(_ *Server, c *Call) { c.Token.Expires = at(1010) }, nil, Outcomes{TokenExpired}},
		{"the key goes", func(s *Server, _ *Call) { publish(&s.Issuers[0].Keys, 1, 1005, 1007, false, Keys{}) }, nil, Outcomes{TokenInvalid}},
		{"the key is replaced", func(s *Server, _ *Call) { publish(&s.Issuers[0].Keys, 1, 1005, 1007, false, Keys{"k": "other"}) }, nil, Outcomes{TokenInvalid}},
		{"the key stays", func(s *Server, _ *Call) {
			publish(&s.Issuers[0].Keys, 1, 1005, 1007, false, Keys{"k": "key", "x": "other"})
		}, nil, nil},
		{"the client goes", func(s *Server, _ *Call) { s.Issuers[0].Clients.Begin(nil, at(1001)).Done(at(1002)) }, nil, Outcomes{ClientNotAllowed}},
		{"denied", func(s *Server, _ *Call) {
			s.Access.Begin(&AccessList{Deny: []AccessEntry{{TokenIDs: []string{"t"}}}}, at(1001)).Done(at(1002))
		}, nil, Outcomes{TokenRevoked}},
		{"revoked", func(_ *Server, c *Call) {
			c.Token.Revocation = NewHistory(NotRevoked)
			c.Token.Revocation.Begin(Revoked, at(1001)).Done(at(1002))
		}, nil, Outcomes{TokenRevoked}},
		{"no answer for almost 5 s", func(_ *Server, c *Call) { c.Span = span(0, 4999) }, nil, nil},
		{"no answer for 5 s", func(_ *Server, c *Call) { c.Span = span(0, 5000) }, nil, Outcomes{RevocationUnavailable}},
		{"an answer that may have come too late", func(_ *Server, c *Call) { c.Span = span(0, 5000) }, []Look{{At: at(4999)}}, Outcomes{RevocationUnavailable}},
		{"an answer before the last", func(_ *Server, c *Call) { c.Span = span(0, 5000) }, []Look{{At: at(1)}, {At: at(4999)}}, nil},
		{"an answer too long before the last", func(_ *Server, c *Call) { c.Span = span(0, 6000) }, []Look{{At: at(1)}, {At: at(1000)}, {At: at(4999)}}, Outcomes{RevocationUnavailable}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, c := world()
			row.change(s, &c)
			if got := s.Ends(c, row.looks); !same(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

func TestCheckLooks(t *testing.T) {
	t.Parallel()
	looks := []Look{{At: at(1001)}, {At: at(1003)}, {At: at(1005)}, {At: at(1007)}}
	deny := &AccessList{Deny: []AccessEntry{{Clients: []string{"friend"}}}}
	for _, row := range []struct {
		name   string
		change func(s *Server, c *Call, looks []Look)
		want   string // what a fault says, "" for none
	}{
		{"nothing is against it", func(*Server, *Call, []Look) {}, ""},
		{"revoked at the last look", func(_ *Server, _ *Call, looks []Look) { looks[3].Answer = Revoked }, ""},
		{"revoked before", func(_ *Server, _ *Call, looks []Look) { looks[2].Answer = Revoked }, "look 4 of 4"},
		{"refused at the opening", func(_ *Server, _ *Call, looks []Look) { looks[0].Answer = Unanswered }, "look 2 of 4"},
		{"expired after the second look", func(_ *Server, c *Call, _ []Look) { c.Token.Expires = at(1004) }, ""},
		{"expired at the second look", func(_ *Server, c *Call, _ []Look) { c.Token.Expires = at(1003) }, "look 4 of 4, 7ms after the opening: the stream lived on although its token had expired"},
		{"expired at the opening", func(_ *Server, c *Call, _ []Look) { c.Token.Expires = at(1001) }, "look 2 of 4"},
		{"the key goes after the second look", func(s *Server, _ *Call, _ []Look) { publish(&s.Issuers[0].Keys, 1, 2, 1004, false, Keys{}) }, ""},
		{"the key goes before the second look", func(s *Server, _ *Call, _ []Look) { publish(&s.Issuers[0].Keys, 1, 2, 1003, false, Keys{}) }, "its key or its client"},
		{"the client goes before the second look", func(s *Server, _ *Call, _ []Look) { s.Issuers[0].Clients.Begin(nil, at(1)).Done(at(1003)) }, "its key or its client"},
		{"denied after the second look", func(s *Server, _ *Call, _ []Look) { s.Access.Begin(deny, at(1)).Done(at(1004)) }, ""},
		{"denied before the second look", func(s *Server, _ *Call, _ []Look) { s.Access.Begin(deny, at(1)).Done(at(1003)) }, "look 4 of 4"},
		{"denied before the second look, and allowed again", func(s *Server, _ *Call, _ []Look) {
			s.Access.Begin(deny, at(1)).Done(at(1003))
			s.Access.Begin(&AccessList{}, at(1006)).Done(at(1007))
		}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, c := world()
			c.From = at(1000)
			mine := append([]Look(nil), looks...)
			row.change(s, &c, mine)
			got := strings.Join(s.CheckLooks(c, mine), "\n")
			if (got == "") != (row.want == "") || !strings.Contains(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
	s, c := world()
	if got := s.CheckLooks(c, nil); len(got) != 0 {
		t.Errorf("no looks: got %q", got)
	}
}

func TestCheckFetches(t *testing.T) {
	t.Parallel()
	keys := Keys{"k": "key"}
	for _, row := range []struct {
		name  string
		make  func(k *KeySet)
		want  string // what a fault says, "" for none
		count FetchCounts
	}{
		{"the start alone", func(*KeySet) {}, "", FetchCounts{Total: 1}},
		{"forced each 10 s", func(k *KeySet) {
			publish(k, 500, 600, 650, true, keys)
			publish(k, 10_600, 10_700, 10_750, true, keys)
		}, "", FetchCounts{Total: 3, Forced: 2}},
		{"forced after less than 10 s", func(k *KeySet) {
			publish(k, 500, 600, 650, true, keys)
			publish(k, 10_599, 10_700, 10_750, true, keys)
		}, "less than 10s before", FetchCounts{Total: 3, Forced: 2}},
		{"forced after a failure, too many", func(k *KeySet) {
			fail(k, 500, 600, true)
			publish(k, 800, 850, 900, false, keys)
			publish(k, 9_000, 9_100, 9_200, true, keys)
		}, "it is number 2", FetchCounts{Total: 4, Forced: 2, Retries: 1, Failed: 1}},
		{"forced after a failure", func(k *KeySet) {
			fail(k, 500, 600, true)
			publish(k, 800, 850, 900, false, keys)
			publish(k, 10_400, 10_401, 10_402, true, keys) // the departure is measured late
		}, "", FetchCounts{Total: 4, Forced: 2, Retries: 1, Failed: 1}},
		{"forced too soon after a failure that departed late enough", func(k *KeySet) {
			publish(k, 500, 600, 650, true, keys)
			k.NotYet(1, at(30_000))
			k.NotYet(1, at(29_000))
			fail(k, 30_001, 30_100, true)
			publish(k, 30_800, 30_850, 30_900, false, keys)
			publish(k, 39_999, 40_401, 40_402, true, keys)
		}, "less than 10s before", FetchCounts{Total: 5, Forced: 3, Retries: 1, Failed: 1}},
		{"forced 10 s after a failure that departed late enough", func(k *KeySet) {
			publish(k, 500, 600, 650, true, keys)
			k.NotYet(1, at(30_000))
			k.NotYet(2, at(50_000))
			fail(k, 30_001, 30_100, true)
			publish(k, 30_800, 30_850, 30_900, false, keys)
			publish(k, 40_000, 40_401, 40_402, true, keys)
		}, "", FetchCounts{Total: 5, Forced: 3, Retries: 1, Failed: 1}},
		{"forced too soon after a success, seen to have departed before", func(k *KeySet) {
			publish(k, 20_500, 20_600, 20_650, true, keys)
			k.NotYet(0, at(20_400))
			publish(k, 30_500, 30_700, 30_750, true, keys)
		}, "less than 10s before", FetchCounts{Total: 3, Forced: 2}},
		{"retries", func(k *KeySet) {
			fail(k, 500, 600, true)
			fail(k, 700, 800, false)
			publish(k, 900, 950, 999, false, keys)
		}, "", FetchCounts{Total: 4, Forced: 1, Retries: 2, Failed: 2}},
		{"a retry at once", func(k *KeySet) {
			fail(k, 500, 600, true)
			publish(k, 699, 850, 900, false, keys)
		}, "without back-off", FetchCounts{Total: 3, Forced: 1, Failed: 1}},
		{"forced during the back-off", func(k *KeySet) {
			fail(k, 500, 600, true)
			publish(k, 11_000, 11_100, 11_200, true, keys)
		}, "during the back-off", FetchCounts{Total: 3, Forced: 2, Failed: 1}},
		{"without a cause", func(k *KeySet) { publish(k, 500, 600, 650, false, keys) }, "nothing has caused it", FetchCounts{Total: 2}},
		{"renewed", func(k *KeySet) { publish(k, 1_000_000, 1_000_010, 1_000_020, false, keys) }, "", FetchCounts{Total: 2}},
		{"two at a time", func(k *KeySet) {
			k.Depart(at(500), true)
			publish(k, 600, 700, 800, false, keys)
		}, "has not ended", FetchCounts{Total: 3, Forced: 1}},
		{"under way at the end", func(k *KeySet) { k.Depart(at(500), true) }, "", FetchCounts{Total: 2, Forced: 1}},
		{"never taken", func(k *KeySet) { k.Depart(at(500), true).Arrive(at(600), keys) }, "never taken", FetchCounts{Total: 2, Forced: 1}},
		{"never taken, and followed", func(k *KeySet) {
			k.Depart(at(500), true).Arrive(at(600), keys)
			publish(k, 11_000, 11_100, 11_200, true, keys)
		}, "before was never taken", FetchCounts{Total: 3, Forced: 2}},
		{"too many", func(k *KeySet) {
			for n := range 9 {
				publish(k, 1_000_000*(n+1), 1_000_000*(n+1), 1_000_000*(n+1), false, keys)
			}
		}, "10 fetches, 8 are the most", FetchCounts{Total: 10}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, _ := world()
			k := &s.Issuers[0].Keys
			row.make(k)
			count, faults := k.CheckFetches(span(-200, 59_900))
			got := strings.Join(faults, "\n")
			if (got == "") != (row.want == "") || !strings.Contains(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
			row.count.Bound = 1 + 1 + 6 + row.count.Failed // the start, in a minute, retries
			if count != row.count {
				t.Errorf("got %+v, want %+v", count, row.count)
			}
		})
	}
	var forced KeySet
	forced.Depart(at(0), true)
	if _, faults := forced.CheckFetches(span(0, 1)); !strings.Contains(strings.Join(faults, ""), "before there were keys") {
		t.Errorf("the first one is forced: got %q", faults)
	}
}

// What comes of a fetch first counts.
func TestFetch(t *testing.T) {
	t.Parallel()
	var k KeySet
	if k.Latest() != nil {
		t.Error("keys before the first fetch")
	}
	f := k.Depart(at(0), false)
	if f.Keys() != nil || f.Publish(at(1)) {
		t.Error("a fetch under way has keys")
	}
	f.Arrive(at(2), Keys{"k": "key"})
	f.Fail(at(3))
	if f.Keys()["k"] != "key" || k.Latest() != nil || !f.Publish(at(4)) || f.Publish(at(5)) || k.Latest()["k"] != "key" {
		t.Error("the document was not taken once")
	}
	g := k.Depart(at(10), true)
	g.Fail(at(11))
	g.Arrive(at(12), Keys{"k": "other"})
	if g.Publish(at(13)) || k.Latest()["k"] != "key" {
		t.Error("a failed fetch has keys")
	}
	if got := k.unknown(At(at(11)), 0); !same(got, Outcomes{KeysUnavailable}) {
		t.Errorf("after a failure: got %v", got)
	}
	g.Fail(at(12))
	if got := k.unknown(At(at(11)), 0); !same(got, Outcomes{KeysUnavailable}) {
		t.Errorf("after a failure that is told twice: got %v", got)
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		outcomes Outcomes
		want     string
	}{
		{nil, "nothing"},
		{Outcomes{Passes}, "OK"},
		{Outcomes{TokenInvalid, ClientNotAllowed}, "16 TOKEN_INVALID or 7 CLIENT_NOT_ALLOWED"},
	} {
		if got := row.outcomes.String(); got != row.want {
			t.Errorf("got %q, want %q", got, row.want)
		}
	}
	var o Outcomes
	o.add(Passes, Passes)
	if len(o) != 1 || leastBackOff != 100*time.Millisecond {
		t.Errorf("got %v", o)
	}
}
