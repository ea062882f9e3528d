// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"slices"
	"strings"
)

// ConfigError lists everything that is wrong with a configuration, so that one
// start shows it all.
type ConfigError struct {
	// Problems holds one sentence each, with the place it is about. They never hold a secret.
	Problems []string
}

// Error returns all problems, one a line if there are several.
func (e *ConfigError) Error() string {
	if len(e.Problems) == 1 {
		return "cognitotest: " + e.Problems[0]
	}
	return fmt.Sprintf("cognitotest: %d problems in the configuration\n  ", len(e.Problems)) + strings.Join(e.Problems, "\n  ")
}

// problems collects what is wrong.
type problems struct{ list []string }

func (p *problems) addf(place, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if place != "" {
		text = place + ": " + text
	}
	p.list = append(p.list, text)
}

// value adds what is wrong with a value by a rule.
func (p *problems) value(place, name, value string, r rule) {
	if problem := r.problem(name, value); problem != "" {
		p.addf(place, "%s", problem)
	}
}

// once adds what is wrong with the values of a list, in which each may be once.
func (p *problems) once(place, name string, values []string, r rule) {
	for i, v := range values {
		p.value(place, name, v, r)
		if slices.Contains(values[:i], v) {
			p.addf(place, "%s %q is there twice", name, v)
		}
	}
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	return &ConfigError{Problems: p.list}
}

// failure is an error of a call that cannot be done. Nobody needs to tell them
// apart: the text says what to change.
type failure string

func failf(format string, args ...any) error { return failure(fmt.Sprintf(format, args...)) }

// Error returns the text with the package's name.
func (f failure) Error() string { return "cognitotest: " + string(f) }
