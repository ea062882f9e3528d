// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package accesslist

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

func (w *walker) denyEntry(place string) (entry, error) {
	e := entry{place: place}
	err := w.object(place, members{
		"clients":   w.texts(&e.clients, checkID),
		"issuer":    w.text(&e.issuer, w.checkIssuer),
		"methods":   w.texts(&e.methods, w.checkMethod),
		"token_ids": w.texts(&e.tokenIDs, checkTokenID),
		"reason":    w.text(&e.reason, func(string) string { return "" }),
	})
	switch {
	case err != nil:
		return e, err
	case e.clients == nil && e.methods == nil && e.tokenIDs == nil:
		return e, fmt.Errorf("%s: denies nobody or everybody: write clients, methods or token_ids", place)
	case e.tokenIDs != nil && (e.clients != nil || e.methods != nil):
		return e, fmt.Errorf("%s: token_ids beside clients or methods: write two entries", place)
	case e.issuer != "" && e.clients == nil:
		return e, fmt.Errorf("%s.issuer: without clients: write the clients of this issuer", place)
	}
	return e, nil
}

func (w *walker) allowEntry(place string) (entry, error) {
	e := entry{place: place}
	err := w.object(place, members{
		"clients": w.texts(&e.clients, checkID),
		"issuer":  w.text(&e.issuer, w.checkIssuer),
		"methods": w.texts(&e.methods, w.checkMethod),
	})
	switch {
	case err != nil:
		return e, err
	case e.clients == nil:
		return e, fmt.Errorf("%s: no clients: write those who may call nothing but the methods", place)
	case e.methods == nil:
		return e, fmt.Errorf("%s: no methods: write those that the clients may call, or deny the clients", place)
	}
	return e, nil
}

// The checks return what is wrong with a value and what to write, or "". A value
// that no token or server can have is refused: it would close nothing.

// checkID checks a client id or token id, which is compared byte by byte.
func checkID(id string) string {
	hidden := func(r rune) bool {
		return !unicode.IsPrint(r) || r == unicode.ReplacementChar // what a broken escape becomes
	}
	switch {
	case strings.TrimSpace(id) != id:
		return "spaces around it: write it without"
	case strings.ContainsFunc(id, hidden):
		return "holds a character that is not printable: type it anew"
	}
	return ""
}

func checkTokenID(id string) string {
	if strings.HasPrefix(id, "eyJ") && strings.Count(id, ".") == 2 {
		return "this is a token: write its jti claim"
	}
	return checkID(id)
}

// checkIssuer takes what is, or can be, an issuer of the server's configuration.
func (w *walker) checkIssuer(issuer string) string {
	if wrong := checkID(issuer); wrong != "" {
		return wrong
	}
	u, err := url.Parse(issuer)
	switch {
	case err != nil, u.Host == "", u.User != nil, strings.ContainsAny(issuer, "?#"),
		u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return "not an issuer: write the iss claim, https://host/path"
	case strings.HasSuffix(issuer, "/"):
		return "ends with a slash: write the iss claim, which has none"
	case !strings.HasPrefix(issuer, u.Scheme+"://"), u.Host != strings.ToLower(u.Host):
		return "has upper case in scheme or host: write them in lower case"
	case w.known.issuer != nil && !w.known.issuer(issuer):
		return "the server takes no tokens of " + clip(issuer) + ": check its spelling, or remove it"
	}
	return ""
}

func isLoopback(host string) bool {
	addr, _ := netip.ParseAddr(host) // no address is no loopback address
	return host == "localhost" || addr.IsLoopback()
}

// methodName is the form of a full method, or of a service's full name.
var methodName = regexp.MustCompile(`^(/` + service + `/` + identifier + `|` + service + `)$`)

const (
	identifier = `[A-Za-z_][A-Za-z0-9_]*`
	service    = identifier + `(\.` + identifier + `)*`
)

func (w *walker) checkMethod(name string) string {
	switch {
	case strings.ContainsAny(name, "*?"):
		return "wildcards mean nothing: write pkg.Service for all its methods"
	case !methodName.MatchString(name):
		return "not a method: write /pkg.Service/Method, or pkg.Service for all its methods"
	case w.known.method != nil && !w.known.method(name):
		return "no registered method or service " + clip(name) + ": check its spelling, or remove it"
	}
	return ""
}

// maxClip bounds what an error shows of the file, in bytes.
const maxClip = 100

func clip(s string) string {
	if len(s) > maxClip {
		return strconv.Quote(s[:maxClip]) + "..."
	}
	return strconv.Quote(s)
}
