// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// Each figure about the keys of an issuer moves when it should.
func TestStatsOfIssuers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := newPools()
		l := newLab(t, p.setup(setup{}))
		stats := func() serverauth.IssuerStats {
			issuers := l.auth.Stats().Verifier.Issuers
			if len(issuers) != 2 || issuers[0].URL != otherIssuerURL || issuers[1].URL != issuerURL {
				t.Fatalf("got %+v, want both issuers, by URL", issuers)
			}
			return issuers[1]
		}
		kids := []string{goodKeyID, otherKeyID}
		slices.Sort(kids)
		if s := stats(); !s.Ready || s.State != "FRESH" || s.Static || !slices.Equal(s.KeyIDs, kids) || s.KeyAge != 0 ||
			s.Fetches != 1 || s.KIDFetches != 0 || s.Failures != 0 || s.Rejected != 0 || s.IgnoredKeys != 0 || s.LastError != nil {
			t.Errorf("at start: got %+v", s)
		}
		time.Sleep(5 * time.Minute)
		if s := stats(); s.KeyAge != 5*time.Minute {
			t.Errorf("5 minutes later: the keys are %v old", s.KeyAge)
		}
		l.call(t, whoAmI, bearer(p.first.token(`{"kid":"unknown","alg":"RS256"}`, goodClaims)))
		if s := stats(); s.KIDFetches != 1 || s.Fetches != 2 || s.KeyAge != 0 {
			t.Errorf("after an unknown key id: got %+v", s)
		}
		p.first.down.Store(true)
		time.Sleep(17 * time.Minute)
		failed := stats()
		if failed.State != "STALE" || !failed.Ready || failed.Failures == 0 || failed.Rejected != 0 || failed.LastError == nil || failed.Fetches != 2+failed.Failures || failed.KeyAge != 17*time.Minute {
			t.Errorf("the issuer is down: got %+v", failed)
		}
		text := `{"keys":[{"kty":"EC","kid":"e"}, {"kty":"RSA","kid":"r","n":"AQAB","e":"AQAB","alg":"RS256","use":"sig"}]}`
		p.first.document.Store(&text)
		p.first.down.Store(false)
		time.Sleep(10 * time.Minute)
		if s := stats(); s.Rejected == 0 || s.Failures != failed.Failures+s.Rejected || s.State != "STALE" || s.LastError == nil {
			t.Errorf("the issuer has no usable key: got %+v", s)
		}
		text2 := strings.Replace(string(keySet("k", p.first.access)), `{"keys":[`, `{"keys":[{"kty":"EC","kid":"e"},`, 1)
		p.first.document.Store(&text2)
		time.Sleep(10 * time.Minute)
		if s := stats(); s.State != "FRESH" || s.LastError != nil || s.IgnoredKeys != 1 || !slices.Equal(s.KeyIDs, []string{"k"}) {
			t.Errorf("the issuer is back with one usable key: got %+v", s)
		}
		p.first.down.Store(true)
		time.Sleep(25 * time.Hour)
		if s := stats(); s.State != "DEAD" || s.Ready || s.LastError == nil {
			t.Errorf("the issuer is away for long: got %+v", s)
		}
		if err := l.verifier.Close(); err != nil {
			t.Fatal(err)
		}
		if s := stats(); s.State != "CLOSED" || s.Ready {
			t.Errorf("after Close: got %+v", s)
		}
	})
	bubble(t, func(t *testing.T) {
		issuer := newMemoryIssuer()
		issuer.down.Store(true)
		l := newLab(t, setup{memory: true, verifier: []serverauth.VerifierOption{
			serverauth.LazyStart(), serverauth.WithHTTPClient(&http.Client{Transport: issuer}),
		}})
		if s := l.auth.Stats().Verifier.Issuers[0]; s.State != "EMPTY" || s.Ready || len(s.KeyIDs) != 0 {
			t.Errorf("before the first keys: got %+v", s)
		}
	})
}

