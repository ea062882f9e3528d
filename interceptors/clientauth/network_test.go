// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// networkFetch makes one request to url over the real network. With trust the
// server's certificate is among the roots.
func networkFetch(t *testing.T, url string, trust *httptest.Server) (response, *Error) {
	t.Helper()
	transport := patientTransport()
	transport.Proxy = nil
	if trust != nil {
		transport.TLSClientConfig.RootCAs = trust.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	}
	target, err := newEndpoint(url)
	if err != nil {
		t.Fatal(err)
	}
	x := exchange{endpoint: target, clientID: testClient, transport: transport}
	return x.fetch(t.Context(), NewSecret(testSecret), nil)
}

// patientTransport is that of sources without the bounds of an attempt's parts: the
// servers of tests answer at once, and on a busy machine that may take longer.
func patientTransport() *http.Transport {
	transport := newTransport()
	transport.DialContext, transport.TLSHandshakeTimeout, transport.ResponseHeaderTimeout = nil, 0, 0
	return transport
}

func tlsServer(t *testing.T, h http.HandlerFunc, change func(*httptest.Server)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if change != nil {
		change(s)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func writeToken(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	_, _ = io.WriteString(w, ok(0, 3600).body)
}

func TestOverTLS(t *testing.T) {
	t.Parallel()
	s := tlsServer(t, writeToken, nil)
	got, err := networkFetch(t, s.URL+"/oauth2/token", s)
	if err != nil || got.token != opaque(0) {
		t.Fatalf("got %v, want token 0", err)
	}
}

func TestNetworkFaults(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		handler http.HandlerFunc
		change  func(*httptest.Server)
		trust   bool
		url     func(string) string
		want    string
	}{
		"unknown authority": {handler: writeToken, want: "certificate does not hold"},
		"wrong name":        {handler: writeToken, trust: true, url: func(u string) string { return strings.Replace(u, "127.0.0.1", "localhost", 1) }, want: "certificate does not hold"},
		"TLS 1.1": {handler: writeToken, trust: true, want: "protocol version", change: func(s *httptest.Server) {
			s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		}},
		"reset after the request": {trust: true, want: "EOF", handler: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		}},
		"body cut off": {trust: true, want: "EOF", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"access_token":"`)
		}},
		"malformed answer with the secret": {trust: true, want: "HTTP exchange failed", handler: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 2xx %s\r\n\r\n", testSecret)
				_ = conn.Close()
			}
		}},
		"refused": {handler: writeToken, want: "connection refused", change: nil, url: func(string) string { return "https://" + closedPort(t) + "/oauth2/token" }},
		"unknown host": {handler: writeToken, want: "lookup", url: func(string) string {
			return "https://files.invalid/oauth2/token" // RFC 6761: never exists
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tlsServer(t, test.handler, test.change)
			url := s.URL + "/oauth2/token"
			if test.url != nil {
				url = test.url(url)
			}
			var trust *httptest.Server
			if test.trust {
				trust = s
			}
			_, err := networkFetch(t, url, trust)
			if err == nil {
				t.Fatal("got no error")
			}
			if err.Reason() != ReasonNetwork || err.Code() != codes.Unavailable || !err.transient {
				t.Errorf("got %s %s, want %s %s, transient", err.Reason(), err.Code(), ReasonNetwork, codes.Unavailable)
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), testSecret) {
				t.Errorf("got %q, want %q in it and no secret", err, test.want)
			}
			if cause := errors.Unwrap(err); cause != nil && strings.Contains(fmt.Sprintf("%v %+v", cause, cause), testSecret) {
				t.Errorf("the cause has the secret: %v", cause)
			}
		})
	}
}

// closedPort returns an address where nobody listens. A connection holds its port until
// the end of the test: what a listener gives up, another test's server may get.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // the connection is never accepted, and would end with it
	holder, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holder.Close() })
	return holder.LocalAddr().String()
}

func TestPlainServerOnHTTPS(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(writeToken))
	defer s.Close()
	_, err := networkFetch(t, strings.Replace(s.URL, "http:", "https:", 1), nil)
	if err == nil || err.Reason() != ReasonNetwork || !strings.Contains(err.Error(), "plain HTTP") {
		t.Errorf("got %v, want a text about plain HTTP", err)
	}
}

// TestRedirectIsNotFollowed: the secret reaches no second server.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	for _, code := range []int{301, 302, 303, 307, 308} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			var reached atomic.Int64
			second := tlsServer(t, func(w http.ResponseWriter, r *http.Request) { reached.Add(1); writeToken(w, r) }, nil)
			first := tlsServer(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, second.URL, code) }, nil)
			_, err := networkFetch(t, first.URL+"/oauth2/token", first)
			if err == nil || err.Reason() != ReasonRedirect {
				t.Errorf("got %v, want %s", err, ReasonRedirect)
			}
			if n := reached.Load(); n != 0 {
				t.Errorf("the second server got %d requests, want 0", n)
			}
		})
	}
}

// TestCompressedAnswer: an answer that was not asked for in this form is not
// inflated.
func TestCompressedAnswer(t *testing.T) {
	t.Parallel()
	var asked atomic.Value
	s := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Header.Get("Accept-Encoding"))
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
	}, nil)
	_, err := networkFetch(t, s.URL, s)
	if err == nil || err.Reason() != ReasonResponse {
		t.Errorf("got %v, want %s", err, ReasonResponse)
	}
	if got := asked.Load(); got != "" {
		t.Errorf("Accept-Encoding: got %q, want none", got)
	}
}

