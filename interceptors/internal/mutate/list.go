// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is a check and what the program looks like without it.
type mutant struct {
	check string // its name, unique among all
	at    string // where the entry stands, for messages
	file  string // from the module's root, with slashes
	// before are whole lines of the file, after those that take their place. They
	// hold no line ends.
	before, after []string
	packages      []string // whose tests must notice, from the module's root
	late          string   // a pattern as of go test -run: tests that run last, "" for none
	equivalent    string   // why no test can notice, "" if one can
}

// publicPackage sees every refusal from the outside: its tests run for each mutant
// that does not say otherwise.
const publicPackage = "interceptors/serverauth"

// readLists parses checks/*.txt.
func readLists(lists fs.FS) ([]mutant, error) {
	names, err := fs.Glob(lists, "checks/*.txt")
	if err != nil {
		return nil, err
	}
	var all []mutant
	seen := map[string]string{}
	for _, name := range names {
		text, err := fs.ReadFile(lists, name)
		if err != nil {
			return nil, err
		}
		mutants, err := parseList(name, string(text))
		if err != nil {
			return nil, err
		}
		for _, m := range mutants {
			if at, ok := seen[m.check]; ok {
				return nil, fmt.Errorf("%s: the check %q is at %s already: give each its own name", m.at, m.check, at)
			}
			seen[m.check] = m.at
		}
		all = append(all, mutants...)
	}
	slices.SortStableFunc(all, func(a, b mutant) int { return cmp.Compare(a.file, b.file) })
	return all, nil
}

// parseList reads a list:
//
//	# a comment
//	file: interceptors/serverauth/bearer.go
//
//	check: bearer: two values
//	 	case 1:
//	-	default:
//	-		return "", NewError(ReasonAuthorizationDuplicated, nil)
//	+	default:
//
// The lines of a check are a hunk as in a unified diff: "-" goes, "+" comes, a space
// stays. All of a hunk but its "+" lines must stand in the file exactly once, tabs
// included. An empty line ends it. Further settings:
//
//	packages: a b      whose tests must notice; default: the file's and interceptors/serverauth
//	late: ^TestX       run these only if all others are green: they take long and notice little
//	equivalent: why    no test can notice; the mutant is listed and not run
//
// A setting may stand below one check, below file for all its checks, or above the
// first file for the whole list.
func parseList(name, text string) ([]mutant, error) {
	p := parser{}
	for i, line := range strings.Split(text, "\n") {
		p.at = fmt.Sprintf("%s:%d", name, i+1)
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("%s: %w", p.at, err)
		}
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	return p.done, nil
}

type parser struct {
	at     string
	list   mutant  // what is the same for all checks of the list
	common mutant  // what is the same for all checks of a file; its file is empty before the first
	open   *mutant // the check that is being read, or nil
	done   []mutant
}

func (p *parser) line(line string) error {
	if line == "" || line[0] == '#' {
		return nil
	}
	if strings.ContainsRune("-+ ", rune(line[0])) {
		return p.hunk(line[0], line[1:])
	}
	key, value, ok := strings.Cut(line, ": ")
	if value = strings.TrimSpace(value); !ok || value == "" {
		return fmt.Errorf("%q is no setting and no line of a hunk", line)
	}
	switch key {
	case "file":
		if err := p.end(); err != nil {
			return err
		}
		p.common = p.list
		p.common.file = value
		if len(p.common.packages) == 0 {
			p.common.packages = slices.Compact([]string{path.Dir(value), publicPackage})
		}
		return nil
	case "check":
		if err := p.end(); err != nil {
			return err
		}
		if p.common.file == "" {
			return errors.New("a check without a file: above it")
		}
		m := p.common
		m.check, m.at = value, p.at
		p.open = &m
		return nil
	}
	return p.setting(key, value)
}

func (p *parser) setting(key, value string) error {
	m := p.open
	switch {
	case m != nil:
	case p.common.file != "":
		m = &p.common
	default:
		m = &p.list
	}
	switch key {
	case "packages":
		m.packages = strings.Fields(value)
	case "late":
		m.late = value
	case "equivalent":
		if p.open == nil {
			return errors.New("equivalent: belongs below a check")
		}
		m.equivalent = value
	default:
		return fmt.Errorf("there is no setting %q", key)
	}
	return nil
}

func (p *parser) hunk(sign byte, line string) error {
	if p.open == nil {
		return errors.New("a line of a hunk without a check: above it")
	}
	if sign != '+' {
		p.open.before = append(p.open.before, line)
	}
	if sign != '-' {
		p.open.after = append(p.open.after, line)
	}
	return nil
}

// end completes the check that is open.
func (p *parser) end() error {
	if p.open == nil {
		return nil
	}
	if len(p.open.before) == 0 || slices.Equal(p.open.before, p.open.after) {
		return fmt.Errorf("%s: the check %q changes no line", p.open.at, p.open.check)
	}
	p.done = append(p.done, *p.open)
	p.open = nil
	return nil
}

// mutate returns the file's text without the check.
func (m *mutant) mutate(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.file))) //nolint:gosec // a file that a list names
	if err != nil {
		return "", fmt.Errorf("%s: %w", m.at, err)
	}
	lines := strings.Split(string(text), "\n")
	var places []int
	for i := range len(lines) - len(m.before) + 1 {
		if slices.Equal(lines[i:i+len(m.before)], m.before) {
			places = append(places, i)
		}
	}
	if len(places) != 1 {
		return "", fmt.Errorf("%s: the lines of %q stand in %s %d times, must be once: adapt the entry to the code",
			m.at, m.check, m.file, len(places))
	}
	return strings.Join(slices.Replace(lines, places[0], places[0]+len(m.before), m.after...), "\n"), nil
}
