// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

var keyPattern = regexp.MustCompile(`"kid":"[A-Za-z0-9+/]{43}=","kty":"RSA","n":"[\w-]{342}"`)

const jwksBody = `{"keys":[` +
	`{"alg":"RS256","e":"AQAB",<key>,"use":"sig"},` +
	`{"alg":"RS256","e":"AQAB",<key>,"use":"sig"}]}`

// discovery is typed from three documents of real pools; <domain> and <idp> differ by how it was asked for.
const discovery = `{"authorization_endpoint":"<domain>/oauth2/authorize",` +
	`"end_session_endpoint":"<domain>/logout",` +
	`"id_token_signing_alg_values_supported":["RS256"],` +
	`"issuer":"<iss>/eu-central-1_Ab3dEf9hI",` +
	`"jwks_uri":"<idp>/eu-central-1_Ab3dEf9hI/.well-known/jwks.json",` +
	`"response_types_supported":["code","token"],` +
	`"revocation_endpoint":"<domain>/oauth2/revoke",` +
	`"scopes_supported":["openid","email","phone","profile"],` +
	`"subject_types_supported":["public"],` +
	`"token_endpoint":"<domain>/oauth2/token",` +
	`"token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"],` +
	`"userinfo_endpoint":"<domain>/oauth2/userInfo"}`

const badRequest = `{"code":"BadRequest","message":"The server did not understand the operation that was requested.","type":"client"}`

func TestWellKnownAnswersAsCognito(t *testing.T) {
	t.Parallel()
	const (
		jsonType = "application/json"
		idp      = "https://cognito-idp.eu-central-1.amazonaws.com"
		updated  = "https://issuer-cognito-idp.eu-central-1.amazonaws.com"
		domain   = "https://my-prefix.auth.eu-central-1.amazoncognito.com"
	)
	s := newServer(t, WithPool(testPool()))
	for way, rt := range transports(t, s) {
		for _, tc := range []struct {
			name, method, address string
			status                int
			want, contentType     string
			memory                bool // only there
		}{
			{name: "26 JWKS", address: s.URL() + "/eu-central-1_Ab3dEf9hI/.well-known/jwks.json", status: 200, want: jwksBody, contentType: jsonType},
			{name: "26 JWKS, original host", address: idp + "/eu-central-1_Ab3dEf9hI/.well-known/jwks.json", status: 200, want: jwksBody, contentType: jsonType, memory: true},
			{name: "26 JWKS, updated host", address: updated + "/eu-central-1_Ab3dEf9hI/.well-known/jwks.json", status: 200, want: jwksBody, contentType: jsonType, memory: true},
			{name: "26 POST", method: "POST", address: s.URL() + "/eu-central-1_Ab3dEf9hI/.well-known/jwks.json", status: 405},
			{name: "26 OPTIONS", method: "OPTIONS", address: s.URL() + "/eu-central-1_Ab3dEf9hI/.well-known/jwks.json", status: 405},
			{name: "27 POST", method: "POST", address: s.URL() + "/eu-central-1_Ab3dEf9hI/.well-known/openid-configuration", status: 405},
			{name: "27 discovery", address: s.URL() + "/eu-central-1_Ab3dEf9hI/.well-known/openid-configuration", status: 200, contentType: jsonType, want: strings.NewReplacer("<domain>", s.URL()+"/my-prefix", "<idp>", s.URL(), "<iss>", s.URL()).Replace(discovery)},
			{name: "27 discovery, original host", address: idp + "/eu-central-1_Ab3dEf9hI/.well-known/openid-configuration", status: 200, contentType: jsonType, want: strings.NewReplacer("<domain>", domain, "<idp>", idp, "<iss>", s.URL()).Replace(discovery), memory: true},
			{name: "28 on the domain", address: s.URL() + "/my-prefix/.well-known/jwks.json", status: 404},
			{name: "28 on the domain's host", address: domain + "/.well-known/openid-configuration", status: 404, memory: true},
			{name: "28 on the bare host", address: s.URL() + "/.well-known/jwks.json", status: 404},
			{name: "29 unknown pool", address: s.URL() + "/eu-central-1_Nobody123/.well-known/jwks.json", status: 400, want: `{"__type":"ResourceNotFoundException","message":"User pool eu-central-1_Nobody123 does not exist."}`, contentType: jsonType},
			{name: "29 unknown pool, discovery", address: s.URL() + "/eu-central-1_Nobody123/.well-known/openid-configuration", status: 400, want: `{"__type":"ResourceNotFoundException","message":"User pool eu-central-1_Nobody123 does not exist."}`, contentType: jsonType},
			{name: "29 no pool id", address: idp + "/nobody/.well-known/jwks.json", status: 400, want: badRequest, contentType: jsonType, memory: true},
			{name: "29 unknown file", address: s.URL() + "/eu-central-1_Ab3dEf9hI/.well-known/jwks", status: 400, want: badRequest, contentType: jsonType},
			{name: "29 unknown path", address: idp + "/", status: 400, want: badRequest, contentType: jsonType, memory: true},
			{name: "no page", address: s.URL() + "/", status: 404},
		} {
			if tc.memory && way != "memory" {
				continue
			}
			t.Run(way+" "+tc.name, func(t *testing.T) {
				t.Parallel()
				if tc.method == "" {
					tc.method = http.MethodGet
				}
				resp, body := exchange(t, rt, tc.method, tc.address, "", nil)
				if got := keyPattern.ReplaceAllString(body, "<key>"); got != tc.want || resp.StatusCode != tc.status {
					t.Errorf("got %d %s\nwant %d %s", resp.StatusCode, got, tc.status, tc.want)
				}
				if got := resp.Header.Get("Content-Type"); got != tc.contentType {
					t.Errorf("Content-Type: got %q, want %q", got, tc.contentType)
				}
				if got := resp.Header.Get("Cache-Control"); got != "" {
					t.Errorf("Cache-Control: got %q, want none", got)
				}
			})
		}
	}
}

