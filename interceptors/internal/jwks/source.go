// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
)

// The bounds of one fetch.
const (
	fetchTimeout   = 3 * time.Second
	maxHeaderBytes = 32 << 10
	maxETagBytes   = 256
)

var (
	// errRejected marks an answer that came in full and is not acceptable.
	errRejected = errors.New("document rejected")
	errStatus   = errors.New("the endpoint answered with a status other than 200")
	errRedirect = errors.New("the endpoint redirects, which is not followed: configure the final URL")
	errURL      = errors.New("jwks: not a key set URL")
)

// source is the endpoint of a key set. Only the fetching goroutine uses it.
type source struct {
	url    string
	client *http.Client
	// etag is that of the last accepted document. It is empty if that had none, and
	// after a failure.
	etag string
}

// answer is an accepted document.
type answer struct {
	set      *jose.KeySet // nil if the document has not changed (304)
	interval time.Duration
}

func newSource(address string, lender *http.Client) (*source, error) {
	if err := checkURL(address); err != nil {
		return nil, err
	}
	var transport http.RoundTripper
	if lender != nil {
		transport = lender.Transport
	}
	if transport == nil {
		transport = newTransport()
	}
	return &source{
		url: address,
		client: &http.Client{
			Transport: transport,
			// A redirect can lead anywhere, also into the own network.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// newTransport keeps no connection: requests are minutes apart.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    fetchTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
}

func checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return fmt.Errorf("%w: it cannot be parsed", errURL) // the cause quotes it, with a password if there is one
	case u.User != nil:
		return fmt.Errorf("%w: it has user information", errURL)
	case u.Hostname() == "" || u.Fragment != "":
		return fmt.Errorf("%w: %q: a host and no fragment wanted", errURL, address)
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	default:
		return fmt.Errorf("%w: %q: https wanted, or http on a loopback address", errURL, address)
	}
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// fetch gets the document once. forced asks caches on the way to stand aside, and
// takes no "not modified" for an answer.
func (s *source) fetch(ctx context.Context, forced bool) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "identity") // also stops a lent transport from inflating what it gets
	etag := s.etag
	s.etag = "" // until the answer is accepted: an endpoint may fail because of the condition
	conditional := etag != "" && !forced
	if forced {
		req.Header.Set("Cache-Control", "no-cache")
	}
	if conditional {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode == http.StatusNotModified && conditional:
		s.etag = etag
		return &answer{interval: interval(resp.Header)}, nil
	case resp.StatusCode/100 == 3:
		return nil, fmt.Errorf("%w (%d)", errRedirect, resp.StatusCode)
	default:
		return nil, fmt.Errorf("%w: %d", errStatus, resp.StatusCode)
	}
	set, err := read(resp)
	if err != nil {
		return nil, err
	}
	if tag := resp.Header.Get("ETag"); len(tag) <= maxETagBytes {
		s.etag = tag
	}
	return &answer{set: set, interval: interval(resp.Header)}, nil
}

// read takes the document from an answer with status 200. The limit holds for what
// comes out of the transport, whatever that did with it.
func read(resp *http.Response) (*jose.KeySet, error) {
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, fmt.Errorf("%w: it is compressed, which was not asked for", errRejected)
	}
	doc, err := io.ReadAll(io.LimitReader(resp.Body, jose.MaxKeySetBytes+1))
	if err != nil {
		return nil, err
	}
	set, err := jose.ParseKeySet(doc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRejected, err)
	}
	return set, nil
}

// interval is the answer's max-age (RFC 9111 5.2.2.1) if it is a sensible one.
func interval(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 32)
		age := time.Duration(seconds) * time.Second
		if err == nil && age >= minMaxAge && age <= maxMaxAge {
			return age
		}
		break
	}
	return refreshInterval
}
