// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// selfSigned is a certificate for loopback and the names, and the pool that trusts it.
func selfSigned(t *testing.T, names ...string) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: names}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots
}

// realNames are the names under which AWS serves the pools of twoPools.
var realNames = []string{
	"my-prefix.auth.eu-central-1.amazoncognito.com", "my-prefix.auth-fips.eu-central-1.amazoncognito.com", "auth.example.com",
	"cognito-idp.eu-central-1.amazonaws.com", "cognito-idp-fips.eu-central-1.amazonaws.com", "issuer-cognito-idp.eu-central-1.amazonaws.com",
	"cognito-idp.us-gov-west-1.amazonaws.com", "cognito-idp-fips.us-gov-west-1.amazonaws.com", "issuer-cognito-idp.us-gov-west-1.amazonaws.com",
}

// dialServer is a transport for which every name leads to the server, as with an
// entry in /etc/hosts.
func dialServer(t *testing.T, s *Server, roots *x509.CertPool, http2 bool) *http.Transport {
	t.Helper()
	_, addr, _ := strings.Cut(s.URL(), "://")
	rt := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: http2,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
	}
	t.Cleanup(rt.CloseIdleConnections)
	return rt
}

// TestSeveralPoolsOnOnePort asks by all names that AWS has for a pool, over TLS
// with both versions of HTTP, in plaintext, and in memory.
func TestSeveralPoolsOnOnePort(t *testing.T) {
	t.Parallel()
	cfg, roots := selfSigned(t, realNames...)
	secure := newServer(t, append(twoPools(), WithTLS(cfg))...)
	plain := newServer(t, twoPools()...)
	memory := newServer(t, append(twoPools(), WithoutListener())...)
	post, get := http.MethodPost, http.MethodGet
	const jwks, govJWKS = "/eu-central-1_Ab3dEf9hI/.well-known/jwks.json", "/us-gov-west-1_Zz9/.well-known/jwks.json"
	second := formHeader("caller", testSecret)
	rows := []struct {
		method, host, path string // no host: the server's own
		header             http.Header
		status             int
		want               string
		client             string // of the token
	}{
		{post, "my-prefix.auth.eu-central-1.amazoncognito.com", "/oauth2/token", basic(), 200, issued, testID},
		{post, "MY-PREFIX.auth.eu-central-1.amazoncognito.com", "/oauth2/token", basic(), 200, issued, testID},
		{post, "my-prefix.auth-fips.eu-central-1.amazoncognito.com", "/oauth2/token", basic(), 200, issued, testID},
		{post, "auth.example.com", "/oauth2/token", second, 200, issued, "caller"},
		{post, "", "/my-prefix/oauth2/token", basic(), 200, issued, testID},
		{post, "", "/auth.example.com/oauth2/token", second, 200, issued, "caller"},
		{post, "auth.example.com", "/oauth2/token", basic(), 400, `{"error":"invalid_client"}`, ""},
		{post, "my-prefix.auth.eu-central-1.amazoncognito.com", "/oauth2/token", second, 400, `{"error":"invalid_client"}`, ""},
		{post, "", "/auth.example.com/oauth2/token", basic(), 400, `{"error":"invalid_client"}`, ""},
		{post, "auth.example.com", "/my-prefix/oauth2/token", basic(), 405, "", ""},
		{post, "cognito-idp.eu-central-1.amazonaws.com", "/my-prefix/oauth2/token", basic(), 400, badRequest, ""},
		{get, "auth.example.com", govJWKS, nil, 404, "", ""},
		{get, "my-prefix.auth-fips.eu-central-1.amazoncognito.com", jwks, nil, 404, "", ""},
		{get, "", jwks, nil, 200, jwksBody, ""},
		{get, "", govJWKS, nil, 200, jwksBody, ""},
		{get, "cognito-idp.eu-central-1.amazonaws.com", jwks, nil, 200, jwksBody, ""},
		{get, "cognito-idp-fips.eu-central-1.amazonaws.com", jwks, nil, 200, jwksBody, ""},
		{get, "issuer-cognito-idp.eu-central-1.amazonaws.com", jwks, nil, 200, jwksBody, ""},
		{get, "cognito-idp.us-gov-west-1.amazonaws.com", govJWKS, nil, 200, jwksBody, ""},
		{get, "cognito-idp-fips.us-gov-west-1.amazonaws.com", govJWKS, nil, 200, jwksBody, ""},
		{get, "issuer-cognito-idp.us-gov-west-1.amazonaws.com", govJWKS, nil, 200, jwksBody, ""},
		{get, "cognito-idp.eu-central-1.amazonaws.com", govJWKS, nil, 400, `{"__type":"ResourceNotFoundException","message":"User pool us-gov-west-1_Zz9 does not exist."}`, ""},
	}
	for _, way := range []struct {
		name   string
		s      *Server
		rt     http.RoundTripper
		scheme string
		proto  int
	}{
		{"HTTP/1.1 over TLS", secure, dialServer(t, secure, roots, false), "https://", 1},
		{"HTTP/2 over TLS", secure, dialServer(t, secure, roots, true), "https://", 2},
		{"plaintext", plain, dialServer(t, plain, nil, false), "http://", 1},
		{"memory", memory, memory.Transport(), "https://", 1},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range rows {
				address := way.s.URL() + r.path
				if r.host != "" {
					address = way.scheme + r.host + r.path
				}
				resp, body := exchange(t, way.rt, r.method, address, cc, r.header)
				got := keyPattern.ReplaceAllString(jwtPattern.ReplaceAllString(body, `"<jwt>"`), "<key>")
				if resp.ProtoMajor != way.proto {
					t.Errorf("got HTTP/%d, want %d", resp.ProtoMajor, way.proto)
				}
				if resp.StatusCode != r.status || got != r.want {
					t.Errorf("%s%s: got %d %s, want %d %s", r.host, r.path, resp.StatusCode, got, r.status, r.want)
				}
				if r.client == "" {
					continue
				}
				if _, payload := parts(t, strings.Trim(jwtPattern.FindString(body), `"`)); !strings.Contains(payload, `"client_id":"`+r.client+`"`) {
					t.Errorf("%s%s: got a token for another client: %s", r.host, r.path, payload)
				}
			}
		})
	}
}

