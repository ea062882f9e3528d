// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"cmp"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const uuid = `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`

var uuidPattern = regexp.MustCompile("^" + uuid + "$")

// domainHeaders are all headers of an answer of the domain on the server's own host; a pattern stands
// between slashes. Content-Type, Content-Length, Allow and what belongs to the
// connection are looked at separately.
var domainHeaders = map[string]string{
	"Access-Control-Allow-Origin": "*",
	"Cache-Control":               "no-cache, no-store, max-age=0, must-revalidate",
	"Expires":                     "0",
	"Pragma":                      "no-cache",
	"Server":                      "Server",
	"Set-Cookie":                  "/^XSRF-TOKEN=" + uuid + "; Path=/; Secure; HttpOnly; SameSite=Lax$/",
	"X-Amz-Cognito-Request-Id":    "/^" + uuid + "$/",
	"X-Application-Context":       "application:prod:8443",
	"X-Content-Type-Options":      "nosniff",
	"X-Frame-Options":             "DENY",
	"X-Xss-Protection":            "1; mode=block",
}

func checkDomainHeaders(t *testing.T, got http.Header) {
	t.Helper()
	for name, values := range got {
		switch name {
		case "Content-Type", "Content-Length", "Allow", "Date", "Connection":
			continue
		}
		want, known := domainHeaders[name]
		pattern, isPattern := strings.CutPrefix(want, "/")
		fits := known && len(values) == 1 && values[0] == want
		if isPattern {
			fits = len(values) == 1 && regexp.MustCompile(strings.TrimSuffix(pattern, "/")).MatchString(values[0])
		}
		if !fits {
			t.Errorf("%s: got %q, want %q", name, values, want)
		}
	}
	for name := range domainHeaders {
		if got[name] == nil {
			t.Errorf("%s: is missing", name)
		}
	}
}

func TestTokenEndpointAnswersAsCognito(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), fixedClock())
	for way, rt := range transports(t, s) {
		for _, r := range tokenRows {
			t.Run(way+" "+r.name, func(t *testing.T) {
				t.Parallel()
				r.send(t, s, rt)
			})
		}
	}
}

// A browser keeps Strict-Transport-Security for a host and all its ports: an
// emulator with a certificate for localhost must not send it for that name.
func TestStrictTransportSecurityIsForCognitosHostsOnly(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	for path, r := range map[string]row{
		"/oauth2/token":  {header: basic(), body: cc, status: 200, want: issued, scope: "demo/read.file demo/write.file"},
		"/oauth2/revoke": {header: basic(), body: "token=a.b.c", status: 400, want: `{"error":"unsupported_token_type"}`},
		"/oauth/token":   {header: basic(), body: cc, status: 405, allow: "GET"},
	} {
		resp, body := exchange(t, s.Transport(), http.MethodPost, "https://my-prefix.auth.eu-central-1.amazoncognito.com"+path, r.body, r.header)
		const name, want = "Strict-Transport-Security", "max-age=31536000 ; includeSubDomains"
		if got := resp.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %s %q, want %q", path, name, got, want)
		}
		resp.Header.Del(name)
		r.check(t, resp, body)
		r.path = "/my-prefix" + path
		r.send(t, s, s.Transport()) // all headers, and no other
	}
}

// send makes the request and checks the answer.
func (r row) send(t *testing.T, s *Server, rt http.RoundTripper) {
	t.Helper()
	method, path := cmp.Or(r.method, http.MethodPost), cmp.Or(r.path, "/my-prefix/oauth2/token")
	resp, body := exchange(t, rt, method, s.URL()+path, r.body, r.header)
	r.check(t, resp, body)
}

func (r row) check(t *testing.T, resp answer, body string) {
	t.Helper()
	if resp.StatusCode != r.status {
		t.Errorf("status: got %d, want %d", resp.StatusCode, r.status)
	}
	token := strings.Trim(jwtPattern.FindString(body), `"`)
	if got := jwtPattern.ReplaceAllString(body, `"<jwt>"`); got != r.want {
		t.Errorf("body: got %q, want %q", got, r.want)
	}
	if token != "" {
		if _, payload := parts(t, token); !strings.Contains(payload, `"scope":"`+r.scope+`"`) {
			t.Errorf("payload: got %s, want scope %q", payload, r.scope)
		}
	}
	checkDomainHeaders(t, resp.Header)
	if got := resp.Header.Get("Allow"); got != r.allow {
		t.Errorf("Allow: got %q, want %q", got, r.allow)
	}
	contentType, length := "application/json;charset=UTF-8", int64(-1)
	if r.want == "" {
		contentType, length = "", 0
	}
	if got := resp.Header.Get("Content-Type"); got != contentType {
		t.Errorf("Content-Type: got %q, want %q", got, contentType)
	}
	if resp.ContentLength != length {
		t.Errorf("content length: got %d, want %d", resp.ContentLength, length)
	}
}

