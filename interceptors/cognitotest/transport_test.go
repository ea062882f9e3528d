// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

// twoPools has pools in two regions, one with a custom domain.
func twoPools() []Option {
	second := Pool{
		ID: "us-gov-west-1_Zz9", Name: "second", Domain: "auth.example.com", Issuer: IssuerUpdated, Keys: testKeys()[1],
		ResourceServers: []ResourceServer{{Identifier: "https://api.example.com/v1", Scopes: []Scope{{Name: "read"}}}},
		Clients:         []Client{{Name: "caller", ID: "caller", Secrets: []string{testSecret}, AllowedOAuthScopes: []string{"https://api.example.com/v1/read"}}},
	}
	return []Option{WithPool(testPool()), WithPool(second)}
}

func TestTransportServesCognitosHosts(t *testing.T) {
	t.Parallel()
	s := newServer(t, append(twoPools(), WithoutListener())...)
	post, get := http.MethodPost, http.MethodGet
	for _, tc := range []struct {
		name, method, address string
		header                http.Header
		status                int
		want                  string
	}{
		{"prefix domain", post, "https://my-prefix.auth.eu-central-1.amazoncognito.com/oauth2/token", basic(), 200, issued},
		{"prefix domain with port", post, "https://my-prefix.auth.eu-central-1.amazoncognito.com:443/oauth2/token", basic(), 200, issued},
		{"upper case", post, "https://MY-PREFIX.auth.eu-central-1.amazoncognito.com/oauth2/token", basic(), 200, issued},
		{"prefix domain, FIPS", post, "https://my-prefix.auth-fips.eu-central-1.amazoncognito.com/oauth2/token", basic(), 200, issued},
		{"custom domain", post, "https://auth.example.com/oauth2/token", formHeader("caller", testSecret), 200, issued},
		{"client of the other pool", post, "https://auth.example.com/oauth2/token", basic(), 400, `{"error":"invalid_client"}`},
		{"path prefix", post, s.URL() + "/my-prefix/oauth2/token", basic(), 200, issued},
		{"path prefix, custom domain", post, s.URL() + "/auth.example.com/oauth2/token", formHeader("caller", testSecret), 200, issued},
		{"bare path with two pools", post, s.URL() + "/oauth2/token", basic(), 404, "this server has several user pools: use /<domain>/oauth2/token\n"},
		{"keys", get, "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab3dEf9hI/.well-known/jwks.json", nil, 200, jwksBody},
		{"keys, FIPS", get, "https://cognito-idp-fips.eu-central-1.amazonaws.com/eu-central-1_Ab3dEf9hI/.well-known/jwks.json", nil, 200, jwksBody},
		{"keys of the second", get, "https://issuer-cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_Zz9/.well-known/jwks.json", nil, 200, jwksBody},
		{"pool of another region", get, "https://cognito-idp.eu-central-1.amazonaws.com/us-gov-west-1_Zz9/.well-known/jwks.json", nil, 400, `{"__type":"ResourceNotFoundException","message":"User pool us-gov-west-1_Zz9 does not exist."}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			resp, body := exchange(t, s.Transport(), tc.method, tc.address, cc, tc.header)
			got := keyPattern.ReplaceAllString(jwtPattern.ReplaceAllString(body, `"<jwt>"`), "<key>")
			if resp.StatusCode != tc.status || got != tc.want {
				t.Errorf("got %d %s, want %d %s", resp.StatusCode, got, tc.status, tc.want)
			}
		})
	}
	second := s.Pool("second")
	for got, want := range map[string]string{
		second.CognitoTokenURL():                      "https://auth.example.com/oauth2/token",
		s.Pools()[0].CognitoTokenURL():                "https://my-prefix.auth.eu-central-1.amazoncognito.com/oauth2/token",
		second.Issuer():                               "https://issuer-cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_Zz9",
		second.CognitoIssuer(IssuerOriginal):          "https://cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_Zz9",
		second.TokenURL():                             "https://cognito.invalid/auth.example.com/oauth2/token",
		second.ID() + second.Region():                 "us-gov-west-1_Zz9us-gov-west-1",
		second.Name() + second.ClientNames()[0]:       "secondcaller",
		s.Pool("us-gov-west-1_Zz9").Name():            "second",
		second.Client("nobody").ID:                    "",
		second.Client("caller").Secret:                testSecret,
		strings.Join(s.Pools()[0].ClientNames(), ","): "sts-test-app-client,two-secrets,not-enabled,web,public,standard,mixed,plus",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if s.Pool("nobody") != nil {
		t.Error("unknown pool: got a pool, want nil")
	}
}

func TestHostHeaderSelectsTheHostOverTheNetwork(t *testing.T) {
	t.Parallel()
	s := newServer(t, twoPools()...)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/oauth2/token", strings.NewReader(cc))
	if err != nil {
		t.Fatal(err)
	}
	req.Host, req.Header = "auth.example.com", formHeader("caller", testSecret)
	resp, err := transports(t, s)["network"].RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("got %d, want 200", resp.StatusCode)
	}
}

func TestTransportRefusesOtherHosts(t *testing.T) {
	t.Parallel()
	s := newServer(t, append(twoPools(), WithoutListener())...)
	for _, address := range []string{
		"https://example.com/oauth2/token",
		"http://my-prefix.auth.eu-central-1.amazoncognito.com/oauth2/token",
		"http://my-prefix.auth.eu-central-1.amazoncognito.com:443/oauth2/token",
		"https://my-prefix.auth.eu-central-1.amazoncognito.com:8443/oauth2/token",
		"https://other.auth.eu-central-1.amazoncognito.com/oauth2/token",
		"https://my-prefix.auth.us-east-1.amazoncognito.com/oauth2/token",
		"https://cognito-idp.us-east-1.amazonaws.com/eu-central-1_Ab3dEf9hI/.well-known/jwks.json",
		"https://other.auth-fips.eu-central-1.amazoncognito.com/oauth2/token",
		"https://my-prefix.auth-fips.us-east-1.amazoncognito.com/oauth2/token",
		"https://x.my-prefix.auth-fips.eu-central-1.amazoncognito.com/oauth2/token",
		"https://auth-fips.example.com/oauth2/token",
		"https://issuer-cognito-idp-fips.eu-central-1.amazonaws.com/eu-central-1_Ab3dEf9hI/.well-known/jwks.json",
		"http://cognito.invalid/oauth2/token",
		"https://127.0.0.1:1/oauth2/token",
	} {
		body := &closed{Reader: strings.NewReader(cc)}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = basic()
		resp, err := s.Transport().RoundTrip(req)
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s: got status %d, want an error", address, resp.StatusCode)
			continue
		}
		if !strings.Contains(err.Error(), "is no host of this server") || strings.Contains(err.Error(), testSecret) {
			t.Errorf("%s: got error %q, want one that names the hosts", address, err)
		}
		if !body.closed {
			t.Errorf("%s: the request's body was not closed", address)
		}
	}
}

type closed struct {
	io.Reader

	closed bool
}

func (c *closed) Close() error {
	c.closed = true
	return nil
}

func TestTransportKeepsTheContract(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	body := &closed{Reader: strings.NewReader(cc)}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.TokenURL(), body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = basic()
	resp, err := s.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if !body.closed {
		t.Error("the request's body was not closed")
	}
	if resp.Request != req || resp.Proto != "HTTP/1.1" || resp.Status != "200 OK" {
		t.Errorf("got %s %s, want HTTP/1.1 200 OK and the request", resp.Proto, resp.Status)
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Error(err)
	}
	if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read at the end: got %d, %v, want EOF again", n, err)
	}
	resp.Body.Close()

	// A body that fails is not a form that ends there.
	req.Body = io.NopCloser(io.MultiReader(strings.NewReader(cc), failing{}))
	if err := requestError(s.Transport(), req); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("failing body: got %v, want its error", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := s.Counts().TokenRequests; got != 1 {
		t.Errorf("got %d token requests, want 1", got)
	}
	req.Body = io.NopCloser(strings.NewReader(cc))
	if err := requestError(s.Transport(), req.WithContext(ctx)); !errors.Is(err, context.Canceled) || s.Counts().TokenRequests != 1 {
		t.Errorf("canceled context: got %v, want %v", err, context.Canceled)
	}
}

// A body without an end is not read to its end.
func TestEndlessBody(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	for _, target := range []string{"", targetPrefix + "GetClientToken"} {
		var body endless
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.TokenURL(), &body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = basic()
		if target != "" {
			req.URL.Path = "/"
			req.Header = apiHeader("GetClientToken")
		}
		resp, err := s.Transport().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 4 || body > 1<<20 {
			t.Errorf("%q: got %d after %d bytes, want a refusal before a megabyte", target, resp.StatusCode, body)
		}
	}
}

// endless counts what was read of it.
type endless int64

func (e *endless) Read(p []byte) (int, error) {
	if *e > 1<<24 {
		return 0, io.EOF // enough to fail
	}
	*e += endless(len(p))
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

func TestReadAfterClose(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.JWKSURL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("got %v, want %v", err, http.ErrBodyReadAfterClose)
	}
	// A body that nobody closes does not hold Close, and cannot be read after it.
	resp, err = s.Transport().RoundTrip(req) //nolint:bodyclose // that is the test
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the server's Close: got %v, want %v", err, context.Canceled)
	}
}

// TestManyInABubble shows that nothing in the server keeps a bubble from ending.
func TestManyInABubble(t *testing.T) {
	keys := testKeys()[0]
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithoutListener(), WithKeys(keys))
		for range 10 {
			go func() {
				if err := tryToken(t, s); err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		if got := s.Counts().TokensIssued; got != 10 {
			t.Errorf("got %d tokens, want 10", got)
		}
	})
}

// TestOneServerForManyBubbles is the shape of a test file with a shared server.
func TestOneServerForManyBubbles(t *testing.T) {
	s := newServer(t, WithPool(testPool()))
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			getToken(t, s, "")
			synctest.Wait()
		})
	}
	if got := s.Counts().TokensIssued; got != 3 {
		t.Errorf("got %d tokens, want 3", got)
	}
}
