// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// logged is a test file for door whose tests note, in the file named by the module's
// directory, that they have run. TestAgeAgain never ends if TestAge was red before it.
const logged = `package door

import (
	"os"
	"testing"
	"time"
)

func note(t *testing.T) {
	f, err := os.OpenFile("../ran", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(t.Name() + "\n")
		f.Close()
	}
	if err != nil {
		t.Error(err)
	}
}

func TestNothing(t *testing.T) { note(t) }

var before bool

func TestAge(t *testing.T) {
	note(t)
	before = true
	if open(17, "x") == "" {
		t.Error("open")
	}
}

func TestAgeAgain(t *testing.T) {
	note(t)
	for before && open(17, "x") == "" {
		time.Sleep(time.Millisecond) // for ever: the process must have been ended
	}
	if open(17, "x") == "" {
		t.Error("open")
	}
}
`

// ran returns which tests have run since the baseline ended, and forgets them.
func ran(t *testing.T, root string) string {
	t.Helper()
	file := filepath.Join(root, "ran")
	text, err := os.ReadFile(file)
	if err = errors.Join(err, os.Remove(file)); err != nil {
		t.Fatal(err)
	}
	all, found := strings.CutPrefix(string(text), "TestNothing\nTestAge\nTestAgeAgain\n")
	if !found {
		t.Fatalf("got %q, want the baseline first", text)
	}
	return strings.ReplaceAll(strings.TrimSpace(all), "\n", " ")
}

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestNextRunBeginsWithWhatIsKnown: the first run stops at the first red test, the next
// ones run that test alone, and the page stays as it is.
func TestNextRunBeginsWithWhatIsKnown(t *testing.T) {
	t.Parallel()
	root := module(t, logged)
	page := filepath.Join(root, "page.md")
	for _, row := range []struct{ knows, ran string }{
		{"", "TestNothing TestAge"},
		{"", "TestAge"},
		{"`TestAgeAgain`", "TestAgeAgain"},
		{"`TestGone`", "TestNothing TestAge"},
		{"`TestAgeAgain`, `TestGone`", "TestAgeAgain"},
		{"`TestNothing`", "TestNothing TestNothing TestAge"},
		{"(panic) `TestAge`", "TestAge"},
		{"nothing useful", "TestNothing TestAge"},
		{"(panic)", "TestNothing TestAge"},
	} {
		if row.knows != "" {
			text := "| age | door: " + row.knows + " |\n"
			if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := start(t, root, header+age, "-o", page, "-timeout", testTimeout.String())
		if err != nil {
			t.Fatalf("%s: %v", row.knows, err)
		}
		want := "TestAge"
		if strings.HasPrefix(row.knows, "`TestAgeAgain`") {
			want = "TestAgeAgain"
		}
		if out != "age | door: "+want+"\n" || !strings.Contains(readText(t, page), "\n| age | door: `"+want+"` |\n") {
			t.Errorf("the page knows %s: got %s and\n%s", row.knows, out, readText(t, page))
		}
		// The next test may have begun before the process was ended.
		if got := ran(t, root); got != row.ran && got != row.ran+" TestAgeAgain" {
			t.Errorf("the page knows %s: got the tests %s, want %s", row.knows, got, row.ran)
		}
	}
}

// TestKnownTestsMayNotSaveASurvivor: what is known to notice and is green now leads to
// all tests, and all tests must be green for a survivor.
func TestKnownTestsMayNotSaveASurvivor(t *testing.T) {
	t.Parallel()
	root := module(t, logged)
	page := filepath.Join(root, "page.md")
	for _, knows := range []string{"door: `TestAge`", survivesText, notCompiledText} {
		if err := os.WriteFile(page, []byte("| long name | "+knows+" |\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := start(t, root, "late: Again\n"+header+long, "-o", page)
		wantError(t, err, "1 mutants survive")
		want := "TestNothing TestAge TestAgeAgain"
		if strings.HasPrefix(knows, "door") {
			want = "TestAge " + want
		}
		if got := ran(t, root); got != want {
			t.Errorf("the page knows %s: got the tests %s, want %s", knows, got, want)
		}
		if text := readText(t, page); !strings.Contains(text, "| long name | SURVIVES |\n") {
			t.Errorf("got\n%s", text)
		}
	}
}

// interrupting ends the run when the first mutant is done.
type interrupting struct {
	strings.Builder

	stop context.CancelCauseFunc
}

var errInterrupted = errors.New("interrupted")

func (w *interrupting) Write(p []byte) (int, error) {
	w.stop(errInterrupted)
	return w.Builder.Write(p)
}

// TestInterruptedRunKeepsWhatIsDone: the rows that are done are on the page, rows of the
// page that were not reached stay, and the next run completes the page.
func TestInterruptedRunKeepsWhatIsDone(t *testing.T) {
	t.Parallel()
	root := module(t, doorTest)
	page := filepath.Join(root, "page.md")
	if err := os.WriteFile(page, []byte("| long name | SURVIVES |\n| long gone | SURVIVES |\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	list := header + age + name + long
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	out := &interrupting{stop: stop}
	err := run(ctx, []string{"-o", page, "-p", "1"}, fstest.MapFS{"checks/door.txt": {Data: []byte(list)}}, root, out)
	if !errors.Is(err, errInterrupted) {
		t.Fatalf("got %v, want what interrupted", err)
	}
	text := readText(t, page)
	const head, ageRow, longRow = "\n3 checks: 1 noticed by tests, 1 survive, 0 equivalent, 1 not run yet.\n",
		"| age | door: `TestAge/baby\\|0`, `TestAge/child` |\n", "| long name | SURVIVES |\n"
	if !strings.Contains(text, head) || !strings.HasSuffix(text, "\n"+ageRow+longRow) {
		t.Errorf("got\n%s", text)
	}
	if _, err := start(t, root, list, "-o", page, "-run", "none$"); err != nil {
		t.Fatal(err)
	}
	if text = readText(t, page); !strings.HasSuffix(text, "\n"+ageRow+"| name \\| or none | door: `TestName` |\n"+longRow) {
		t.Errorf("got\n%s", text)
	}
}

// TestPageKeepsWhatItSays: what is read from a page and written again is the same.
func TestPageKeepsWhatItSays(t *testing.T) {
	t.Parallel()
	mutants := []mutant{
		{check: "a", file: "f"},
		{check: "b | <c>", file: "f"},
		{check: "d", file: "g"},
		{check: "e", file: "g"},
		{check: "h", file: "g"},
		{check: "i", file: "g", equivalent: "so"},
		{check: "j", file: "g"},
	}
	want := markdown([]result{
		{mutant: &mutants[0], state: survived},
		{mutant: &mutants[1], state: killed, red: red{pkg: "p", tests: []string{"TestA/x|y`z", "TestA/z"}}},
		{mutant: &mutants[2], state: killed, red: red{pkg: "q", crash: exited}},
		{mutant: &mutants[3], state: killed, red: red{pkg: "q", crash: timedOut, tests: []string{"TestA"}}},
		{mutant: &mutants[4], state: notCompiled},
		{mutant: &mutants[5], state: equivalent},
		{mutant: &mutants[6]},
	})
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	results, err := readPage(page, mutants)
	if err != nil {
		t.Fatal(err)
	}
	if got := markdown(results); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := readPage(t.TempDir(), mutants); err == nil {
		t.Error("a directory is taken for a page")
	}
}

// TestSecondPackageRunsIfTheFirstIsGreen: here it notices without a red test. Tests that
// ended early, with whatever exit status, are not green.
func TestSecondPackageRunsIfTheFirstIsGreen(t *testing.T) {
	t.Parallel()
	for _, main := range []string{"m.Run(); os.Exit(3)", "os.Exit(0)"} {
		root := module(t, doorTest)
		house := filepath.Join(root, "house")
		test := "package house\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\n" +
			"func TestMain(m *testing.M) { " + main + " }\n\nfunc TestHouse(*testing.T) {}\n"
		if err := errors.Join(os.Mkdir(house, 0o700), os.WriteFile(filepath.Join(house, "house_test.go"), []byte(test), 0o600)); err != nil {
			t.Fatal(err)
		}
		mutants, err := parseList("l", strings.Replace(header, "packages: door", "packages: door house", 1)+age+long)
		if err != nil {
			t.Fatal(err)
		}
		tests := tester{root: root, timeout: testTimeout}
		var got []string
		for i := range mutants {
			r, err := tests.run(t.Context(), &mutants[i], red{})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r.String())
		}
		want := []string{"door: TestAge/baby|0, TestAge/child", "house: (exit status after the tests)"}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", main, got, want)
		}
	}
}

// TestTestsThatHangEnd: and the mutant counts as noticed.
func TestTestsThatHangEnd(t *testing.T) {
	t.Parallel()
	root := module(t, strings.Replace(doorTest, "t.Run(name", "for open(18, \"\") == \"\" {\n\t\t}\n\t\tt.Run(name", 1))
	const want = "name | or none | door: (timeout) TestAge\n"
	out, err := start(t, root, header+name, "-timeout", "2s")
	for limit := 20 * time.Second; out != want && limit <= testTimeout; limit *= 10 { // a slow machine has not begun by then
		out, err = start(t, root, header+name, "-timeout", limit.String())
	}
	if err != nil || out != want {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
}
