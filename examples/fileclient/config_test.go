// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	client := map[string]string{"COGNITO_TOKEN_URL": "https://p.auth.eu-west-1.amazoncognito.com/oauth2/token", "COGNITO_CLIENT_ID": "1a2b", "COGNITO_CLIENT_SECRET": "s3cr3t"}
	with := func(name, value string) map[string]string {
		m := maps.Clone(client)
		m[name] = value
		return m
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		env  map[string]string
		want string
	}{
		{"nothing", nil, client, "no command"},
		{"unknown command", []string{"copy"}, client, `no command is called "copy"`},
		{"unknown flag", []string{"-nope", "ls"}, client, "-nope"},
		{"secret as a flag", []string{"-client-secret", "s3cr3t", "ls"}, client, "not defined: -client-secret"},
		{"too few arguments", []string{"read"}, client, "read NAME"},
		{"too many arguments", []string{"stat", "a", "b"}, client, "stat NAME"},
		{"flag after the command", []string{"rm", "a", "-addr", "x"}, client, "flags come before the command"},
		{"no address", []string{"-addr", "", "ls"}, client, "-addr"},
		{"no token endpoint", []string{"ls"}, with("COGNITO_TOKEN_URL", ""), "-token-url"},
		{"token endpoint and API", []string{"ls"}, with("COGNITO_USER_POOL_API", "https://cognito-idp.eu-west-1.amazonaws.com"), "-user-pool-api (or COGNITO_USER_POOL_API) are both set"},
		{"API in plaintext", []string{"-token-url", "", "-user-pool-api", "http://cognito.example", "ls"}, client, "https"},
		{"no client id", []string{"ls"}, with("COGNITO_CLIENT_ID", ""), "-client-id"},
		{"no secret", []string{"ls"}, with("COGNITO_CLIENT_SECRET", ""), "COGNITO_CLIENT_SECRET"},
		{"two secrets", []string{"-client-secret-file", empty, "ls"}, client, "are both set"},
		{"empty secret file", []string{"-client-secret-file", empty, "ls"}, with("COGNITO_CLIENT_SECRET", ""), "empty"},
		{"no secret file", []string{"-client-secret-file", empty + "x", "ls"}, with("COGNITO_CLIENT_SECRET", ""), "secret file"},
		{"token endpoint in plaintext", []string{"-token-url", "http://cognito.example/oauth2/token", "ls"}, client, "https"},
		{"no such -ca", []string{"-ca", empty + "x", "ls"}, client, "-ca"},
		{"-ca without a certificate", []string{"-ca", empty, "ls"}, client, "no PEM certificate"},
		{"-ca of a public method", []string{"-ca", empty, "version"}, nil, "no PEM certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), tt.args, environment(tt.env), nil, &stdout, &stderr); code != 64 {
				t.Errorf("exit code: got %d, want 64", code)
			}
			line, rest, _ := strings.Cut(stderr.String(), "\n")
			if !strings.HasPrefix(line, "fileclient: ") || !strings.Contains(line, tt.want) || rest != "" || stdout.Len() != 0 {
				t.Errorf("got %q on stdout and %q on stderr, want one line with %q on stderr", stdout.String(), stderr.String(), tt.want)
			}
			if strings.Contains(stderr.String(), "s3cr3t") {
				t.Errorf("stderr has the secret: %q", stderr.String())
			}
		})
	}
}

func TestFlagsWin(t *testing.T) {
	t.Parallel()
	c, err := parse([]string{"-addr", "flag:1", "-client-id", "flag", "ls"}, environment(map[string]string{
		"ADDR": "env:1", "CA": "env.pem", "COGNITO_TOKEN_URL": "env-url", "COGNITO_CLIENT_ID": "env", "COGNITO_CLIENT_SECRET_FILE": "env-file",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if c.addr != "flag:1" || c.clientID != "flag" || c.ca != "env.pem" || c.tokenURL != "env-url" || c.secretFile != "env-file" {
		t.Errorf("got %+v, want flags where given and the environment elsewhere", *c)
	}
}

// TestHelp holds the help text against the flags and commands themselves.
func TestHelp(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, environment(nil), nil, &stdout, &stderr); code != 0 || stderr.Len() != 0 {
		t.Errorf("got exit code %d and %q on stderr, want 0 and nothing", code, stderr.String())
	}
	want := map[string]string{
		"addr": "ADDR", "ca": "CA", "token-url": "COGNITO_TOKEN_URL", "user-pool-api": "COGNITO_USER_POOL_API",
		"client-id": "COGNITO_CLIENT_ID", "client-secret-file": "COGNITO_CLIENT_SECRET_FILE",
	}
	got := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^  -(\S+) \S+   or (\S+)$`).FindAllStringSubmatch(stdout.String(), -1) {
		got[m[1]] = m[2]
	}
	if !maps.Equal(got, want) {
		t.Errorf("flags and their variables: got %v, want %v", got, want)
	}
	for _, c := range commands() {
		if !strings.Contains(stdout.String(), "\n  "+c.usage+"\n") {
			t.Errorf("the help lacks %q", c.usage)
		}
	}
	if !strings.Contains(stdout.String(), "COGNITO_CLIENT_SECRET (environment only)") {
		t.Error("the help does not say how to give the secret")
	}
}

// TestVersionNeedsNoClient runs the command of the public method without an app client.
func TestVersionNeedsNoClient(t *testing.T) {
	t.Parallel()
	_, addr, ca := start(t, &fake{})
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-addr", addr, "-ca", ca, "version"}, environment(nil), nil, &stdout, &stderr); code != 0 || stdout.String() != "v1.2.3\n" {
		t.Errorf("got %d, %q and %q, want 0 and the version", code, stdout.String(), stderr.String())
	}
}

// TestServerMustBeTrusted has a server whose certificate is not the one given.
func TestServerMustBeTrusted(t *testing.T) {
	t.Parallel()
	_, addr, _ := start(t, &fake{})
	_, _, otherCA := start(t, &fake{})
	for name, args := range map[string][]string{
		"the system's":  {"-addr", addr, "version"},
		"another one's": {"-addr", addr, "-ca", otherCA, "version"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, environment(nil), nil, &stdout, &stderr); code != 69 || stdout.Len() != 0 {
			t.Errorf("%s: got %d, %q and %q, want 69 and no version", name, code, stdout.String(), stderr.String())
		}
	}
}
