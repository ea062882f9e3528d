// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// TokenURL returns the token endpoint of a Cognito prefix domain (Cognito
// documentation, "Using the Amazon Cognito domain"). Endpoints of custom domains
// and of AWS GovCloud (auth-fips) have another form: write them out.
//
// A prefix or region that is empty or has other characters than a-z, 0-9 and "-",
// such as a whole URL, gives "", which is an error where a token URL is needed.
func TokenURL(domainPrefix, region string) string {
	if !dnsName(domainPrefix) || !dnsName(region) {
		return ""
	}
	return "https://" + domainPrefix + ".auth." + region + ".amazoncognito.com" + cognitoPath
}

// cognitoPath is where Cognito has the token endpoint of each domain (Cognito
// documentation, "Token endpoint").
const cognitoPath = "/oauth2/token"

func dnsName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// endpoint is a checked token URL.
type endpoint struct {
	url string
	// shown is the URL without its query, for errors and logs.
	shown string
}

func newEndpoint(raw string) (endpoint, error) {
	if raw == "" {
		return endpoint{}, usageError("clientauth: the token URL is empty; clientauth.TokenURL makes one of a domain prefix and a region of a-z, 0-9 and '-'")
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
	case slices.Contains(strings.Split(u.Hostname(), "."), ""):
		return endpoint{}, usageErrorf("clientauth: the token URL %q has a host with an empty part between its dots", shown)
	case strings.HasSuffix(u.Host, ":"):
		return endpoint{}, usageErrorf("clientauth: the token URL %q has an empty port", shown)
	case strings.HasSuffix(strings.ToLower(u.Hostname()), ".amazoncognito.com") && u.Path != cognitoPath:
		return endpoint{}, usageErrorf("clientauth: the token URL %q has another path than %s, where Cognito has its token endpoint", shown, cognitoPath)
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
		OnProxyConnectResponse: checkProxyAnswer,
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

// proxyFromEnvironment gives the proxy for https, and none for http. A proxy URL that cannot
// be parsed is none for net/http: the request then goes out directly.
func proxyFromEnvironment(req *http.Request) (*url.URL, error) {
	if req.URL.Scheme == "http" {
		// That is a loopback host under any of its names, and a proxy would get the
		// secret in plaintext.
		return nil, nil //nolint:nilnil // as http.Transport.Proxy says no proxy
	}
	return http.ProxyFromEnvironment(req)
}

// proxyError is a proxy's answer that opens no tunnel. The error of net/http itself is
// the text that the proxy wrote, of no type of its own.
type proxyError struct {
	host   string
	status int
}

// Error says which proxy it was, without its password, and what it answered.
func (e *proxyError) Error() string {
	text := fmt.Sprintf("the proxy %s refuses to connect to it (HTTP status %d)", printable(e.host, 300), e.status)
	if e.status == http.StatusProxyAuthRequired {
		text += ": check the user and the password in the proxy's URL (HTTPS_PROXY)"
	}
	return text
}

// checkProxyAnswer implements OnProxyConnectResponse of [http.Transport].
func checkProxyAnswer(_ context.Context, proxy *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{host: proxy.Host, status: answer.StatusCode}
}
