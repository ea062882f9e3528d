// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"strings"
	"testing"
	"time"

	_ "github.com/scopeauth/scopeauth/gen/demo/files/v1" // the services that are named
	"github.com/scopeauth/scopeauth/interceptors/policy"
)

const (
	reported     = "/demo.files.v1.FileReadService/ReadFile"
	readService  = "demo.files.v1.FileReadService"
	writeService = "demo.files.v1.FileWriteService"
)

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// CI fails on the mandatory day, which begins in UTC wherever CI runs, and after it.
func TestReportOnlyCheckAndDaysLeft(t *testing.T) {
	t.Parallel()
	r := policy.ReportOnly{Authentication: true, Mandatory: "2027-03-31"}
	for _, row := range []struct {
		now  string
		over bool
		left int
	}{
		{"2026-03-31T00:00:00Z", false, 365},
		{"2027-03-01T00:00:00Z", false, 30},
		{"2027-03-29T23:59:59Z", false, 2},
		{"2027-03-30T00:00:00Z", false, 1},
		{"2027-03-30T23:59:59.999999999Z", false, 1},
		{"2027-03-31T00:00:00Z", true, 0},
		{"2027-03-31T00:00:01Z", true, 0},
		{"2027-03-31T23:59:59Z", true, 0},
		{"2027-04-01T00:00:00Z", true, -1},
		{"2028-03-31T00:00:00Z", true, -366},
		// The same moments elsewhere.
		{"2027-03-31T08:59:59+09:00", false, 1},
		{"2027-03-31T09:00:00+09:00", true, 0},
		{"2027-03-30T16:59:59-07:00", false, 1},
		{"2027-03-30T17:00:00-07:00", true, 0},
	} {
		now := instant(t, row.now)
		err := r.Check(now)
		if (err != nil) != row.over {
			t.Errorf("%s: Check: got %v, want an error: %v", row.now, err, row.over)
		}
		if err != nil && (!strings.Contains(err.Error(), "over since 2027-03-31") || !strings.Contains(err.Error(), "leave ReportOnly out")) {
			t.Errorf("%s: Check: got %v, want the day and what to do", row.now, err)
		}
		if got := r.DaysLeft(now); got != row.left {
			t.Errorf("%s: DaysLeft: got %d, want %d", row.now, got, row.left)
		}
	}
}

// A date that is none is an error of both checks, and no day is left.
func TestReportOnlyDates(t *testing.T) {
	t.Parallel()
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	now := instant(t, "2026-01-01T00:00:00Z")
	for _, date := range []string{"", "soon", "2027-3-31", "31.03.2027", "2027-02-29", "2027-13-01", "2027-03-31T00:00:00Z", " 2027-03-31", "27-03-31"} {
		r := policy.ReportOnly{Authentication: true, Authorization: true, Mandatory: date}
		for check, err := range map[string]error{"Valid": r.Valid(rules), "Check": r.Check(now)} {
			if err == nil || !strings.Contains(err.Error(), "ReportOnly.Mandatory is") || !strings.Contains(err.Error(), `as in "2027-03-31"`) {
				t.Errorf("%q: %s: got %v, want an error that shows the form", date, check, err)
			}
		}
		if got := r.DaysLeft(now); got != 0 {
			t.Errorf("%q: DaysLeft: got %d, want 0", date, got)
		}
	}
	leap := policy.ReportOnly{Authentication: true, Mandatory: "2028-02-29"}
	if err := leap.Valid(rules); err != nil {
		t.Errorf("a leap day: %v", err)
	}
}

// All that is wrong is told at once.
func TestReportOnlyValid(t *testing.T) {
	t.Parallel()
	rules, err := policy.New(policy.WithService("acme.Hand", "Do"), policy.WithRule("/acme.Hand/Do", policy.Authenticated()))
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range []policy.ReportOnly{
		{Authentication: true, Mandatory: "2027-03-31"},
		{Authorization: true, Mandatory: "2027-03-31"},
		{Authentication: true, Authorization: true, Mandatory: "2027-03-31", Methods: []string{reported, writeService}},
		{Authentication: true, Mandatory: "2027-03-31", Methods: []string{"/acme.Hand/Do", "acme.Hand"}},
		{Authentication: true, Mandatory: "2001-01-01"}, // over, which Check tells
	} {
		if err := good.Valid(rules); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	bad := policy.ReportOnly{Methods: []string{reported, "/demo.files.v1.FileReadService/Readfile", "demo.files.v1", ""}}
	err = bad.Valid(rules)
	for _, want := range []string{
		"reports on nothing", "ReportOnly.Mandatory is", `names "/demo.files.v1.FileReadService/Readfile"`, `names "demo.files.v1"`, `names ""`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), `"`+reported+`"`) {
		t.Errorf("got %v: it complains about a method that is there", err)
	}
	// Without a policy names cannot be checked, the rest is.
	unknown := policy.ReportOnly{Authentication: true, Mandatory: "2027-03-31", Methods: []string{"/x.Y/Z"}}
	if err := unknown.Valid(nil); err != nil {
		t.Errorf("without a policy: %v", err)
	}
	if err := bad.Valid(nil); err == nil {
		t.Error("without a policy: a ReportOnly without a date is valid")
	}
	if err := unknown.Valid(&policy.Policy{}); err == nil {
		t.Error("the zero policy knows a method")
	}
}

func TestReportOnlyCovers(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		methods []string
		method  string
		want    bool
	}{
		{nil, reported, true},
		{[]string{}, reported, true},
		{[]string{reported}, reported, true},
		{[]string{reported}, reported + "s", false},
		{[]string{reported}, "/demo.files.v1.FileReadService/StatFile", false},
		{[]string{readService}, reported, true},
		{[]string{readService}, "/demo.files.v1.FileWriteService/DeleteFile", false},
		{[]string{readService}, "/demo.files.v1.FileReadServiceX/ReadFile", false},
		{[]string{writeService, reported}, reported, true},
		{[]string{readService}, "//demo.files.v1.FileReadService/ReadFile", false},
		{[]string{readService}, "", false},
	} {
		if got := (policy.ReportOnly{Methods: row.methods}).Covers(row.method); got != row.want {
			t.Errorf("%v covers %s: got %v, want %v", row.methods, row.method, got, row.want)
		}
	}
}
