// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// Both ask for the real options and leave them out: Serve does not start a server
// for which nobody asked.

func allowAll(a *serverauth.Authorizer) []grpc.ServerOption {
	a.ServerOptions()
	return nil
}

func denyAll(a *serverauth.Authorizer) []grpc.ServerOption {
	a.ServerOptions()
	refusal := status.Error(codes.PermissionDenied, "closed")
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
			return nil, refusal
		}),
		grpc.ChainStreamInterceptor(func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error {
			return refusal
		}),
	}
}

// The demonstration ends well with the real authorizer, and notices when it is
// replaced by one that lets everything or nothing pass.
func TestRun(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		protect guard
		code    int
		rows    *regexp.Regexp
		last    string
	}{
		{"the authorizer", (*serverauth.Authorizer).ServerOptions, 0, regexp.MustCompile(`ok sts-test-app-client +write a.txt .* OK, 12 bytes\n`), "\n76 calls, 76 as expected\n"},
		// What was to be refused got through, to the disk.
		{"allow all", allowAll, 1, regexp.MustCompile(`!! read-only-client +write b.txt .* OK, 12 bytes\n`), " as expected\n"},
		{"deny all", denyAll, 1, regexp.MustCompile(`!! sts-test-app-client +write a.txt .* PERMISSION_DENIED: closed, no file\n`), " as expected\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			code := run(t.Context(), &out, &errOut, row.protect)
			if code != row.code || !strings.HasSuffix(out.String(), row.last) {
				t.Errorf("got exit code %d, want %d and an end like %q; it printed\n%s%s", code, row.code, row.last, &out, &errOut)
			}
			if !row.rows.MatchString(out.String()) {
				t.Errorf("no row is like %s:\n%s", row.rows, &out)
			}
			if strings.Contains(out.String(), "!!") != (row.code != 0) {
				t.Errorf("the marks of unexpected results do not fit the exit code:\n%s", &out)
			}
			if row.code == 0 {
				checkReadme(t, out.String())
			}
		})
	}
}

// Each pool signs with keys that were made before anybody asked it for a token.
func TestPoolsHaveKeysFromTheStart(t *testing.T) {
	t.Parallel()
	own, err1 := cognitotest.GenerateKeys()
	others, err2 := cognitotest.GenerateKeys()
	w := &world{}
	if err := errors.Join(err1, err2, w.startCognito(own, others)); err != nil {
		t.Fatal(err)
	}
	defer w.stop()
	for pool, keys := range map[*cognitotest.UserPool]cognitotest.KeyPair{w.pool: own, w.other: others} {
		token, err := pool.Mint(cognitotest.MintSpec{})
		if err != nil {
			t.Fatal(err)
		}
		end := strings.LastIndex(token, ".")
		signature, err := base64.RawURLEncoding.DecodeString(token[end+1:])
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256([]byte(token[:end]))
		if err := rsa.VerifyPKCS1v15(&keys.AccessToken.PublicKey, crypto.SHA256, digest[:], signature); err != nil {
			t.Errorf("%s: %v", pool.Name(), err)
		}
	}
}

// checkReadme expects every row of the table, and the last line, in the README.
func checkReadme(t *testing.T, out string) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		if (strings.HasPrefix(line, "  ok ") || strings.HasSuffix(line, "as expected\n")) && !strings.Contains(string(readme), line) {
			t.Errorf("the README does not show %q", line)
		}
	}
}
