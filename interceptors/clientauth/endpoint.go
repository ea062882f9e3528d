// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// TokenURL returns the token endpoint of a Cognito prefix domain (Cognito
// documentation, "Using the Amazon Cognito domain"). Endpoints of custom domains
// and of AWS GovCloud (auth-fips) have another form: write them out.
func TokenURL(domainPrefix, region string) string {
	return "https://" + domainPrefix + ".auth." + region + ".amazoncognito.com/oauth2/token"
}

// endpoint is a checked token URL.
type endpoint struct {
	url string
	// shown is the URL without its query, for errors and logs.
	shown string
}

func newEndpoint(raw string) (endpoint, error) {
	if raw == "" {
		return endpoint{}, usageError("clientauth: the token URL is empty; see clientauth.TokenURL")
	}
	u, err := url.Parse(raw)
	if err != nil {
		// The error of url.Parse quotes the URL, which may hold a password here.
		return endpoint{}, usageError("clientauth: the token URL cannot be parsed")
	}
	if u.User != nil {
		return endpoint{}, usageError("clientauth: the token URL holds a user name or password; the secret belongs in Config.Secret")
	}
	shown := printable(u.Scheme+"://"+u.Host+u.EscapedPath(), 300)
	switch {
	case u.Hostname() == "" || u.Opaque != "":
		return endpoint{}, usageErrorf("clientauth: the token URL %q has no host; it must be like https://PREFIX.auth.REGION.amazoncognito.com/oauth2/token", shown)
	case u.Fragment != "":
		return endpoint{}, usageErrorf("clientauth: the token URL %q has a fragment, which RFC 6749, section 3.2, forbids", shown)
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return endpoint{url: u.String(), shown: shown}, nil
	case u.Scheme == "http":
		return endpoint{}, usageErrorf("clientauth: the token URL %q is not https: the client secret would travel in plaintext (http is taken for loopback hosts only)", shown)
	default:
		return endpoint{}, usageErrorf("clientauth: the token URL %q is not https", shown)
	}
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// The bounds of the parts of one attempt. attemptTimeout covers all of them and the
// reading of the body.
const (
	dialTimeout   = 3 * time.Second
	tlsTimeout    = 3 * time.Second
	headerTimeout = 4 * time.Second
)

// newTransport returns what carries token requests. A token is fetched about once
// an hour, so nothing is kept between requests: no idle connection goes stale, and
// each request asks the name service anew.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  proxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		MaxResponseHeaderBytes: maxBody,
		DisableKeepAlives:      true,
		// Without it the transport would inflate what a hostile endpoint packed.
		DisableCompression: true,
	}
}

var errProxy = errors.New("the proxy URL in the environment cannot be parsed")

// proxyFromEnvironment hides the text of a malformed proxy URL, which may hold a
// password.
func proxyFromEnvironment(req *http.Request) (*url.URL, error) {
	proxy, err := http.ProxyFromEnvironment(req)
	if err != nil {
		return nil, errProxy
	}
	return proxy, nil
}
