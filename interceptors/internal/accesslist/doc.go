// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package accesslist holds the callers that an operator denies or allows in a file,
// while servers run. It reads the file again and again, and decides each call from
// the last good content.
//
// # The file
//
//	{
//	  "deny": [
//	    {"clients": ["id1"], "issuer": "https://issuer.example/pool", "reason": "key leaked"},
//	    {"clients": ["id2"], "methods": ["/acme.v1.Files/Delete", "acme.v1.Admin"]},
//	    {"methods": ["/acme.v1.Files/Purge"]},
//	    {"token_ids": ["jti1"]}
//	  ],
//	  "allow": [
//	    {"clients": ["id3"], "methods": ["acme.v1.Files"]}
//	  ]
//	}
//
// A deny entry closes
//
//   - with clients alone: everything to these clients;
//   - with clients and methods: these methods to these clients;
//   - with methods alone: these methods to everybody who needs a token;
//   - with token_ids, which stands without clients and methods: everything to the
//     tokens with these jti claims.
//
// A client that an allow entry names may call only the methods of its allow entries;
// the list restricts no others. An allow entry has clients and methods. Deny wins over
// allow. Both lists may be empty or absent.
//
// An entry with clients may have an issuer and is then about the clients of that
// issuer; without one it is about the clients of every issuer. A deny entry may have
// a reason, which is for the log. A method is a full one, "/pkg.Svc/Method", or every
// method of a service, "pkg.Svc". Nothing is a pattern.
//
// The file is read strictly: a member that is unknown or comes twice, a value of the
// wrong type, null, an empty list in an entry, a blank string, a method that the server
// does not have, or bytes behind the end make it refused as a whole, since what is not
// understood could be the entry that matters. The error names the place, such as
// deny[2].clients[0]. A file has at most [MaxBytes] bytes, and its entries name at
// most [MaxPairs] pairs of a client and a method.
//
// # When a change takes effect
//
// Every [Config.Interval] the whole file is read and its bytes are compared, so that
// neither the granularity of modification times nor the swap of a symbolic link, as
// Kubernetes does it, matters. From the moment a new file is in place to the last
// call decided by the old list it takes at most the interval and the time of one
// read, if a read takes less than an interval. The Logger runs between two reads:
// what it takes beyond an interval comes on top. A cached token is no exception, since
// the list is asked for each call. Whoever has a stream open asks again.
//
// Put a new file in place by renaming it. A file that is written in place can be read
// half written; it is then refused, as it ends too early, and read again after an
// interval.
//
// # When the file is gone or refused
//
// [Open] fails. Later, the last good list stays in effect, for as long as the fault
// lasts. Each fault is logged once, and again every minute; [Stats.LastError] holds
// it. A server that starts anew meanwhile does not get a list, so watch for it.
package accesslist
