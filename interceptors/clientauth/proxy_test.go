// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"bufio"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// proxyChild is set in the process that asks through the proxy. The environment of
// proxies is read once in each process.
const proxyChild = "SCOPEAUTH_TEST_PROXY_CHILD"

// TestProxyChild is the program behind the proxy: everything is from its environment.
func TestProxyChild(t *testing.T) {
	if os.Getenv(proxyChild) == "" {
		t.Skip("it is started by TestProxyFromTheEnvironment")
	}
	c, err := FromEnv(WithLogger((&logBuffer{}).logger()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	token, err := c.Token(t.Context(), Request{})
	if err == nil && token.Value() == opaque(0) {
		t.Log("outcome: a token")
		return
	}
	t.Logf("outcome: %v", err)
}

// connectProxy tunnels what it is asked to connect to one address, whatever the name.
type connectProxy struct {
	listener net.Listener
	to       string
	status   string // the answer to CONNECT

	mu sync.Mutex
	// asked are the request lines with their Proxy-Authorization, and passed is what
	// clients sent through.
	asked  []string
	passed bytes.Buffer
}

func newConnectProxy(t *testing.T, to, status string) *connectProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &connectProxy{listener: listener, to: to, status: status}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
	})
	return p
}

func (p *connectProxy) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	req, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, fmt.Sprint(req.Method, " ", req.RequestURI, " ", req.Header.Get("Proxy-Authorization")))
	p.mu.Unlock()
	_, _ = io.WriteString(conn, "HTTP/1.1 "+p.status+"\r\n\r\n")
	if p.status != "200 OK" {
		return
	}
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(io.MultiWriter(server, p), reader)
		_ = server.Close()
	})
	_, _ = io.Copy(conn, server)
	_ = conn.Close()
	wg.Wait()
}

// Write notes what passes from the client.
func (p *connectProxy) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed.Write(b)
}

// TestProxyFromTheEnvironment: HTTPS_PROXY is used, the token endpoint's name goes to
// the proxy and nothing readable with it, and an error has no password.
func TestProxyFromTheEnvironment(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the program takes its roots from SSL_CERT_FILE")
	}
	const host = "files.auth.example.com"
	for status, want := range map[string]string{
		"200 OK":                            "outcome: a token",
		"407 Proxy Authentication Required": "outcome: clientauth: token endpoint https://" + host + "/oauth2/token: the proxy 127.0.0.1:PORT refuses to connect to it (HTTP status 407): check the user and the password in the proxy's URL (HTTPS_PROXY)",
		"502 Bad Gateway":                   "outcome: clientauth: token endpoint https://" + host + "/oauth2/token: the proxy 127.0.0.1:PORT refuses to connect to it (HTTP status 502)",
	} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			s := tlsServer(t, writeToken, certified(t, host, time.Now().Add(time.Hour)))
			proxy := newConnectProxy(t, s.Listener.Addr().String(), status)
			roots := filepath.Join(t.TempDir(), "roots.pem")
			if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyChild$", "-test.v", "-test.count=1")
			child.Env = []string{
				proxyChild + "=1", "HTTPS_PROXY=http://me:" + hiddenToken + "@" + proxy.listener.Addr().String(), "SSL_CERT_FILE=" + roots, "TMPDIR=" + t.TempDir(),
				"COGNITO_TOKEN_URL=https://" + host + "/oauth2/token", "COGNITO_CLIENT_ID=" + testClient, "COGNITO_CLIENT_SECRET=" + hiddenSecret,
			}
			output, err := child.CombinedOutput()
			want := strings.ReplaceAll(want, "127.0.0.1:PORT", proxy.listener.Addr().String())
			if err != nil || !strings.Contains(string(output), want) {
				t.Errorf("got %v, want %q in\n%s", err, want, output)
			}
			hidden(t, "the program", string(output))
			proxy.mu.Lock()
			defer proxy.mu.Unlock()
			if len(proxy.asked) == 0 || !strings.HasPrefix(proxy.asked[0], "CONNECT "+host+":443 Basic ") {
				t.Errorf("the proxy was asked %q, want to connect to %s", proxy.asked, host)
			}
			hidden(t, "the tunnel", proxy.passed.String())
			if status == "200 OK" && proxy.passed.Len() == 0 {
				t.Error("nothing went through the proxy")
			}
		})
	}
}
