// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// The model imports the standard library only, so that it shares no mistake with what it
// judges.
func TestModelImportsTheStandardLibraryOnly(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	if got := strings.Fields(string(out)); !slices.Equal(got, []string{"github.com/scopeauth/scopeauth/interceptors/internal/soak/model"}) {
		t.Errorf("got %q, want the package alone", got)
	}
}

// at is an instant of these tests, in milliseconds.
func at(ms int) time.Time { return time.UnixMilli(1_790_000_000_000 + int64(ms)) }

func span(from, to int) Span { return Span{at(from), at(to)} }

func TestHistoryHasEachValueThatMayHaveBeen(t *testing.T) {
	t.Parallel()
	h := NewHistory("a")
	h.Begin("b", at(10)).Done(at(20))
	h.Begin("c", at(30)) // not known to be in force yet
	for _, row := range []struct {
		span Span
		want string
	}{
		{span(0, 9), "a"},
		{span(0, 10), "ba"},
		{span(15, 15), "ba"},
		{span(19, 25), "ba"},
		{span(20, 25), "b"},
		{span(25, 29), "b"},
		{span(25, 30), "cb"},
		{span(1000, 2000), "cb"},
		{span(0, 2000), "cba"},
	} {
		if got := strings.Join(h.During(row.span), ""); got != row.want {
			t.Errorf("%v to %v: got %q, want %q", row.span.From.UnixMilli(), row.span.To.UnixMilli(), got, row.want)
		}
	}
	var none History[int]
	if got := none.During(span(0, 1)); len(got) != 0 {
		t.Errorf("the zero History: got %v", got)
	}
}

// world is one server with one issuer, whose keys were in force at 0 at the latest, and a
// good call between 1000 and 1010.
func world() (*Server, Call) {
	i := &Issuer{URL: "https://issuer.test", Clients: NewHistory([]string{"friend"})}
	publish(&i.Keys, -100, -90, 0, false, Keys{"k": "key"})
	s := &Server{
		Issuers: []*Issuer{i},
		Access:  NewHistory(&AccessList{}),
		Needs:   map[string][]string{"/pkg.S/M": {"s/a", "s/b"}},
	}
	t := &Token{KeyID: "k", SignedWith: "key", ClientID: "friend", TokenID: "t", Scopes: []string{"s/b", "s/a"}, Expires: at(100_000)}
	return s, Call{Span: span(1000, 1010), Method: "/pkg.S/M", Token: t, Offered: at(1000)}
}

// publish is a fetch that succeeds.
func publish(k *KeySet, departed, known, published int, forced bool, keys Keys) {
	f := k.Depart(at(departed), forced)
	f.Arrive(at(known), keys)
	f.Publish(at(published))
}

func fail(k *KeySet, departed, known int, forced bool) {
	k.Depart(at(departed), forced).Fail(at(known))
}