func TestRow4Reject(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener(), WithDisallowedScopes(RejectScopes))
	for _, r := range []row{
		{name: "mixed", header: basic(), body: cc + "&scope=demo/admin+demo/read.file", status: 400, want: `{"error":"invalid_scope"}`},
		{name: "standard", header: formHeader("mixed", testSecret), body: cc + "&scope=openid+demo/read.file", status: 400, want: `{"error":"invalid_scope"}`},
		{name: "allowed", header: basic(), body: cc + "&scope=demo/read.file", status: 200, want: issued, scope: "demo/read.file"},
		{name: "none asked", header: formHeader("mixed", testSecret), body: cc, status: 200, want: issued, scope: "demo/read.file"},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			resp, body := exchange(t, s.Transport(), http.MethodPost, s.TokenURL(), r.body, r.header)
			r.check(t, resp, body)
		})
	}
}

func TestRow7RemovedScope(t *testing.T) {
	t.Parallel()
	for _, how := range []ScopeHandling{DropScopes, RejectScopes} {
		s := newServer(t, WithPool(testPool()), WithoutListener(), WithDisallowedScopes(how))
		if err := s.Pools()[0].RemoveScope("demo/write.file"); err != nil {
			t.Fatal(err)
		}
		for _, asked := range []string{"", "demo/read.file demo/write.file"} {
			_, payload := parts(t, getToken(t, s, asked))
			if want := `"scope":"demo/read.file"`; !strings.Contains(payload, want) {
				t.Errorf("%s, asked %q: got %s, want %s", how, asked, payload, want)
			}
		}
		if err := s.Pools()[0].RemoveScope("demo/write.file"); err == nil {
			t.Error("removing a scope that is not there: got no error")
		}
		// The client kept it, so that it is back once the resource server has it again.
		mustCall(t, s, "UpdateResourceServer", `{`+inPool+`,"Identifier":"demo","Name":"Test API","Scopes":[{"ScopeName":"read.file","ScopeDescription":"d"},{"ScopeName":"write.file","ScopeDescription":"d"}]}`)
		if _, payload := parts(t, getToken(t, s, "")); !strings.Contains(payload, `"scope":"demo/read.file demo/write.file"`) {
			t.Errorf("%s, scope there again: got %s, want both scopes", how, payload)
		}
	}
}

func TestRow11SecretRotation(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	p := s.Pools()[0]
	status := func(secret string) int {
		resp, _ := exchange(t, s.Transport(), http.MethodPost, s.TokenURL(), cc, formHeader(testID, secret))
		return resp.StatusCode
	}
	if err := p.DeleteClientSecret(testID); err == nil {
		t.Error("deleting the last secret: got no error")
	}
	next, err := p.AddClientSecret("sts-test-app-client")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.AddClientSecret(testID); err == nil {
		t.Error("a third secret: got no error")
	}
	if got := [2]int{status(testSecret), status(next.Secret)}; got != [2]int{200, 200} {
		t.Errorf("two active secrets: got %v, want 200 for both", got)
	}
	if err := p.DeleteClientSecret(testID); err != nil {
		t.Fatal(err)
	}
	if got := [2]int{status(testSecret), status(next.Secret)}; got != [2]int{400, 200} {
		t.Errorf("after deletion: got %v, want 400 and 200", got)
	}
	if got := p.Client(testID).Secret; got != next.Secret {
		t.Error("Client: got another secret than the one that is left")
	}
	if _, err := p.AddClientSecret("public"); err == nil {
		t.Error("a secret for a public client: got no error")
	}
	if _, err := p.AddClientSecret("nobody"); err == nil {
		t.Error("a secret for an unknown client: got no error")
	}
}

