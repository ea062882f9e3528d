// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestSeed(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithKeys(testKeys()[0]))
	p := s.Pool("s2s-test")
	c := p.Client("sts-test-app-client")
	if !strings.HasPrefix(s.URL(), "http://127.0.0.1:") {
		t.Errorf("URL: got %s, want a loopback address", s.URL())
	}
	for name, got := range map[string]bool{
		"pool id":       poolIDPattern.MatchString(p.ID()) && len(p.ID()) == len("us-east-1_XXXXXXXXX"),
		"client id":     len(c.ID) == 26 && strings.Trim(c.ID, lowerBase32Hex) == "",
		"client secret": len(c.Secret) == 52 && strings.Trim(c.Secret, lowerBase32Hex) == "",
		"token URL":     s.TokenURL() == s.URL()+"/s2s-test/oauth2/token",
		"issuer":        s.Issuer() == s.URL()+"/"+p.ID(),
		"JWKS URL":      s.JWKSURL() == s.Issuer()+"/.well-known/jwks.json",
	} {
		if !got {
			t.Errorf("%s is not as it should be: pool %s, client %s, %s, %s, %s", name, p.ID(), c.ID, s.TokenURL(), s.Issuer(), s.JWKSURL())
		}
	}
	if _, payload := parts(t, getToken(t, s, "")); !strings.Contains(payload, `"scope":"demo/read.file demo/write.file"`) {
		t.Errorf("got %s, want both scopes", payload)
	}
	other := newServer(t, WithKeys(testKeys()[0]), WithoutListener()).Pool("s2s-test")
	if other.ID() == p.ID() || other.Client("sts-test-app-client").ID == c.ID || other.Client("sts-test-app-client").Secret == c.Secret {
		t.Error("a second server has the first one's id or secret")
	}
}

