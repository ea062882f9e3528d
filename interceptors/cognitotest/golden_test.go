// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"net/http"
	"regexp"
	"strings"
)

const (
	cc       = "grant_type=client_credentials"
	readOnly = "&scope=demo%2Fread.file"

	revokePathOf = "/my-prefix/oauth2/revoke"
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

// preflight is what a browser sends before a request with Basic credentials.
// Cognito has no CORS policy of its own for the domain but the header that is on each answer.
func preflight() http.Header {
	return http.Header{"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization"}}
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
	{name: "9 form-encoded before Base64, as RFC 6749 wants and AWS does not", header: formHeader("a%2Bb_c", "aaaaaaaaaaaa%2Bbbbbbbbbbbbb"), body: cc, status: 400, want: `{"error":"invalid_client"}`},
	{name: "9 Bearer", header: with(basic(), "Authorization", "Bearer NmZuOGg6eA=="), body: cc, status: 400, want: `{"error":"invalid_client"}`},
	{name: "9 right credentials as Bearer", header: with(basic(), "Authorization", strings.Replace(basic().Get("Authorization"), "Basic", "Bearer", 1)), body: cc, status: 400, want: `{"error":"invalid_client"}`},
	{name: "9 bad Basic is not made good by the body", header: with(basic(), "Authorization", "Basic %%%"), body: cc + "&client_id=" + testID + "&client_secret=" + testSecret, status: 400, want: `{"error":"invalid_client"}`},
	{name: "9 Base64 with stray bits", header: with(basic(), "Authorization", strings.Replace(basic().Get("Authorization"), "g==", "h==", 1)), body: cc, status: 400, want: `{"error":"invalid_client"}`},
	{name: "10 no credentials", header: formHeader("", ""), body: cc, status: 400, want: `{"error":"invalid_client"}`},
	{name: "10 no credentials, with a scope", header: formHeader("", ""), body: cc + readOnly, status: 400, want: `{"error":"invalid_client"}`},
	{name: "11 first secret", header: formHeader("twosecrets", testSecret), body: cc, status: 200, want: `{"access_token":"<jwt>","expires_in":300,"token_type":"Bearer"}`, scope: "demo/read.file"},
	{name: "11 second secret", header: formHeader("twosecrets", "0123456789ABCDEFGHIJKLMNOPQRSTUV0123456789ABCDEFGHIJ"), body: cc, status: 200, want: `{"access_token":"<jwt>","expires_in":300,"token_type":"Bearer"}`, scope: "demo/read.file"},
	{name: "12 not enabled", header: formHeader("notenabled", testSecret), body: cc, status: 400, want: `{"error":"invalid_grant"}`},
	{name: "13 no client_credentials", header: formHeader("web", testSecret), body: cc, status: 400, want: `{"error":"unauthorized_client"}`},
	{name: "13 no client_credentials, with a scope", header: formHeader("web", testSecret), body: cc + readOnly, status: 400, want: `{"error":"unauthorized_client"}`},
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
	{name: "17 multipart", header: with(basic(), "Content-Type", "multipart/form-data; boundary=x"), body: "--x--", status: 405},
	{name: "17 text", header: with(basic(), "Content-Type", "text/plain"), body: cc, status: 405},
	{name: "17 broken parameter", header: with(basic(), "Content-Type", "application/x-www-form-urlencoded; charset"), body: cc, status: 405},
	{name: "17 quoted", header: with(basic(), "Content-Type", `"application/x-www-form-urlencoded"`), body: cc, status: 405},
	{name: "18 JSON declared as form", header: basic(), body: `{"grant_type":"client_credentials"}`, status: 400, want: `{"error":"invalid_request"}`},
	{name: "18 bad escape", header: basic(), body: cc + "&scope=%zz", status: 400, want: `{"error":"invalid_request"}`},
	{name: "18 semicolon", header: basic(), body: cc + ";scope=x", status: 400, want: `{"error":"invalid_request"}`},
	{name: "19 GET", method: "GET", header: basic(), status: 405},
	{name: "19 PUT", method: "PUT", header: basic(), body: cc, status: 405},
	{name: "19 DELETE", method: "DELETE", header: basic(), status: 405},
	{name: "19 HEAD", method: "HEAD", header: basic(), status: 405},
	{name: "19 OPTIONS, a preflight", method: "OPTIONS", header: preflight(), status: 405},
	{name: "19 lower case", method: "post", header: basic(), body: cc, status: 405},
	{name: "20 unknown path", path: "/my-prefix/oauth/token", header: basic(), body: cc, status: 405, allow: "GET"},
	{name: "20 slash at the end", path: "/my-prefix/oauth2/token/", header: basic(), body: cc, status: 405, allow: "GET"},
	{name: "20 upper case", path: "/my-prefix/oauth2/TOKEN", header: basic(), body: cc, status: 405, allow: "GET"},
	{name: "20 dots", path: "/my-prefix/oauth2/../oauth2/token", header: basic(), body: cc, status: 405, allow: "GET"},
	{name: "20 OPTIONS", method: "OPTIONS", path: "/my-prefix/oauth2/authorize", header: preflight(), status: 405, allow: "GET"},
	{name: "20 unknown path without domain", path: "/oauth/token", header: basic(), body: cc, status: 405, allow: "GET"},
	{name: "21 aws_client_metadata", header: basic(), body: cc + readOnly + "&aws_client_metadata=%7B%22a%22%3A%22b%22%7D", status: 200, want: issued, scope: "demo/read.file"},
	{name: "21 aws_client_metadata that is no JSON", header: basic(), body: cc + readOnly + "&aws_client_metadata=x", status: 200, want: issued, scope: "demo/read.file"},
	{name: "22 resource", header: basic(), body: cc + readOnly + "&resource=https%3A%2F%2Fapi.example.com", status: 200, want: issued, scope: "demo/read.file"},
	{name: "35 an access token", path: revokePathOf, header: basic(), body: "token=eyJh.eyJz.c2ln", status: 400, want: `{"error":"unsupported_token_type"}`},
	{name: "35 with a hint", path: revokePathOf, header: basic(), body: "token=eyJh.eyJz.c2ln&token_type_hint=access_token", status: 400, want: `{"error":"unsupported_token_type"}`},
	{name: "35 credentials in the body", path: revokePathOf, header: formHeader("", ""), body: "token=a.b.c&client_id=" + testID + "&client_secret=" + testSecret, status: 400, want: `{"error":"unsupported_token_type"}`},
	{name: "35 public client", path: revokePathOf, header: formHeader("", ""), body: "token=a.b.c&client_id=public", status: 400, want: `{"error":"unsupported_token_type"}`},
	{name: "35 an invalid token", path: revokePathOf, header: basic(), body: "token=2YotnFZFEjr1zCsicMWpAA", status: 200},
	{name: "35 a refresh token of elsewhere", path: revokePathOf, header: basic(), body: "token=a.b.c.d.e", status: 200},
	{name: "35 bad client", path: revokePathOf, header: formHeader(testID, "x"), body: "token=a.b.c", status: 401, want: `{"error":"invalid_client"}`},
	{name: "35 no client", path: revokePathOf, header: formHeader("", ""), body: "token=a.b.c", status: 401, want: `{"error":"invalid_client"}`},
	{name: "35 public client with a secret", path: revokePathOf, header: formHeader("public", "x"), body: "token=a.b.c", status: 401, want: `{"error":"invalid_client"}`},
	{name: "35 no token", path: revokePathOf, header: basic(), body: "x=y", status: 400, want: `{"error":"invalid_request"}`},
	{name: "35 token twice", path: revokePathOf, header: basic(), body: "token=a&token=b", status: 400, want: `{"error":"invalid_request"}`},
	{name: "35 too long", path: revokePathOf, header: basic(), body: "token=" + strings.Repeat("a", 65536), status: 400, want: `{"error":"invalid_request"}`},
	{name: "35 no form", path: revokePathOf, header: with(basic(), "Content-Type", "application/json"), body: `{"token":"a.b.c"}`, status: 405},
	{name: "35 GET", method: "GET", path: revokePathOf, header: basic(), status: 405},
	{name: "35 HEAD", method: "HEAD", path: revokePathOf, header: basic(), status: 405},
	{name: "35 OPTIONS", method: "OPTIONS", path: revokePathOf, header: preflight(), status: 405},
}
