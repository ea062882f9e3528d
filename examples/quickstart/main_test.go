// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

func allowAll(*serverauth.Authorizer) []grpc.ServerOption { return nil }

func denyAll(*serverauth.Authorizer) []grpc.ServerOption {
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
		last    string
	}{
		{"the authorizer", (*serverauth.Authorizer).ServerOptions, 0, "\n76 calls, 76 as expected\n"},
		{"allow all", allowAll, 1, " as expected\n"},
		{"deny all", denyAll, 1, " as expected\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			code := run(t.Context(), &out, &errOut, row.protect)
			if code != row.code || !strings.HasSuffix(out.String(), row.last) {
				t.Errorf("got exit code %d, want %d and an end like %q; it printed\n%s%s", code, row.code, row.last, &out, &errOut)
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
