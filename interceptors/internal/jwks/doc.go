// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package jwks holds the signing keys of one issuer: it fetches the issuer's key
// set, keeps the last good one, and decides when a kid that is not in it is worth a
// request.
//
// # How a set lives
//
// One goroutine fetches; readers load one pointer. A reader of a known kid takes no
// lock, waits for nobody and causes no request, whatever the endpoint does.
//
//	EMPTY --ok--> FRESH --failure--> STALE --24 h without success--> DEAD
//	  |             ^                  |  ^                            |
//	  |             +------- ok -------+--|------------- ok -----------+
//	  |                                   |
//	  +---static keys, no success yet-----+      STATIC (offline: until Close)
//
// FRESH is renewed every 15 minutes +-10 %, or after the max-age of the answer if
// that lies within 1 minute and 1 hour. A failure (no answer, a status other than
// 200, a redirect, a document that is refused) starts a back-off from 1 second,
// doubling to 5 minutes, with full jitter. Until a fetch succeeds the last good set
// serves (STALE), for at most 24 hours of monotonic time; then nobody gets a key
// (DEAD) until a fetch succeeds. A removed key is gone with the swap of the pointer.
//
// # How it starts
//
// [New] waits for the first success, and fails if its context ends before. That can
// be had otherwise:
//
//   - Lazy: New returns at once. Until the first success the set is EMPTY: every kid
//     is unavailable, and none causes a request beside those of the back-off.
//   - Static: where New would fail, the keys of a given document serve (STALE), with
//     Lazy from the start. They obey the rules of fetched keys, and their 24 hours
//     begin with New. The first success replaces all of them. Those that it brings
//     again keep what was verified with them if no key came or went.
//   - Static and Offline: these keys serve until Close (STATIC). There is no goroutine
//     and no request, they do not age, and any other kid is final.
//
// # The unknown kid
//
// A kid that is not in the set, in this order:
//
//   - is final if a fetch that an unknown kid caused succeeded within the last
//     10 seconds: that answer was current;
//   - is unavailable while the set backs off after a failure;
//   - is unavailable if a fetch that an unknown kid caused left within the last
//     10 seconds and failed, whatever the timer fetched since;
//   - else causes a fetch, past caches on the way, and waits for it: 2 seconds at
//     most, and at most 256 callers at a time. All callers share one fetch, and it
//     goes on when the caller that caused it has gone.
//
// So strangers who invent kids cause one request in 10 seconds and, if it fails, the
// retries of the back-off. Those who send known kids with bad signatures cause none.
//
// # HTTP
//
// A fetch takes 3 seconds in all, follows no redirect, asks for no compression and
// reads at most 256 KiB. TLS is 1.2 or newer; plain http is for loopback addresses.
// The proxy of the environment is honoured. The content type means nothing. After a
// failure the next request is unconditional.
package jwks
