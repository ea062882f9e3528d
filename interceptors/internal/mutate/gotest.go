// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// compileTimeout is what a run may take beside its tests, whose processes go test ends
// itself when they are late.
const compileTimeout = 10 * time.Minute

// tester runs the tests of the module in root.
type tester struct {
	root    string
	timeout time.Duration // of the tests of one package
}

// run tests the mutant. The error is about the run: what the tests say is in the result.
func (t *tester) run(ctx context.Context, m *mutant) (result, error) {
	if m.equivalent != "" {
		return result{mutant: m, state: equivalent}, nil
	}
	text, err := m.mutate(t.root)
	if err != nil {
		return result{mutant: m}, err
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return result{mutant: m}, err
	}
	defer os.RemoveAll(dir)
	overlay, err := writeOverlay(dir, filepath.Join(t.root, filepath.FromSlash(m.file)), text)
	if err != nil {
		return result{mutant: m}, err
	}
	found, err := t.test(ctx, m, "-overlay="+overlay)
	if err != nil {
		return result{mutant: m}, fmt.Errorf("%s: %s: %w", m.at, m.check, err)
	}
	return found.result(m), nil
}

// writeOverlay writes the file that makes the compiler read text in the place of file.
func writeOverlay(dir, file, text string) (string, error) {
	original, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	replacement := filepath.Join(dir, filepath.Base(file))
	content, err := json.Marshal(map[string]map[string]string{"Replace": {original: replacement}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, errors.Join(os.WriteFile(replacement, []byte(text), 0o600), os.WriteFile(overlay, content, 0o600))
}

// baseline runs each set of tests that a mutant will run, and fails unless all are green.
func (t *tester) baseline(ctx context.Context, mutants []mutant) error {
	done := map[string]bool{}
	for i := range mutants {
		m := &mutants[i]
		set := fmt.Sprintf("%q %q %q", m.packages, m.tests, m.skip)
		if m.equivalent != "" || done[set] {
			continue
		}
		done[set] = true
		found, err := t.test(ctx, m)
		if err != nil {
			return err
		}
		switch r := found.result(m); r.state {
		case survived:
		case notCompiled:
			return fmt.Errorf("the code does not compile without any mutant: %s", r.compiler)
		case killed, equivalent:
			return fmt.Errorf("tests are red without any mutant: %s; the last output:\n%s", r, strings.Join(found.last, ""))
		}
	}
	return nil
}

// test runs the tests that have to notice the mutant.
func (t *tester) test(ctx context.Context, m *mutant, flags ...string) (*findings, error) {
	ctx, cancel := context.WithTimeout(ctx, compileTimeout+time.Duration(len(m.packages))*2*t.timeout)
	defer cancel()
	args := append([]string{
		"test", "-json", "-count=1", "-failfast=false", "-vet=off", "-timeout=" + t.timeout.String(), "-run=" + m.tests, "-skip=" + m.skip,
	}, flags...)
	for _, p := range m.packages {
		args = append(args, "./"+p)
	}
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // what a list names
	cmd.Dir = t.root
	cmd.WaitDelay = 10 * time.Second // tests that outlive go test hold its output open
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	runErr := cmd.Run()
	found, err := readEvents(&stdout)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("go test: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	case (runErr == nil) == found.red():
		return nil, fmt.Errorf("go test: exit status and events differ: %s", bytes.TrimSpace(stderr.Bytes()))
	}
	return found, nil
}

// event is a line of go test -json (go doc test2json) or go build -json (go help buildjson).
type event struct {
	Action      string
	Package     string
	Test        string
	Output      string
	FailedBuild string
}

// findings are what went wrong in one run of go test.
type findings struct {
	broken   bool                // something does not compile
	compiler []string            // what the compiler said
	order    []string            // the packages that failed, as the events come
	failed   map[string][]string // by package: the tests that failed, those that hold others included
	crash    map[string]string   // by package: what ended the tests early
	last     []string            // the last lines of output, or those around the crash
}

const maxLast = 20

func (f *findings) red() bool { return len(f.order) > 0 }

// readEvents reads what go test -json prints.
func readEvents(r io.Reader) (*findings, error) {
	f := &findings{failed: map[string][]string{}, crash: map[string]string{}}
	dec := json.NewDecoder(r)
	for {
		var e event
		err := dec.Decode(&e) //nolint:musttag // test2json has these very names
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return nil, err
		}
		switch {
		case e.Action == "build-output":
			f.compiler = append(f.compiler, strings.TrimSpace(e.Output))
		case e.Action == "output":
			f.output(e)
		case e.Action != "fail":
		case e.Test != "":
			f.failed[e.Package] = append(f.failed[e.Package], e.Test)
		default:
			f.order = append(f.order, e.Package)
			f.broken = f.broken || e.FailedBuild != ""
		}
	}
}

// output looks for what ends the tests of a package early.
func (f *findings) output(e event) {
	if len(f.crash) == 0 {
		f.last = f.last[max(0, len(f.last)-maxLast/2+1):]
	}
	if len(f.last) < maxLast {
		f.last = append(f.last, e.Output)
	}
	switch {
	case strings.HasPrefix(e.Output, "panic: test timed out"), strings.HasPrefix(e.Output, "*** Test killed"):
		f.crash[e.Package] = "timeout"
	case f.crash[e.Package] == "timeout":
	case strings.HasPrefix(e.Output, "panic: "), strings.HasPrefix(e.Output, "fatal error: "):
		f.crash[e.Package] = "panic"
	}
}

// result sums up. Where tests ended early, the names of those that still ran depend on
// chance, so that only the fact is told.
func (f *findings) result(m *mutant) result {
	r := result{mutant: m}
	switch {
	case f.broken:
		r.state, r.compiler = notCompiled, strings.Join(f.compiler[:min(len(f.compiler), 3)], "; ")
		return r
	case !f.red():
		r.state = survived
		return r
	}
	r.state = killed
	slices.SortFunc(f.order, func(a, b string) int { return place(m, a) - place(m, b) })
	for _, pkg := range f.order {
		red := redPackage{name: pkg[strings.LastIndexByte(pkg, '/')+1:], tests: leaves(f.failed[pkg])}
		switch crash := f.crash[pkg]; {
		case crash != "":
			red.tests = []string{"(" + crash + ")"}
		case len(red.tests) == 0:
			red.tests = []string{"(exit status after the tests)"}
		}
		r.red = append(r.red, red)
	}
	return r
}

// place is where the package stands in the mutant's list.
func place(m *mutant, pkg string) int {
	return slices.IndexFunc(m.packages, func(p string) bool { return strings.HasSuffix(pkg, p) })
}

// leaves drops the tests that only hold others which failed, and sorts the rest.
func leaves(tests []string) []string {
	slices.Sort(tests)
	return slices.DeleteFunc(slices.Clone(tests), func(name string) bool {
		return slices.ContainsFunc(tests, func(other string) bool { return strings.HasPrefix(other, name+"/") })
	})
}
