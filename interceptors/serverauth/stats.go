// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"maps"
	"slices"
	"time"
)

// VerifierStats says how a [Verifier] is doing.
type VerifierStats struct {
	Cache   CacheStats    // zero with WithoutCache
	Issuers []IssuerStats // sorted by URL
}

// IssuerStats says how the keys of an issuer are. Counters count since [NewVerifier].
//
// State is EMPTY while there were no keys; FRESH if the last fetch succeeded; STALE if it
// failed and the keys from before are used; DEAD if the last success was 24 hours ago, and
// no token passes; STATIC with Issuer.Offline; CLOSED after [Verifier.Close].
type IssuerStats struct {
	URL         string
	Ready       bool          // there are keys, and they are used
	State       string        // see above
	Static      bool          // the keys are those of Issuer.StaticJWKS
	KeyIDs      []string      // sorted
	KeyAge      time.Duration // since the last success, or since NewVerifier if there was none
	Fetches     uint64        // requests sent
	KIDFetches  uint64        // of them, caused by an unknown key id
	Failures    uint64        // of them, those that failed
	Rejected    uint64        // failures by a document that was not acceptable
	IgnoredKeys int           // entries of the present document that are of no use
	LastError   error         // the last failure, nil if a success followed
}

// Stats returns the present figures. It is for a few calls a second, not for each call of
// a server.
func (v *Verifier) Stats() VerifierStats {
	stats := VerifierStats{Cache: v.cache.stats()}
	for _, url := range slices.Sorted(maps.Keys(v.issuers)) {
		keys := v.issuers[url].keys
		s := keys.Stats()
		stats.Issuers = append(stats.Issuers, IssuerStats{
			URL: url, Ready: keys.Ready(), State: string(s.State), Static: s.Static, KeyIDs: s.KeyIDs, KeyAge: s.KeyAge,
			Fetches: s.Fetches, KIDFetches: s.KidFetches, Failures: s.Failures, Rejected: s.Rejected,
			IgnoredKeys: s.Ignored, LastError: s.LastError,
		})
	}
	return stats
}

// Stats says how an [Authorizer] is doing.
type Stats struct {
	// Verifier is about the authorizer's [Verifier]; empty for one of another kind.
	Verifier VerifierStats
	// ReportOnly is not nil if refusals are only reported.
	ReportOnly *ReportOnlyStats
	// HeldRefusals is how many calls that were refused on their header frame have left
	// something behind, until their deadline; at most 65,536.
	HeldRefusals int
	// AccessFile is not nil if there is an access file.
	AccessFile *AccessFileStats
}

// ReportOnlyStats are about [ReportOnly].
type ReportOnlyStats struct {
	// DaysLeft is the days until the mandatory date; 0 or less once it has come.
	DaysLeft int
}

// AccessFileStats are about [AccessFile].
type AccessFileStats struct {
	Entries   int           // deny and allow entries of the list in effect
	Age       time.Duration // since the list in effect was read, which was when the file changed last
	LastError error         // why the file cannot be used now, nil if it can
}

// Stats returns the present figures, as [Verifier.Stats] does.
func (a *Authorizer) Stats() Stats {
	var stats Stats
	if a.own != nil {
		stats.Verifier = a.own.Stats()
	}
	if a.reportOnly != nil {
		stats.ReportOnly = &ReportOnlyStats{DaysLeft: a.reportOnly.DaysLeft(a.now())}
	}
	if a.early != nil {
		stats.HeldRefusals = a.early.held.count()
	}
	if a.access != nil {
		s := a.access.Stats()
		stats.AccessFile = &AccessFileStats{Entries: s.Entries, LastError: s.LastError}
		if !s.LoadedAt.IsZero() { // not closed
			stats.AccessFile.Age = time.Since(s.LoadedAt)
		}
	}
	return stats
}
