// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"strconv"

	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

// MaxKeyIDBytes bounds a kid, of tokens and of key sets. Cognito's have 44 bytes.
const MaxKeyIDBytes = 256

// algRS256 is the one algorithm there is (RFC 8725 3.1).
const algRS256 = "RS256"

// forbidden are the header members that bring a key of their own (RFC 8725 3.10),
// change what is signed (RFC 7797 7) or announce another kind of token.
var forbidden = [...]string{"jku", "x5u", "jwk", "x5c", "b64", "cty", "enc", "zip"}

// parseHeader reads the JOSE header and returns the kid.
func parseHeader(doc string) (kid string, e *Error) {
	members, err := parseObject(doc)
	if err != nil {
		return "", malformed("the header: " + err.Error())
	}
	if e := checkAlg(members); e != nil {
		return "", e
	}
	if _, ok := find(members, "crit"); ok {
		return "", refuse(reason.CritUnsupported, "the header has crit") // RFC 7515 4.1.11
	}
	for _, name := range forbidden {
		if _, ok := find(members, name); ok {
			return "", refuse(reason.HeaderNotAllowed, "the header has "+name)
		}
	}
	if e := checkType(members); e != nil {
		return "", e
	}
	return keyID(members)
}

func checkAlg(members []member) *Error {
	raw, ok := find(members, "alg")
	if !ok {
		return refuse(reason.AlgNotAllowed, "the header has no alg")
	}
	if alg, ok := unquote(raw); !ok || alg != algRS256 {
		return refuse(reason.AlgNotAllowed, "alg is not "+algRS256)
	}
	return nil
}

// checkType accepts no typ, since Cognito sends none, and those of an access token
// (RFC 9068 2.1). typ is a media type, so letters match in either case, and
// "application/" may be left out (RFC 7515 4.1.9).
func checkType(members []member) *Error {
	raw, ok := find(members, "typ")
	if !ok {
		return nil
	}
	typ, ok := unquote(raw)
	if !ok {
		return refuse(reason.HeaderNotAllowed, "typ is not a string")
	}
	switch lowerASCII(typ) {
	case "jwt", "at+jwt", "application/jwt", "application/at+jwt":
		return nil
	default:
		return refuse(reason.HeaderNotAllowed, "typ is not that of an access token")
	}
}

func keyID(members []member) (string, *Error) {
	raw, ok := find(members, "kid")
	if !ok {
		return "", refuse(reason.KIDInvalid, "there is no kid")
	}
	kid, ok := unquote(raw)
	switch {
	case !ok:
		return "", refuse(reason.KIDInvalid, "kid is not a string")
	case kid == "":
		return "", refuse(reason.KIDInvalid, "kid is empty")
	case len(kid) > MaxKeyIDBytes:
		return "", refuse(reason.KIDInvalid, "kid has more than "+strconv.Itoa(MaxKeyIDBytes)+" bytes")
	}
	return kid, nil
}
