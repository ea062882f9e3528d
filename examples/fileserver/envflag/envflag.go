// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package envflag gives command line flags a twin in the environment, for the
// example programs. A flag on the command line wins over its twin, and the twin
// over the default. An empty variable counts as unset.
package envflag

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Set is a set of flags. It is not safe for concurrent use.
type Set struct {
	flags   *flag.FlagSet
	entries []entry
}

// entry is a line of the help text. Either name may be empty, not both.
type entry struct{ name, twin, arg, usage, value string }

// New returns an empty set.
func New() *Set {
	s := &Set{flags: flag.NewFlagSet("", flag.ContinueOnError)}
	s.flags.SetOutput(io.Discard) // Parse returns what is wrong, and the caller prints it
	s.flags.Usage = func() {}
	return s
}

// String adds a text flag. The twin is the name of the environment variable, arg
// what the help text shows for the value.
func (s *Set) String(p *string, name, twin, arg, value, usage string) {
	s.flags.StringVar(p, name, value, "")
	s.entries = append(s.entries, entry{name, twin, arg, usage, value})
}

// Value adds a flag with a syntax of its own. Its default is what it holds already.
func (s *Set) Value(v flag.Value, name, twin, arg, usage string) {
	s.flags.Var(v, name, "")
	s.entries = append(s.entries, entry{name, twin, arg, usage, v.String()})
}

// Env adds a variable that is no flag, because other users of the machine can read
// a command line. It is the caller's to read; here it is for the help text.
func (s *Set) Env(twin, usage string) {
	s.entries = append(s.entries, entry{"", twin, "", usage, ""})
}

// Parse reads args, and env for each flag that args lack. It returns
// [flag.ErrHelp] for -h and -help. [Set.Args] has what follows the flags.
func (s *Set) Parse(args []string, env func(string) string) error {
	if err := s.flags.Parse(args); err != nil {
		return err
	}
	given := make(map[string]bool)
	s.flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var faults []error
	for _, e := range s.entries {
		if e.name == "" || given[e.name] {
			continue
		}
		if value := env(e.twin); value != "" {
			if err := s.flags.Set(e.name, value); err != nil {
				faults = append(faults, fmt.Errorf("invalid value %q for the environment variable %s: %w", value, e.twin, err))
			}
		}
	}
	return errors.Join(faults...)
}

// Args returns what follows the flags.
func (s *Set) Args() []string { return s.flags.Args() }

// Help returns a line for each flag and variable, with twin and default.
func (s *Set) Help() string {
	var b bytes.Buffer
	for _, e := range s.entries {
		if e.name == "" {
			fmt.Fprintf(&b, "  %s (environment only)\n", e.twin)
		} else {
			fmt.Fprintf(&b, "  -%s %s   or %s\n", e.name, e.arg, e.twin)
		}
		fmt.Fprintf(&b, "        %s", strings.ReplaceAll(e.usage, "\n", "\n        "))
		if e.value != "" {
			fmt.Fprintf(&b, " (default %s)", e.value)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
