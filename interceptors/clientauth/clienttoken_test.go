// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

const testAPI = "https://cognito-idp.eu-west-1.amazonaws.com"

// clientToken answers as the API does.
func clientToken(token string, rest string) reply {
	return reply{mime: awsJSON, body: fmt.Sprintf(`{"ClientAuthenticationResult":{"AccessToken":%q%s}}`, token, rest)}
}

const typed = `,"ExpiresIn":3600,"TokenType":"Bearer"`

// apiError answers as the API does.
func apiError(errorType string) reply {
	return reply{
		status: http.StatusBadRequest, mime: awsJSON, body: fmt.Sprintf(`{"__type":%q,"message":"LEAKLEAK"}`, errorType),
		header: http.Header{"X-Amzn-Errortype": {errorType + ":"}, "X-Amzn-Errormessage": {"LEAKLEAK"}},
	}
}

func newAPISource(t *testing.T, api string, transport http.RoundTripper, secret, next SecretFunc) *ClientCredentials {
	t.Helper()
	c, err := NewClientCredentials(Config{UserPoolAPI: api, ClientID: testClient, Secret: secret, NextSecret: next},
		WithTransport(transport), WithLogger((&logBuffer{}).logger()))
	if err != nil {
		t.Fatal(err)
	}
	wantNoLeak(t, c)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestGetClientTokenRequest compares the bytes that reach a TLS server: line, headers
// and body.
func TestGetClientTokenRequest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		secret string
		scopes []string
		body   string
	}{
		"no scopes":  {secret: testSecret, body: `{"ClientId":"1example23456789","Secret":"9example87654321secret"}`},
		"two scopes": {secret: testSecret, scopes: []string{"demo/write.file", "demo/read.file"}, body: `{"ClientId":"1example23456789","Secret":"9example87654321secret","Scopes":["demo/read.file","demo/write.file"]}`},
		"own secret": {secret: `a+b"\ä%`, body: `{"ClientId":"1example23456789","Secret":"a+b\"\\ä%"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got atomic.Value
			s := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				got.Store(fmt.Sprintf("%s %s %s\nContent-Type: %q\nX-Amz-Target: %q\nAuthorization: %q\nContent-Encoding: %q\nUser-Agent: %q\nContent-Length: %d\n\n%s\n%v",
					r.Method, r.RequestURI, r.Proto, r.Header["Content-Type"], r.Header["X-Amz-Target"], r.Header["Authorization"], r.Header["Content-Encoding"], r.Header["User-Agent"],
					r.ContentLength, body, err))
				w.Header().Set("Content-Type", awsJSON)
				_, _ = io.WriteString(w, clientToken("the-token", typed).body)
			}, nil)
			c := newAPISource(t, s.URL, trusting(s), StaticSecret(test.secret), nil)
			token, err := c.Token(t.Context(), Request{Scopes: test.scopes})
			if err != nil || token.Value() != "the-token" {
				t.Errorf("got %q, %v, want the token", token.Value(), err)
			}
			if life := time.Until(token.Expiry()).Round(time.Minute); life != time.Hour {
				t.Errorf("the token lives for %v, want 1h", life)
			}
			want := fmt.Sprintf("POST / HTTP/1.1\nContent-Type: [\"application/x-amz-json-1.1\"]\nX-Amz-Target: [\"AWSCognitoIdentityProviderService.GetClientToken\"]\n"+
				"Authorization: []\nContent-Encoding: []\nUser-Agent: [\"scopeauth\"]\nContent-Length: %d\n\n%s\n<nil>", len(test.body), test.body)
			if got.Load() != want {
				t.Errorf("got the request\n%s\nwant\n%s", got.Load(), want)
			}
		})
	}
}

// trusting is the transport of a source that knows the server's certificate.
func trusting(s *httptest.Server) *http.Transport {
	transport := patientTransport()
	transport.TLSClientConfig.RootCAs = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return transport
}

// TestGetClientTokenFollowsNoRedirect: the secret is in the body, which 307 and 308
// would carry along.
func TestGetClientTokenFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		var reached atomic.Int32
		second := tlsServer(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) }, nil)
		first := tlsServer(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, second.URL, status) }, nil)
		c := newAPISource(t, first.URL, trusting(first), StaticSecret(testSecret), nil)
		_, err := c.exchange.fetch(t.Context(), NewSecret(testSecret), nil)
		if err == nil || err.Reason() != ReasonRedirect || reached.Load() != 0 {
			t.Errorf("%d: got %v, and the second server %d requests, want %s and 0", status, err, reached.Load(), ReasonRedirect)
		}
	}
}

// TestGetClientTokenAnswers: the classes are those of the token endpoint.
func TestGetClientTokenAnswers(t *testing.T) {
	t.Parallel()
	with := func(r reply, change func(*reply)) reply { change(&r); return r }
	refused := func(errorType, text string) apiAnswer {
		return apiAnswer{reply: apiError(errorType), reason: ReasonRefused, code: codes.Unauthenticated, errorType: errorType, text: text}
	}
	busy := func(errorType string) apiAnswer {
		return apiAnswer{reply: apiError(errorType), reason: ReasonThrottled, code: codes.Unavailable, transient: true, errorType: errorType, text: "150 token requests"}
	}
	broken := func(errorType, text string) apiAnswer {
		return apiAnswer{reply: apiError(errorType), reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true, errorType: errorType, text: text}
	}
	notAuthorized := apiError("NotAuthorizedException")
	tests := map[string]apiAnswer{
		"NotAuthorizedException":      refused("NotAuthorizedException", "ALLOW_CLIENT_TOKEN_AUTH"),
		"ResourceNotFoundException":   refused("ResourceNotFoundException", "region"),
		"InvalidParameterException":   refused("InvalidParameterException", "demo/read.file"),
		"UnknownOperationException":   refused("UnknownOperationException", "has no GetClientToken"),
		"one that is not known":       refused("BrandNewException", "BrandNewException"),
		"TooManyRequestsException":    busy("TooManyRequestsException"),
		"ThrottlingException":         busy("ThrottlingException"),
		"RequestLimitExceeded":        busy("RequestLimitExceeded"),
		"LimitExceededException":      busy("LimitExceededException"),
		"InternalErrorException, 400": broken("InternalErrorException", ""),
		"ForbiddenException":          broken("ForbiddenException", "WAF"),
		"UnexpectedLambdaException":   broken("UnexpectedLambdaException", ""),
		"type in the body alone": {
			reply:  with(notAuthorized, func(r *reply) { r.header = nil }),
			reason: ReasonRefused, code: codes.Unauthenticated, errorType: "NotAuthorizedException",
		},
		"type with a name space": {
			reply:  reply{status: 400, mime: awsJSON, body: `{"__type":"com.amazonaws.cognitoidentityprovider#TooManyRequestsException"}`},
			reason: ReasonThrottled, code: codes.Unavailable, transient: true, errorType: "TooManyRequestsException",
		},
		"type with an address": {
			reply:  reply{status: 400, mime: awsJSON, header: http.Header{"X-Amzn-Errortype": {"NotAuthorizedException:http://LEAKLEAK/"}}},
			reason: ReasonRefused, code: codes.Unauthenticated, errorType: "NotAuthorizedException",
		},
		"another type in the body": {
			reply:  with(notAuthorized, func(r *reply) { r.body = `{"__type":"TooManyRequestsException"}` }),
			reason: ReasonRefused, code: codes.Unauthenticated, errorType: "NotAuthorizedException",
		},
		"type that is long":           {reply: reply{status: 400, mime: awsJSON, body: `{"__type":"` + strings.Repeat("A", 61) + `"}`}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"type that is none":           {reply: reply{status: 400, mime: awsJSON, body: `{"__type":"LEAKLEAK 1"}`}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"type that is a number":       {reply: reply{status: 400, mime: awsJSON, body: `{"__type":7}`}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"type in HTML":                {reply: reply{status: 400, mime: "text/html", body: notAuthorized.body}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true, text: "firewall"},
		"an OAuth error":              {reply: oauthError("invalid_client"), reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"unknown path":                {reply: reply{status: 404, body: `{"code":"BadRequest","message":"LEAKLEAK","type":"client"}`}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"405":                         {reply: reply{status: 405}, reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"429":                         {reply: with(notAuthorized, func(r *reply) { r.status = 429 }), reason: ReasonThrottled, code: codes.Unavailable, transient: true},
		"InternalErrorException, 500": {reply: with(apiError("InternalErrorException"), func(r *reply) { r.status = 500 }), reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"503":                         {reply: with(notAuthorized, func(r *reply) { r.status = 503 }), reason: ReasonHTTPStatus, code: codes.Unavailable, transient: true},
		"200, OAuth form":             {reply: ok(0, 3600), reason: ReasonResponse, code: codes.Unavailable, transient: true},
		"200, HTML":                   {reply: page(200), reason: ReasonResponse, code: codes.Unavailable, transient: true},
		"200, truncated":              {reply: reply{mime: awsJSON, body: `{"ClientAuthenticationResult":{"AccessToken":"LEAKLEAK`}, reason: ReasonResponse, code: codes.Unavailable, transient: true},
		"200, result null":            {reply: reply{mime: awsJSON, body: `{"ClientAuthenticationResult":null}`}, reason: ReasonResponse, code: codes.Unavailable, transient: true},
		"200, no token":               {reply: reply{mime: awsJSON, body: `{"ClientAuthenticationResult":{"TokenType":"Bearer"}}`}, reason: ReasonResponse, code: codes.Unavailable, transient: true},
		"200, paid, no type":          {reply: clientToken("LEAKLEAK", ""), reason: ReasonResponse, code: codes.Unavailable},
		"200, paid, another type":     {reply: clientToken("LEAKLEAK", `,"TokenType":"mac"`), reason: ReasonResponse, code: codes.Unavailable},
		"200, paid, life 0":           {reply: clientToken("LEAKLEAK", `,"ExpiresIn":0,"TokenType":"Bearer"`), reason: ReasonResponse, code: codes.Unavailable},
		"200, paid, CR LF":            {reply: clientToken("LEAKLEAK\r\n", typed), reason: ReasonResponse, code: codes.Unavailable},
		"200, paid, HTML":             {reply: with(clientToken("LEAKLEAK", typed), func(r *reply) { r.mime = "text/html" }), reason: ReasonResponse, code: codes.Unavailable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newAPISource(t, testAPI, &fakeEndpoint{answer: func(int, request) reply { return test.reply }}, StaticSecret(testSecret), nil)
			_, err := c.exchange.fetch(t.Context(), NewSecret(testSecret), []string{"demo/read.file"})
			if err == nil {
				t.Fatal("got no error")
			}
			if err.Reason() != test.reason || err.Code() != test.code || err.transient != test.transient || err.APIErrorType() != test.errorType || err.OAuthCode() != "" {
				t.Errorf("got %s %s transient=%v type=%q OAuth=%q, want %s %s transient=%v type=%q and no OAuth code", err.Reason(), err.Code(), err.transient, err.APIErrorType(), err.OAuthCode(),
					test.reason, test.code, test.transient, test.errorType)
			}
			if text := err.Error(); !strings.Contains(text, test.text) || !strings.Contains(text, testAPI) || strings.Contains(text, "LEAKLEAK") {
				t.Errorf("got the text %q, want %q and the address, and nothing that was sent", text, test.text)
			}
		})
	}
}

// apiAnswer is an answer with the error that it makes.
type apiAnswer struct {
	reply     reply
	reason    Reason
	code      codes.Code
	transient bool
	errorType string
	text      string
}

// TestGetClientTokenRefused: the refusal is remembered as that of a token endpoint, the
// second secret is tried, and a changed one at once.
func TestGetClientTokenRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		right := "right"
		endpoint := &fakeEndpoint{answer: func(n int, r request) reply {
			for body := range r.form { // the whole body, as it has no "="
				if strings.Contains(body, `"Secret":"`+right+`"`) {
					return clientToken(opaque(n), `,"ExpiresIn":1000,"TokenType":"Bearer"`)
				}
			}
			return apiError("NotAuthorizedException")
		}}
		store := &vault{secret: "wrong"}
		var fetches reports
		c := newAPISource(t, testAPI, endpoint, store.read, StaticSecret("wrong too"))
		c.cfg.reporters = append(c.cfg.reporters, &fetches)
		wantDenied(t, c, 20*time.Second)
		wantCount(t, endpoint, 2)
		want := []Fetch{{ClientID: testClient, Cause: CauseCold, Reason: ReasonRefused, APIErrorType: "NotAuthorizedException", HTTPStatus: 400, Attempts: 2}}
		if got := fetches.all(); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		store.set("right")
		time.Sleep(lookGap)
		if got := value(t, c); got != opaque(2) {
			t.Errorf("got %q, want a token", got)
		}
		right = "wrong too"
		time.Sleep(900 * time.Second)
		if got := value(t, c); got != opaque(2) {
			t.Errorf("got %q, want the token that is held", got)
		}
		wantCount(t, endpoint, 5)
		if got := value(t, c); got != opaque(4) {
			t.Errorf("got %q, want the token of the second secret", got)
		}
	})
}

