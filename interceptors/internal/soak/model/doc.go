// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package model says which answers to a call are right: from how the call's token was
// made, and from what happened to the server's world, when. It shares no code with the
// library, so that it shares no mistake with it: it imports the standard library only.
//
// Whatever changes is kept as a [History]: a change took place at one instant between
// two that were measured around it. A decision took place at one instant of the call's
// [Span]. So each question about the world has one answer, or several if a change and
// the call overlap, and [Server.Decide] returns the answers to the call that fit any
// of them. Nothing here depends on how fast anything is: what is slow overlaps more.
//
// # The order of a decision
//
//  1. the authorization metadata: TOKEN_MISSING, AUTHORIZATION_DUPLICATED,
//     SCHEME_UNSUPPORTED, TOKEN_TOO_LARGE, TOKEN_MALFORMED
//  2. what a token says before its signature is checked: header, issuer, times, use.
//     TOKEN_INVALID, or TOKEN_EXPIRED if the server may remember that the token was
//     good
//  3. the key, see below
//  4. the signature: TOKEN_INVALID
//  5. the client: CLIENT_NOT_ALLOWED
//  6. the access file: TOKEN_REVOKED, CLIENT_NOT_ALLOWED
//  7. the scopes: INSUFFICIENT_SCOPE
//  8. the revocation: TOKEN_REVOKED, REVOCATION_UNAVAILABLE
//
// # Keys
//
// A server has the keys of the last document that it took. It takes one at an instant
// between the arrival of the document's last byte and the call of the rotation hook. A
// key id that the document lacks ends, in this order:
//
//   - TOKEN_INVALID, if a fetch that an unknown key id caused succeeded less than 10 s
//     ago
//   - KEYS_UNAVAILABLE, from a failed fetch to the next that succeeds, and for 10 s
//     after the departure of a failed one that an unknown key id caused
//   - else in a fetch, and its answer; KEYS_UNAVAILABLE if that takes 2 s or 256 others
//     wait for it already
package model
