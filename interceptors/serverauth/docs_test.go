// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var benchmarkName = regexp.MustCompile(`Benchmark[A-Z]\w*`)

// The documentation sends readers to benchmarks that are there.
func TestDocsNameBenchmarksThatExist(t *testing.T) {
	t.Parallel()
	named := 0
	for _, doc := range []string{"decisions.md", "performance.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", doc))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range benchmarkName.FindAll(text, -1) {
			named++
			if !isDeclared(t, "func "+string(name)+"(") {
				t.Errorf("docs/%s names %s, which is no benchmark of serverauth", doc, name)
			}
		}
	}
	if named == 0 {
		t.Error("the documentation names no benchmark")
	}
}

func isDeclared(t *testing.T, text string) bool {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(text)) {
			return true
		}
	}
	return false
}