func TestTransportBounds(t *testing.T) {
	t.Parallel()
	transport := newTransport()
	if transport.TLSClientConfig.MinVersion != tls.VersionTLS12 || transport.TLSClientConfig.InsecureSkipVerify {
		t.Error("TLS before 1.2 or without verification is allowed")
	}
	if transport.TLSHandshakeTimeout != 3*time.Second || transport.ResponseHeaderTimeout != 4*time.Second {
		t.Error("a part of an attempt has no bound")
	}
	if transport.Proxy == nil {
		t.Error("the environment's proxy is not used")
	}
}

// TestNoProxyForPlainHTTP: only loopback hosts have it, under whatever name.
func TestNoProxyForPlainHTTP(t *testing.T) {
	t.Setenv("http_proxy", "http://proxy.example.com:3128")
	t.Setenv("HTTP_PROXY", "http://proxy.example.com:3128")
	for _, url := range []string{"http://LOCALHOST:8080/oauth2/token", "http://127.0.0.1:8080/", "http://[::ffff:127.0.0.1]:8080/"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if proxy, err := proxyFromEnvironment(req); proxy != nil || err != nil {
			t.Errorf("%s: got the proxy %v, %v, want none", url, proxy, err)
		}
	}
}

// TestNothingIsKeptBetweenRequests: each has a connection of its own.
func TestNothingIsKeptBetweenRequests(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	s := tlsServer(t, writeToken, func(s *httptest.Server) {
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				opened.Add(1)
			}
		}
	})
	target, err := newEndpoint(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	x := exchange{endpoint: target, clientID: testClient, transport: trusting(s)}
	for range 3 {
		if _, err := x.fetch(t.Context(), NewSecret(testSecret), nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := opened.Load(); got != 3 {
		t.Errorf("got %d connections for 3 requests, want 3", got)
	}
}

func TestHugeHeaderIsNotRead(t *testing.T) {
	t.Parallel()
	s := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Filler", strings.Repeat("x", 2*maxBody))
		writeToken(w, r)
	}, nil)
	if _, err := networkFetch(t, s.URL, s); err == nil || err.Reason() != ReasonNetwork {
		t.Errorf("got %v, want %s", err, ReasonNetwork)
	}
}

// TestHangingServer: a server that never answers ends with the request's context,
// which is the attempt's.
func TestHangingServer(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	s := tlsServer(t, func(_ http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
	}, nil)
	defer close(release)
	c, err := NewClientCredentials(Config{TokenURL: s.URL, ClientID: testClient, Secret: StaticSecret(testSecret)},
		WithTransport(trusting(s)), WithLogger((&logBuffer{}).logger()))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Warm(t.Context()) }()
	<-arrived
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wantReason(t, <-done, ReasonClosed, codes.Canceled)
}

// TestForeignEnds: the end of a request's own context is not passed on as a cause, where a
// caller would take it for the end of its own, nor is the end of its connection, which a
// caller would take for the good end of a stream.
func TestForeignEnds(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"canceled":         fmt.Errorf("x: %w", context.Canceled),
		"deadline":         fmt.Errorf("x: %w", context.DeadlineExceeded),
		"canceled dialing": &net.OpError{Op: "dial", Net: "tcp", Err: context.Canceled},
		"dialing too long": &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded},
		"reading too long": &net.OpError{Op: "read", Net: "tcp", Err: context.DeadlineExceeded},
		"name service":     &net.DNSError{Err: "timeout", Name: "x", IsTimeout: true, UnwrapErr: context.DeadlineExceeded},
		"hung up":          fmt.Errorf("x: %w", io.EOF),
		"a proxy hung up":  &net.OpError{Op: "proxyconnect", Net: "tcp", Err: io.EOF},
	} {
		if text, cause := describe(err); text == "" || cause != nil {
			t.Errorf("%s: got %q with the cause %v, want a text and no cause", name, text, cause)
		}
	}
}

// TestPeerThatSpeaksSomethingElse: what it said is not told, nor kept in the cause.
func TestPeerThatSpeaksSomethingElse(t *testing.T) {
	t.Parallel()
	text, cause := describe(fmt.Errorf("wrapped: %w", tls.RecordHeaderError{Msg: "no TLS", RecordHeader: [5]byte([]byte("LEAKS"))}))
	if text != "it does not speak TLS" || cause != nil {
		t.Errorf("got %q with the cause %v, want that it does not speak TLS", text, cause)
	}
}

// TestHugeBodyClosesTheConnection: the endpoint cannot go on sending.
func TestHugeBodyClosesTheConnection(t *testing.T) {
	t.Parallel()
	sent, ended := 0, make(chan struct{})
	s := tlsServer(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		w.Header().Set("Content-Type", "application/json")
		piece := make([]byte, 64<<10)
		for range 1600 { // 100 MiB
			n, err := w.Write(piece)
			sent += n
			if err != nil {
				return
			}
		}
	}, nil)
	_, err := networkFetch(t, s.URL, s)
	if err == nil || err.Reason() != ReasonResponse || err.Code() != codes.Unavailable {
		t.Errorf("got %v, want %s", err, ReasonResponse)
	}
	<-ended
	if sent > 50<<20 { // what buffers on the way hold is much less
		t.Errorf("the endpoint could send %d bytes", sent)
	}
}
