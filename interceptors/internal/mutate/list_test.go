// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func TestParseList(t *testing.T) {
	t.Parallel()
	const list = `# a comment
late: ^TestSlow
file: interceptors/internal/jose/token.go

check: one
 context
-old
-older
+new

check: two
packages: a b
late: ^$
equivalent: because: it is
-old

file: interceptors/serverauth/bearer.go
late: ^TestY$

check: three
-	old
+	new`
	got, err := parseList("l", list)
	if err != nil {
		t.Fatal(err)
	}
	want := []mutant{
		{
			check: "one", at: "l:5", file: "interceptors/internal/jose/token.go",
			before: []string{"context", "old", "older"}, after: []string{"context", "new"},
			packages: []string{"interceptors/internal/jose", "interceptors/serverauth"}, late: "^TestSlow",
		},
		{
			check: "two", at: "l:11", file: "interceptors/internal/jose/token.go", before: []string{"old"},
			packages: []string{"a", "b"}, late: "^$", equivalent: "because: it is",
		},
		{
			check: "three", at: "l:20", file: "interceptors/serverauth/bearer.go",
			before: []string{"\told"}, after: []string{"\tnew"},
			packages: []string{"interceptors/serverauth"}, late: "^TestY$",
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseListRefuses(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ list, want string }{
		{"check: one\n-x\n", "l:1: a check without a file"},
		{"file: f\n-x\n", "l:2: a line of a hunk without a check"},
		{"file: f\ncheck: one\nfile: g\n", `"one" changes no line`},
		{"file: f\ncheck: one\ncheck: two\n-x", `"one" changes no line`},
		{"file: f\ncheck: one\n+x\n", `l:2: the check "one" changes no line`},
		{"file: f\ncheck: one\n x\n", `"one" changes no line`},
		{"file: f\ncheck: one\n-x\n+x\n", `"one" changes no line`},
		{"equivalent: x\n", "l:1: equivalent: belongs below a check"},
		{"file: f\nequivalent: x\n", "l:2: equivalent: belongs below a check"},
		{"file: f\nchek: x\n", `l:2: there is no setting "chek"`},
		{"file: \n", "l:1:"},
		{"file\n", "l:1:"},
		{"\tx\n", "l:1:"},
	} {
		_, err := parseList("l", row.list)
		wantError(t, err, row.want)
	}
}

func TestReadLists(t *testing.T) {
	t.Parallel()
	list := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	got, err := readLists(fstest.MapFS{
		"checks/1.txt":  list("file: b\ncheck: 2\n-x\ncheck: 1\n-x\n"),
		"checks/2.txt":  list("file: a\ncheck: 3\n-x\n"),
		"checks/readme": list("-"),
	})
	var order []string
	for _, m := range got {
		order = append(order, m.file+m.check)
	}
	if want := "a3 b2 b1"; err != nil || strings.Join(order, " ") != want {
		t.Errorf("got %v, %v, want %v", order, err, want)
	}
	_, err = readLists(fstest.MapFS{"checks/1.txt": list("file: b\ncheck: 2\n-x\n"), "checks/2.txt": list("\nfile: a\ncheck: 2\n-x\n")})
	wantError(t, err, `checks/2.txt:3: the check "2" is at checks/1.txt:2 already`)
}

// TestOwnLists: the lists that come with the program can be read, and name their checks.
func TestOwnLists(t *testing.T) {
	t.Parallel()
	mutants, err := readLists(lists)
	if err != nil || len(mutants) == 0 {
		t.Fatalf("got %d, %v", len(mutants), err)
	}
}
