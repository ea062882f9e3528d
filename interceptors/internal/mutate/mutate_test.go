// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// door is a program with three checks, of which the tests know two.
const door = `package door

func open(age int, name string) string {
	if age < 18 {
		return "too young"
	}
	if name == "" {
		return "no name"
	}
	if len(name) > 8 {
		return "name too long"
	}
	return ""
}
`

const doorTest = `package door

import "testing"

func TestAge(t *testing.T) {
	for name, age := range map[string]int{"child": 17, "baby|0": 0} {
		t.Run(name, func(t *testing.T) {
			if open(age, "x") == "" {
				t.Error("open")
			}
		})
	}
}

func TestName(t *testing.T) {
	if open(18, "") == "" {
		t.Error("open")
	}
}
`

// module makes a module with the package door in its root.
func module(t *testing.T, test string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":            "module example.test/doors\n\ngo 1.26\n",
		"door/door.go":      door,
		"door/door_test.go": test,
	} {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	header = "# a list\nfile: door/door.go\npackages: door\n\n"
	age    = "check: age\n-\tif age < 18 {\n+\tif false && age < 18 {\n\n"
	name   = "check: name | or none\n \tif name == \"\" {\n-\t\treturn \"no name\"\n \t}\n\n"
	long   = "check: long name\n-\tif len(name) > 8 {\n+\tif len(name) > 9 {\n\n"
	same   = "check: same\nequivalent: nobody can tell\n-\tif len(name) > 8 {\n+\tif 8 < len(name) {\n\n"
	broken = "check: broken\n-\tif len(name) > 8 {\n+\tif long(name) {\n\n"
	stale  = "check: stale\n-\tif len(name) > 7 {\n+\tif false {\n\n"
	twice  = "check: twice\n-\t}\n"
)

// testTimeout is no measure of speed: no test here is meant to reach it.
const testTimeout = 5 * time.Minute

// start runs the program in the module and returns what it printed.
func start(t *testing.T, root, list string, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	err := run(t.Context(), args, fstest.MapFS{"checks/door.txt": {Data: []byte(list)}}, root, &out)
	return out.String(), err
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got the error %v, want it to say %q", err, part)
		}
	}
}

func TestKilledMutantsNameTheirTests(t *testing.T) {
	t.Parallel()
	root := module(t, doorTest)
	page := filepath.Join(root, "page.md")
	out, err := start(t, root, header+name+age+same, "-o", page, "-p", "1")
	if err != nil {
		t.Fatal(err)
	}
	want := `name | or none | door: TestName
age | door: TestAge/baby|0, TestAge/child
same | equivalent: nobody can tell
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want = `
3 checks: 2 noticed by tests, 0 survive, 1 equivalent.

## door/door.go

| check | a test that goes red |
| --- | --- |
| name \| or none | door: ` + "`TestName`" + ` |
| age | door: ` + "`TestAge/baby\\|0`, `TestAge/child`" + ` |
| same | equivalent: nobody can tell |
`
	if !strings.HasSuffix(string(text), want) {
		t.Errorf("got\n%s\nwant at its end\n%s", text, want)
	}
	if text, err := os.ReadFile(filepath.Join(root, "door", "door.go")); err != nil || string(text) != door {
		t.Errorf("the tree has changed: %v\n%s", err, text)
	}
}

func TestSurvivorsAndMutantsThatDoNotCompileAreErrors(t *testing.T) {
	t.Parallel()
	root := module(t, doorTest)
	page := filepath.Join(root, "page.md")
	out, err := start(t, root, header+age+long+broken, "-o", page)
	wantError(t, err, "1 mutants survive", "door/door.go: long name",
		"1 mutants do not compile", "checks/door.txt:13: broken", "undefined: long")
	for _, line := range []string{"age | door: TestAge/baby|0, TestAge/child\n", "long name | SURVIVES\n", "broken | DOES NOT COMPILE\n"} {
		if !strings.Contains(out, line) {
			t.Errorf("got %q, want the line %q", out, line)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(text), "3 checks: 1 noticed by tests, 1 survive, 0 equivalent, 1 do not compile.") {
		t.Errorf("got %v, want a page that counts the survivor:\n%s", err, text)
	}
}

func TestRunTakesWhatMatches(t *testing.T) {
	t.Parallel()
	out, err := start(t, module(t, doorTest), header+age+long+stale, "-run", "door.go age$")
	if want := "age | door: TestAge/baby|0, TestAge/child\n"; err != nil || out != want {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
}

// TestLateTestsRunLast: what only a late test notices is noticed, and it does not run
// where another has noticed already.
func TestLateTestsRunLast(t *testing.T) {
	t.Parallel()
	root := module(t, doorTest)
	for late, want := range map[string]string{
		"^TestAge$":      "age | door: TestAge/baby|0, TestAge/child\n",
		"^TestAge$/^c":   "age | door: TestAge/baby|0\n",
		"^Test(Age|Nam)": "age | door: TestAge/baby|0, TestAge/child\n",
	} {
		out, err := start(t, root, "late: "+late+"\n"+header+age)
		if err != nil || out != want {
			t.Errorf("late: %s: got %q, %v, want %q", late, out, err, want)
		}
	}
	out, err := start(t, root, "late: .\n"+header+long)
	wantError(t, err, "1 mutants survive")
	if want := "long name | SURVIVES\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

func TestTestsMustBeGreenBefore(t *testing.T) {
	t.Parallel()
	red := strings.Replace(doorTest, `open(18, "")`, `open(18, "x")`, 1)
	_, err := start(t, module(t, red), header+age)
	wantError(t, err, "tests are red without any mutant: door: TestName", "door_test.go:17: open")
	_, err = start(t, module(t, doorTest+"}"), header+age)
	wantError(t, err, "does not compile without any mutant", "expected declaration")
	_, err = start(t, module(t, doorTest), header+"packages: doors\n"+age)
	wantError(t, err, "doors")
}

func TestListVerifiesTheTextOnly(t *testing.T) {
	t.Parallel()
	root := module(t, "this does not compile")
	out, err := start(t, root, header+age+name+broken, "-list")
	if want := "3 checks, each found once\n"; err != nil || out != want {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
	_, err = start(t, root, header+age+stale+twice, "-list")
	wantError(t, err, `checks/door.txt:9: the lines of "stale" stand in door/door.go 0 times`,
		`checks/door.txt:13: the lines of "twice" stand in door/door.go 3 times`)
	_, err = start(t, root, strings.Replace(header, "door.go", "gate.go", 1)+age, "-list")
	wantError(t, err, "checks/door.txt:5", "gate.go")
}

// TestAdjacentLines: what stands twice in a row stands twice.
func TestAdjacentLines(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "f"), []byte("x\nx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := mutant{file: "f", before: []string{"x"}}
	_, err := m.mutate(root)
	wantError(t, err, "2 times")
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"-run", "("}, "-run"},
		{[]string{"-run", "nothing"}, "no entry matches"},
		{[]string{"-p", "0"}, "-p must be"},
		{[]string{"-timeout", "0s"}, "-timeout more than 0"},
		{[]string{"x"}, `unexpected argument "x"`},
		{[]string{"-x"}, "-x"},
	} {
		_, err := start(t, t.TempDir(), header+age, row.args...)
		wantError(t, err, row.want)
	}
	if out, err := start(t, t.TempDir(), "", "-h"); err != nil || !strings.Contains(out, "-list") {
		t.Errorf("got %q, %v, want the flags", out, err)
	}
}
