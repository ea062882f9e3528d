// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// What ends tests other than one of them that fails. A test that panics fails, unless
// it panics in a goroutine of its own.
const (
	panicked = "panic"
	timedOut = "timeout"
	exited   = "exit status after the tests"
)

// findings are what one run of a test binary has shown.
type findings struct {
	passed  bool            // the binary said so at its end
	failed  []string        // the tests that failed, those that hold others included
	running map[string]bool // the tests of the top level that have begun and not ended
	crash   string          // what ended the tests, "" if nothing did
	last    []string        // the last lines of output, or those around the crash
}

const maxLast = 20

// readOutput reads what tests print with -test.v=test2json, up to the first test of the
// top level that fails: those that it holds have ended by then, so that which of them
// failed is no matter of chance. It calls ended at the end of each test.
func readOutput(r io.Reader, ended func()) *findings {
	f := &findings{running: map[string]bool{}}
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if f.line(line, ended) || err != nil {
			return f
		}
	}
}

// line takes one line and reports whether a test of the top level has failed. What the
// testing package says, and no test, begins with a ^V.
func (f *findings) line(line string, ended func()) bool {
	_, said, ok := strings.Cut(line, "\x16")
	if !ok {
		f.output(line)
		return false
	}
	words := strings.Fields(said)
	if len(words) == 1 {
		f.passed = words[0] == "PASS"
	}
	if len(words) < 3 {
		return false
	}
	test := words[2]
	top := !strings.Contains(test, "/")
	switch words[0] + words[1] {
	case "===RUN", "===CONT":
		if top {
			f.running[test] = true
		}
	case "===PAUSE":
		delete(f.running, test)
	case "---PASS:", "---SKIP:":
		delete(f.running, test)
		ended()
	case "---FAIL:":
		ended()
		f.failed = append(f.failed, test)
		return top
	}
	return false
}

// output looks for what ends the tests early.
func (f *findings) output(line string) {
	if f.crash == "" {
		f.last = f.last[max(0, len(f.last)-maxLast/2+1):]
	}
	if len(f.last) < maxLast {
		f.last = append(f.last, line)
	}
	switch {
	case f.crash != "":
	case strings.HasPrefix(line, "panic: test timed out"):
		f.crash = timedOut
	case strings.HasPrefix(line, "panic: "), strings.HasPrefix(line, "fatal error: "):
		f.crash = panicked
	}
}

// red sums up what the tests of pkg have shown; its pkg is empty if they are green.
// Where something ended the tests, those that were running are named.
func (f *findings) red(pkg string) red {
	pkg = path.Base(pkg)
	switch {
	case len(f.failed) > 0:
		return red{pkg: pkg, tests: leaves(f.failed)}
	case f.crash != "":
		return red{pkg: pkg, crash: f.crash, tests: slices.Sorted(maps.Keys(f.running))}
	}
	return red{}
}

// leaves drops the tests that only hold others which failed, and sorts the rest. Of the
// tests of the top level one alone has ended: others that it runs with are dropped.
func leaves(tests []string) []string {
	top := tests[len(tests)-1]
	found := slices.DeleteFunc(slices.Clone(tests), func(name string) bool {
		return name != top && !strings.HasPrefix(name, top+"/") ||
			slices.ContainsFunc(tests, func(other string) bool { return strings.HasPrefix(other, name+"/") })
	})
	slices.Sort(found)
	return found
}