func TestCloseEndsWhatRuns(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()))
	s.SetFault(TokenEndpoint, Fault{Hang: true})
	var calls sync.WaitGroup
	for way, rt := range transports(t, s) {
		calls.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.TokenURL(), strings.NewReader(cc))
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := rt.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
				t.Errorf("%s: got status %d, want an error", way, resp.StatusCode)
			}
		})
	}
	for s.Counts().TokensFaulted < 2 {
		time.Sleep(time.Millisecond) // until both hang
	}
	var closes sync.WaitGroup
	for range 3 {
		closes.Go(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	closes.Wait()
	calls.Wait()
	if s.life.running != 0 {
		t.Errorf("after Close: got %d that run, want 0", s.life.running)
	}
	if err := requestError(s.Transport(), mustRequest(t, s.JWKSURL())); !errors.Is(err, errClosed) {
		t.Errorf("memory, after Close: got %v, want %v", err, errClosed)
	}
	select {
	case <-s.served: // net/http closes the listener before. Its port may be somebody else's by now.
	default:
		t.Error("network, after Close: connections are still accepted")
	}
}

func mustRequest(t *testing.T, address string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestAddressesThatOthersCanReach(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:80", "example.com:80", "127.0.0.1.example.com:80"} {
		_, err := NewServer(WithAddr(addr))
		if err == nil || !strings.Contains(err.Error(), "plain HTTP on "+addr) {
			t.Errorf("%s: got %v, want a refusal", addr, err)
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0"} {
		newServer(t, WithAddr(addr), WithKeys(testKeys()[0]))
	}
	for _, addr := range []string{"127.1.2.3:80", "[::1]:80", "[::ffff:127.0.0.1]:80"} {
		if !namesLoopback(addr) {
			t.Errorf("%s: got a refusal, want loopback", addr)
		}
	}
	s := newServer(t, WithAddr("0.0.0.0:0"), WithPlaintextOnNonLoopbackAddress(), WithKeys(testKeys()[0]))
	if !strings.HasPrefix(s.URL(), "http://localhost:") {
		t.Errorf("URL: got %s, want one that can be dialed", s.URL())
	}
	if _, err := NewServer(WithAddr("127.0.0.1")); err == nil {
		t.Error("no port: got no error")
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cfg, roots := selfSigned(t)
	s := newServer(t, WithPool(testPool()), WithTLS(cfg))
	for _, http2 := range []bool{false, true} {
		rt := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: http2, DisableKeepAlives: !http2}
		resp, body := exchange(t, rt, http.MethodPost, s.TokenURL(), cc, basic())
		rt.CloseIdleConnections()
		row{status: 200, want: issued, scope: "demo/read.file demo/write.file"}.check(t, resp, body)
		if want := map[bool]int{false: 1, true: 2}[http2]; resp.ProtoMajor != want {
			t.Errorf("got HTTP/%d, want %d", resp.ProtoMajor, want)
		}
	}
	if !strings.HasPrefix(s.Issuer(), "https://127.0.0.1:") {
		t.Errorf("issuer: got %s, want https", s.Issuer())
	}
	if _, err := NewServer(WithTLS(&tls.Config{})); err == nil {
		t.Error("TLS without a certificate: got no error")
	}
}

func TestWithURL(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithURL("https://Cognito.Example/"), WithoutListener())
	if got, want := s.Issuer(), "https://Cognito.Example/eu-central-1_Ab3dEf9hI"; got != want {
		t.Errorf("issuer: got %s, want %s", got, want)
	}
	getToken(t, s, "")
	for _, u := range []string{"cognito.example", "https://cognito.example/path", "ftp://x", "https://", "https://a b", "https://x?y"} {
		if _, err := NewServer(WithURL(u), WithoutListener()); err == nil {
			t.Errorf("%q: got no error", u)
		}
	}
}

func TestCountsAndRecord(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener(), fixedClock())
	for _, r := range []struct{ body, id, secret string }{
		{cc + "&scope=demo/admin+demo/read.file++demo/admin", testID, testSecret},
		{cc, testID, "wrong-secret-wrong-secret"},
		{cc, testSecret, testSecret}, // a secret in the wrong place
		{"%", testID, testSecret},
	} {
		exchange(t, s.Transport(), http.MethodPost, s.TokenURL(), r.body, formHeader(r.id, r.secret))
	}
	exchange(t, s.Transport(), http.MethodGet, s.TokenURL(), "", nil)
	exchange(t, s.Transport(), http.MethodGet, s.JWKSURL(), "", nil)
	if got, want := s.Counts(), (Counts{TokenRequests: 5, TokensIssued: 1, TokensRefused: 4, JWKSRequests: 1}); got != want {
		t.Errorf("counts: got %+v, want %+v", got, want)
	}
	got := s.TokenRequests()
	if len(got) != 5 {
		t.Fatalf("record: got %d entries, want 5", len(got))
	}
	first := got[0]
	if !slices.Equal(first.Asked, []string{"demo/admin", "demo/read.file", "demo/admin"}) || !slices.Equal(first.Granted, []string{"demo/read.file"}) ||
		!slices.Equal(first.Dropped(), []string{"demo/admin"}) || first.ClientID != testID || first.Client != "sts-test-app-client" ||
		first.Status != 200 || first.Pool != testPoolID || !first.Time.Equal(testNow) {
		t.Errorf("record: got %+v", first)
	}
	if e := got[1]; e.ClientID != testID || e.Status != 400 || e.Error != "invalid_client" || e.Dropped() != nil {
		t.Errorf("record of a wrong secret: got %+v", e)
	}
	if e := got[2]; e.ClientID != "" || e.Client != "" {
		t.Errorf("record of an unknown client: got %+v, want no name", e)
	}
	if e := got[4]; e.Status != 405 || e.Error != "" {
		t.Errorf("record of a GET: got %+v", e)
	}
	if text := fmt.Sprintf("%+v", got); strings.Contains(text, testSecret) || strings.Contains(text, "wrong-secret") {
		t.Error("record: a secret is in it")
	}
	got[0].Granted[0] = "changed"
	if s.TokenRequests()[0].Granted[0] != "demo/read.file" {
		t.Error("the record can be changed from outside")
	}
}