// Each figure about the cache moves when it should.
func TestStatsOfTheCache(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		clients := serverauth.AnyClient()
		l := newLab(t, setup{memory: true, clients: &clients, verifier: []serverauth.VerifierOption{serverauth.CacheLimits(2, 1<<20)}})
		expect := func(when string, want serverauth.CacheStats) {
			t.Helper()
			got := l.auth.Stats().Verifier.Cache
			if (got.Bytes > 0) != (got.Entries > 0) || got.Bytes < int64(got.Entries)*1024 {
				t.Errorf("%s: %d tokens take %d bytes", when, got.Entries, got.Bytes)
			}
			got.Bytes = 0
			if got != want {
				t.Errorf("%s: got %+v, want %+v", when, got, want)
			}
		}
		expect("at start", serverauth.CacheStats{})
		of := func(client, id string) string { return l.of("", "client_id", `"`+client+`"`, "jti", `"`+id+`"`) }
		first := of("a", "1")
		l.call(t, whoAmI, bearer(first))
		expect("a token", serverauth.CacheStats{Misses: 1, Entries: 1, Clients: 1})
		l.call(t, whoAmI, bearer(first))
		expect("the same", serverauth.CacheStats{Misses: 1, Entries: 1, Clients: 1})
		l.call(t, whoAmI, bearer(of("b", "2")))
		expect("another client's", serverauth.CacheStats{Misses: 2, Entries: 2, Clients: 2})
		l.call(t, whoAmI, bearer(of("b", "3")))
		if s := l.auth.Stats().Verifier.Cache; s.Evicted != 1 || s.Entries != 2 || s.Misses != 3 {
			t.Errorf("one too many: got %+v", s)
		}
		l.call(t, whoAmI, bearer(first)) // whether it is there or not
		before := l.auth.Stats().Verifier.Cache
		time.Sleep(2 * time.Hour)
		l.call(t, whoAmI, bearer(first))
		if s := l.auth.Stats().Verifier.Cache; s.Stale != before.Stale+1 || s.Entries != before.Entries-1 {
			t.Errorf("an expired token: got %+v, before %+v", s, before)
		}
	})
	l := newLab(t, setup{verifier: []serverauth.VerifierOption{serverauth.WithoutCache()}})
	for range 2 {
		if got := l.call(t, whoAmI, bearer(l.issuer.good())); got.code != ok {
			t.Errorf("without a cache: got %v %s, want OK", got.code, got.message)
		}
	}
	if s := l.auth.Stats().Verifier.Cache; s != (serverauth.CacheStats{}) {
		t.Errorf("without a cache: got %+v, want nothing", s)
	}
}

// Calls that were refused on their header frame are counted until their deadline.
func TestStatsOfHeldRefusals(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		l := newLab(t, setup{memory: true, options: []serverauth.Option{serverauth.RefuseBeforeDecoding()}})
		for n := range 3 {
			l.call(t, whoAmI, header{"grpc-timeout", fmt.Sprintf("%dS", 10*(n+1))})
		}
		l.call(t, whoAmI) // without a deadline nothing is left
		if n := l.auth.Stats().HeldRefusals; n != 3 {
			t.Errorf("three refusals with a deadline: got %d held", n)
		}
		time.Sleep(15 * time.Second)
		l.call(t, whoAmI, header{"grpc-timeout", "1S"}) // which looks after the others
		if n := l.auth.Stats().HeldRefusals; n != 3 {
			t.Errorf("one deadline passed and another came: got %d held, want 3", n)
		}
	})
}

// What is not there has no figures.
func TestStatsOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	custom := stubVerifier(func(context.Context, string) (*serverauth.Principal, error) { return nil, errNoNetwork })
	l := startCustom(t, custom, setup{})
	if s := l.auth.Stats(); s.AccessFile != nil || s.ReportOnly != nil || s.HeldRefusals != 0 || s.Verifier.Issuers != nil || s.Verifier.Cache != (serverauth.CacheStats{}) {
		t.Errorf("got %+v, want nothing", s)
	}
}

// The figures of an access file move with it.
func TestStatsOfTheAccessFile(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		path := newAccessFile(t, `{"deny": [{"clients": ["a"]}], "allow": [{"clients": ["b"], "methods": ["`+whoAmI+`"]}]}`)
		l := newLab(t, setup{memory: true, options: []serverauth.Option{serverauth.AccessFile(path)}})
		expect := func(when string, entries int, age time.Duration, fault bool) {
			t.Helper()
			if s := l.auth.Stats().AccessFile; s.Entries != entries || s.Age != age || (s.LastError != nil) != fault {
				t.Errorf("%s: got %+v, want %d entries that are %v old, an error: %v", when, s, entries, age, fault)
			}
		}
		expect("at start", 2, 0, false)
		time.Sleep(90*time.Second + time.Millisecond)
		expect("later", 2, 90*time.Second+time.Millisecond, false)
		replaceFile(t, path, `{}`)
		time.Sleep(time.Second)
		expect("a new file", 0, time.Millisecond, false)
		replaceFile(t, path, `{`)
		time.Sleep(time.Second)
		expect("a bad file", 0, time.Second+time.Millisecond, true)
	})
}
