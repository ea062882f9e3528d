// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// testKeys makes the keys of all tests once: [0] and [1] for pools, [2] for rotation.
var testKeys = sync.OnceValue(func() [3]KeyPair {
	var pairs [3]KeyPair
	for i := range pairs {
		pair, err := GenerateKeys()
		if err != nil {
			panic(err)
		}
		pairs[i] = pair
	}
	return pairs
})

// testNow is the time of servers with a fixed clock.
var testNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const (
	testPoolID = "eu-central-1_Ab3dEf9hI"
	testID     = "6fn8h3u2vd0c1m7k5s9q4t2b0e"
	testSecret = "0123456789abcdefghijklmnopqrstuv0123456789abcdefghij"
)

// testPool is the demo pool with values that do not change, and one client for
// each kind that the token endpoint tells apart.
func testPool() Pool {
	p := DemoPool()
	p.ID = testPoolID
	p.Domain = "my-prefix"
	p.Keys = testKeys()[0]
	p.Clients[0].ID = testID
	p.Clients[0].Secrets = []string{testSecret}
	p.Clients = append(p.Clients,
		Client{Name: "two-secrets", ID: "twosecrets", Secrets: []string{testSecret, strings.ToUpper(testSecret)}, AllowedOAuthScopes: []string{"demo/read.file"}, AccessTokenValidity: 5 * time.Minute},
		Client{Name: "not-enabled", ID: "notenabled", Secrets: []string{testSecret}, AllowedOAuthScopes: []string{"demo/read.file"}, AllowedOAuthFlowsUserPoolClient: new(false)},
		Client{Name: "web", ID: "web", Secrets: []string{testSecret}, AllowedOAuthScopes: []string{"demo/read.file"}, AllowedOAuthFlows: []string{"code"}},
		Client{Name: "public", ID: "public", GenerateSecret: new(false), AllowedOAuthScopes: []string{"openid"}, AllowedOAuthFlows: []string{"code", "implicit"}},
		Client{Name: "standard", ID: "standard", Secrets: []string{testSecret}, AllowedOAuthScopes: []string{"openid", "email", "aws.cognito.signin.user.admin"}},
		Client{Name: "mixed", ID: "mixed", Secrets: []string{testSecret}, AllowedOAuthScopes: []string{"openid", "demo/read.file"}},
		Client{Name: "plus", ID: "a+b_c", Secrets: []string{"aaaaaaaaaaaa+bbbbbbbbbbbb"}, AllowedOAuthScopes: []string{"demo/read.file"}},
	)
	return p
}

func fixedClock() Option { return WithClock(func() time.Time { return testNow }) }

// newServer starts a server that ends with the test.
func newServer(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	s, err := NewServer(opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// transports are the two ways to a server.
func transports(tb testing.TB, s *Server) map[string]http.RoundTripper {
	tb.Helper()
	network := &http.Transport{DisableKeepAlives: true}
	tb.Cleanup(network.CloseIdleConnections)
	return map[string]http.RoundTripper{"network": network, "memory": s.Transport()}
}

// answer is a response whose body has been read and closed.
type answer struct {
	StatusCode    int
	Header        http.Header
	ContentLength int64
	ProtoMajor    int
}

// exchange sends one request without following redirects.
func exchange(tb testing.TB, rt http.RoundTripper, method, address, body string, header http.Header) (answer, string) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, address, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	maps.Copy(req.Header, header)
	resp, err := rt.RoundTrip(req)
	if err != nil {
		tb.Fatalf("%s %s: %v", method, address, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatalf("%s %s: body: %v", method, address, err)
	}
	return answer{resp.StatusCode, resp.Header, resp.ContentLength, resp.ProtoMajor}, string(got)
}

// formHeader is the header of a token request with Basic credentials, unless id is empty.
func formHeader(id, secret string) http.Header {
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if id != "" {
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(id+":"+secret)))
	}
	return h
}

// getToken gets a token of the test pool's first client.
func getToken(tb testing.TB, s *Server, scopes string) string {
	tb.Helper()
	c := s.Pools()[0].Client("sts-test-app-client")
	form := url.Values{"grant_type": {"client_credentials"}}
	if scopes != "" {
		form.Set("scope", scopes)
	}
	resp, body := exchange(tb, s.Transport(), http.MethodPost, s.TokenURL(), form.Encode(), formHeader(c.ID, c.Secret))
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != http.StatusOK {
		tb.Fatalf("token: got status %d, body %q, want a token", resp.StatusCode, body)
	}
	return got.AccessToken
}

// requestError is the error of a request that must not be answered.
func requestError(rt http.RoundTripper, req *http.Request) error {
	resp, err := rt.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// tryToken asks for a token of the first client, from any goroutine.
func tryToken(tb testing.TB, s *Server) error {
	tb.Helper()
	c := s.Pools()[0].Client("sts-test-app-client")
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, s.TokenURL(), strings.NewReader(cc))
	if err != nil {
		return err
	}
	req.Header = formHeader(c.ID, c.Secret)
	resp, err := s.Transport().RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return failf("status %d, want 200", resp.StatusCode)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// parts decodes header and payload of a compact token.
func parts(tb testing.TB, token string) (header, payload string) {
	tb.Helper()
	p := strings.Split(token, ".")
	if len(p) != 3 {
		tb.Fatalf("got %d parts, want 3", len(p))
	}
	h, err1 := base64.RawURLEncoding.DecodeString(p[0])
	c, err2 := base64.RawURLEncoding.DecodeString(p[1])
	if err1 != nil || err2 != nil {
		tb.Fatalf("token is not base64url: %v %v", err1, err2)
	}
	return string(h), string(c)
}

// fetchKeys reads a JWKS: the ids in order, and the keys by id.
func fetchKeys(tb testing.TB, s *Server, address string) ([]string, map[string]*rsa.PublicKey) {
	tb.Helper()
	_, body := exchange(tb, s.Transport(), http.MethodGet, address, "", nil)
	var set struct {
		Keys []webKey `json:"keys"`
	}
	if err := json.Unmarshal([]byte(body), &set); err != nil {
		tb.Fatal(err)
	}
	var ids []string
	keys := make(map[string]*rsa.PublicKey)
	for _, k := range set.Keys {
		n, err1 := base64.RawURLEncoding.DecodeString(k.N)
		e, err2 := base64.RawURLEncoding.DecodeString(k.E)
		if err1 != nil || err2 != nil {
			tb.Fatalf("key is not base64url: %v %v", err1, err2)
		}
		ids = append(ids, k.Kid)
		keys[k.Kid] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	return ids, keys
}

// verify checks the signature of a token with the key that its header names.
func verify(tb testing.TB, token string, keys map[string]*rsa.PublicKey) error {
	tb.Helper()
	header, _ := parts(tb, token)
	var h struct {
		Kid string `json:"kid"`
	}
	if err := json.Unmarshal([]byte(header), &h); err != nil {
		tb.Fatal(err)
	}
	key := keys[h.Kid]
	if key == nil {
		return failf("no key %q", h.Kid)
	}
	return verifyWith(tb, token, key)
}

func verifyWith(tb testing.TB, token string, key *rsa.PublicKey) error {
	tb.Helper()
	cut := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[cut+1:])
	if err != nil {
		tb.Fatal(err)
	}
	digest := sha256.Sum256([]byte(token[:cut]))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature)
}
