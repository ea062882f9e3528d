// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

const (
	cc       = "grant_type=client_credentials"
	readOnly = "&scope=demo%2Fread.file"
)

// row is a request and its answer. Everything wanted is typed by hand.
type row struct {
	name   string
	method string // POST
	path   string // /my-prefix/oauth2/token
	header http.Header
	body   string

	status int
	want   string // of the body; <jwt> stands for a token
	scope  string // of the token
	allow  string // header
}

var jwtPattern = regexp.MustCompile(`"eyJ[\w-]+\.[\w-]+\.[\w-]+"`)

func basic() http.Header { return formHeader(testID, testSecret) }

func formWithout(name string) http.Header {
	h := basic()
	h.Del(name)
	return h
}

func with(h http.Header, name string, values ...string) http.Header {
	h[name] = values
	return h
}

const issued = `{"access_token":"<jwt>","expires_in":3600,"token_type":"Bearer"}`

var tokenRows = []row{
	{name: "1 Basic", header: basic(), body: cc + readOnly, status: 200, want: issued, scope: "demo/read.file"},
	{name: "1 Basic, client_id repeated in the body", header: basic(), body: cc + readOnly + "&client_id=" + testID, status: 200, want: issued, scope: "demo/read.file"},
	{name: "1 in the body", header: formHeader("", ""), body: cc + readOnly + "&client_id=" + testID + "&client_secret=" + testSecret, status: 200, want: issued, scope: "demo/read.file"},
	{name: "1 slash not encoded", header: basic(), body: cc + "&scope=demo/read.file", status: 200, want: issued, scope: "demo/read.file"},
	{name: "1 with charset", header: with(basic(), "Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"), body: cc + readOnly, status: 200, want: issued, scope: "demo/read.file"},
	{name: "1 bare path with one pool", path: "/oauth2/token", header: basic(), body: cc + readOnly, status: 200, want: issued, scope: "demo/read.file"},
	{name: "1 plus sign in a secret, Basic", header: formHeader("a+b_c", "aaaaaaaaaaaa+bbbbbbbbbbbb"), body: cc, status: 200, want: issued, scope: "demo/read.file"},
	{name: "1 plus sign in a secret, body", header: formHeader("", ""), body: cc + "&client_id=a%2Bb_c&client_secret=aaaaaaaaaaaa%2Bbbbbbbbbbbbb", status: 200, want: issued, scope: "demo/read.file"},
	{name: "2 no scope", header: basic(), body: cc, status: 200, want: issued, scope: "demo/read.file demo/write.file"},
	{name: "2 empty scope", header: basic(), body: cc + "&scope=", status: 200, want: issued, scope: "demo/read.file demo/write.file"},
	{name: "2 no scope, standard ones stay out", header: formHeader("mixed", testSecret), body: cc, status: 200, want: issued, scope: "demo/read.file"},
	{name: "3 subset", header: basic(), body: cc + "&scope=demo/write.file", status: 200, want: issued, scope: "demo/write.file"},
	{name: "3 order of the request, once each", header: basic(), body: cc + "&scope=demo/write.file++demo/read.file+demo/write.file", status: 200, want: issued, scope: "demo/write.file demo/read.file"},
	{name: "4 drop", header: basic(), body: cc + "&scope=demo/admin+demo/read.file", status: 200, want: issued, scope: "demo/read.file"},
	{name: "5 nothing remains", header: basic(), body: cc + "&scope=demo/admin", status: 400, want: `{"error":"invalid_scope"}`},
	{name: "5 without identifier", header: basic(), body: cc + "&scope=read.file", status: 400, want: `{"error":"invalid_scope"}`},
	{name: "5 tab does not separate", header: basic(), body: cc + "&scope=demo/read.file%09demo/write.file", status: 400, want: `{"error":"invalid_scope"}`},
	{name: "6 no custom scope", header: formHeader("standard", testSecret), body: cc, status: 400, want: `{"error":"invalid_scope"}`},
	{name: "8 standard scope, allowed", header: formHeader("mixed", testSecret), body: cc + "&scope=openid+demo/read.file", status: 200, want: issued, scope: "demo/read.file"},
	{name: "8 standard scope alone", header: formHeader("mixed", testSecret), body: cc + "&scope=openid", status: 400, want: `{"error":"invalid_scope"}`},
	{name: "9 wrong secret", header: formHeader(testID, "wrong"), body: cc, status: 400, want: `{"error":"invalid_client"}`},
	{name: "9 secret of other length", header: formHeader(testID, testSecret+"x"), body: cc, status: 400, want: `{"error":"invalid_client"}`},
	{name: "9 unknown client", header: formHeader("unknown", testSecret), body: cc, status: 400, want: `{"error":"invalid_client"}`},
	{name: "9 secret missing", header: formHeader("", ""), body: cc + "&client_id=" + testID, status: 400, want: `{"error":"invalid_client"}`},
	{name: "9 empty secret", header: formHeader(testID, ""), body: cc, status: 400, want: `{"error":"invalid_client"}`},
	{name: "9 Basic against another client_id", header: basic(), body: cc + "&client_id=twosecrets", status: 400, want: `{"error":"invalid_client"}`},
	{name: "9 Basic against another secret", header: basic(), body: cc + "&client_secret=x", status: 400, want: `{"error":"invalid_client"}`},
	{name: "9 Basic without the word", header: with(basic(), "Authorization", "NmZuOGg6eA=="), body: cc, status: 400, want: `{"error":"invalid_client"}`},
	{name: "9 Bearer", header: with(basic(), "Authorization", "Bearer NmZuOGg6eA=="), body: cc, status: 400, want: `{"error":"invalid_client"}`},
	{name: "9 right credentials as Bearer", header: with(basic(), "Authorization", strings.Replace(basic().Get("Authorization"), "Basic", "Bearer", 1)), body: cc, status: 400, want: `{"error":"invalid_client"}`},
	{name: "9 bad Basic is not made good by the body", header: with(basic(), "Authorization", "Basic %%%"), body: cc + "&client_id=" + testID + "&client_secret=" + testSecret, status: 400, want: `{"error":"invalid_client"}`},
	{name: "9 Base64 with stray bits", header: with(basic(), "Authorization", strings.Replace(basic().Get("Authorization"), "g==", "h==", 1)), body: cc, status: 400, want: `{"error":"invalid_client"}`},
	{name: "10 no credentials", header: formHeader("", ""), body: cc, status: 400, want: `{"error":"invalid_client"}`},
	{name: "11 first secret", header: formHeader("twosecrets", testSecret), body: cc, status: 200, want: `{"access_token":"<jwt>","expires_in":300,"token_type":"Bearer"}`, scope: "demo/read.file"},
	{name: "11 second secret", header: formHeader("twosecrets", "0123456789ABCDEFGHIJKLMNOPQRSTUV0123456789ABCDEFGHIJ"), body: cc, status: 200, want: `{"access_token":"<jwt>","expires_in":300,"token_type":"Bearer"}`, scope: "demo/read.file"},
	{name: "12 not enabled", header: formHeader("notenabled", testSecret), body: cc, status: 400, want: `{"error":"invalid_grant"}`},
	{name: "13 no client_credentials", header: formHeader("web", testSecret), body: cc, status: 400, want: `{"error":"unauthorized_client"}`},
	{name: "13 public client", header: formHeader("", ""), body: cc + "&client_id=public", status: 400, want: `{"error":"unauthorized_client"}`},
	{name: "13 public client with a secret", header: formHeader("public", "x"), body: cc, status: 400, want: `{"error":"invalid_client"}`},
	{name: "15 grant_type missing", header: basic(), body: "scope=demo%2Fread.file", status: 400, want: `{"error":"invalid_request"}`},
	{name: "15 grant_type empty", header: basic(), body: "grant_type=", status: 400, want: `{"error":"invalid_request"}`},
	{name: "15 empty body", header: basic(), status: 400, want: `{"error":"invalid_request"}`},
	{name: "15 parameters in the query only", path: "/my-prefix/oauth2/token?" + cc, header: basic(), status: 400, want: `{"error":"invalid_request"}`},
	{name: "15 parameter twice", header: basic(), body: cc + "&" + cc, status: 400, want: `{"error":"invalid_request"}`},
	{name: "15 scope twice", header: basic(), body: cc + "&scope=demo/read.file&scope=demo/write.file", status: 400, want: `{"error":"invalid_request"}`},
	{name: "15 Authorization twice", header: with(basic(), "Authorization", "Basic eA==", "Basic eA=="), body: cc, status: 400, want: `{"error":"invalid_request"}`},
	{name: "15 too long", header: basic(), body: cc + "&x=" + strings.Repeat("a", 65536), status: 400, want: `{"error":"invalid_request"}`},
	{name: "16 password", header: basic(), body: "grant_type=password", status: 400, want: `{"error":"unsupported_grant_type"}`},
	{name: "16 authorization_code", header: basic(), body: "grant_type=authorization_code&code=x", status: 400, want: `{"error":"unauthorized_client"}`},
	{name: "16 refresh_token", header: basic(), body: "grant_type=refresh_token&refresh_token=x", status: 400, want: `{"error":"unauthorized_client"}`},
	{name: "16 code of a web client", header: formHeader("web", testSecret), body: "grant_type=authorization_code&code=x", status: 400, want: `{"error":"invalid_grant"}`},
	{name: "17 no content type", header: formWithout("Content-Type"), body: cc, status: 405},
	{name: "17 two content types", header: with(basic(), "Content-Type", "application/x-www-form-urlencoded", "application/json"), body: cc, status: 405},
	{name: "17 JSON", header: with(basic(), "Content-Type", "application/json"), body: `{"grant_type":"client_credentials"}`, status: 405},
	{name: "17 quoted", header: with(basic(), "Content-Type", `"application/x-www-form-urlencoded"`), body: cc, status: 405},
	{name: "18 JSON declared as form", header: basic(), body: `{"grant_type":"client_credentials"}`, status: 400, want: `{"error":"invalid_request"}`},
	{name: "18 bad escape", header: basic(), body: cc + "&scope=%zz", status: 400, want: `{"error":"invalid_request"}`},
	{name: "18 semicolon", header: basic(), body: cc + ";scope=x", status: 400, want: `{"error":"invalid_request"}`},
	{name: "19 GET", method: "GET", header: basic(), status: 405},
	{name: "19 PUT", method: "PUT", header: basic(), body: cc, status: 405},
	{name: "20 unknown path", path: "/my-prefix/oauth/token", header: basic(), body: cc, status: 405, allow: "GET"},
	{name: "20 unknown path without domain", path: "/oauth/token", header: basic(), body: cc, status: 405, allow: "GET"},
	{name: "21 aws_client_metadata", header: basic(), body: cc + readOnly + "&aws_client_metadata=%7B%22a%22%3A%22b%22%7D", status: 200, want: issued, scope: "demo/read.file"},
	{name: "22 resource", header: basic(), body: cc + readOnly + "&resource=https%3A%2F%2Fapi.example.com", status: 200, want: issued, scope: "demo/read.file"},
	{name: "35 revoke", path: "/my-prefix/oauth2/revoke", header: basic(), body: "token=eyJh", status: 400, want: `{"error":"unsupported_token_type"}`},
	{name: "35 revoke, bad client", path: "/my-prefix/oauth2/revoke", header: formHeader(testID, "x"), body: "token=eyJh", status: 401, want: `{"error":"invalid_client"}`},
	{name: "35 revoke, no token", path: "/my-prefix/oauth2/revoke", header: basic(), body: "x=y", status: 400, want: `{"error":"invalid_request"}`},
	{name: "35 revoke, GET", method: "GET", path: "/my-prefix/oauth2/revoke", header: basic(), status: 405},
}

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// domainHeaders are on every answer of the domain.
var domainHeaders = map[string]string{
	"Access-Control-Allow-Origin": "*",
	"Cache-Control":               "no-cache, no-store, max-age=0, must-revalidate",
	"Pragma":                      "no-cache",
	"Expires":                     "0",
	"X-Content-Type-Options":      "nosniff",
	"X-XSS-Protection":            "1; mode=block",
	"X-Frame-Options":             "DENY",
	"Strict-Transport-Security":   "max-age=31536000 ; includeSubDomains",
	"WWW-Authenticate":            "",
}

