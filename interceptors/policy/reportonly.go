// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// ReportOnly says which refusals a server only reports while its callers learn to send
// tokens. Declare it once, give it to the server, and call [ReportOnly.Check] in a test:
//
//	var reportOnly = policy.ReportOnly{Authentication: true, Mandatory: "2027-03-31"}
//
//	func TestTokensAreMandatoryInTime(t *testing.T) {
//		if err := reportOnly.Check(time.Now()); err != nil {
//			t.Error(err)
//		}
//	}
//
// So the date is met by people who change the code. A running server does not change
// its mind by the calendar: that would be an outage at midnight.
type ReportOnly struct {
	// Authentication lets calls without a valid token pass, without a principal.
	Authentication bool
	// Authorization lets verified callers pass whose token lacks a scope or carries one of
	// another server, and those that a function of the server's own (CheckCall) refuses.
	Authorization bool
	// Methods are full methods ("/demo.files.v1.FileReadService/ReadFile") or services
	// ("demo.files.v1.FileReadService"). Empty: all.
	Methods []string
	// Mandatory is the day from which refusals shall be enforced, as in "2027-03-31", in
	// UTC. Required.
	Mandatory string
}

// Valid returns what is wrong with r: nothing to report on, no date, or names that p,
// if it is not nil, does not know.
func (r ReportOnly) Valid(p *Policy) error {
	var errs []error
	if !r.Authentication && !r.Authorization {
		errs = append(errs, errors.New("policy: ReportOnly reports on nothing: set Authentication, Authorization or both"))
	}
	if _, err := r.date(); err != nil {
		errs = append(errs, err)
	}
	for _, name := range r.Methods {
		if p != nil && !p.knows(name) {
			errs = append(errs, fmt.Errorf("policy: ReportOnly names %q, which is no known method (/pkg.Service/Method) or service (pkg.Service)", name))
		}
	}
	return errors.Join(errs...)
}

func (p *Policy) knows(name string) bool {
	if _, ok := p.rules[name]; ok {
		return true
	}
	return slices.ContainsFunc(p.methods, func(full string) bool { return serviceOf(full) == name })
}

// Check is for CI: it returns an error on the mandatory day and after it, and for a
// date that cannot be read.
func (r ReportOnly) Check(now time.Time) error {
	date, err := r.date()
	if err != nil {
		return err
	}
	if now.Before(date) {
		return nil
	}
	return fmt.Errorf("policy: ReportOnly is over since %s: enforce the rules (leave ReportOnly out), or agree on another date", r.Mandatory)
}

// DaysLeft returns the days until the mandatory date, begun ones counted; 0 or less once
// it has come, and also if it cannot be read.
func (r ReportOnly) DaysLeft(now time.Time) int {
	date, err := r.date()
	if err != nil {
		return 0
	}
	return int(math.Ceil(date.Sub(now).Hours() / 24))
}

// Covers reports whether the method is one of those that are only reported on.
func (r ReportOnly) Covers(fullMethod string) bool {
	return len(r.Methods) == 0 || slices.Contains(r.Methods, fullMethod) || slices.Contains(r.Methods, serviceOf(fullMethod))
}

func (r ReportOnly) date() (time.Time, error) {
	date, err := time.Parse(time.DateOnly, r.Mandatory)
	if err != nil {
		return time.Time{}, fmt.Errorf("policy: ReportOnly.Mandatory is %q: write the day from which refusals are enforced, as in \"2027-03-31\"", r.Mandatory)
	}
	return date, nil
}

func serviceOf(fullMethod string) string {
	service, _, _ := strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")
	return service
}
