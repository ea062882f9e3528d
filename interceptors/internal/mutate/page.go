// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
)

// state says what became of a mutant.
type state uint8

const (
	notRun state = iota
	killed
	survived
	equivalent
	notCompiled
)

// result is what became of one mutant.
type result struct {
	mutant   *mutant
	state    state
	red      red    // of a killed one
	compiler string // of one that does not compile
}

// red is what noticed a mutant. Its pkg is empty if nothing did.
type red struct {
	pkg   string // the last element of the package's path
	crash string // what ended the tests early, "" if nothing did
	// tests are the tests that went red, or that were running when something ended them.
	tests []string
}

// maxShown is how many tests a row names.
const maxShown = 3

// pattern selects the tests of the top level, as of go test -run.
func (r red) pattern() string {
	var top []string
	for _, test := range r.tests {
		name, _, _ := strings.Cut(test, "/")
		if name = regexp.QuoteMeta(name); !slices.Contains(top, name) {
			top = append(top, name)
		}
	}
	return "^(" + strings.Join(top, "|") + ")$"
}

// confirmedBy reports whether what was known has happened again.
func (r red) confirmedBy(now red) bool {
	if r.pkg != now.pkg || r.crash != now.crash {
		return false
	}
	for _, test := range r.tests {
		if !slices.ContainsFunc(now.tests, func(other string) bool { return code(other) == code(test) }) {
			return false
		}
	}
	return true
}

func (r red) text(quote func(string) string) string {
	var names []string
	for _, test := range r.tests[:min(len(r.tests), maxShown)] {
		names = append(names, quote(test))
	}
	text := r.pkg + ": "
	if r.crash != "" {
		text += "(" + r.crash + ") "
	}
	return strings.TrimSpace(text + strings.Join(names, ", "))
}

// String returns the result as it is printed, without the check.
func (r result) String() string { return r.text(plain) }

const survivesText, notCompiledText = "SURVIVES", "DOES NOT COMPILE"

func (r result) text(quote func(string) string) string {
	switch r.state {
	case killed:
		return r.red.text(quote)
	case survived:
		return survivesText
	case equivalent:
		return "equivalent: " + r.mutant.equivalent
	case notCompiled:
		return notCompiledText
	case notRun:
	}
	return "NOT RUN"
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

`+"`make mutate`"+` writes this page: do not edit it. Each row is a check of the server side or the client side that was
switched off, alone, and a test that went red then. The tests stop at the first that goes red, so that a row does not
name all that would notice: at most %d parts of that one test. The next run begins with that test; while it goes red
again, the row stays. Where (panic) or (timeout) ended the tests, the row names those that were running. A check that
SURVIVES has been through all tests of its packages.

%d checks: %d noticed by tests, %d survive, %d equivalent`, maxShown, len(results), count[killed], count[survived], count[equivalent])
	if count[notCompiled] > 0 {
		fmt.Fprintf(&b, ", %d do not compile", count[notCompiled])
	}
	if count[notRun] > 0 {
		fmt.Fprintf(&b, ", %d not run yet", count[notRun])
	}
	b.WriteString(".\n")
	file := ""
	for _, r := range results {
		if r.state == notRun {
			continue
		}
		if r.mutant.file != file {
			file = r.mutant.file
			fmt.Fprintf(&b, "\n## %s\n\n| check | a test that goes red |\n| --- | --- |\n", file)
		}
		fmt.Fprintf(&b, "| %s | %s |\n", cell(r.mutant.check), r.text(code))
	}
	return b.String()
}

var cellEscapes = strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ")

func cell(s string) string { return cellEscapes.Replace(s) }

func plain(test string) string { return test }

// code shows a test's name as it is, also one with underscores and brackets.
func code(test string) string {
	return "`" + strings.NewReplacer("`", "'", "|", `\|`).Replace(test) + "`"
}

// readPage returns what a page says about the mutants, in their order. Those that it
// does not know, or says nothing useful about, are not run yet.
func readPage(file string, mutants []mutant) ([]result, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the file that -o names
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		row := strings.TrimSuffix(strings.TrimPrefix(line, "| "), " |\n")
		if check, said, ok := strings.Cut(row, " | "); ok {
			rows[check] = said
		}
	}
	results := make([]result, len(mutants))
	for i := range mutants {
		m := &mutants[i]
		results[i] = readRow(m, rows[cell(m.check)])
	}
	return results, nil
}

var (
	redText  = regexp.MustCompile("^(\\w+):(?: \\(([a-z ]+)\\))?((?:,? `[^`]+`)*)$")
	codeText = regexp.MustCompile("`[^`]+`")
)

func readRow(m *mutant, said string) result {
	r := result{mutant: m}
	switch {
	case m.equivalent != "":
		r.state = equivalent
	case said == survivesText:
		r.state = survived
	case said == notCompiledText:
		r.state = notCompiled
	default:
		parts := redText.FindStringSubmatch(said)
		if parts == nil {
			break
		}
		r.state, r.red = killed, red{pkg: parts[1], crash: parts[2]}
		for _, test := range codeText.FindAllString(parts[3], -1) {
			r.red.tests = append(r.red.tests, strings.ReplaceAll(strings.Trim(test, "`"), `\|`, "|"))
		}
	}
	return r
}

// writePage replaces the page in one step.
func writePage(file string, results []result) error {
	next := file + ".new"
	if err := os.WriteFile(next, []byte(markdown(results)), 0o644); err != nil { //nolint:gosec // a page for everybody
		return err
	}
	return os.Rename(next, file)
}