func TestRow14ClientWithoutASecret(t *testing.T) {
	t.Parallel()
	p := testPool()
	p.Clients = []Client{{Name: "caller", GenerateSecret: new(false), AllowedOAuthFlows: []string{"client_credentials"}, AllowedOAuthScopes: []string{"demo/read.file"}}}
	_, err := NewServer(WithPool(p), WithoutListener())
	const want = "cognitotest: pools[0] (s2s-test) clients[0] (caller): client_credentials flow can not be selected if client does not have a client secret."
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// A token lives until its exp, whatever becomes of the secret that got it.
func TestRow36TokensAreNotRevoked(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	p := s.Pools()[0]
	token := getToken(t, s, "")
	row{path: revokePathOf, header: basic(), body: "token=" + token, status: 400, want: `{"error":"unsupported_token_type"}`}.send(t, s, s.Transport())
	if _, err := p.AddClientSecret(testID); err != nil {
		t.Fatal(err)
	}
	if err := p.DeleteClientSecret(testID); err != nil {
		t.Fatal(err)
	}
	row{header: basic(), body: cc, status: 400, want: `{"error":"invalid_client"}`}.send(t, s, s.Transport())
	mustCall(t, s, "DeleteUserPoolClient", `{`+inClient+`}`)
	row{header: basic(), body: cc, status: 400, want: `{"error":"invalid_client"}`}.send(t, s, s.Transport())
	_, keys := fetchKeys(t, s, s.JWKSURL())
	if err := verify(t, token, keys); err != nil {
		t.Errorf("the token: %v, want it to verify still", err)
	}
}

func TestRow37GetClientToken(t *testing.T) {
	t.Parallel()
	const (
		token   = `{"ClientAuthenticationResult":{"AccessToken":"<jwt>","ExpiresIn":3600,"TokenType":"Bearer"}}`
		refused = `{"__type":"NotAuthorizedException","message":"Client authentication failed."}`
		both    = "demo/read.file demo/write.file"
	)
	s := newServer(t, WithPool(apiPool()))
	for way, rt := range transports(t, s) {
		for _, tc := range []struct {
			name, body string
			status     int
			want       string
			scope      string
		}{
			{"all scopes", `{"ClientId":"direct","Secret":"` + testSecret + `"}`, 200, token, both},
			{"one scope", `{"ClientId":"direct","Secret":"` + testSecret + `","Scopes":["demo/write.file"]}`, 200, token, "demo/write.file"},
			{"with metadata", `{"ClientId":"direct","Secret":"` + testSecret + `","ClientMetadata":{"a":"b"}}`, 200, token, both},
			{"wrong secret", `{"ClientId":"direct","Secret":"wrong"}`, 400, refused, ""},
			{"unknown client", `{"ClientId":"nobody","Secret":"` + testSecret + `"}`, 400, refused, ""},
			{"flow not enabled", `{"ClientId":"` + testID + `","Secret":"` + testSecret + `"}`, 400, refused, ""},
		} {
			resp, body := exchange(t, rt, http.MethodPost, s.URL()+"/", tc.body, apiHeader("GetClientToken"))
			if got := jwtPattern.ReplaceAllString(body, `"<jwt>"`); resp.StatusCode != tc.status || got != tc.want {
				t.Errorf("%s %s: got %d %s, want %d %s", way, tc.name, resp.StatusCode, got, tc.status, tc.want)
				continue
			}
			if tc.scope == "" {
				continue
			}
			if _, payload := parts(t, strings.Trim(jwtPattern.FindString(body), `"`)); !strings.Contains(payload, `"scope":"`+tc.scope+`"`) || !strings.Contains(payload, `"client_id":"direct"`) {
				t.Errorf("%s %s: got %s, want scope %q", way, tc.name, payload, tc.scope)
			}
		}
	}
}

// What Cognito lacks is not on its paths: parameters and headers of a request
// change nothing about the answer.
func TestRow38NoTestHooksOnCognitosPaths(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener(), fixedClock())
	plain := make(map[string]int)
	for _, query := range []string{"", "?clock=0&lifetime=1&kid=x&fault=status&expired=true"} {
		for _, more := range []string{"", "&clock=0&lifetime=1&kid=x&fault=status&expired=true"} {
			header := basic()
			if query != "" {
				header.Set("X-Fault", "500")
				header.Set("X-Clock", "0")
			}
			resp, body := exchange(t, s.Transport(), http.MethodPost, s.TokenURL()+query, cc+more, header)
			row{status: 200, want: issued, scope: "demo/read.file demo/write.file"}.check(t, resp, body)
			head, payload := parts(t, strings.Trim(jwtPattern.FindString(body), `"`))
			plain[head+jtiPattern.ReplaceAllString(payload, "")]++
		}
	}
	if len(plain) != 1 {
		t.Errorf("got %d different tokens, want all alike but for jti", len(plain))
	}
}

// TestEachRowHasItsTest reads the tests: each row of the table of behaviours is
// named in one, by a function (Row12...) or in a table ("12 ...").
func TestEachRowHasItsTest(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool)
	pattern := regexp.MustCompile(`(?:func TestRow|(?:name: |t\.Run\(|^\t\t\{)"(?:Row)?)(\d+)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			for _, m := range pattern.FindAllStringSubmatch(line, -1) {
				named[m[1]] = true
			}
		}
	}
	for n := 1; n <= 38; n++ {
		if !named[strconv.Itoa(n)] {
			t.Errorf("row %d has no test", n)
		}
	}
}