func TestRow26CacheControl(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener(), WithJWKSCacheControl("max-age=60"))
	resp, _ := exchange(t, s.Transport(), http.MethodGet, s.JWKSURL(), "", nil)
	if got := resp.Header.Get("Cache-Control"); got != "max-age=60" {
		t.Errorf("Cache-Control: got %q, want max-age=60", got)
	}
}

func TestHEADHasNoBody(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()))
	for way, rt := range transports(t, s) {
		resp, body := exchange(t, rt, http.MethodHead, s.JWKSURL(), "", nil)
		if resp.StatusCode != http.StatusOK || body != "" || resp.ContentLength <= 0 {
			t.Errorf("%s: got %d, %d bytes, length %d, want 200, none, the JWKS's length", way, resp.StatusCode, len(body), resp.ContentLength)
		}
	}
}

func TestRow31IssuerForms(t *testing.T) {
	t.Parallel()
	for form, want := range map[IssuerForm]string{
		"":             "https://cognito.invalid/eu-central-1_Ab3dEf9hI",
		IssuerEmulator: "https://cognito.invalid/eu-central-1_Ab3dEf9hI",
		IssuerOriginal: "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab3dEf9hI",
		IssuerUpdated:  "https://issuer-cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab3dEf9hI",
	} {
		p := testPool()
		p.Issuer = form
		s := newServer(t, WithPool(p), WithoutListener())
		if got := s.Issuer(); got != want {
			t.Errorf("%q: issuer: got %q, want %q", form, got, want)
		}
		if _, payload := parts(t, getToken(t, s, "")); !strings.Contains(payload, `"iss":"`+want+`"`) {
			t.Errorf("%q: payload: got %s, want iss %q", form, payload, want)
		}
		if got, want := s.JWKSURL(), "https://cognito.invalid/eu-central-1_Ab3dEf9hI/.well-known/jwks.json"; got != want {
			t.Errorf("%q: JWKS URL: got %q, want %q", form, got, want)
		}
		// Discovery over the issuer's own address leads to the same issuer and to keys that are there.
		_, doc := exchange(t, s.Transport(), http.MethodGet, s.Issuer()+"/.well-known/openid-configuration", "", nil)
		if !strings.Contains(doc, `"issuer":"`+want+`"`) || !strings.Contains(doc, `"jwks_uri":"`+want+`/.well-known/jwks.json"`) {
			t.Errorf("%q: discovery: got %s, want issuer and keys of %q", form, doc, want)
		}
	}
}
