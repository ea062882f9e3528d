// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// apiHost matches the names of the API host: plain, FIPS and dual stack. The
// region is the group.
var apiHost = regexp.MustCompile(`^cognito-idp(?:-fips)?\.([a-z]{2}(?:-gov)?-[a-z]+-\d)\.(?:amazonaws\.com|api\.aws)$`)

// foreign says why a request that could change or show something must not be
// answered, or nothing. A page of another site that is open in a developer's
// browser can send requests to a server on loopback, by its address or, with
// DNS rebinding, by a name of the page's own:
//
//   - Host must be a name of this server, or one of Cognito's.
//   - Origin, which browsers add, must be the server's own.
//   - Sec-Fetch-Site, which they add too, must not tell of another site.
//
// Programs send neither of the latter two.
func (s *Server) foreign(r *http.Request) string {
	host := cmp.Or(r.Host, r.URL.Host)
	if !s.ownHost(host) && !apiHost.MatchString(strings.ToLower(hostname(host))) {
		return "Host is no name of this server; if it is reached by this name, say so with WithURL, the program with -url"
	}
	for _, origin := range r.Header.Values("Origin") {
		if !s.ownOrigin(origin, host) {
			return "Origin is another site"
		}
	}
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" {
			return "Sec-Fetch-Site tells of another site"
		}
	}
	return ""
}

// ownHost reports whether a Host header names this server: the host of its URL;
// on loopback any name of loopback, since a port may be forwarded; when it
// listens on all addresses, any address.
func (s *Server) ownHost(host string) bool {
	scheme, _, _ := strings.Cut(s.url, "://")
	if hostKey(scheme, host) == s.host {
		return true
	}
	name := strings.ToLower(strings.Trim(hostname(host), "[]"))
	everywhere := s.listens.IsUnspecified()
	if name == "localhost" {
		return everywhere || s.listens.IsLoopback()
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && (everywhere || s.listens.IsLoopback() && ip.Unmap().IsLoopback())
}

// ownOrigin reports whether an Origin header is the server's URL, or that of a
// request with this host. The scheme may differ from the URL's: the server may
// be behind one that ends TLS.
func (s *Server) ownOrigin(origin, host string) bool {
	if strings.EqualFold(origin, s.url) {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || origin != u.Scheme+"://"+u.Host {
		return false
	}
	return s.ownHost(host) && hostKey(u.Scheme, u.Host) == hostKey(u.Scheme, host)
}

// listensOn is the address of a listener, or nil.
func listensOn(ln net.Listener) net.IP {
	if tcp, ok := ln.Addr().(*net.TCPAddr); ok {
		return tcp.IP
	}
	return nil
}