// TestGetClientTokenThrottled: one request, and those who come before the pause is over
// fail at once.
func TestGetClientTokenThrottled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &fakeEndpoint{answer: func(int, request) reply { return apiError("TooManyRequestsException") }}
		c := newAPISource(t, testAPI, endpoint, StaticSecret(testSecret), nil)
		for range 4 {
			_, err := c.Token(t.Context(), Request{})
			wantReason(t, err, ReasonThrottled, codes.Unavailable)
			time.Sleep(100 * time.Millisecond)
		}
		wantCount(t, endpoint, 1)
	})
}

func TestUserPoolAPI(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]string{"eu-west-1": testAPI, "": "", "eu-west-1.evil.example": "", "eu-west-1/": "", "EU": ""} {
		if got := UserPoolAPI(region); got != want {
			t.Errorf("UserPoolAPI(%q): got %q, want %q", region, got, want)
		}
	}
	for api, want := range map[string]string{
		testAPI:       "",
		testAPI + "/": "",
		"https://cognito-idp-fips.us-east-1.amazonaws.com": "",
		"https://cognito-idp.eu-west-1.api.aws":            "",
		"http://127.0.0.1:9000":                            "",
		"http://cognito-idp.eu-west-1.amazonaws.com":       "not https",
		"cognito-idp.eu-west-1.amazonaws.com":              "more than a host",
		"https://":                                         "malformed",
		"https://a..b":                                     "malformed",
		"https://user:" + testSecret + "@example.com":      "user name or password",
		"https://" + testSecret + ":x%zz/":                 "cannot be parsed",
		testAPI + "/oauth2/token":                          "more than a host",
		testAPI + "?" + testSecret:                         "more than a host",
		testAPI + "#x":                                     "more than a host",
		"https:x":                                          "more than a host",
		"https://files.auth.eu-west-1.amazoncognito.com":   "Config.TokenURL",
	} {
		c, err := NewClientCredentials(Config{UserPoolAPI: api, ClientID: testClient, Secret: StaticSecret(testSecret)})
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: got %v, want no error", api, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), testSecret)):
			t.Errorf("%s: got %v, want %q in it", api, err, want)
		case err == nil:
			_ = c.Close()
		}
	}
	for want, try := range map[string]struct {
		cfg  Config
		opts []Option
	}{
		"both set":        {cfg: Config{TokenURL: testURL, UserPoolAPI: testAPI}},
		"UserPoolAPI":     {cfg: Config{TokenURL: testAPI + "/"}},
		"WithAuthStyle":   {cfg: Config{UserPoolAPI: testAPI}, opts: []Option{WithAuthStyle(AuthStyleBody)}},
		"Config.TokenURL": {cfg: Config{TokenURL: "https://cognito-idp.eu-west-1.api.aws/oauth2/token"}},
	} {
		try.cfg.ClientID, try.cfg.Secret = testClient, StaticSecret(testSecret)
		if _, err := NewClientCredentials(try.cfg, try.opts...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
