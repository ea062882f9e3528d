// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
)

// bodyLimit bounds the body of a request.
const bodyLimit = 64 << 10

const (
	tokenPath     = "/oauth2/token"
	revokePath    = "/oauth2/revoke"
	wellKnownPath = "/.well-known/"
)

// answer makes the reply to one request for a host. An error means that the
// request's context ended first.
func (s *Server) answer(ctx context.Context, r *http.Request, host string) (reply, error) {
	in := inbound{request: r, method: cmp.Or(r.Method, http.MethodGet), path: cmp.Or(r.URL.Path, "/"), header: r.Header}
	// The body is read before anything waits: net/http notices that a caller has
	// gone only after that.
	if r.Body != nil {
		limit := bodyLimit
		if in.isAPI() {
			limit = apiBodyLimit
		}
		var err error
		if in.body, err = io.ReadAll(io.LimitReader(r.Body, int64(limit)+1)); err != nil {
			return reply{}, err
		}
		in.tooLong = len(in.body) > limit
	}
	name := strings.ToLower(hostname(host))
	if p := s.store.poolByHost(domainName(name)); p != nil {
		in.cognitoHost = true
		return p.serveDomain(ctx, &in)
	}
	if m := apiHost.FindStringSubmatch(name); m != nil && in.isAPI() {
		return s.serveAPI(ctx, &in, m[1])
	}
	if m := issuerHost.FindStringSubmatch(name); m != nil {
		in.cognitoHost = true
		return s.serveIssuers(ctx, &in, m[1])
	}
	return s.servePaths(ctx, &in)
}

// inbound is a request whose body has been read.
type inbound struct {
	request     *http.Request // for its host and origin; the rest is below
	method      string
	path        string // inside the host or the domain
	header      http.Header
	body        []byte
	tooLong     bool
	cognitoHost bool // it was sent to one of Cognito's own host names
}

// servePaths routes what the emulator serves under its own host name: issuers by
// pool id and domains by prefix.
func (s *Server) servePaths(ctx context.Context, in *inbound) (reply, error) {
	if in.isAPI() {
		return s.serveAPI(ctx, in, "")
	}
	if s.isConsole(in) {
		return s.serveConsole(in), nil
	}
	if in.path == tokenPath || in.path == revokePath {
		switch p, n := s.store.first(); {
		case n > 1:
			return textReply(http.StatusNotFound, "this server has several user pools: use /<domain>"+in.path), nil
		case n == 1 && p.TokenURL() != "":
			return p.serveDomain(ctx, in)
		default:
			return textReply(http.StatusNotFound, "this server has no user pool with a domain"), nil
		}
	}
	first, rest, _ := strings.Cut(strings.TrimPrefix(in.path, "/"), "/")
	if p := s.store.poolByDomain(first); p != nil {
		in.path = "/" + rest
		return p.serveDomain(ctx, in)
	}
	if poolIDPattern.MatchString(first) {
		return s.serveIssuers(ctx, in, "")
	}
	return unknownPath(in), nil
}

// serveDomain answers what the host of /oauth2/token answers.
func (p *UserPool) serveDomain(ctx context.Context, in *inbound) (reply, error) {
	switch in.path {
	case tokenPath:
		return p.serveToken(ctx, in)
	case revokePath:
		return p.serveRevoke(in), nil
	default:
		return unknownPath(in), nil
	}
}

// unknownPath is what a domain answers to paths that it does not know. The
// well-known paths are not on the domain.
func unknownPath(in *inbound) reply {
	if in.method == http.MethodGet || in.method == http.MethodHead {
		return emptyReply(http.StatusNotFound)
	}
	r := domainReply(in, emptyReply(http.StatusMethodNotAllowed))
	r.header.Set("Allow", http.MethodGet)
	return r
}

func textReply(status int, text string) reply {
	return reply{status: status, header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, body: []byte(text + "\n")}
}

// hostname cuts the port off.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return host
}

// hostKey is a host with its port, also if it is the scheme's default.
func hostKey(scheme, host string) string {
	host = strings.ToLower(host)
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	if scheme == "https" {
		return net.JoinHostPort(strings.Trim(host, "[]"), "443")
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), "80")
}
