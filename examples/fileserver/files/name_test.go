// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"path"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestCheckName(t *testing.T) {
	t.Parallel()
	part := strings.Repeat("p", maxPartLen)
	for _, tt := range []struct {
		test, name string
		want       string // part of the text; "" for a good name
	}{
		{"plain", "report.txt", ""},
		{"path", "2026/q3/report.txt", ""},
		{"hidden", ".profile", ""},
		{"dots within", "a..b/...c", ""},
		{"letters of other scripts", "späť/αρχείο", ""},
		{"spaces", " a b ", ""},
		{"longest part", part, ""},
		{"longest name", strings.Repeat("a/", maxNameLen/2-1) + "ab", ""},
		{"empty", "", "empty"},
		{"too long", strings.Repeat("a/", maxNameLen/2) + "b", "longer than 1024"},
		{"part too long", "a/" + part + "p/b", "part longer than 255"},
		{"NUL", "a\x00b", "control"},
		{"newline", "a\nb", "control"},
		{"DEL", "a\x7f", "control"},
		{"C1 control", "a\u0085b", "control"},
		{"not UTF-8", "a\xffb", "UTF-8"},
		{"parent", "..", "below the store"},
		{"parent first", "../a", "below the store"},
		{"parent last", "a/..", "not clean"},
		{"parent beyond", "a/../../b", "below the store"},
		{"parent within", "a/../b", "not clean"},
		{"absolute", "/etc/passwd", "below the store"},
		{"double absolute", "//a", "below the store"},
		{"dot", ".", "not clean"},
		{"dot first", "./a", "not clean"},
		{"dot within", "a/./b", "not clean"},
		{"empty part", "a//b", "not clean"},
		{"slash last", "a/", "not clean"},
		{"temporary", ".upload-ABC", "unfinished"},
		{"temporary, other case", ".UPLOAD-abc", "unfinished"},
		{"temporary directory", ".upload-/a", "unfinished"},
		{"temporary below", "a/.upload-b", "unfinished"},
		{"like a temporary", ".upload", ""},
	} {
		t.Run(tt.test, func(t *testing.T) {
			t.Parallel()
			err := checkName(tt.name)
			if tt.want == "" {
				if err != nil {
					t.Errorf("got %v, want no error", err)
				}
				return
			}
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want INVALID_ARGUMENT with %q", err, tt.want)
			}
		})
	}
}

func TestLongNameIsNotEchoed(t *testing.T) {
	t.Parallel()
	err := checkName(strings.Repeat("\x01", 1<<20))
	if n := len(err.Error()); n > 300 {
		t.Errorf("the error has %d bytes, want 300 at most", n)
	}
}

// FuzzCheckName holds the checked rules against other ways to say them.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"a", "a/b", "../a", "/a", "a//b", "a/.", "a\\b", "C:x", ".upload-x", "\xff", "a\x00", strings.Repeat("a/", 600)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkName(name) != nil {
			return
		}
		switch {
		case len(name) == 0 || len(name) > 1024:
			t.Errorf("%q passed with %d bytes", name, len(name))
		case !utf8.ValidString(name):
			t.Errorf("%q passed, and is not UTF-8", name)
		case path.Clean("/"+name) != "/"+name:
			t.Errorf("%q passed, and is not clean", name)
		case strings.IndexFunc(name, unicode.IsControl) >= 0:
			t.Errorf("%q passed with a control character", name)
		}
		for part := range strings.SplitSeq(name, "/") {
			if len(part) > 255 || strings.HasPrefix(strings.ToLower(part), tempPrefix) {
				t.Errorf("%q passed with the part %q", name, part)
			}
		}
	})
}
