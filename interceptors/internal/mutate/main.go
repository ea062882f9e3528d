// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Command mutate switches each check of the server side off, one at a time, and shows
// which tests go red. A check whose absence leaves all tests green is a defect: a
// survivor. Run it from the root of the module:
//
//	go run ./interceptors/internal/mutate -o docs/mutants.md
//
// The checks stand in checks/*.txt, each with the lines that it consists of and the
// lines that it is replaced by, see [parseList]. The tree is never changed: the
// compiler gets the replacement by `go test -overlay`.
//
// Flags:
//
//	-list       only verify that each entry's lines stand in its file exactly once
//	-run R      take the entries whose "file check" matches the regular expression R
//	-o FILE     write the table to FILE, in Markdown
//	-p N        run N mutants at once; default 2
//	-timeout D  how long the tests of one package may take; default 60s
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
	output := flags.String("o", "", "write the table to this file, in Markdown")
	parallel := flags.Int("p", 2, "run so many mutants at once")
	timeout := flags.Duration("timeout", time.Minute, "how long the tests of one package may take")
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
	case *output != "" && *filter != "":
		return errors.New("-o writes the whole table: leave -run out")
	}
	mutants, err := readLists(lists)
	if err != nil {
		return err
	}
	if mutants = matching(mutants, pattern); len(mutants) == 0 {
		return errors.New("no entry matches -run")
	}
	if err := verify(root, mutants); err != nil {
		return err
	}
	if *listOnly {
		_, err := fmt.Fprintf(stdout, "%d checks, each found once\n", len(mutants))
		return err
	}
	t := &tester{root: root, timeout: *timeout}
	results, err := t.runAll(ctx, mutants, *parallel, stdout)
	if err != nil {
		return err
	}
	if *output != "" {
		if err := os.WriteFile(*output, []byte(markdown(results)), 0o644); err != nil { //nolint:gosec // a page for everybody
			return err
		}
	}
	return verdict(results)
}

func matching(mutants []mutant, pattern *regexp.Regexp) []mutant {
	var found []mutant
	for _, m := range mutants {
		if pattern.MatchString(m.file + " " + m.check) {
			found = append(found, m)
		}
	}
	return found
}

// verify reports every entry whose lines do not stand in its file exactly once.
func verify(root string, mutants []mutant) error {
	var errs []error
	for _, m := range mutants {
		if _, err := m.mutate(root); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// runAll runs the mutants, some at once, and prints a line for each that is done. The
// results are in the order of the mutants.
func (t *tester) runAll(ctx context.Context, mutants []mutant, parallel int, stdout io.Writer) ([]result, error) {
	if err := t.baseline(ctx, mutants); err != nil {
		return nil, err
	}
	results := make([]result, len(mutants))
	errs := make([]error, len(mutants))
	next := make(chan int)
	var (
		workers  sync.WaitGroup
		printing sync.Mutex
	)
	for range parallel {
		workers.Go(func() {
			for i := range next {
				results[i], errs[i] = t.run(ctx, &mutants[i])
				printing.Lock()
				_, _ = fmt.Fprintf(stdout, "%s | %s\n", mutants[i].check, results[i])
				printing.Unlock()
			}
		})
	}
	for i := range mutants {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	workers.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return results, errors.Join(errs...)
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
		case killed, equivalent:
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
