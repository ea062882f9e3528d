// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestReadEvents has what go test -json prints, cut to what matters.
func TestReadEvents(t *testing.T) {
	t.Parallel()
	fail := func(pkg, test string) string {
		return fmt.Sprintf(`{"Action":"fail","Package":"m/%s","Test":%q}`+"\n", pkg, test)
	}
	done := func(pkg string) string { return fmt.Sprintf(`{"Action":"fail","Package":"m/%s"}`+"\n", pkg) }
	says := func(pkg, text string) string {
		return fmt.Sprintf(`{"Action":"output","Package":"m/%s","Output":%q}`+"\n", pkg, text)
	}
	var many strings.Builder
	for i := range 20 {
		many.WriteString(fail("p", fmt.Sprintf("Test%02d", i)))
	}
	for _, row := range []struct{ id, events, want string }{
		{"nothing", "", "SURVIVES"},
		{"green", `{"Action":"pass","Package":"m/p","Test":"TestA"}` + "\n" + `{"Action":"pass","Package":"m/p"}`, "SURVIVES"},
		{"sorted", fail("p", "TestB") + fail("p", "TestA") + done("p"), "p: TestA, TestB"},
		{"leaves alone", fail("p", "TestA/x/y") + fail("p", "TestA/x") + fail("p", "TestA") + fail("p", "TestAB") + done("p"), "p: TestA/x/y, TestAB"},
		{"packages in the order of the list", fail("q", "TestB") + done("q") + fail("p", "TestA") + done("p"), "p: TestA; q: TestB"},
		{"at most eight", many.String() + done("p"), "p: Test00, Test01, Test02, Test03, Test04, Test05, Test06, Test07 +12"},
		{"eight for all packages", many.String() + done("p") + fail("q", "TestB") + done("q"), "p: Test00, Test01, Test02, Test03 +16; q: TestB"},
		{"panic", fail("p", "TestA") + says("p", "panic: boom\n") + fail("p", "TestB") + done("p") + fail("q", "TestB") + done("q"), "p: (panic); q: TestB"},
		{"fatal error", says("p", "fatal error: all goroutines are asleep - deadlock!\n") + done("p"), "p: (panic)"},
		{"a test that prints", says("p", "    x_test.go:1: panic: boom\n") + fail("p", "TestA") + done("p"), "p: TestA"},
		{"timeout", says("p", "panic: test timed out after 1m0s\n") + says("p", "panic: again\n") + fail("p", "TestA") + done("p"), "p: (timeout)"},
		{"killed from outside", says("p", "*** Test killed with quit: ran too long (2m0s).\n") + done("p"), "p: (timeout)"},
		{"leak", `{"Action":"pass","Package":"m/p","Test":"TestA"}` + "\n" + done("p"), "p: (exit status after the tests)"},
		{
			"not compiled", `{"ImportPath":"m/p","Action":"build-output","Output":"x.go:1: undefined: y\n"}` + "\n" +
				`{"Action":"fail","Package":"m/p","FailedBuild":"m/p"}`, "DOES NOT COMPILE",
		},
	} {
		t.Run(row.id, func(t *testing.T) {
			t.Parallel()
			found, err := readEvents(strings.NewReader(row.events))
			if err != nil {
				t.Fatal(err)
			}
			r := found.result(&mutant{packages: []string{"p", "q"}})
			if got := r.String(); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
			if r.state == notCompiled && !strings.Contains(r.compiler, "undefined: y") {
				t.Errorf("got %q, want what the compiler said", r.compiler)
			}
		})
	}
	var traces strings.Builder
	for range 100 {
		traces.WriteString(says("p", "goroutine\n"))
	}
	found, err := readEvents(strings.NewReader(traces.String() + says("p", "panic: boom\n") + traces.String() + done("p")))
	if err != nil || len(found.last) != maxLast || !slices.Contains(found.last, "panic: boom\n") {
		t.Errorf("got %q, %v, want %d lines around the panic", found.last, err, maxLast)
	}
	if _, err := readEvents(strings.NewReader("go: no such thing")); err == nil {
		t.Error("what is no JSON is taken")
	}
}
