// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package jose reads access tokens: compact JWS (RFC 7515 7.1) signed with RS256,
// and the key sets that verify them (RFC 7517). It decides what a token is by
// strict rules of its own; the jwx library stands behind them for two things only:
// to read one entry of a key set into a key, and to check one signature. No other
// package imports jwx.
//
// # The order of work
//
// [Parse] looks at a token without a key. The first rule that fails decides:
//
//  1. size, before a byte is read                               TOKEN_TOO_LARGE
//  2. alphabet A-Z a-z 0-9 _ - and three segments; header and
//     payload not empty                                         TOKEN_MALFORMED
//  3. strict base64url of all segments, unused bits zero        TOKEN_MALFORMED
//  4. the header is one strict JSON object                      TOKEN_MALFORMED
//  5. alg is the string RS256                                   ALG_NOT_ALLOWED
//  6. there is no crit, in any form                             CRIT_UNSUPPORTED
//  7. none of jku x5u jwk x5c b64 cty enc zip is there, and typ
//     is absent, JWT or at+jwt                                  HEADER_NOT_ALLOWED
//  8. kid is a string of 1 to 256 bytes                         KID_INVALID
//  9. the signature is not empty                                SIGNATURE_INVALID
//  10. the payload is one strict JSON object                    TOKEN_MALFORMED
//
// So an empty signature ends in ALG_NOT_ALLOWED below an alg "none", and in
// SIGNATURE_INVALID below RS256. Other header members are ignored, as RFC 7515 4
// demands; that includes x5t and x5t#S256, which name a certificate and cause
// neither a fetch nor the choice of a key: kid alone chooses.
//
// Whoever has a [Token] has a well-formed claim to an identity, not an identity:
// nothing in it is true before [Token.Verify] returned nil.
//
// # JSON
//
// An object is accepted if it is RFC 8259 JSON in valid UTF-8 without a byte order
// mark, without a lone surrogate, without two members of one name at any level
// (names are compared after escapes are decoded), without bytes behind it, at most
// 16 levels deep and with at most 64 members at the top. Names match exactly: EXP
// is not exp.
package jose
