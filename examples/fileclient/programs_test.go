// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// world is the embedded Cognito with several app clients, and the fileserver as a
// program of its own that trusts it.
type world struct {
	cognito *cognitotest.Server
	pool    *cognitotest.UserPool
	addr    string
	ca      string
	said    bytes.Buffer // all that client and server printed, for the last check
}

const (
	both     = "both"     // may read and write
	reader   = "reader"   // may read
	byAPI    = "api"      // may read; gets its tokens from the API
	stranger = "stranger" // may do both, and is not on the server's list
)

// poolKeys are made once, and before anybody waits for them: a pool without keys makes
// them while it answers the server's first request for them, which has a bound.
var poolKeys = sync.OnceValues(cognitotest.GenerateKeys)

func begin(t *testing.T) *world {
	t.Helper()
	w := &world{ca: filepath.Join(t.TempDir(), "ca.pem")}
	pool := cognitotest.DemoPool()
	all := []string{"demo/read.file", "demo/write.file"}
	pool.Clients = []cognitotest.Client{
		{Name: both, AllowedOAuthScopes: all},
		{Name: reader, AllowedOAuthScopes: all[:1]},
		{Name: byAPI, AllowedOAuthScopes: all[:1], ExplicitAuthFlows: []string{"ALLOW_CLIENT_TOKEN_AUTH"}},
		{Name: stranger, AllowedOAuthScopes: all},
	}
	keys, err := poolKeys()
	if err != nil {
		t.Fatal(err)
	}
	if w.cognito, err = cognitotest.NewServer(cognitotest.WithPool(pool), cognitotest.WithKeys(keys)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.cognito.Close() })
	w.pool = w.cognito.Pool(pool.Name)
	binary := filepath.Join(t.TempDir(), "fileserver")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/scopeauth/scopeauth/examples/fileserver").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	server := exec.Command(binary, "-addr", "127.0.0.1:0")
	server.Env = append(os.Environ(),
		"FILES_ROOT="+t.TempDir(),
		"COGNITO_USER_POOL_ID="+w.pool.ID(), "COGNITO_ISSUER="+w.pool.Issuer(), "COGNITO_JWKS_URL="+w.pool.JWKSURL(),
		fmt.Sprintf("COGNITO_CLIENTS=both=%s,reader=%s,api=%s", w.pool.Client(both).ID, w.pool.Client(reader).ID, w.pool.Client(byAPI).ID),
		"CA_OUT="+w.ca,
	)
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := server.Wait(); err != nil {
			t.Errorf("the server ended with %v, want exit code 0\n%s", err, log.String())
		}
		w.said.Write(log.Bytes())
		w.check(t)
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "fileserver: listening on ")
	if err != nil || !ok {
		t.Fatalf("the server said %q, %v\n%s", line, err, log.String())
	}
	w.addr = addr
	return w
}

// check looks for secrets and tokens in everything that was printed.
func (w *world) check(t *testing.T) {
	t.Helper()
	for _, name := range w.pool.ClientNames() {
		if secret := w.pool.Client(name).Secret; strings.Contains(w.said.String(), secret) {
			t.Errorf("the secret of %s was printed", name)
		}
	}
	if strings.Contains(w.said.String(), "eyJ") {
		t.Error("a token, or a part of one, was printed")
	}
	if !strings.Contains(w.said.String(), "client_name=reader") {
		t.Errorf("the server's log does not name the caller:\n%s", w.said.String())
	}
}

// run runs the client program as an app client.
func (w *world) run(t *testing.T, client, stdin string, change map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	credentials := w.pool.Client(client)
	variables := map[string]string{
		"ADDR": w.addr, "CA": w.ca, "COGNITO_TOKEN_URL": w.pool.TokenURL(),
		"COGNITO_CLIENT_ID": credentials.ID, "COGNITO_CLIENT_SECRET": credentials.Secret,
	}
	maps.Copy(variables, change)
	var out, errs bytes.Buffer
	code = run(t.Context(), args, environment(variables), strings.NewReader(stdin), &out, &errs)
	w.said.Write(out.Bytes())
	w.said.Write(errs.Bytes())
	return code, out.String(), errs.String()
}

