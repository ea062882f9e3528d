// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// `make test` runs everything under the race detector, and once more without it what has
// Alloc in its name. A test that the detector keeps from running must be one of those.
func TestNoTestIsSkippedEverywhere(t *testing.T) {
	t.Parallel()
	found := 0
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range parsed.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				if name, ok := n.(*ast.Ident); ok && (name.Name == "raceEnabled" || name.Name == "tapRace") {
					if found++; !strings.Contains(fn.Name.Name, "Alloc") {
						t.Errorf("%s: %s depends on the race detector and has no Alloc in its name, so make test never runs it without", path, fn.Name.Name)
					}
				}
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Error("no test depends on the race detector: this one looks for the wrong names")
	}
}