// Both issuer hosts serve the same documents, whichever form the pool's tokens have.
func TestRow31BothHostsServeTheSame(t *testing.T) {
	t.Parallel()
	for form, issuer := range map[IssuerForm]string{
		IssuerOriginal: "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab3dEf9hI",
		IssuerUpdated:  "https://issuer-cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab3dEf9hI",
	} {
		p := testPool()
		p.Issuer = form
		cfg, roots := selfSigned(t, realNames...)
		s := newServer(t, WithPool(p), WithTLS(cfg))
		for way, rt := range map[string]http.RoundTripper{"network": dialServer(t, s, roots, true), "memory": s.Transport()} {
			for _, file := range []string{"jwks.json", "openid-configuration"} {
				var first string
				for _, host := range []string{"cognito-idp", "issuer-cognito-idp"} {
					resp, body := exchange(t, rt, http.MethodGet, "https://"+host+".eu-central-1.amazonaws.com/eu-central-1_Ab3dEf9hI/.well-known/"+file, "", nil)
					if first == "" {
						first = body
					}
					if resp.StatusCode != http.StatusOK || body != first {
						t.Errorf("%s %s %s: got %d %s, want 200 and the same as at the other host", way, form, host, resp.StatusCode, body)
					}
				}
			}
			_, document := exchange(t, rt, http.MethodGet, issuer+"/.well-known/openid-configuration", "", nil)
			want := strings.NewReplacer("<domain>", "https://my-prefix.auth.eu-central-1.amazoncognito.com", "<idp>/eu-central-1_Ab3dEf9hI", issuer, "<iss>/eu-central-1_Ab3dEf9hI", issuer).Replace(discovery)
			if document != want {
				t.Errorf("%s %s: got  %s\nwant %s", way, form, document, want)
			}
		}
	}
}
