// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Command mutate switches each check of the server side and of the client side off, one
// at a time, and shows which tests go red. A check whose absence leaves all tests green is
// a defect: a survivor. Run it from the root of the module:
//
//	go run ./interceptors/internal/mutate -o docs/mutants.md
//
// The checks stand in checks/*.txt, each with the lines that it consists of and the
// lines that it is replaced by, see [parseList]. The tree is never changed: the
// compiler gets the replacement by `go test -overlay`.
//
// A mutant is done with when the first test goes red. With -o, its row says which, and
// the next run begins with that test. The file is written after each mutant, so that a
// run that was interrupted is soon where it was.
//
// Flags:
//
//	-list       only verify that each entry's lines stand in its file exactly once
//	-run R      take the entries whose "file check" matches the regular expression R
//	-o FILE     keep the table in FILE, in Markdown; rows that -run leaves out stay
//	-p N        run N mutants at once; default 2
//	-timeout D  how long no test may end before the tests count as hanging; default 60s
//
// The exit status is 0 if every mutant was killed, and 1 if one survived, an entry is
// wrong, or the tests are red without any mutant.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed checks/*.txt
var lists embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], lists, ".", os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

// run is the program but for the exit status: the lists are lists/checks/*.txt, the
// module is in root.
func run(ctx context.Context, args []string, lists fs.FS, root string, stdout io.Writer) error {
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	flags.SetOutput(stdout)
	listOnly := flags.Bool("list", false, "only verify that each entry's lines stand in its file exactly once")
	filter := flags.String("run", "", "take the entries whose \"file check\" matches this regular expression")
	output := flags.String("o", "", "keep the table in this file, in Markdown")
	parallel := flags.Int("p", 2, "run so many mutants at once")
	timeout := flags.Duration("timeout", time.Minute, "how long no test may end before the tests count as hanging")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	pattern, err := regexp.Compile(*filter)
	switch {
	case err != nil:
		return fmt.Errorf("-run: %w", err)
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *parallel < 1 || *timeout <= 0:
		return errors.New("-p must be 1 or more, -timeout more than 0")
	}
	mutants, err := readLists(lists)
	if err != nil {
		return err
	}
	chosen := matching(mutants, pattern)
	if len(chosen) == 0 {
		return errors.New("no entry matches -run")
	}
	if err := verify(root, chosen); err != nil {
		return err
	}
	if *listOnly {
		_, err := fmt.Fprintf(stdout, "%d checks, each found once\n", len(chosen))
		return err
	}
	c := &campaign{tester: tester{root: root, timeout: *timeout}, output: *output, stdout: stdout}
	if c.results, err = readPage(*output, mutants); err != nil {
		return err
	}
	return c.run(ctx, chosen, *parallel)
}

// matching returns the places of the mutants that -run chooses.
func matching(mutants []mutant, pattern *regexp.Regexp) []*mutant {
	var found []*mutant
	for i := range mutants {
		if m := &mutants[i]; pattern.MatchString(m.file + " " + m.check) {
			found = append(found, m)
		}
	}
	return found
}

// verify reports every entry whose lines do not stand in its file exactly once.
func verify(root string, mutants []*mutant) error {
	var errs []error
	for _, m := range mutants {
		if _, err := m.mutate(root); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// campaign runs the chosen mutants.
type campaign struct {
	tester

	output string // the page's file, or empty
	stdout io.Writer

	mu      sync.Mutex
	results []result // of all mutants, the chosen and the others, in the page's order
}

// run runs the mutants, some at once.
func (c *campaign) run(ctx context.Context, chosen []*mutant, parallel int) error {
	if err := c.baseline(ctx, chosen); err != nil {
		return err
	}
	var (
		workers sync.WaitGroup
		next    = make(chan *mutant)
		errs    = make([]error, parallel)
	)
	for w := range parallel {
		workers.Go(func() {
			for m := range next {
				errs[w] = errors.Join(errs[w], c.one(ctx, m))
			}
		})
	}
	for _, m := range chosen {
		if ctx.Err() != nil {
			break
		}
		next <- m
	}
	close(next)
	workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(append(errs, verdict(c.of(chosen)))...)
}

// one runs a mutant, prints its line and keeps its row.
func (c *campaign) one(ctx context.Context, m *mutant) error {
	c.mu.Lock()
	i := slices.IndexFunc(c.results, func(r result) bool { return r.mutant == m })
	known := c.results[i].red
	c.mu.Unlock()
	r, err := c.tester.run(ctx, m, known)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.results[i] = r
	_, _ = fmt.Fprintf(c.stdout, "%s | %s\n", m.check, r)
	if c.output == "" {
		return nil
	}
	return writePage(c.output, c.results)
}

// of returns the results of the mutants.
func (c *campaign) of(chosen []*mutant) []result {
	return slices.DeleteFunc(slices.Clone(c.results), func(r result) bool { return !slices.Contains(chosen, r.mutant) })
}

// verdict is an error that lists all survivors and all entries that do not compile.
func verdict(results []result) error {
	var survivors, broken []string
	for _, r := range results {
		switch r.state {
		case survived:
			survivors = append(survivors, "\n\t"+r.mutant.file+": "+r.mutant.check)
		case notCompiled:
			broken = append(broken, fmt.Sprintf("\n\t%s: %s: %s", r.mutant.at, r.mutant.check, r.compiler))
		case notRun, killed, equivalent:
		}
	}
	var errs []error
	if len(broken) > 0 {
		errs = append(errs, fmt.Errorf("%d mutants do not compile: correct their new lines:%s", len(broken), strings.Join(broken, "")))
	}
	if len(survivors) > 0 {
		errs = append(errs, fmt.Errorf("%d mutants survive: no test goes red without these checks:%s", len(survivors), strings.Join(survivors, "")))
	}
	return errors.Join(errs...)
}
