// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// state says what became of a mutant.
type state uint8

const (
	killed state = iota + 1
	survived
	equivalent
	notCompiled
)

// result is what became of one mutant.
type result struct {
	mutant   *mutant
	state    state
	red      []redPackage // of a killed one
	compiler string       // of one that does not compile
}

// redPackage holds the tests of a package that went red, sorted.
type redPackage struct {
	name  string
	tests []string
}

// maxShown is how many tests a line names, shared among the packages.
const maxShown = 8

// String returns the result as it is printed, without the check.
func (r result) String() string {
	return r.text(func(test string) string { return test })
}

func (r result) text(quote func(string) string) string {
	switch r.state {
	case killed:
	case survived:
		return "SURVIVES"
	case equivalent:
		return "equivalent: " + r.mutant.equivalent
	case notCompiled:
		return "DOES NOT COMPILE"
	default:
		return "NOT RUN"
	}
	parts := make([]string, len(r.red))
	for i, p := range r.red {
		shown := p.tests[:min(len(p.tests), maxShown/len(r.red))]
		quoted := make([]string, len(shown))
		for j, test := range shown {
			quoted[j] = quote(test)
		}
		parts[i] = p.name + ": " + strings.Join(quoted, ", ")
		if more := len(p.tests) - len(shown); more > 0 {
			parts[i] += fmt.Sprintf(" +%d", more)
		}
	}
	return strings.Join(parts, "; ")
}

// markdown is the page with the table of all results. It holds nothing that changes
// from run to run.
func markdown(results []result) string {
	var b strings.Builder
	count := map[state]int{}
	for _, r := range results {
		count[r.state]++
	}
	fmt.Fprintf(&b, `# Checks and the tests that guard them

`+"`make mutate`"+` writes this page: do not edit it. Each row is a check of the server side that was switched off,
alone, and the tests that went red then. At most %d are named, the number behind + says how many more there are.
(panic) and (timeout) say that the package's tests ended early.

%d checks: %d noticed by tests, %d survive, %d equivalent.
`, maxShown, len(results), count[killed], count[survived], count[equivalent])
	file := ""
	for _, r := range results {
		if r.mutant.file != file {
			file = r.mutant.file
			fmt.Fprintf(&b, "\n## %s\n\n| check | tests that go red |\n| --- | --- |\n", file)
		}
		fmt.Fprintf(&b, "| %s | %s |\n", cell(r.mutant.check), r.text(code))
	}
	return b.String()
}

var cellEscapes = strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ")

func cell(s string) string { return cellEscapes.Replace(s) }

// code shows a test's name as it is, also one with underscores and brackets.
func code(test string) string {
	if strings.HasPrefix(test, "(") {
		return test
	}
	return "`" + strings.NewReplacer("`", "'", "|", `\|`).Replace(test) + "`"
}