// TestPrograms runs both programs against the embedded Cognito.
func TestPrograms(t *testing.T) {
	t.Parallel()
	w := begin(t)
	local := filepath.Join(t.TempDir(), "local")
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte(w.pool.Client(reader).Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Nobody listens on the port of a connection's other side. A listener's own port,
	// once closed, may become another test's.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	holder, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	nobody := holder.LocalAddr().String()
	large := strings.Repeat("0123456789abcdef", 20000)
	// One story: each step sees what those before have done.
	for _, step := range []struct {
		name          string
		client, stdin string
		change        map[string]string
		args          []string
		code          int
		stdout        string   // part of it; "" for none at all
		stderr        []string // parts of its one line; nil for none at all
	}{
		{"write", both, large, nil, []string{"write", "d/a"}, 0, "320000\t", nil},
		{"append", both, "!", nil, []string{"append", "d/a"}, 0, "1 bytes added, 320001 in all", nil},
		{"stat", reader, "", nil, []string{"stat", "d/a"}, 0, "320001\t", nil},
		{"ls", reader, "", nil, []string{"ls"}, 0, "\td/a\n", nil},
		{"read to stdout", reader, "", nil, []string{"read", "d/a"}, 0, large + "!", nil},
		{"read to a file", reader, "", nil, []string{"read", "d/a", local}, 0, "", nil},
		{"whoami", reader, "", nil, []string{"whoami"}, 0, "scopes     demo/read.file\n", nil},
		{"secret in a file", reader, "", map[string]string{"COGNITO_CLIENT_SECRET": "", "COGNITO_CLIENT_SECRET_FILE": secretFile}, []string{"ls"}, 0, "\td/a\n", nil},
		{"token from the API", byAPI, "", map[string]string{"COGNITO_TOKEN_URL": "", "COGNITO_USER_POOL_API": w.cognito.URL()}, []string{"ls"}, 0, "\td/a\n", nil},
		{"version", reader, "", map[string]string{"COGNITO_CLIENT_ID": ""}, []string{"version"}, 0, "\n", nil},

		{"no such file", reader, "", nil, []string{"read", "none", local}, 1, "", []string{`read "none": NOT_FOUND: `}},
		{"bad name", reader, "", nil, []string{"read", "../a"}, 1, "", []string{"INVALID_ARGUMENT"}},
		{"client not on the list", stranger, "", nil, []string{"ls"}, 77, "", []string{"ls: PERMISSION_DENIED: ", "-clients"}},
		{"wrong secret", reader, "", map[string]string{"COGNITO_CLIENT_SECRET": strings.Repeat("w", 52)}, []string{"ls"}, 78, "", []string{"ls: UNAUTHENTICATED: ", "invalid_client"}},
		{"no token endpoint", reader, "", map[string]string{"COGNITO_TOKEN_URL": "http://" + nobody + "/oauth2/token"}, []string{"ls"}, 69, "", []string{"ls: UNAVAILABLE: ", "check -token-url"}},
		{"no server", reader, "", nil, []string{"-addr", nobody, "ls"}, 69, "", []string{"ls: UNAVAILABLE: ", "check that the server at " + nobody}},
		{"no secret", reader, "", map[string]string{"COGNITO_CLIENT_SECRET": ""}, []string{"ls"}, 64, "", []string{"secret"}},

		{"nothing was changed", reader, "", nil, []string{"ls"}, 0, "320001\t", nil},
		{"rm", both, "", nil, []string{"rm", "d/a"}, 0, "", nil},
		{"rm again", both, "", nil, []string{"rm", "d/a"}, 1, "", []string{"NOT_FOUND"}},
	} {
		code, stdout, stderr := w.run(t, step.client, step.stdin, step.change, step.args...)
		if code != step.code {
			t.Errorf("%s: got exit code %d, want %d: %s", step.name, code, step.code, stderr)
		}
		if !strings.Contains(stdout, step.stdout) || step.stdout == "" && stdout != "" {
			t.Errorf("%s: got %.200q on stdout, want %.200q", step.name, stdout, step.stdout)
		}
		if lines := strings.Count(stderr, "\n"); step.stderr == nil && stderr != "" || step.stderr != nil && lines != 1 {
			t.Errorf("%s: got %q on stderr, want one line: %v", step.name, stderr, step.stderr != nil)
		}
		for _, want := range step.stderr {
			if !strings.Contains(stderr, want) {
				t.Errorf("%s: got %q on stderr, want %q in it", step.name, stderr, want)
			}
		}
	}
	wantFile(t, local, large+"!")
}

// TestTokensAreNarrow looks at what each command asks Cognito for: what its method
// needs, and no more.
func TestTokensAreNarrow(t *testing.T) {
	t.Parallel()
	w := begin(t)
	if code, _, stderr := w.run(t, reader, "", nil, "ls"); code != 0 {
		t.Fatal(stderr)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"write", "a"}, "[demo/write.file]"},
		{[]string{"append", "a"}, "[demo/read.file demo/write.file]"},
		{[]string{"stat", "a"}, "[demo/read.file]"},
		{[]string{"ls"}, "[demo/read.file]"},
		{[]string{"read", "a"}, "[demo/read.file]"},
		{[]string{"whoami"}, "[]"},
		{[]string{"rm", "a"}, "[demo/write.file]"},
	} {
		before := len(w.cognito.TokenRequests())
		if code, _, stderr := w.run(t, both, "", nil, tt.args...); code != 0 {
			t.Errorf("%q: got exit code %d: %s", tt.args, code, stderr)
		}
		requests := w.cognito.TokenRequests()[before:]
		if len(requests) != 1 || fmt.Sprint(requests[0].Asked) != tt.want {
			t.Errorf("%q: got %v, want one request for %s", tt.args, requests, tt.want)
		}
	}
	before := len(w.cognito.TokenRequests())
	if code, _, stderr := w.run(t, both, "", nil, "version"); code != 0 || len(w.cognito.TokenRequests()) != before {
		t.Errorf("version: got exit code %d and %d token requests, want 0 and none: %s", code, len(w.cognito.TokenRequests())-before, stderr)
	}
}

