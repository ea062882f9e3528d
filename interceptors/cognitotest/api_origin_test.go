// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestForeignRequests(t *testing.T) {
	t.Parallel()
	loopback := &Server{url: "http://127.0.0.1:9229", host: "127.0.0.1:9229", listens: net.IPv4(127, 0, 0, 1)}
	everywhere := &Server{url: "http://localhost:9229", host: "localhost:9229", listens: net.IPv4zero}
	named := &Server{url: "https://cognito.example", host: "cognito.example:443", listens: net.IPv4(192, 0, 2, 1)}
	memory := &Server{url: memoryURL, host: "cognito.invalid:443"}
	const host, origin, site = "Host", "Origin", "Sec-Fetch-Site"
	for _, tc := range []struct {
		server  *Server
		host    string
		header  []string // names and values
		refused string
	}{
		{loopback, "127.0.0.1:9229", nil, ""},
		{loopback, "localhost:9229", nil, ""},
		{loopback, "LOCALHOST", nil, ""},
		{loopback, "127.9.9.9:80", nil, ""},
		{loopback, "[::1]:9229", nil, ""},
		{loopback, "[::ffff:127.0.0.1]", nil, ""},
		{loopback, "cognito-idp.eu-central-1.amazonaws.com", nil, ""},
		{loopback, "cognito-idp.eu-central-1.amazonaws.com:443", nil, ""},
		{loopback, "cognito-idp-fips.us-gov-west-1.amazonaws.com", nil, ""},
		{loopback, "Cognito-IDP.eu-central-1.api.aws", nil, ""},
		{loopback, "cognito-idp-fips.us-east-1.api.aws", nil, ""},
		{loopback, "attacker.example:9229", nil, host},
		{loopback, "localhost.attacker.example", nil, host},
		{loopback, "127.0.0.1.attacker.example", nil, host},
		{loopback, "192.0.2.1:9229", nil, host},
		{loopback, "cognito-idp.eu-central-1.amazonaws.com.attacker.example", nil, host},
		{loopback, "x.cognito-idp.eu-central-1.amazonaws.com", nil, host},
		{loopback, "", nil, host},
		{everywhere, "localhost:1", nil, ""},
		{everywhere, "172.17.0.2:9229", nil, ""},
		{everywhere, "cognito:9229", nil, host},
		{named, "cognito.example", nil, ""},
		{named, "cognito.example:443", nil, ""},
		{named, "cognito.example:8443", nil, host},
		{named, "localhost", nil, host},
		{named, "192.0.2.1", nil, host},
		{memory, "cognito.invalid", nil, ""},
		{memory, "localhost", nil, host},

		{loopback, "127.0.0.1:9229", []string{origin, "http://127.0.0.1:9229"}, ""},
		{loopback, "localhost:9229", []string{origin, "http://localhost:9229"}, ""},
		{loopback, "localhost", []string{origin, "http://localhost"}, ""},
		{loopback, "localhost:9229", []string{origin, "http://127.0.0.1:9229"}, ""},
		{loopback, "localhost:9229", []string{origin, "http://localhost:3000"}, origin},
		{loopback, "127.0.0.1:9229", []string{origin, "http://localhost:9229"}, origin},
		{loopback, "localhost:9229", []string{origin, "https://attacker.example"}, origin},
		{loopback, "localhost:9229", []string{origin, "http://localhost:9229/"}, origin},
		{loopback, "localhost:9229", []string{origin, "null"}, origin},
		{loopback, "localhost:9229", []string{origin, ""}, origin},
		{loopback, "localhost:9229", []string{origin, "chrome-extension://abc"}, origin},
		{loopback, "localhost:9229", []string{origin, "http://localhost:9229", origin, "https://attacker.example"}, origin},
		{loopback, "cognito-idp.eu-central-1.amazonaws.com", []string{origin, "http://cognito-idp.eu-central-1.amazonaws.com"}, origin},
		{named, "cognito.example", []string{origin, "https://cognito.example"}, ""},
		{named, "cognito.example", []string{origin, "https://Cognito.example:443"}, ""},

		{loopback, "localhost:9229", []string{site, "same-origin"}, ""},
		{loopback, "localhost:9229", []string{site, "none"}, ""},
		{loopback, "localhost:9229", []string{site, "same-site"}, site},
		{loopback, "localhost:9229", []string{site, "cross-site"}, site},
		{loopback, "localhost:9229", []string{site, "none", site, "cross-site"}, site},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Host = tc.host
		for i := 0; i < len(tc.header); i += 2 {
			r.Header.Add(tc.header[i], tc.header[i+1])
		}
		got := tc.server.foreign(r)
		if (got == "") != (tc.refused == "") || !strings.HasPrefix(got, tc.refused) {
			t.Errorf("%s, Host %q, %q: got %q, want a refusal for %q", tc.server.url, tc.host, tc.header, got, tc.refused)
		}
	}
}

// A foreign request uses up no fault and is not in the list of token requests:
// another site would disturb what its reader tries out.
func TestForeignRequestsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(apiPool()), WithoutListener())
	s.SetFault(APIEndpoint, Fault{Status: http.StatusServiceUnavailable, Times: 1})
	header := apiHeader("GetClientToken")
	header.Set("Origin", "https://attacker.example")
	resp, _ := exchange(t, s.Transport(), http.MethodPost, s.URL()+"/", `{`+directCredentials+`}`, header)
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("got %d, want 403", resp.StatusCode)
	}
	if got := s.TokenRequests(); len(got) != 0 || s.Counts() != (Counts{}) {
		t.Errorf("got token requests %+v, want none", got)
	}
	if resp, _ := callAPI(t, s, "GetClientToken", `{`+directCredentials+`}`); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the next request: got %d, want the fault", resp.StatusCode)
	}
}
