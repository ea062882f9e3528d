// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
)

// TestControlPathsRefuseOtherSites sends what a browser would send for a page
// of another site, and what a name that was rebound to this machine would look like.
func TestControlPathsRefuseOtherSites(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithConsole(), fixedClock())
	network := transports(t, s)["network"]
	own := s.URL()
	send := func(method, at, host string, header http.Header) (answer, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, own+at, strings.NewReader(`{"endpoint": "token", "faults": [{"status": 503}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		maps.Copy(req.Header, header)
		if method == http.MethodPost {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := network.RoundTrip(req)
		if err != nil {
			t.Fatalf("%s %s: %v", method, at, err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{StatusCode: resp.StatusCode, Header: resp.Header}, string(body)
	}
	port := own[strings.LastIndexByte(own, ':'):]
	for name, tc := range map[string]struct {
		host   string
		header http.Header
		want   int
		page   int // of GET /
	}{
		"own address":                    {"", nil, 200, 200},
		"own address, own page":          {"", http.Header{"Origin": {own}, "Sec-Fetch-Site": {"same-origin"}}, 200, 200},
		"typed address":                  {"", http.Header{"Sec-Fetch-Site": {"none"}}, 200, 200},
		"localhost":                      {"localhost" + port, nil, 200, 200},
		"localhost, its own page":        {"localhost" + port, http.Header{"Origin": {"http://localhost" + port}, "Sec-Fetch-Site": {"same-origin"}}, 200, 200},
		"rebound name":                   {"evil.example" + port, nil, 403, 403},
		"rebound name, its own page":     {"evil.example" + port, http.Header{"Origin": {"http://evil.example" + port}, "Sec-Fetch-Site": {"same-origin"}}, 403, 403},
		"name that begins like loopback": {"localhost.evil.example" + port, nil, 403, 403},
		"other origin":                   {"", http.Header{"Origin": {"http://evil.example"}}, 403, 200},
		"other port":                     {"", http.Header{"Origin": {"http://127.0.0.1:1"}}, 403, 200},
		"opaque origin":                  {"", http.Header{"Origin": {"null"}}, 403, 200},
		"cross-site without origin":      {"", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403, 200},
		"same-site without origin":       {"", http.Header{"Sec-Fetch-Site": {"same-site"}}, 403, 200},
	} {
		s.ClearFaults()
		for at, method := range map[string]string{
			"/_emulator/faults":          http.MethodPost,
			"/_emulator/token-requests":  http.MethodGet,
			"/_emulator/console/main.js": http.MethodGet,
		} {
			resp, body := send(method, at, tc.host, tc.header)
			if resp.StatusCode != tc.want {
				t.Errorf("%s, %s %s: got status %d, body %s, want %d", name, method, at, resp.StatusCode, body, tc.want)
			}
			checkConsoleHeaders(t, resp.Header)
		}
		if set := len(s.faults.views("")) > 0; set != (tc.want == 200) {
			t.Errorf("%s: fault was set: %v, want %v", name, set, tc.want == 200)
		}
		if resp, body := send(http.MethodGet, "/", tc.host, tc.header); resp.StatusCode != tc.page {
			t.Errorf("%s, GET /: got status %d, body %s, want %d", name, resp.StatusCode, body, tc.page)
		}
	}
}
