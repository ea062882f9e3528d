// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"flag"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

// required is the shortest configuration for Amazon Cognito.
var required = []string{"-root", "/srv/files", "-user-pool-id", "eu-west-1_Example", "-clients", "billing=1a2b3c"}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := parse(required, environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	if c.addr != "127.0.0.1:8443" || c.maxFileSize != 8<<30 || time.Duration(c.drainTimeout) != 10*time.Second {
		t.Errorf("got -addr %s, -max-file-size %d, -drain-timeout %v", c.addr, c.maxFileSize, time.Duration(c.drainTimeout))
	}
	if c.issuer != "" || c.jwksURL != "" || c.tlsCert != "" || c.caOut != "" {
		t.Errorf("got %+v, want no other value set", c)
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	c, err := parse([]string{"-addr", "localhost:1"}, environment(map[string]string{
		"ADDR": "localhost:2", "FILES_ROOT": "/r", "COGNITO_USER_POOL_ID": "local_pool",
		"COGNITO_ISSUER": "http://127.0.0.1:9/local_pool", "COGNITO_JWKS_URL": "http://127.0.0.1:9/keys",
		"COGNITO_CLIENTS": "*", "TLS_CERT": "c.pem", "TLS_KEY": "k.pem", "MAX_FILE_SIZE": "5MiB", "DRAIN_TIMEOUT": "3s",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := config{
		addr: "localhost:1", root: "/r", userPoolID: "local_pool",
		issuer: "http://127.0.0.1:9/local_pool", jwksURL: "http://127.0.0.1:9/keys",
		tlsCert: "c.pem", tlsKey: "k.pem", maxFileSize: 5 << 20, drainTimeout: duration(3 * time.Second),
	}
	if !c.clients.any {
		t.Error("COGNITO_CLIENTS=*: got a list, want any client")
	}
	c.clients = clientList{}
	if c.addr != want.addr || c.root != want.root || c.userPoolID != want.userPoolID || c.issuer != want.issuer ||
		c.jwksURL != want.jwksURL || c.tlsCert != want.tlsCert || c.tlsKey != want.tlsKey ||
		c.maxFileSize != want.maxFileSize || c.drainTimeout != want.drainTimeout {
		t.Errorf("got %+v, want %+v", *c, want)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	without := func(name string) []string {
		i := slices.Index(required, name)
		return slices.Delete(slices.Clone(required), i, i+2)
	}
	with := func(args ...string) []string { return append(slices.Clone(required), args...) }
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, "-root"},
		{"no root", without("-root"), "-root (or FILES_ROOT) is not set"},
		{"no clients", without("-clients"), "no decision about who may call"},
		{"no pool", without("-user-pool-id"), "-user-pool-id (or COGNITO_USER_POOL_ID) is not set"},
		{"keys without issuer", with("-jwks-url", "https://a/keys"), "needs -issuer"},
		{"two pools", with("-issuer", "https://a/eu-west-1_Other"), "different user pools"},
		{"certificate without key", with("-tls-cert", "c.pem"), "go together"},
		{"key without certificate", with("-tls-key", "k.pem"), "go together"},
		{"written certificate beside a given one", with("-tls-cert", "c.pem", "-tls-key", "k.pem", "-ca-out", "o.pem"), "-ca-out"},
		{"no address", with("-addr", ""), "-addr"},
		{"no flag", with("serve"), `"serve" is no flag`},
		{"unknown flag", with("-insecure"), "-insecure"},
		{"bad size", with("-max-file-size", "8 GB"), "max-file-size"},
		{"bad time", with("-drain-timeout", "0s"), "drain-timeout"},
		{"bad clients", with("-clients", "a,,b"), "clients"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(tt.args, environment(nil))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), tt.args, environment(nil), nil, &stdout, &stderr); code != 64 {
				t.Errorf("exit code: got %d, want 64", code)
			}
			if stdout.Len() != 0 || !strings.Contains(stderr.String(), "fileserver: see fileserver -help") {
				t.Errorf("got %q on stdout and %q on stderr, want the error on stderr", stdout.String(), stderr.String())
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := parse(nil, environment(nil))
	for _, want := range []string{"-root", "-clients", "-user-pool-id"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
}

// TestHelp holds the help text against the flags themselves.
func TestHelp(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, environment(nil), nil, &stdout, &stderr); code != 0 || stderr.Len() != 0 {
		t.Errorf("got exit code %d and %q on stderr, want 0 and nothing", code, stderr.String())
	}
	want := map[string]string{
		"addr": "ADDR", "root": "FILES_ROOT", "user-pool-id": "COGNITO_USER_POOL_ID", "issuer": "COGNITO_ISSUER",
		"jwks-url": "COGNITO_JWKS_URL", "clients": "COGNITO_CLIENTS", "tls-cert": "TLS_CERT", "tls-key": "TLS_KEY",
		"ca-out": "CA_OUT", "max-file-size": "MAX_FILE_SIZE", "drain-timeout": "DRAIN_TIMEOUT",
	}
	got := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^  -(\S+) \S+   or (\S+)$`).FindAllStringSubmatch(stdout.String(), -1) {
		got[m[1]] = m[2]
	}
	if !maps.Equal(got, want) {
		t.Errorf("flags and their variables: got %v, want %v", got, want)
	}
	for name := range want {
		if _, err := parse([]string{"-" + name + "=1", "-h"}, environment(nil)); !errors.Is(err, flag.ErrHelp) && !strings.Contains(err.Error(), "invalid value") {
			t.Errorf("-%s: got %v, want a known flag", name, err)
		}
	}
}

func TestClientList(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		any  bool
		want map[string]string // nil: an error
	}{
		{"1a2b", false, map[string]string{"1a2b": "1a2b"}},
		{"1a2b,3c4d", false, map[string]string{"1a2b": "1a2b", "3c4d": "3c4d"}},
		{"billing=1a2b, reports=3c4d ", false, map[string]string{"billing": "1a2b", "reports": "3c4d"}},
		{"billing=1a2b,3c4d", false, map[string]string{"billing": "1a2b", "3c4d": "3c4d"}},
		{"*", true, map[string]string{}},
		{" * ", true, map[string]string{}},
		{"", false, nil},
		{",", false, nil},
		{"1a2b,", false, nil},
		{"=1a2b", false, nil},
		{"billing=", false, nil},
		{"*,1a2b", false, nil},
		{"any=*", false, nil},
		{"*=1a2b", false, nil},
		{"a=b=c", false, nil},
		{"two words", false, nil},
		{"name= 1a2b", false, nil},
		{"1a2b,1a2b", false, nil},
		{"a=1a2b,b=1a2b", false, nil},
		{"a=1a2b,a=3c4d", false, nil},
	} {
		t.Run(tt.text, func(t *testing.T) {
			t.Parallel()
			var l clientList
			err := l.Set(tt.text)
			if (err == nil) != (tt.want != nil) {
				t.Fatalf("got error %v, want one: %v", err, tt.want == nil)
			}
			if err != nil && l.decided() {
				t.Errorf("a list that was refused decided all the same: %+v", l)
			}
			if l.any != tt.any || !maps.Equal(l.names, tt.want) {
				t.Errorf("got any %v, %v, want any %v, %v", l.any, l.names, tt.any, tt.want)
			}
		})
	}
}

func FuzzClientList(f *testing.F) {
	for _, s := range []string{"", "*", "a", "a=b", "a=b,c", "a,a", "*,a", " a = b ", "a=b=c", ",", "a\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var l clientList
		if l.Set(text) != nil {
			return
		}
		if l.any != (strings.TrimSpace(text) == "*") {
			t.Errorf("%q: any client is %v", text, l.any)
		}
		if !l.any && len(l.names) != strings.Count(text, ",")+1 {
			t.Errorf("%q: got %d clients, want one for each item", text, len(l.names))
		}
		for name, id := range l.names {
			if name == "" || id == "" || !strings.Contains(text, id) {
				t.Errorf("%q: got the client %q=%q", text, name, id)
			}
		}
	})
}

func TestByteSize(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want int64 // 0: an error
		back string
	}{
		{"1", 1, "1"},
		{"1025", 1025, "1025"},
		{"1024", 1024, "1KiB"},
		{"3KiB", 3072, "3KiB"},
		{"5MiB", 5 << 20, "5MiB"},
		{"8GiB", 8 << 30, "8GiB"},
		{"8589934591GiB", 8589934591 << 30, "8589934591GiB"},
		{"8589934592GiB", 0, ""},
		{"9223372036854775807", math.MaxInt64, "9223372036854775807"},
		{"9223372036854775808", 0, ""},
		{"0", 0, ""},
		{"0GiB", 0, ""},
		{"-1", 0, ""},
		{"", 0, ""},
		{"GiB", 0, ""},
		{"1GB", 0, ""},
		{"1 GiB", 0, ""},
		{"1.5GiB", 0, ""},
		{"1KiBKiB", 0, ""},
	} {
		t.Run(tt.text, func(t *testing.T) {
			t.Parallel()
			var b byteSize
			err := b.Set(tt.text)
			if (err == nil) != (tt.want != 0) || int64(b) != tt.want {
				t.Fatalf("got %d, %v, want %d", b, err, tt.want)
			}
			if err == nil && b.String() != tt.back {
				t.Errorf("String: got %q, want %q", b.String(), tt.back)
			}
		})
	}
}

func FuzzByteSize(f *testing.F) {
	for _, s := range []string{"1", "8GiB", "0", "-1KiB", "99999999999999999999", "1KiBKiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var b, again byteSize
		if b.Set(text) != nil {
			return
		}
		if b <= 0 {
			t.Errorf("%q is %d bytes, want one or more", text, b)
		}
		if err := again.Set(b.String()); err != nil || again != b {
			t.Errorf("%q prints as %q, which is %d, %v, want %d", text, b.String(), again, err, b)
		}
	})
}
