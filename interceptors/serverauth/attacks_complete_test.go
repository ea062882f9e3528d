// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// lastRows are how many rows each part of the table of attacks has: metadata and
// transport, structure and header, claims, keys, methods and streams.
var lastRows = map[byte]int{'A': 14, 'B': 24, 'C': 27, 'D': 23, 'E': 12}

var (
	idInName = regexp.MustCompile(`[A-E][0-9]{1,2}`)
	idOfRow  = regexp.MustCompile(`^"([A-E][0-9]{1,2})["/]`) // of a table, such as "D6/HTML"
)

// No row of the table can be forgotten: each has a test that has its id in its name, or
// in the name of one of its rows. go test -v prints where.
func TestEveryAttackIsTested(t *testing.T) {
	t.Parallel()
	tested := make(map[string][]string)
	for _, folder := range []string{".", filepath.Join("..", "internal", "jwks")} {
		files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no test files in %s: %v", folder, err)
		}
		for _, file := range files {
			for id, test := range idsOf(t, file) {
				tested[id] = append(tested[id], filepath.ToSlash(file)+": "+strings.Join(test, ", "))
			}
		}
	}
	for _, letter := range []byte("ABCDE") {
		for n := range lastRows[letter] {
			id := fmt.Sprintf("%c%d", letter, n+1)
			if len(tested[id]) == 0 {
				t.Errorf("%s has no test", id)
				continue
			}
			t.Logf("%-3s %s", id, strings.Join(tested[id], "; "))
		}
	}
}

// idsOf returns the ids in a file, each with the declarations that have it.
func idsOf(t *testing.T, file string) map[string][]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]string)
	for _, decl := range parsed.Decls {
		name := nameOf(decl)
		if fn, ok := decl.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Test") {
			for _, id := range idInName.FindAllString(name, -1) {
				found[id] = append(found[id], name)
			}
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
				if m := idOfRow.FindStringSubmatch(text.Value); m != nil && !slices.Contains(found[m[1]], name) {
					found[m[1]] = append(found[m[1]], name)
				}
			}
			return true
		})
	}
	return found
}

// nameOf is the first name that a declaration declares.
func nameOf(decl ast.Decl) string {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		return d.Name.Name
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if v, ok := spec.(*ast.ValueSpec); ok {
				return v.Names[0].Name
			}
		}
	}
	return "?"
}
