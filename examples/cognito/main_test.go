// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/clientauth"
	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

func TestPrintedValuesGetAToken(t *testing.T) {
	t.Parallel()
	p := start(t, "-addr", "127.0.0.1:0")
	for _, name := range []string{
		"COGNITO_TOKEN_URL", "COGNITO_CLIENT_ID", "COGNITO_CLIENT_SECRET", "COGNITO_USER_POOL_ID",
		"COGNITO_ISSUER", "COGNITO_JWKS_URL", "COGNITO_CLIENTS", "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER",
	} {
		if p.env[name] == "" {
			t.Errorf("%s: got nothing, want a value", name)
		}
	}
	if got, want := p.env["COGNITO_CLIENTS"], "sts-test-app-client="+p.env["COGNITO_CLIENT_ID"]; got != want {
		t.Errorf("COGNITO_CLIENTS: got %q, want %q", got, want)
	}
	got := p.token(t, "demo/read.file")
	if got.Status != http.StatusOK || got.ExpiresIn != 3600 || !p.verifies(t, got.AccessToken) {
		t.Errorf("got status %d, token of %d bytes, expires_in %d, want 200, a token that verifies, 3600", got.Status, len(got.AccessToken), got.ExpiresIn)
	}
}

// TestPastedVariablesAreTakenByClients has variables of something else in the shell.
func TestPastedVariablesAreTakenByClients(t *testing.T) {
	p := start(t, "-addr", "127.0.0.1:0")
	t.Setenv("COGNITO_USER_POOL_API", "https://cognito-idp.us-east-1.amazonaws.com")
	for _, name := range p.unset {
		t.Setenv(name, "") // restores it after the test
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range p.env {
		t.Setenv(name, value)
	}
	p.token(t, "") // makes the keys, which may take longer than a client waits
	source, err := clientauth.FromEnv(clientauth.WithTransport(client.Transport))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if err := source.Warm(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStateFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state, config := filepath.Join(dir, "state"), filepath.Join(dir, "pools.json")
	if err := os.WriteFile(config, []byte(`{"pools": [{"name": "other"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	first := start(t, "-addr", "127.0.0.1:0", "-state", state)
	before := first.token(t, "")
	first.stop()
	second := start(t, "-addr", "127.0.0.1:0", "-state", state, "-config", config)
	for _, name := range []string{"COGNITO_USER_POOL_ID", "COGNITO_CLIENT_ID", "COGNITO_CLIENT_SECRET", "COGNITO_CLIENTS"} {
		if first.env[name] != second.env[name] {
			t.Errorf("%s: got %q after a restart, want %q", name, second.env[name], first.env[name])
		}
	}
	if !second.verifies(t, before.AccessToken) {
		t.Error("a token of before the restart does not verify")
	}
	if first.stderr.Len() > 0 || !strings.HasPrefix(second.stderr.String(), "cognito: the user pools are those of the state file") {
		t.Errorf("got stderr %q and %q, want nothing and a notice that -config is not used", first.stderr, second.stderr)
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	drops := start(t, "-addr", "127.0.0.1:0")
	if got := drops.token(t, "demo/read.file demo/x"); got.Status != http.StatusOK {
		t.Errorf("default: got %+v, want a token without the disallowed scope", got)
	}
	rejects := start(t, "-addr", "127.0.0.1:0", "-scopes", "reject")
	if got := rejects.token(t, "demo/read.file demo/x"); got.Status != http.StatusBadRequest || got.Error != "invalid_scope" {
		t.Errorf("-scopes reject: got %+v, want invalid_scope", got)
	}
}

// TestThrottle gives the server of the flags a clock that stands: how fast the test asks
// does not matter.
func TestThrottle(t *testing.T) {
	t.Parallel()
	for throttle, want := range map[string]int{"0": http.StatusBadRequest, "2": http.StatusTooManyRequests} {
		flags := flag.NewFlagSet("cognito", flag.ContinueOnError)
		options := define(flags)
		if err := flags.Parse([]string{"-addr", "127.0.0.1:0", "-throttle", throttle}); err != nil {
			t.Fatal(err)
		}
		opts, err := options()
		if err != nil {
			t.Fatal(err)
		}
		server, err := cognitotest.NewServer(append(opts, cognitotest.WithClock(func() time.Time { return time.Unix(1_800_000_000, 0) }))...)
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		app := server.Pool("s2s-test").Client("sts-test-app-client")
		for _, status := range []int{http.StatusBadRequest, http.StatusBadRequest, want} {
			if got := token(t, client, server.TokenURL(), app.ID, app.Secret, "x"); got.Status != status {
				t.Errorf("-throttle %s: got %+v, want status %d", throttle, got, status)
			}
		}
	}
}

func TestURLAndTLS(t *testing.T) {
	t.Parallel()
	p := start(t, "-addr", "127.0.0.1:0", "-url", "https://cognito.example:8443")
	for _, name := range []string{"COGNITO_TOKEN_URL", "COGNITO_ISSUER", "COGNITO_JWKS_URL", "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER"} {
		if !strings.HasPrefix(p.env[name], "https://cognito.example:8443") {
			t.Errorf("-url: %s: got %q, want it to begin with the URL", name, p.env[name])
		}
	}
	lender := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	defer lender.Close()
	pair := lender.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Without -plaintext: TLS is enough for an address that others reach.
	p = start(t, "-addr", "0.0.0.0:0", "-tls-cert", filepath.Join(dir, "cert.pem"), "-tls-key", filepath.Join(dir, "key.pem"))
	endpoint := strings.Replace(p.env["COGNITO_TOKEN_URL"], "https://localhost:", "https://127.0.0.1:", 1)
	if got := token(t, lender.Client(), endpoint, p.env["COGNITO_CLIENT_ID"], p.env["COGNITO_CLIENT_SECRET"], ""); got.Status != http.StatusOK {
		t.Errorf("TLS: got %+v, want a token", got)
	}
	p = start(t, "-addr", "0.0.0.0:0", "-plaintext")
	if got := p.env["COGNITO_ISSUER"]; !strings.HasPrefix(got, "http://localhost:") {
		t.Errorf("-plaintext: got issuer %q, want it on localhost", got)
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
	p := start(t, "-addr", "127.0.0.1:0", "-config", file)
	for name, want := range map[string]string{
		"COGNITO_USER_POOL_ID":  "eu-central-1_aBcDeFgHi",
		"COGNITO_ISSUER":        "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_aBcDeFgHi",
		"COGNITO_CLIENTS":       "a=one,b=two",
		"COGNITO_CLIENT_ID":     "two",
		"COGNITO_CLIENT_SECRET": "aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	} {
		if p.env[name] != want {
			t.Errorf("%s: got %q, want %q", name, p.env[name], want)
		}
	}
	if got, want := strings.Join(p.comments[2:5], "\n"), "# user pool ours\n# app client a\n# app client b"; got != want {
		t.Errorf("comments: got %q, want %q", got, want)
	}
}

// The file may have answers alone. They hold with a state that is there already, too.
func TestAnswersOfTheConfigFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "answers.json")
	if err := os.WriteFile(file, []byte(`{"answers": {"invalid_client_status": 401}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-addr", "127.0.0.1:0", "-config", file, "-state", filepath.Join(t.TempDir(), "state")}
	for range 2 {
		p := start(t, args...)
		if got := token(t, client, p.env["COGNITO_TOKEN_URL"], p.env["COGNITO_CLIENT_ID"], "wrong", ""); got.Status != http.StatusUnauthorized || got.Error != "invalid_client" {
			t.Errorf("got %+v, want 401 invalid_client", got)
		}
		p.stop()
		if p.stderr.Len() > 0 {
			t.Errorf("got stderr %q, want nothing", p.stderr)
		}
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
		"say what to do":   {[]string{"-addr", "0.0.0.0:0"}, exitUsage, "", "use -tls-cert, or say -plaintext"},
		"scopes":           {[]string{"-scopes", "ignore"}, exitUsage, "", `invalid value "ignore" for flag -scopes: drop or reject`},
		"throttle":         {[]string{"-throttle", "-1"}, exitUsage, "", "-throttle: a positive number"},
		"url":              {[]string{"-url", "x"}, exitUsage, "", "-url: scheme and host only"},
		"half of TLS":      {[]string{"-tls-key", "key.pem"}, exitUsage, "", "give both"},
		"no certificate":   {[]string{"-tls-cert", broken, "-tls-key", broken}, exitUsage, "", "-tls-cert, -tls-key: "},
		"not a state file": {[]string{"-addr", "127.0.0.1:0", "-state", broken}, exitFailed, "", "no state file of cognitotest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var stdout, stderr strings.Builder
			if tc.want == exitUsage {
				defer func() {
					if n := strings.Count(stderr.String(), "\n"); n > 3 {
						t.Errorf("stderr: got %d lines, want the error alone:\n%s", n, &stderr)
					}
				}()
			}
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
	for _, want := range []string{
		"-addr", "127.0.0.1:9229", "-config", "-state", "-scopes", "-throttle", "-tls-cert", "-tls-key", "-url", "-plaintext", "development",
		"COGNITO_USER_POOL_API", "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", "COGNITO_CLIENTS", "Exit status", "64",
	} {
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
