// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// tester runs the tests of the module in root.
type tester struct {
	root    string
	timeout time.Duration // how long no test may end before they count as hanging
}

// totalTimeout ends tests that a mutant makes slow without stopping them altogether.
const totalTimeout = 10 * time.Minute

// stage is a part of the tests that have to notice a mutant.
type stage struct {
	pkg        string // from the module's root
	only, skip string // patterns as of go test -run and -skip
}

// stages returns what to run, in this order, until a test goes red. First come the
// tests that noticed the mutant the last time, then all of them, the cheap ones before
// the late ones.
func stages(m *mutant, known red) []stage {
	var all []stage
	for _, p := range m.packages {
		if path.Base(p) == known.pkg && len(known.tests) > 0 {
			all = append(all, stage{pkg: p, only: known.pattern()})
		}
	}
	for _, p := range m.packages {
		all = append(all, stage{pkg: p, skip: m.late})
	}
	for _, p := range m.packages {
		if m.late != "" {
			all = append(all, stage{pkg: p, only: m.late})
		}
	}
	return all
}

// run tests the mutant; known is what noticed it the last time. The error is about the
// run: what the tests say is in the result.
func (t *tester) run(ctx context.Context, m *mutant, known red) (result, error) {
	r := result{mutant: m, state: equivalent}
	if m.equivalent != "" {
		return r, nil
	}
	text, err := m.mutate(t.root)
	if err != nil {
		return r, err
	}
	b, err := t.newBuild()
	if err != nil {
		return r, err
	}
	defer b.remove()
	if err := b.replace(filepath.Join(t.root, filepath.FromSlash(m.file)), text); err != nil {
		return r, err
	}
	for _, s := range stages(m, known) {
		found, err := b.test(ctx, s)
		if broken := (*compileError)(nil); errors.As(err, &broken) {
			r.state, r.compiler = notCompiled, broken.Error()
			return r, nil
		}
		if err != nil {
			return r, fmt.Errorf("%s: %s: %w", m.at, m.check, err)
		}
		if now := found.red(s.pkg); now.pkg != "" {
			r.state, r.red = killed, now
			if known.confirmedBy(now) {
				r.red = known
			}
			return r, nil
		}
	}
	r.state = survived
	return r, nil
}

// baseline runs all tests that a mutant will run, and fails unless they are green.
func (t *tester) baseline(ctx context.Context, mutants []*mutant) error {
	b, err := t.newBuild()
	if err != nil {
		return err
	}
	defer b.remove()
	done := map[string]bool{}
	for _, m := range mutants {
		for _, p := range m.packages {
			if m.equivalent != "" || done[p] {
				continue
			}
			done[p] = true
			found, err := b.test(ctx, stage{pkg: p})
			if broken := (*compileError)(nil); errors.As(err, &broken) {
				return fmt.Errorf("the code does not compile without any mutant: %w", err)
			}
			if err != nil {
				return err
			}
			if r := found.red(p); r.pkg != "" {
				return fmt.Errorf("tests are red without any mutant: %s; the last output:\n%s",
					r.text(plain), strings.Join(found.last, ""))
			}
		}
	}
	return nil
}

// build holds the test binaries of one mutant, each compiled when it is first needed.
type build struct {
	*tester

	dir      string
	overlay  string            // the flag, or empty
	binaries map[string]string // by package
}

func (t *tester) newBuild() (*build, error) {
	dir, err := os.MkdirTemp("", "mutate")
	return &build{tester: t, dir: dir, overlay: "-overlay=", binaries: map[string]string{}}, err
}

func (b *build) remove() { _ = os.RemoveAll(b.dir) }

// replace makes the compiler read text in the place of file.
func (b *build) replace(file, text string) error {
	original, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	replacement, overlay := filepath.Join(b.dir, filepath.Base(file)), filepath.Join(b.dir, "overlay.json")
	content, err := json.Marshal(map[string]map[string]string{"Replace": {original: replacement}})
	b.overlay += overlay
	return errors.Join(err, os.WriteFile(replacement, []byte(text), 0o600), os.WriteFile(overlay, content, 0o600))
}

// compileError is what the compiler said.
type compileError struct{ lines []string }

func (e *compileError) Error() string {
	return strings.Join(e.lines[:min(len(e.lines), 3)], "; ")
}

// binary compiles the tests of a package. Without what debuggers need the linker takes
// half the time.
func (b *build) binary(ctx context.Context, pkg string) (string, error) {
	if file, ok := b.binaries[pkg]; ok {
		return file, nil
	}
	file := filepath.Join(b.dir, fmt.Sprintf("%d.test", len(b.binaries)))
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-s -w", b.overlay, "-o", file, "./"+pkg) //nolint:gosec // what a list names
	cmd.Dir, cmd.Env = b.root, b.environment()
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && ctx.Err() == nil {
		return "", &compileError{strings.Split(strings.TrimSpace(string(out)), "\n")}
	}
	if err != nil {
		return "", err
	}
	b.binaries[pkg], err = filepath.Abs(file)
	return b.binaries[pkg], err
}

// environment has what processes leave behind in the directory that goes away: tests
// that are ended early cannot remove theirs.
func (b *build) environment() []string { return append(os.Environ(), "TMPDIR="+b.dir) }

var errHangs = errors.New("no test ends")

// test runs tests until one goes red, all are done, or they hang.
func (b *build) test(ctx context.Context, s stage) (*findings, error) {
	file, err := b.binary(ctx, s.pkg)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cmd := exec.CommandContext(running, file, "-test.v=test2json", "-test.paniconexit0", //nolint:gosec // just compiled
		"-test.timeout="+totalTimeout.String(), "-test.run="+s.only, "-test.skip="+s.skip)
	cmd.Dir, cmd.Env = filepath.Join(b.root, filepath.FromSlash(s.pkg)), b.environment()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	hanging := time.AfterFunc(b.timeout, func() { stop(errHangs) })
	defer hanging.Stop()
	found := readOutput(out, func() { hanging.Reset(b.timeout) })
	if len(found.failed) > 0 {
		stop(nil)
	}
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case len(found.failed) > 0, found.passed && err == nil:
	case errors.Is(context.Cause(running), errHangs):
		found.crash = timedOut
	case found.crash == "":
		found.crash = exited
	}
	return found, nil
}
