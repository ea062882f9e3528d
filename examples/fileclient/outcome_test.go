// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestExitCodes has each gRPC code, and what is none.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	for c := codes.OK; c <= codes.Unauthenticated; c++ {
		want := 1
		switch c {
		case codes.OK:
			want = 0
		case codes.Unavailable:
			want = 69
		case codes.PermissionDenied:
			want = 77
		case codes.Unauthenticated:
			want = 78
		}
		if got := exitCode(status.Error(c, "text")); got != want {
			t.Errorf("%v: got %d, want %d", c, got, want)
		}
	}
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"nothing", nil, 0},
		{"wrapped status", fmt.Errorf("while: %w", status.Error(codes.PermissionDenied, "text")), 77},
		{"usage", usageError{os.ErrNotExist}, 64},
		{"wrapped usage", errors.Join(usageError{os.ErrNotExist}), 64},
		{"usage that wraps a status", usageError{status.Error(codes.Unavailable, "text")}, 64},
		{"local file", os.ErrNotExist, 1},
		{"local context", context.Canceled, 1},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	c := &config{addr: "files.internal:8443", command: command{name: "read"}, args: []string{"a\nb", "-"}}
	for _, tt := range []struct {
		name string
		err  error
		want []string
	}{
		{"refused", status.Error(codes.PermissionDenied, "needs demo/read.file"), []string{`read "a\nb": PERMISSION_DENIED: needs demo/read.file: give the app client the scope`}},
		{"not accepted", status.Error(codes.Unauthenticated, "the token is not valid"), []string{"UNAUTHENTICATED: the token is not valid: check that -token-url or the app client belongs"}},
		{"unavailable", status.Error(codes.Unavailable, "no connection"), []string{"UNAVAILABLE: no connection: check that the server at files.internal:8443 runs, and that -ca"}},
		{"not found", status.Error(codes.NotFound, "there is no file"), []string{"NOT_FOUND: there is no file: ", "fileclient ls"}},
		{"interrupted", status.FromContextError(context.Canceled).Err(), []string{"CANCELLED"}},
		{"local", os.ErrPermission, []string{`read "a\nb": permission denied`}},
		{"hostile text", status.Error(codes.Internal, "one\r\ntwo\x1b[2Jthree\u202efour"), []string{"INTERNAL: one two [2Jthree four"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := explain(c, tt.err)
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
			if strings.ContainsAny(got, "\r\n\x1b") {
				t.Errorf("got %q, want one line without control characters", got)
			}
		})
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{"a/b c", "a/b c"},
		{"späť", "späť"},
		{"a\x1b[2J", `"a\x1b[2J"`},
		{"a\tb", `"a\tb"`},
		{"a\u202eb", `"a\u202eb"`},
		{"a\xff", `"a\xff"`},
	} {
		if got := printable(tt.text); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.text, got, tt.want)
		}
	}
}
