// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// hostility is a server under attack. When the test ends the server must have
// met no panic, still answer, and end.
type hostility struct {
	*Server

	addr string
	log  lockedBuffer
}

// lockedBuffer is what net/http writes its complaints to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newHostility(t *testing.T, opts ...Option) *hostility {
	t.Helper()
	h := &hostility{}
	s, err := NewServer(append(opts, WithPool(testPool()))...)
	if err != nil {
		t.Fatal(err)
	}
	h.Server = s
	_, h.addr, _ = strings.Cut(s.URL(), "://")
	s.http.ErrorLog = log.New(&h.log, "", 0)
	t.Cleanup(func() {
		if err := postToken(s.Transport(), s.TokenURL(), testID); err != nil {
			t.Errorf("in memory, afterwards: %v", err)
		}
		if s.http.TLSConfig == nil {
			if got := h.ask(t, h.wire(cc), false); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") {
				t.Errorf("over the network, afterwards: got %q, want 200", firstLine(got))
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if text := h.log.String(); strings.Contains(text, "panic") {
			t.Errorf("the server met a panic: %s", text)
		}
	})
	return h
}

// wire is a right token request with this body.
func (h *hostility) wire(body string, headers ...string) string {
	lines := append([]string{
		"POST /oauth2/token HTTP/1.1", "Host: " + h.addr, "Content-Type: application/x-www-form-urlencoded",
		"Authorization: " + basic().Get("Authorization"),
	}, headers...)
	if !strings.Contains(strings.Join(headers, ""), "Connection: ") {
		lines = append(lines, "Connection: close")
	}
	if !strings.Contains(strings.Join(headers, ""), "Transfer-Encoding") {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

func (h *hostility) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// ask sends the bytes and reads to the end. ends says that no more will come: net/http
// then takes the caller for gone, and may not answer any more.
func (h *hostility) ask(t *testing.T, request string, ends bool) string {
	t.Helper()
	conn := h.dial(t)
	_, _ = io.WriteString(conn, request) // the server may have hung up already
	if ends {
		_ = conn.CloseWrite()
	}
	answer, _ := io.ReadAll(conn)
	conn.Close()
	return string(answer)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\r\n")
	return line
}

func TestHostileRequests(t *testing.T) {
	t.Parallel()
	h := newHostility(t)
	long := strings.Repeat("a", 100<<10)
	chunked := "Transfer-Encoding: chunked"
	incomplete := map[string]bool{"header without an end": true, "line ends": true, "TLS to plaintext": true, "continue, without a body": true}
	for name, tc := range map[string]struct {
		request string
		want    string // how the answer begins; nothing: the connection is closed without one
	}{
		"right":                     {h.wire(cc), "HTTP/1.1 200 OK"},
		"HTTP/1.0":                  {strings.Replace(h.wire(cc), "HTTP/1.1", "HTTP/1.0", 1), "HTTP/1.0 200 OK"},
		"chunked":                   {h.wire("1d\r\n"+cc+"\r\n0\r\n\r\n", chunked), "HTTP/1.1 200 OK"},
		"huge header":               {h.wire(cc, "X-A: "+long), "HTTP/1.1 431 "},
		"many headers":              {h.wire(cc, strings.Repeat("X-A: b\r\n", 20_000)+"X-Z: z"), "HTTP/1.1 431 "},
		"huge request line":         {"POST /" + long + " HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 431 "},
		"header without an end":     {"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 1000), "HTTP/1.1 400 "},
		"nothing":                   {"", ""},
		"line ends":                 {strings.Repeat("\r\n", 1000), "HTTP/1.1 400 "},
		"noise":                     {strings.Repeat("\x00\xff\x16\x03", 1000) + "\r\n\r\n", "HTTP/1.1 400 "},
		"TLS to plaintext":          {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "HTTP/1.1 400 "},
		"no Host":                   {"POST /oauth2/token HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
		"two Hosts":                 {h.wire(cc, "Host: other"), "HTTP/1.1 400 "},
		"Host with noise":           {"POST /oauth2/token HTTP/1.1\r\nHost: \x00\r\n\r\n", "HTTP/1.1 400 "},
		"zero in a header":          {h.wire(cc, "X-A: a\x00b"), "HTTP/1.1 400 "},
		"header without a name":     {h.wire(cc, ": b"), "HTTP/1.1 400 "},
		"header folded":             {h.wire(cc, "X-A: a\r\n b"), "HTTP/1.1 200 OK"},
		"other version":             {"POST /oauth2/token HTTP/9.9\r\nHost: x\r\n\r\n", "HTTP/1.1 505 "},
		"HTTP/2 without TLS":        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "HTTP/1.1 405 "},
		"method with a space":       {"PO ST /oauth2/token HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 "},
		"CONNECT":                   {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n", "HTTP/1.1 405 "},
		"OPTIONS *":                 {"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 "},
		"absolute target":           {strings.Replace(h.wire(cc), "/oauth2/token", "http://evil.example/oauth2/token", 1), "HTTP/1.1 200 OK"},
		"path with a zero":          {strings.Replace(h.wire(cc), "/oauth2/token", "/oauth2/token%00", 1), "HTTP/1.1 405 "},
		"path with a bad escape":    {strings.Replace(h.wire(cc), "/oauth2/token", "/oauth2/%zz", 1), "HTTP/1.1 400 "},
		"path of slashes":           {strings.Replace(h.wire(cc), "/oauth2/token", strings.Repeat("/", 10_000), 1), "HTTP/1.1 405 "},
		"path of dots":              {strings.Replace(h.wire(cc), "/oauth2/token", "/my-prefix/../../../etc/passwd", 1), "HTTP/1.1 405 "},
		"upgrade":                   {h.wire(cc, "Connection: Upgrade, close", "Upgrade: websocket"), "HTTP/1.1 200 OK"},
		"chunk that is no number":   {h.wire("zz\r\n"+cc+"\r\n0\r\n\r\n", chunked), ""},
		"chunk that is huge":        {h.wire("ffffffffffffffff\r\n"+cc, chunked), ""},
		"chunk extension that ends": {h.wire("1;"+long, chunked), ""},
		"chunks that do not end":    {h.wire("1d\r\n"+cc+"\r\n", chunked), ""},
		"chunks beyond the limit":   {h.wire(strings.Repeat("400\r\n"+strings.Repeat("a", 1024)+"\r\n", 100)+"0\r\n\r\n", chunked), "HTTP/1.1 400 "},
		"two encodings":             {h.wire(cc, "Transfer-Encoding: gzip, chunked"), "HTTP/1.1 501 "},
		"body shorter than said":    {strings.Replace(h.wire(cc), "Content-Length: 29", "Content-Length: 1000", 1), ""},
		"body beyond the limit":     {h.wire(cc + "&x=" + long), "HTTP/1.1 400 "},
		"length of a terabyte":      {strings.Replace(h.wire(cc), "Content-Length: 29", "Content-Length: 1099511627776", 1), ""},
		"negative length":           {strings.Replace(h.wire(cc), "Content-Length: 29", "Content-Length: -1", 1), "HTTP/1.1 400 "},
		"two lengths":               {h.wire(cc, "Content-Length: 5"), "HTTP/1.1 400 "},
		"continue, without a body":  {strings.TrimSuffix(h.wire(cc, "Expect: 100-continue"), cc), "HTTP/1.1 100 Continue\r\n\r\n"},
		"unknown expectation":       {h.wire(cc, "Expect: x"), "HTTP/1.1 417 "},
		"1000 parameters":           {h.wire(cc + strings.Repeat("&x=1", 1000)), "HTTP/1.1 400 "},
		"5000 parameters":           {h.wire(cc + manyParameters(5000)), "HTTP/1.1 200 OK"},
		"scope of 60 kB":            {h.wire(cc + "&scope=" + strings.Repeat("a+", 30_000)), "HTTP/1.1 400 "},
		"Basic of 60 kB":            {strings.Replace(h.wire(cc), basic().Get("Authorization"), "Basic "+strings.Repeat("YTph", 15_000), 1), "HTTP/1.1 400 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := h.ask(t, tc.request, tc.want == "" || incomplete[name])
			if !strings.HasPrefix(got, tc.want) || tc.want == "" && got != "" {
				t.Errorf("got %q, want %q", firstLine(got), tc.want)
			}
			if strings.Contains(tc.want, " 200 ") != strings.Contains(got, "access_token") {
				t.Errorf("got %q: a token where there must be none, or none", firstLine(got))
			}
		})
	}
}

func manyParameters(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "&%x=", i)
	}
	return b.String()
}

// Requests that were sent without waiting are answered in their order.
func TestPipelining(t *testing.T) {
	t.Parallel()
	h := newHostility(t)
	conn := h.dial(t)
	const n = 50
	var requests strings.Builder
	for i := range n {
		if i%2 == 0 {
			requests.WriteString(h.wire(cc, "Connection: keep-alive"))
		} else {
			requests.WriteString(h.wire("grant_type=x", "Connection: keep-alive"))
		}
	}
	go func() { _, _ = io.WriteString(conn, requests.String()) }()
	answers, seen := bufio.NewReader(conn), make(map[string]bool)
	for i := range n {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := []int{200, 400}[i%2]; err != nil || resp.StatusCode != want || seen[string(body)] && want == 200 {
			t.Fatalf("answer %d: got %d, %v, want %d and a token of its own", i, resp.StatusCode, err, want)
		}
		seen[string(body)] = true
	}
}

// A body that comes slowly holds nobody else, and one that never ends holds Close no longer.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	h := newHostility(t)
	request := h.wire(cc)
	half := len(request) - 10
	slow, never := h.dial(t), h.dial(t)
	for _, conn := range []net.Conn{slow, never} {
		if _, err := io.WriteString(conn, request[:half]); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if got := h.ask(t, request, false); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("meanwhile: got %q, want 200", firstLine(got))
		}
	}
	for i := half; i < len(request); i++ {
		if _, err := io.WriteString(slow, request[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("slow: got %d, want 200", resp.StatusCode)
	}
	if s := h.http; s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Errorf("a slow or large request has no limit: %v, %v, %d bytes", s.ReadHeaderTimeout, s.ReadTimeout, s.MaxHeaderBytes)
	}
	// The request that never ends is still there when the server is closed.
}

