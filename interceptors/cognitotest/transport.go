// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Transport returns an http.RoundTripper that hands requests to the server in
// memory: no network, and no goroutine. It serves the server's own URL and, so that
// code with Cognito's real URLs can be tested, the hosts of its pools:
//
//	<domain>.auth.<region>.amazoncognito.com, or a custom domain
//	cognito-idp.<region>.amazonaws.com
//	issuer-cognito-idp.<region>.amazonaws.com
//
// also by their FIPS names (auth-fips, cognito-idp-fips), and for the management
// API the dual-stack name, cognito-idp.<region>.api.aws.
// A request to another host is an error; it never reaches the network. The
// scheme must be https, but for the server's own URL.
//
// It works inside a testing/synctest bubble: all waiting is done on the
// request's context and on timers. Make the server inside the same bubble,
// with [WithoutListener].
func (s *Server) Transport() http.RoundTripper { return memoryTransport{s} }

type memoryTransport struct{ server *Server }

// RoundTrip answers the request in the caller's goroutine.
func (t memoryTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer func() { _ = req.Body.Close() }()
	}
	if !t.server.owns(req) {
		return nil, failf("%s://%s is no host of this server; it has %s", req.URL.Scheme, req.URL.Host, strings.Join(t.server.hosts(), ", "))
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	ctx, answered, end, err := t.server.life.begin(req.Context())
	if err != nil {
		return nil, err
	}
	defer answered()
	host := req.Host
	if host == "" || hostKey(req.URL.Scheme, req.URL.Host) != t.server.host {
		host = req.URL.Host // as with the real hosts, the address decides
	}
	rep, err := t.server.answer(ctx, req, host)
	if err != nil {
		end()
		return nil, err
	}
	wait := func(d time.Duration) error { return sleep(ctx, d) }
	body := &memoryBody{Reader: rep.reader(wait), end: end}
	if req.Method == http.MethodHead {
		body.Reader = http.NoBody
	}
	resp := &http.Response{
		Status:        strconv.Itoa(rep.status) + " " + http.StatusText(rep.status),
		StatusCode:    rep.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        rep.header.Clone(),
		Body:          body,
		ContentLength: rep.announced(),
		Request:       req,
	}
	if n := rep.announced(); n >= 0 {
		resp.Header.Set("Content-Length", strconv.FormatInt(n, 10))
	} else {
		resp.TransferEncoding = []string{"chunked"}
	}
	resp.Header.Set("Date", t.server.clock().UTC().Format(http.TimeFormat))
	return resp, nil
}

// memoryBody ends the request with the body, as a connection does. As with
// other bodies, Read and Close may be called at the same time.
type memoryBody struct {
	io.Reader

	end func()

	mu  sync.Mutex
	err error // what Read says from now on
}

// Read reads the body and ends the request with it.
func (b *memoryBody) Read(p []byte) (int, error) {
	if err := b.failed(nil); err != nil {
		return 0, err
	}
	n, err := b.Reader.Read(p)
	if err != nil {
		err = b.failed(err)
		b.end()
	}
	return n, err
}

// Close ends the request.
func (b *memoryBody) Close() error {
	_ = b.failed(http.ErrBodyReadAfterClose)
	b.end()
	return nil
}

// failed keeps the first error and returns it.
func (b *memoryBody) failed(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	return b.err
}

// owns reports whether the request is for this server.
func (s *Server) owns(req *http.Request) bool {
	key := hostKey(req.URL.Scheme, req.URL.Host)
	if key == s.host {
		return true
	}
	name, isTLS := strings.CutSuffix(key, ":443")
	if !isTLS || req.URL.Scheme != "https" {
		return false
	}
	if req.Header.Get(targetHeader) != "" && apiHost.MatchString(name) {
		return true // the first pool of a region may be created
	}
	if m := issuerHost.FindStringSubmatch(name); m != nil {
		return s.store.hasRegion(m[1])
	}
	return s.store.poolByHost(domainName(name)) != nil
}

func (s *Server) hosts() []string {
	hosts := append([]string{s.host}, s.store.someHosts(10)...)
	return append(hosts, "(issuer-)cognito-idp.<region>.amazonaws.com")
}
