// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// The tests of this file expect of the exchange what the tests of golang.org/x/oauth2
// (clientcredentials and internal/token) expect of theirs, and say where it differs on
// purpose.

// strangerAnswers sends what a test of x/oauth2 sends, and returns what came in.
func strangerAnswers(t *testing.T, style AuthStyle, mime, body string) (got string, token Token, err error) {
	t.Helper()
	var seen atomic.Value
	s := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		seen.Store(fmt.Sprintf("%s %s\nAuthorization: %s\nContent-Type: %s\n\n%s%v", r.Method, r.URL, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), sent, err))
		w.Header().Set("Content-Type", mime)
		_, _ = io.WriteString(w, body)
	}, nil)
	c, err := NewClientCredentials(Config{TokenURL: s.URL + "/token", ClientID: "CLIENT_ID", Secret: StaticSecret("CLIENT_SECRET")},
		WithTransport(trusting(s)), WithAuthStyle(style), WithLogger((&logBuffer{}).logger()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	token, err = c.Token(t.Context(), Request{Scopes: []string{"scope1", "scope2"}})
	got, _ = seen.Load().(string)
	return got, token, err
}

// TestRequestAsXOAuth2: the same line, headers and bytes for both places of the
// credentials.
func TestRequestAsXOAuth2(t *testing.T) {
	t.Parallel()
	const answer = `{"access_token": "90d64460d14870c08c81352a05dedd3465940a7c", "token_type": "bearer"}`
	for name, test := range map[string]struct {
		style AuthStyle
		want  string
	}{
		"header": {AuthStyleBasic, "POST /token\nAuthorization: Basic Q0xJRU5UX0lEOkNMSUVOVF9TRUNSRVQ=\nContent-Type: application/x-www-form-urlencoded\n\n" +
			"grant_type=client_credentials&scope=scope1+scope2<nil>"},
		"automatic": {AuthStyleAuto, "POST /token\nAuthorization: Basic Q0xJRU5UX0lEOkNMSUVOVF9TRUNSRVQ=\nContent-Type: application/x-www-form-urlencoded\n\n" +
			"grant_type=client_credentials&scope=scope1+scope2<nil>"},
		"body": {AuthStyleBody, "POST /token\nAuthorization: \nContent-Type: application/x-www-form-urlencoded\n\n" +
			"client_id=CLIENT_ID&client_secret=CLIENT_SECRET&grant_type=client_credentials&scope=scope1+scope2<nil>"},
	} {
		got, token, err := strangerAnswers(t, test.style, "application/json", answer)
		if got != test.want {
			t.Errorf("%s: got the request\n%s\nwant\n%s", name, got, test.want)
		}
		if err != nil || token.Value() != "90d64460d14870c08c81352a05dedd3465940a7c" {
			t.Errorf("%s: got %q, %v, want the token: token_type counts without case", name, token.Value(), err)
		}
	}
}

// TestAnswersUnlikeXOAuth2: RFC 6749, section 5.1, has JSON alone and requires
// token_type; x/oauth2 takes more.
func TestAnswersUnlikeXOAuth2(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string][2]string{
		"a form":              {"application/x-www-form-urlencoded", "access_token=90d64460d14870c08c81352a05dedd3465940a7c&token_type=bearer"},
		"a form as text":      {"text/plain", "access_token=90d64460d14870c08c81352a05dedd3465940a7c&token_type=bearer"},
		"no token_type":       {"application/json", `{"access_token": "foo", "refresh_token": "bar"}`},
		"no access_token":     {"application/json", `{"scope": "user", "token_type": "bearer"}`},
		"another token_type":  {"application/json", `{"access_token": "foo", "token_type": "mac"}`},
		"access_token number": {"application/json", `{"access_token": 123, "token_type": "bearer"}`},
	} {
		_, _, err := strangerAnswers(t, AuthStyleAuto, answer[0], answer[1])
		wantReason(t, err, ReasonResponse, codes.Unavailable)
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// certified gives a server a certificate with a name and an end.
func certified(t *testing.T, name string, end time.Time) func(*httptest.Server) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: end.Add(-48 * time.Hour), NotAfter: end, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return func(s *httptest.Server) {
		s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	}
}

// TestBadTLSServers: the secret reaches none of them, and the error says what to look
// at.
func TestBadTLSServers(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, test := range map[string]struct {
		change func(*httptest.Server)
		host   string
		want   string
	}{
		"expired certificate":   {change: certified(t, "localhost", now.Add(-time.Hour)), host: "localhost", want: "expired"},
		"certificate to come":   {change: certified(t, "localhost", now.Add(72*time.Hour)), host: "localhost", want: "not yet valid"},
		"another name":          {change: certified(t, "files.example.com", now.Add(time.Hour)), host: "localhost", want: "files.example.com"},
		"the right certificate": {change: certified(t, "localhost", now.Add(time.Hour)), host: "localhost"},
		"TLS 1.0": {change: func(s *httptest.Server) {
			s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}
		}, host: "127.0.0.1", want: "protocol version"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var reached atomic.Int32
			s := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
				reached.Add(1)
				writeToken(w, r)
			}, test.change)
			roots := x509.NewCertPool()
			roots.AddCert(s.Certificate())
			transport := patientTransport()
			transport.TLSClientConfig.RootCAs = roots
			target, err := newEndpoint(strings.Replace(s.URL, "127.0.0.1", test.host, 1) + "/oauth2/token")
			if err != nil {
				t.Fatal(err)
			}
			x := exchange{endpoint: target, clientID: testClient, transport: transport}
			_, failure := x.fetch(t.Context(), NewSecret(testSecret), nil)
			if test.want == "" {
				if failure != nil || reached.Load() != 1 {
					t.Errorf("the control: got %v", failure)
				}
				return
			}
			if failure == nil || failure.Reason() != ReasonNetwork || failure.Code() != codes.Unavailable || !strings.Contains(failure.Error(), test.want) {
				t.Errorf("got %v, want %s with %q in it", failure, ReasonNetwork, test.want)
			}
			if reached.Load() != 0 {
				t.Error("the request reached the server")
			}
		})
	}
}