func TestRecordIsBounded(t *testing.T) {
	t.Parallel()
	var log requestLog
	for i := range recordLimit + 3 {
		log.add(TokenRequest{Status: i})
	}
	got := log.all()
	if len(got) != recordLimit || got[0].Status != 3 || got[len(got)-1].Status != recordLimit+2 {
		t.Errorf("got %d entries from %d to %d, want the last %d", len(got), got[0].Status, got[len(got)-1].Status, recordLimit)
	}
	asked := askedScopes(strings.Repeat("a", 10_000) + strings.Repeat(" b", 1000))
	if len(asked) != askedLimit || len(asked[0]) != scopeLimit {
		t.Errorf("got %d scopes, first of %d bytes, want %d and %d", len(asked), len(asked[0]), askedLimit, scopeLimit)
	}
}

func TestRow34Throttle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, WithoutListener(), WithKeys(testKeys()[0]), WithThrottle(3))
		ask := func() int {
			resp, _ := exchange(t, s.Transport(), http.MethodPost, s.TokenURL(), "grant_type=x", basic())
			return resp.StatusCode
		}
		var got []int
		for range 4 {
			got = append(got, ask())
		}
		time.Sleep(time.Second / 3)
		got = append(got, ask(), ask())
		time.Sleep(time.Minute)
		for range 4 {
			got = append(got, ask())
		}
		if want := []int{400, 400, 400, 429, 400, 429, 400, 400, 400, 429}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := s.Counts(); got.TokensThrottled != 3 || got.TokensRefused != 10 {
			t.Errorf("counts: got %+v, want 10 refused, 3 of them throttled", got)
		}
	})
}

func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "client", s.Pool("s2s-test").Client(testID), "config", testPool().Clients[0])
	for _, v := range []any{s.Pool("s2s-test").Client(testID), testPool().Clients[0], testPool(), &testPool().Clients[0]} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			text := fmt.Sprintf(verb, v)
			if strings.Contains(text, testSecret) || strings.Contains(text, fmt.Sprintf("%x", testSecret)) {
				t.Errorf("%T with %s: the secret is in it", v, verb)
			}
		}
	}
	if strings.Contains(logged.String(), testSecret) || !strings.Contains(logged.String(), testID) {
		t.Errorf("slog: got %s, want the id and no secret", &logged)
	}
	if text := fmt.Sprintf("%+v", Client{Name: "n"}); strings.Contains(text, redacted) {
		t.Errorf("a client without secrets: got %s", text)
	}
}

// TestEverythingAtOnce is for the race detector.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	pairs := testKeys()
	s := newServer(t, WithPool(testPool()))
	p := s.Pool("s2s-test")
	ways := transports(t, s)
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() {
			for n := range 10 {
				if err := tryToken(t, s); err != nil {
					t.Error(err)
				}
				for _, address := range []string{s.JWKSURL(), s.Issuer() + "/.well-known/openid-configuration"} {
					resp, err := ways["network"].RoundTrip(mustRequest(t, address))
					if err != nil {
						t.Error(err)
						continue
					}
					resp.Body.Close()
				}
				if _, err := p.Mint(MintSpec{}); err != nil {
					t.Error(err)
				}
				_, _, _ = s.Counts(), s.TokenRequests(), p.Client(testID)
				switch i {
				case 0:
					if err := p.RotateKeysTo(pairs[(n+1)%3], n%2); err != nil && n%2 == 0 {
						t.Log(err) // the pair may still be published
					}
					if err := p.DropOldKeys(); err != nil {
						t.Error(err)
					}
				case 1:
					s.SetFault(DiscoveryEndpoint, Fault{Latency: time.Microsecond, Times: 1})
					p.SetFault(JWKSEndpoint, Fault{Status: 503, Times: 1})
					s.ClearFaults()
				case 2:
					_, _ = p.AddClientSecret("two-secrets")
					_ = p.DeleteClientSecret("two-secrets")
				default:
					_ = p.RemoveScope("demo/write.file")
				}
			}
		})
	}
	work.Wait()
	if got := s.Counts().TokensIssued; got != 40 {
		t.Errorf("got %d tokens, want 40", got)
	}
}

func TestCloseWhileRequestsCome(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()))
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for _, rt := range transports(t, s) {
		work.Go(func() {
			for ctx.Err() == nil {
				resp, err := rt.RoundTrip(mustRequest(t, s.JWKSURL()))
				if err != nil {
					return
				}
				resp.Body.Close()
			}
		})
	}
	for s.Counts().JWKSRequests < 10 {
		time.Sleep(time.Millisecond)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	work.Wait()
}
