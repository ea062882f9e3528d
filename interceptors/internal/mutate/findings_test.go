// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"testing"
)

// TestReadOutput has what tests print with -test.v=test2json, with ^ for the byte that
// marks what the testing package says.
func TestReadOutput(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ id, output, want string }{
		{"nothing", "", ""},
		{"green", "^=== RUN   TestA\n^--- PASS: TestA (0.00s)\n^=== NAME  \n^PASS\n", " PASS"},
		{"red", "^=== RUN   TestA\n^--- FAIL: TestA (0.00s)\n^FAIL\n", "p: TestA"},
		{"the first that is red", "^--- FAIL: TestB (0.00s)\n^--- FAIL: TestA (0.00s)\n^FAIL\n", "p: TestB"},
		{"parts of another", "^--- FAIL: TestA/x (0.00s)\n^--- FAIL: TestAB (0.00s)\n", "p: TestAB"},
		{
			"leaves alone, sorted", "^--- FAIL: TestA/y (0.00s)\n^--- FAIL: TestA/x/y (0.00s)\n^--- FAIL: TestA/x (0.00s)\n^--- FAIL: TestA (0.00s)\n",
			"p: TestA/x/y, TestA/y",
		},
		{"at most three", "^--- FAIL: T/4 (0s)\n^--- FAIL: T/2 (0s)\n^--- FAIL: T/3 (0s)\n^--- FAIL: T/1 (0s)\n^--- FAIL: T (0s)\n", "p: T/1, T/2, T/3"},
		{"behind a line without an end", "  dots...^--- FAIL: TestA (0.00s)\n", "p: TestA"},
		{"a test that prints", "--- FAIL: TestA (0.00s)\n    x_test.go:1: panic: boom\nPASS\n", ""},
		{
			"panic in a goroutine", "^=== RUN   TestA\n^--- SKIP: TestA (0.00s)\n^=== RUN   TestC\n^=== PAUSE TestC\n" +
				"^=== RUN   TestB\n^=== RUN   TestB/x\n^=== CONT  TestC\n^=== RUN   TestD\n^=== PAUSE TestD\npanic: boom\n",
			"p: (panic) TestB, TestC",
		},
		{"panic before any test", "panic: boom\n", "p: (panic)"},
		{"fatal error", "^=== RUN   TestA\nfatal error: all goroutines are asleep - deadlock!\n", "p: (panic) TestA"},
		{"too long", "^=== RUN   TestA\npanic: test timed out after 10m0s\npanic: again\n", "p: (timeout) TestA"},
		{"not to the end", "^=== RUN   TestA\n^--- PASS: TestA (0.00s)\n", ""},
		{"red after all", "^--- PASS: TestA (0.00s)\n^FAIL\n", ""},
	} {
		t.Run(row.id, func(t *testing.T) {
			t.Parallel()
			ends := 0
			found := readOutput(strings.NewReader(strings.ReplaceAll(row.output, "^", "\x16")), func() { ends++ })
			got := ""
			if r := found.red("m/p"); r.pkg != "" {
				got = r.text(plain)
			}
			if found.passed {
				got += " PASS"
			}
			if got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
			if strings.Contains(row.output, "^---") != (ends > 0) {
				t.Errorf("got %d tests that ended", ends)
			}
		})
	}
	traces := strings.Repeat("goroutine\n", 100)
	found := readOutput(strings.NewReader(traces+"panic: boom\n"+traces), func() {})
	if len(found.last) != maxLast || !slices.Contains(found.last, "panic: boom\n") {
		t.Errorf("got %q, want %d lines around the panic", found.last, maxLast)
	}
}