func TestTokenEndpointAnswersAsCognito(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), fixedClock())
	for way, rt := range transports(t, s) {
		for _, r := range tokenRows {
			t.Run(way+" "+r.name, func(t *testing.T) {
				t.Parallel()
				if r.method == "" {
					r.method = http.MethodPost
				}
				if r.path == "" {
					r.path = "/my-prefix/oauth2/token"
				}
				resp, body := exchange(t, rt, r.method, s.URL()+r.path, r.body, r.header)
				r.check(t, resp, body)
			})
		}
	}
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
	for name, want := range domainHeaders {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := resp.Header.Get("X-Amz-Cognito-Request-Id"); !uuidPattern.MatchString(got) {
		t.Errorf("x-amz-cognito-request-id: got %q, want a UUID", got)
	}
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
	}
}

func TestRow9Status401(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener(), WithInvalidClientStatus(401))
	r := row{status: 401, want: `{"error":"invalid_client"}`}
	resp, body := exchange(t, s.Transport(), http.MethodPost, s.TokenURL(), cc, formHeader(testID, "x"))
	r.check(t, resp, body)
	r = row{status: 400, want: `{"error":"invalid_scope"}`}
	resp, body = exchange(t, s.Transport(), http.MethodPost, s.TokenURL(), cc+"&scope=x", basic())
	r.check(t, resp, body)
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
