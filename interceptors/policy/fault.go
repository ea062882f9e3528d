// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// NoRule is the [Fault.Problem] of a method that has no rule, and what [Rule.String]
// says of the zero Rule.
const NoRule = "no rule"

// Fault is something that keeps a server from starting: a method without a rule,
// or an annotation that is not fully understood. It is plain data: a caller may
// change Problem and Fix, add faults of its own and render them with [CheckError].
type Fault struct {
	// Service is the full name of the service, for example
	// "demo.files.v1.FileReadService". Empty: the file itself.
	Service string
	// Method is the name of the method. Empty: the whole service, or the file.
	Method string
	// File is the path of the .proto file where the fault is. Empty: not known.
	File string
	// Problem says what is wrong; it is [NoRule] for a missing rule.
	Problem string
	// Fix says what to write. It may have several lines.
	Fix string
}

// subject names what the fault is in: "pkg.Svc/Method (file.proto)".
func (f Fault) subject() string {
	subject := f.Service
	if f.Method != "" {
		subject += "/" + f.Method
	}
	switch {
	case subject == "" && f.File == "":
		return "service without a name"
	case subject == "":
		return f.File
	case f.File == "":
		return subject
	default:
		return subject + " (" + f.File + ")"
	}
}

// String returns the fault as [CheckError] shows it, without the indentation of
// its first line.
func (f Fault) String() string {
	text := f.Fix
	if f.Problem != NoRule {
		text = f.Problem
		if f.Fix != "" {
			text += "\n" + f.Fix
		}
	}
	if text == "" {
		text = f.Problem
	}
	return f.subject() + ": " + strings.ReplaceAll(text, "\n", "\n      ")
}

// CheckError holds every fault that [Policy.Check] found.
type CheckError struct {
	// Faults are grouped by service.
	Faults []Fault
}

// Error says how many services cannot be served and, a fault a line, what to
// write where. Faults of one service stand together even if they were added
// apart.
func (e *CheckError) Error() string {
	faults := slices.Clone(e.Faults)
	slices.SortStableFunc(faults, func(a, b Fault) int { return cmp.Compare(a.Service, b.Service) })
	var b strings.Builder
	b.WriteString("scopeauth: not started, " + summary(faults))
	for _, f := range faults {
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}

// summary counts services and files, not faults: a reader wants to know how far
// the damage goes.
func summary(faults []Fault) string {
	unruled, faulty, files := map[string]int{}, map[string]int{}, map[string]int{}
	for _, f := range faults {
		switch {
		case f.Service == "" && f.File != "":
			files[f.File]++
		case f.Problem == NoRule && f.Method == "":
			unruled[f.Service] += 2 // all methods of the service
		case f.Problem == NoRule:
			unruled[f.Service]++
		default:
			faulty[f.Service]++
		}
	}
	var parts []string
	if n := len(unruled); n > 0 {
		methods := "methods"
		for _, count := range unruled {
			if n == 1 && count == 1 {
				methods = "a method"
			}
		}
		parts = append(parts, fmt.Sprintf("%s %s without a rule", have(n, "service"), methods))
	}
	if n := len(faulty); n > 0 {
		parts = append(parts, have(n, "service")+" "+singular(n, "a faulty annotation", "faulty annotations"))
	}
	if n := len(files); n > 0 {
		parts = append(parts, have(n, "file")+" "+singular(n, "a faulty declaration", "faulty declarations"))
	}
	if len(parts) == 0 {
		return "no fault is given"
	}
	return strings.Join(parts, ", ")
}

// have returns "1 service has", "2 services have".
func have(n int, noun string) string {
	return fmt.Sprintf("%d %s", n, singular(n, noun+" has", noun+"s have"))
}

func singular(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// problem is a fault that does not know yet where it is.
type problem struct {
	text, fix string
}