// TestRefusedWrites has an app client that may only read. Cognito says so when it is
// asked for a scope that the client may not have.
func TestRefusedWrites(t *testing.T) {
	t.Parallel()
	w := begin(t)
	if code, _, stderr := w.run(t, both, "old", nil, "write", "a"); code != 0 {
		t.Fatal(stderr)
	}
	for _, args := range [][]string{{"write", "a"}, {"rm", "a"}} {
		code, _, stderr := w.run(t, reader, "new", nil, args...)
		if code != 78 || !strings.Contains(stderr, "invalid_scope") {
			t.Errorf("%q: got exit code %d, %q, want 78: Cognito gives no token for nothing but other's scopes", args, code, stderr)
		}
	}
	// append needs both scopes: Cognito gives a token with one of them, and the server refuses it.
	code, _, stderr := w.run(t, reader, "new", nil, "append", "a")
	if code != 77 || !strings.Contains(stderr, `append "a": PERMISSION_DENIED: `) || !strings.Contains(stderr, "demo/write.file; the token has demo/read.file: give the app client the scope") {
		t.Errorf("append: got exit code %d, %q, want 77 and the scope that is missing", code, stderr)
	}
	if code, stdout, _ := w.run(t, reader, "", nil, "read", "a"); code != 0 || stdout != "old" {
		t.Errorf("read: got exit code %d, %q, want the old content", code, stdout)
	}
}