func TestDecide(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		change func(s *Server, c *Call)
		want   Outcomes
	}{
		{"a good call", func(*Server, *Call) {}, Outcomes{Passes}},
		{"no value", func(_ *Server, c *Call) { c.Token.Form = NoValue }, Outcomes{TokenMissing}},
		{"two values", func(_ *Server, c *Call) { c.Token.Form = TwoValues }, Outcomes{AuthorizationDuplicated}},
		{"another scheme", func(_ *Server, c *Call) { c.Token.Form = OtherScheme }, Outcomes{SchemeUnsupported}},
		{"too long", func(_ *Server, c *Call) { c.Token.Form = TooLong }, Outcomes{TokenTooLarge}},
		{"broken syntax", func(_ *Server, c *Call) { c.Token.Form = BrokenSyntax }, Outcomes{TokenMalformed}},
		{"another issuer", func(_ *Server, c *Call) { c.Token.Issuer = Foreign }, Outcomes{TokenInvalid}},
		{"unacceptable claims", func(_ *Server, c *Call) { c.Token.Unacceptable = true }, Outcomes{TokenInvalid}},
		{"unacceptable claims and an unknown key id", func(_ *Server, c *Call) { c.Token.Unacceptable, c.Token.KeyID = true, "x" }, Outcomes{TokenInvalid}},

		{"expires right after it", func(_ *Server, c *Call) { c.Token.Expires = at(1011) }, Outcomes{Passes}},
		{"expires at its end", func(_ *Server, c *Call) { c.Token.Expires = at(1010) }, Outcomes{TokenInvalid, TokenExpired, Passes}},
		{"expires at its beginning", func(_ *Server, c *Call) { c.Token.Expires = at(1000) }, Outcomes{TokenInvalid}},
		{"expired, and came before", func(_ *Server, c *Call) { c.Token.Expires, c.Offered = at(1000), at(999) }, Outcomes{TokenInvalid, TokenExpired}},
		{"expired within the skew", func(s *Server, c *Call) { c.Token.Expires, s.ClockSkew = at(950), 61*time.Millisecond }, Outcomes{Passes}},
		{"expired beyond the skew", func(s *Server, c *Call) { c.Token.Expires, s.ClockSkew = at(950), 50*time.Millisecond }, Outcomes{TokenInvalid}},
		{"expired, of an unknown key id", func(_ *Server, c *Call) { c.Token.Expires, c.Token.KeyID = at(1000), "x" }, Outcomes{TokenInvalid}},

		{"signed with another key", func(_ *Server, c *Call) { c.Token.SignedWith = "other" }, Outcomes{TokenInvalid}},
		{"signed by nobody", func(_ *Server, c *Call) { c.Token.SignedWith = "" }, Outcomes{TokenInvalid}},
		{"signed with another key, of another client", func(_ *Server, c *Call) { c.Token.SignedWith, c.Token.ClientID = "other", "x" }, Outcomes{TokenInvalid}},
		{"the key is replaced meanwhile", func(s *Server, _ *Call) {
			publish(&s.Issuers[0].Keys, 1, 1005, 1007, false, Keys{"k": "other"})
		}, Outcomes{TokenInvalid, Passes}},

		{"of another client", func(_ *Server, c *Call) { c.Token.ClientID = "x" }, Outcomes{ClientNotAllowed}},
		{"the client goes meanwhile", func(s *Server, _ *Call) {
			s.Issuers[0].Clients.Begin(nil, at(1001)).Done(at(1002))
		}, Outcomes{ClientNotAllowed, Passes}},
		{"the client has gone", func(s *Server, _ *Call) { s.Issuers[0].Clients.Begin(nil, at(1)).Done(at(2)) }, Outcomes{ClientNotAllowed}},
		{"of another client that is denied", func(s *Server, c *Call) {
			c.Token.ClientID = "x"
			s.Access = NewHistory(&AccessList{Deny: []AccessEntry{{Clients: []string{"x"}}}})
		}, Outcomes{ClientNotAllowed}},

		{"denied without its scope", func(s *Server, c *Call) {
			c.Token.Scopes = nil
			s.Access = NewHistory(&AccessList{Deny: []AccessEntry{{Clients: []string{"friend"}}}})
		}, Outcomes{TokenRevoked}},
		{"denied meanwhile", func(s *Server, _ *Call) {
			s.Access.Begin(&AccessList{Deny: []AccessEntry{{Clients: []string{"friend"}}}}, at(900)).Done(at(1005))
		}, Outcomes{TokenRevoked, Passes}},

		{"without a scope", func(_ *Server, c *Call) { c.Token.Scopes = []string{"s/a"} }, Outcomes{InsufficientScope}},
		{"without a scope, revoked", func(_ *Server, c *Call) {
			c.Token.Scopes, c.Token.Revocation = nil, NewHistory(Revoked)
		}, Outcomes{InsufficientScope}},
		{"never revoked", func(_ *Server, c *Call) { c.Token.Revocation = NewHistory(NotRevoked) }, Outcomes{Passes}},
		{"revoked", func(_ *Server, c *Call) { c.Token.Revocation = NewHistory(Revoked) }, Outcomes{TokenRevoked}},
		{"no answer about the revocation", func(_ *Server, c *Call) { c.Token.Revocation = NewHistory(Unanswered) }, Outcomes{RevocationUnavailable}},
		{"revoked meanwhile", func(_ *Server, c *Call) {
			c.Token.Revocation = NewHistory(NotRevoked)
			c.Token.Revocation.Begin(Revoked, at(1002)).Done(at(1003))
		}, Outcomes{TokenRevoked, Passes}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, c := world()
			row.change(s, &c)
			if got := s.Decide(c); !same(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

func same(a, b Outcomes) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(o Outcome) bool { return !b.Has(o) })
}

func TestDecideWithUnknownKeyIDs(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		change func(k *KeySet, c *Call)
		want   Outcomes
	}{
		{"nothing has happened: a fetch decides", func(*KeySet, *Call) {}, nil},
		{"a fetch is under way", func(k *KeySet, _ *Call) { k.Depart(at(990), true) }, nil},
		{"a fetch of the timer has just succeeded", func(k *KeySet, _ *Call) { publish(k, 900, 910, 920, false, Keys{"k": "key"}) }, nil},
		{"no keys yet", func(k *KeySet, _ *Call) { *k = KeySet{} }, nil},
		{"no keys yet, and it takes 2 s", func(k *KeySet, c *Call) { *k, c.Span = KeySet{}, span(1000, 3000) }, Outcomes{KeysUnavailable}},
		{"a fetch is under way, and a later one succeeds", func(k *KeySet, _ *Call) {
			k.Depart(at(990), true)
			publish(k, 1011, 1012, 1013, false, Keys{"k": "key"})
		}, nil},

		{"a fetch that it caused succeeds meanwhile", func(k *KeySet, _ *Call) { publish(k, 1001, 1005, 1006, true, Keys{"k": "key"}) }, Outcomes{TokenInvalid}},
		{"a fetch that it caused brings it", func(k *KeySet, _ *Call) { publish(k, 1001, 1005, 1006, true, Keys{"x": "key"}) }, Outcomes{TokenInvalid, Passes}},
		{"a document has arrived and is not in force yet", func(k *KeySet, _ *Call) { k.Depart(at(1), true).Arrive(at(2), Keys{"x": "key"}) }, Outcomes{TokenInvalid, Passes}},
		{"a fetch succeeds after it", func(k *KeySet, _ *Call) { publish(k, 1001, 1011, 1012, true, Keys{"x": "key"}) }, nil},
		{"a caused fetch succeeded", func(k *KeySet, _ *Call) { publish(k, 100, 110, 120, true, Keys{"k": "key"}) }, Outcomes{TokenInvalid}},
		{"a caused fetch succeeded almost 10 s ago", func(k *KeySet, c *Call) {
			publish(k, 100, 110, 120, true, Keys{"k": "key"})
			c.Span = span(10_115, 10_118)
		}, Outcomes{TokenInvalid}},
		{"a caused fetch succeeded 10 s ago", func(k *KeySet, c *Call) {
			publish(k, 100, 110, 120, true, Keys{"k": "key"})
			c.Span = span(10_120, 10_130)
		}, nil},

		{"during the back-off", func(k *KeySet, _ *Call) { fail(k, 900, 910, false) }, Outcomes{KeysUnavailable}},
		{"the fetch fails meanwhile", func(k *KeySet, _ *Call) { fail(k, 1001, 1010, true) }, Outcomes{KeysUnavailable}},
		{"the fetch fails later", func(k *KeySet, _ *Call) { fail(k, 1001, 1011, true) }, nil},
		{"the back-off ends meanwhile", func(k *KeySet, _ *Call) {
			fail(k, 900, 910, false)
			publish(k, 950, 990, 1001, false, Keys{"k": "key"})
		}, Outcomes{KeysUnavailable}},
		{"the back-off has ended", func(k *KeySet, _ *Call) {
			fail(k, 900, 910, false)
			publish(k, 950, 960, 1000, false, Keys{"k": "key"})
		}, nil},
		{"a caused fetch failed less than 10 s ago", func(k *KeySet, c *Call) {
			fail(k, 100, 110, true)
			publish(k, 200, 210, 220, false, Keys{"k": "key"})
			c.Span = span(10_099, 10_110)
		}, Outcomes{KeysUnavailable}},
		{"a caused fetch failed 10 s ago", func(k *KeySet, c *Call) {
			fail(k, 100, 110, true)
			publish(k, 200, 210, 220, false, Keys{"k": "key"})
			c.Span = span(10_100, 10_110)
		}, nil},
		{"the back-off goes on for more than 10 s", func(k *KeySet, c *Call) {
			fail(k, 100, 110, true)
			publish(k, 200, 10_150, 10_160, false, Keys{"k": "key"})
			c.Span = span(10_130, 10_140)
		}, Outcomes{KeysUnavailable}},

		{"it takes almost 2 s", func(_ *KeySet, c *Call) { c.Span = span(1000, 2999) }, nil},
		{"it takes 2 s", func(_ *KeySet, c *Call) { c.Span = span(1000, 3000) }, Outcomes{KeysUnavailable}},
		{"256 wait", func(_ *KeySet, c *Call) { c.Waiting = 256 }, nil},
		{"257 wait", func(_ *KeySet, c *Call) { c.Waiting = 257 }, Outcomes{KeysUnavailable}},
		{"257 wait, and it is final", func(k *KeySet, c *Call) {
			publish(k, 100, 110, 120, true, Keys{"k": "key"})
			c.Waiting = 257
		}, Outcomes{TokenInvalid}},
		{"257 wait, and it becomes final", func(k *KeySet, c *Call) {
			publish(k, 900, 910, 1005, true, Keys{"k": "key"})
			c.Waiting = 257
		}, Outcomes{TokenInvalid, KeysUnavailable}},
		{"257 wait, and it may be final no more", func(k *KeySet, c *Call) {
			publish(k, 100, 110, 120, true, Keys{"k": "key"})
			c.Waiting, c.Span = 257, span(10_105, 10_110)
		}, Outcomes{TokenInvalid, KeysUnavailable}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, c := world()
			c.Token.KeyID = "x"
			row.change(&s.Issuers[0].Keys, &c)
			if got := s.Decide(c); !same(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

func TestAccessList(t *testing.T) {
	t.Parallel()
	token := &Token{ClientID: "friend", TokenID: "t"}
	list := func(deny ...AccessEntry) *AccessList { return &AccessList{Deny: deny} }
	allow := func(e ...AccessEntry) *AccessList { return &AccessList{Allow: e} }
	for _, row := range []struct {
		name string
		list *AccessList
		want Outcome
	}{
		{"empty", list(), Passes},
		{"the client", list(AccessEntry{Clients: []string{"x", "friend"}}), TokenRevoked},
		{"another client", list(AccessEntry{Clients: []string{"x"}}), Passes},
		{"the client of this issuer", list(AccessEntry{Clients: []string{"friend"}, Issuer: "https://issuer.test"}), TokenRevoked},
		{"the client of another issuer", list(AccessEntry{Clients: []string{"friend"}, Issuer: "https://other.test"}), Passes},
		{"the token", list(AccessEntry{TokenIDs: []string{"t"}}), TokenRevoked},
		{"another token", list(AccessEntry{TokenIDs: []string{"u"}}), Passes},
		{"the method", list(AccessEntry{Methods: []string{"/pkg.S/M"}}), ClientNotAllowed},
		{"another method", list(AccessEntry{Methods: []string{"/pkg.S/N"}}), Passes},
		{"the service", list(AccessEntry{Methods: []string{"pkg.S"}}), ClientNotAllowed},
		{"the method to the client", list(AccessEntry{Clients: []string{"friend"}, Methods: []string{"/pkg.S/M"}}), ClientNotAllowed},
		{"the method to another client", list(AccessEntry{Clients: []string{"x"}, Methods: []string{"/pkg.S/M"}}), Passes},
		{"another method to the client", list(AccessEntry{Clients: []string{"friend"}, Methods: []string{"/pkg.S/N"}}), Passes},
		{"the method, and the client", list(AccessEntry{Methods: []string{"/pkg.S/M"}}, AccessEntry{Clients: []string{"friend"}}), TokenRevoked},
		{"the client, and the method", list(AccessEntry{Clients: []string{"friend"}}, AccessEntry{Methods: []string{"/pkg.S/M"}}), TokenRevoked},
		{"allowed", allow(AccessEntry{Clients: []string{"friend"}, Methods: []string{"pkg.S"}}), Passes},
		{"another method allowed", allow(AccessEntry{Clients: []string{"friend"}, Methods: []string{"/pkg.S/N"}}), ClientNotAllowed},
		{"allowed by the second", allow(AccessEntry{Clients: []string{"friend"}, Methods: []string{"/pkg.S/N"}}, AccessEntry{Clients: []string{"friend"}, Methods: []string{"/pkg.S/M"}}), Passes},
		{"allowed by the first", allow(AccessEntry{Clients: []string{"friend"}, Methods: []string{"/pkg.S/M"}}, AccessEntry{Clients: []string{"friend"}, Methods: []string{"/pkg.S/N"}}), Passes},
		{"another client's", allow(AccessEntry{Clients: []string{"x"}, Methods: []string{"/pkg.S/N"}}), Passes},
		{"allowed and denied", &AccessList{
			Deny:  []AccessEntry{{Methods: []string{"/pkg.S/M"}}},
			Allow: []AccessEntry{{Clients: []string{"friend"}, Methods: []string{"/pkg.S/M"}}},
		}, ClientNotAllowed},
	} {
		if got := row.list.verdict("https://issuer.test", token, "/pkg.S/M"); got != row.want {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
	}
}