// Connections are cut at every byte of a request, orderly and with a reset.
func TestCutConnections(t *testing.T) {
	t.Parallel()
	h := newHostility(t)
	request := h.wire(cc)
	for at := 0; at <= len(request); at += 7 {
		for _, reset := range []bool{false, true} {
			conn := h.dial(t)
			if _, err := io.WriteString(conn, request[:at]); err != nil {
				t.Fatal(err)
			}
			if reset {
				if err := conn.SetLinger(0); err != nil {
					t.Fatal(err)
				}
			}
			conn.Close()
		}
	}
}

// Callers that do not read their answers hold nobody else.
func TestCallersThatDoNotRead(t *testing.T) {
	t.Parallel()
	h := newHostility(t)
	h.SetFault(JWKSEndpoint, Fault{BodySize: 1 << 30})
	get := "GET /" + testPoolID + "/.well-known/jwks.json HTTP/1.1\r\nHost: " + h.addr + "\r\n\r\n"
	for range 50 {
		conn := h.dial(t)
		if _, err := io.WriteString(conn, get); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.ask(t, h.wire(cc), false); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("meanwhile: got %q, want 200", firstLine(got))
	}
}

// Streams of one HTTP/2 connection are canceled at any moment, and some are right.
func TestHostileHTTP2(t *testing.T) {
	t.Parallel()
	cfg, roots := selfSigned(t)
	h := newHostility(t, WithTLS(cfg))
	rt := dialServer(t, h.Server, roots, true)
	ask := func(ctx context.Context, body io.Reader, read int64) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.TokenURL(), body)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header = basic()
		resp, err := rt.RoundTrip(req)
		if err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, resp.Body, read)
		resp.Body.Close()
	}
	const hanging = 20
	h.SetFault(TokenEndpoint, Fault{Hang: true, Times: hanging}, Fault{Cut: true, Times: 20}, Fault{BodySize: 1 << 20, Times: 20})
	var callers sync.WaitGroup
	all, cancelAll := context.WithCancel(t.Context())
	defer cancelAll()
	for range hanging {
		callers.Go(func() { ask(all, strings.NewReader(cc), 1) })
	}
	for h.Counts().TokensFaulted < hanging {
		time.Sleep(time.Millisecond)
	}
	cancelAll()
	for i := range 100 {
		callers.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ask(ctx, &trickle{text: cc, after: i % len(cc), then: cancel}, int64(i))
		})
	}
	callers.Wait()
	h.ClearFaults()
	resp, body := exchange(t, rt, http.MethodPost, h.TokenURL(), cc, basic())
	row{status: 200, want: issued, scope: "demo/read.file demo/write.file"}.check(t, resp, body)
	if resp.ProtoMajor != 2 {
		t.Errorf("got HTTP/%d, want 2", resp.ProtoMajor)
	}
	// Headers beyond the limit end the stream and not the connection.
	header := basic()
	header.Set("X-A", strings.Repeat("a", 200<<10))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.TokenURL(), strings.NewReader(cc))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	if resp, err := rt.RoundTrip(req); err == nil {
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			t.Error("huge headers: got a token, want a refusal")
		}
	}
	resp, body = exchange(t, rt, http.MethodPost, h.TokenURL(), cc, basic())
	row{status: 200, want: issued, scope: "demo/read.file demo/write.file"}.check(t, resp, body)
}

// trickle is a body of which each third cancels its own request in the middle.
type trickle struct {
	text  string
	after int
	then  func()
	at    int
}

func (b *trickle) Read(p []byte) (int, error) {
	if b.at == len(b.text) {
		return 0, io.EOF
	}
	if b.at == b.after && b.after%3 == 0 {
		b.then()
		return 0, errors.New("gone")
	}
	n := copy(p[:1], b.text[b.at:])
	b.at += n
	return n, nil
}
