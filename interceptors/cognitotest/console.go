// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"cmp"
	"embed"
	"net/http"
	"path"
	"strings"
)

// WithConsole serves a page for people at the server's own address, GET /: it
// shows and changes pools, domains, resource servers, scopes and app clients,
// requests tokens and decodes them, rotates keys, switches faults and lists the token requests.
//
// The page needs nothing from elsewhere. It uses the management API and the
// paths below /_emulator/, which this option switches on too; without it both
// are 404. They hold what Cognito does not have:
//
//	GET  /_emulator/pools/<pool id>                addresses, settings, key ids
//	POST /_emulator/pools/<pool id>/settings       {"issuer_form": "ORIGINAL", "disallowed_scopes": "reject"}
//	POST /_emulator/pools/<pool id>/keys/rotate    {"keep": 1}
//	POST /_emulator/pools/<pool id>/keys/drop-old  {}
//	GET  /_emulator/faults?pool=<pool id>          the faults of the server and of that pool
//	POST /_emulator/faults                         {"pool": "", "endpoint": "token", "faults": [{"status": 503, "times": 2}]}
//	POST /_emulator/faults/clear                   {}
//	GET  /_emulator/token-requests?after=<number>  the newest token requests, at most 100
//
// There is no login: whoever reaches the address controls the server and reads
// its secrets. Requests of other sites, which a browser would send from its
// user's machine, are refused by their Host, Origin and Sec-Fetch-Site headers. On an address that
// is not loopback the page is served as the rest is: over [WithTLS], or with [WithPlaintextOnNonLoopbackAddress].
func WithConsole() Option {
	return optionFunc(func(o *options) { o.console = true })
}

const (
	controlPath = "/_emulator/"
	assetPath   = controlPath + "console/"
)

// The page has no build step: what is in the folder is what is served.
//
//go:embed console
var consoleFiles embed.FS

var assetTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// consolePolicy lets the page load its own files and talk to its own server,
// and nothing else. There is no inline script or style.
const consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// isConsole reports whether a request on the server's own host is for the page or a control path.
func (s *Server) isConsole(in *inbound) bool {
	if s.console == "" || apiHost.MatchString(strings.ToLower(hostname(cmp.Or(in.request.Host, in.request.URL.Host)))) {
		return false
	}
	return strings.HasPrefix(in.path, controlPath) || in.path == "/" && isRead(in.method)
}

func isRead(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// serveConsole answers what isConsole.
func (s *Server) serveConsole(in *inbound) reply {
	rep := s.consoleReply(in)
	for name, value := range map[string]string{
		"Cache-Control":                "no-store",
		"Content-Security-Policy":      consolePolicy,
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Referrer-Policy":              "no-referrer",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
	} {
		rep.header.Set(name, value)
	}
	return rep
}

func (s *Server) consoleReply(in *inbound) reply {
	r := in.request
	if in.path == "/" {
		// Whoever follows a link from another site may see the page: it holds no
		// data, and what it asks for then is asked by the server's own site.
		linked := &http.Request{Method: r.Method, URL: r.URL, Host: r.Host, Header: http.Header{}}
		if reason := s.foreign(linked); reason != "" {
			return controlRefused(http.StatusForbidden, reason)
		}
		return consoleAsset("index.html")
	}
	if reason := s.foreign(r); reason != "" {
		return controlRefused(http.StatusForbidden, reason)
	}
	if name, ok := strings.CutPrefix(in.path, assetPath); ok {
		if !isRead(in.method) {
			return controlMethod(http.MethodGet)
		}
		return consoleAsset(name)
	}
	return s.serveControl(in, r.URL.Query())
}

// consoleAsset returns a file of the page. embed refuses names that leave its folder.
func consoleAsset(name string) reply {
	data, err := consoleFiles.ReadFile("console/" + name)
	if err != nil {
		return controlRefused(http.StatusNotFound, "the console has no such file")
	}
	return reply{status: http.StatusOK, header: http.Header{"Content-Type": {assetTypes[path.Ext(name)]}}, body: data}
}
