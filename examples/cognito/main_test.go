// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// start runs the program until the test ends, and returns its comments and its
// assignments, up to the ready line.
func start(t *testing.T, args ...string) (comments []string, env map[string]string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, args, in, &stderr)
		_ = in.Close()
	}()
	t.Cleanup(func() {
		cancel()
		go func() { _, _ = io.Copy(io.Discard, out) }()
		if got := <-code; got != exitOK {
			t.Errorf("exit status: got %d, want %d; stderr: %s", got, exitOK, &stderr)
		}
	})
	env = make(map[string]string)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "# ready: ") {
			return append(comments, line), env
		}
		if rest, ok := strings.CutPrefix(line, "export "); ok {
			name, quoted, _ := strings.Cut(rest, "=")
			if len(quoted) < 2 || quoted[0] != '\'' || quoted[len(quoted)-1] != '\'' {
				t.Fatalf("got line %q, want export NAME='value'", line)
			}
			env[name] = quoted[1 : len(quoted)-1]
			continue
		}
		comments = append(comments, line)
	}
	t.Fatalf("no ready line; stderr: %s", &stderr)
	return nil, nil
}

func TestPrintedValuesGetAToken(t *testing.T) {
	t.Parallel()
	_, env := start(t, "-addr", "127.0.0.1:0")
	for _, name := range []string{
		"COGNITO_TOKEN_URL", "COGNITO_CLIENT_ID", "COGNITO_CLIENT_SECRET", "COGNITO_USER_POOL_ID",
		"COGNITO_ISSUER", "COGNITO_JWKS_URL", "COGNITO_CLIENTS",
	} {
		if env[name] == "" {
			t.Errorf("%s: got nothing, want a value", name)
		}
	}
	if got, want := env["COGNITO_CLIENTS"], "sts-test-app-client="+env["COGNITO_CLIENT_ID"]; got != want {
		t.Errorf("COGNITO_CLIENTS: got %q, want %q", got, want)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	body := strings.NewReader(url.Values{"grant_type": {"client_credentials"}, "scope": {"demo/read.file"}}.Encode())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, env["COGNITO_TOKEN_URL"], body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(env["COGNITO_CLIENT_ID"], env["COGNITO_CLIENT_SECRET"])
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var token struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&token); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || token.AccessToken == "" || token.ExpiresIn != 3600 {
		t.Errorf("got status %d, token of %d bytes, expires_in %d, want 200, a token, 3600", resp.StatusCode, len(token.AccessToken), token.ExpiresIn)
	}
}

func TestConfigFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pools.json")
	const config = `{"pools": [{"id": "eu-central-1_aBcDeFgHi", "name": "it's ours", "domain": "ours", "issuer": "ORIGINAL",
		"resource_servers": [{"identifier": "api", "scopes": [{"name": "x"}]}],
		"clients": [{"id": "one", "name": "a", "allowed_oauth_scopes": ["api/x"]},
			{"id": "two", "name": "b", "secrets": ["aaaaaaaaaaaaaaaaaaaaaaaaaaaa"], "allowed_oauth_scopes": ["api/x"]}]}]}`
	if err := os.WriteFile(file, []byte(strings.Replace(config, "it's ours", "ours", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	comments, env := start(t, "-addr", "127.0.0.1:0", "-config", file)
	for name, want := range map[string]string{
		"COGNITO_USER_POOL_ID":  "eu-central-1_aBcDeFgHi",
		"COGNITO_ISSUER":        "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_aBcDeFgHi",
		"COGNITO_CLIENTS":       "a=one,b=two",
		"COGNITO_CLIENT_ID":     "two",
		"COGNITO_CLIENT_SECRET": "aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	} {
		if env[name] != want {
			t.Errorf("%s: got %q, want %q", name, env[name], want)
		}
	}
	if got, want := strings.Join(comments[:3], "\n"), "# user pool ours\n# app client a\n# app client b"; got != want {
		t.Errorf("comments: got %q, want %q", got, want)
	}
}

func TestExitStatus(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte(`{"pools": [{"title": "x"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args           []string
		want           int
		stdout, stderr string
	}{
		"help":             {[]string{"--help"}, exitOK, "Usage:", ""},
		"unknown flag":     {[]string{"-nope"}, exitUsage, "", "-nope"},
		"argument":         {[]string{"x"}, exitUsage, "", `unexpected argument "x"`},
		"other machines":   {[]string{"-addr", "0.0.0.0:0"}, exitUsage, "", "plain HTTP"},
		"no port":          {[]string{"-addr", "127.0.0.1"}, exitFailed, "", "missing port"},
		"no such file":     {[]string{"-config", filepath.Join(t.TempDir(), "none.json")}, exitUsage, "", "none.json"},
		"broken file":      {[]string{"-config", broken}, exitUsage, "", "pools[0].title: unknown field"},
		"flag needs value": {[]string{"-addr"}, exitUsage, "", "needs an argument"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var stdout, stderr strings.Builder
			if got := run(ctx, tc.args, &stdout, &stderr); got != tc.want {
				t.Errorf("exit status: got %d, want %d", got, tc.want)
			}
			if !strings.Contains(stdout.String(), tc.stdout) || tc.stdout == "" && stdout.Len() > 0 {
				t.Errorf("stdout: got %q, want %q in it", &stdout, tc.stdout)
			}
			if !strings.Contains(stderr.String(), tc.stderr) || tc.stderr == "" && stderr.Len() > 0 {
				t.Errorf("stderr: got %q, want %q in it", &stderr, tc.stderr)
			}
		})
	}
}

func TestHelpIsComplete(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	run(t.Context(), []string{"-h"}, &stdout, &stderr)
	for _, want := range []string{"-addr", "127.0.0.1:9229", "-config", "development", "COGNITO_CLIENTS", "Exit status", "64"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("help: %q is not in it:\n%s", want, &stdout)
		}
	}
}

// brokenPipe is a reader that has gone.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestOutputThatCannotBeWrittenEndsTheProgram(t *testing.T) {
	t.Parallel()
	var stderr strings.Builder
	if got := run(t.Context(), []string{"-addr", "127.0.0.1:0"}, brokenPipe{}, &stderr); got != exitFailed {
		t.Errorf("exit status: got %d, want %d", got, exitFailed)
	}
	if !strings.Contains(stderr.String(), io.ErrClosedPipe.Error()) {
		t.Errorf("stderr: got %q, want the write error", &stderr)
	}
}

func TestExportQuotes(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	export(&out, "X", "it's $HOME")
	if got, want := out.String(), `export X='it'\''s $HOME'`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
