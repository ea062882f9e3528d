// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// note is the payload of journal tests: the last value of a key counts.
type note struct {
	Key   string `json:"key"`
	Value int    `json:"value"`
}

func noteOf(key string, value int) []byte {
	b, err := json.Marshal(note{key, value})
	if err != nil {
		panic(err)
	}
	return b
}

// noSnapshot is for journals that are not to be written anew.
func noSnapshot() ([][]byte, error) { return nil, errors.New("nobody knows the content") }

// texts returns the payloads of entries.
func texts(entries []journalEntry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, string(e.payload))
	}
	return out
}

// reopen opens a journal that the test closes at its end, or before.
func reopen(tb testing.TB, path string) (*journal, []journalEntry, []string) {
	tb.Helper()
	j, start, err := openJournal(path, noSnapshot)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeJournal(tb, j) })
	return j, start.entries, start.notices
}

func closeJournal(tb testing.TB, j *journal) {
	tb.Helper()
	if err := j.close(); err != nil {
		tb.Error(err)
	}
}

// newJournal makes a journal with the given payloads and closes it.
func newJournal(tb testing.TB, path string, payloads ...[]byte) {
	tb.Helper()
	j, entries, _ := reopen(tb, path)
	if len(entries) > 0 {
		tb.Fatalf("new file: got %d entries", len(entries))
	}
	if err := j.rewrite(nil); err != nil {
		tb.Fatal(err)
	}
	for _, p := range payloads {
		if err := j.append(p); err != nil {
			tb.Fatal(err)
		}
	}
	closeJournal(tb, j)
}

// somePayloads differ in length and hold what a careless format would trip over.
func somePayloads() [][]byte {
	return [][]byte{noteOf("a", 1), {}, noteOf("b b", -20), []byte("00000000 2 {}"), noteOf("\x00ü\\", 3)}
}

func getFile(tb testing.TB, path string) []byte {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func putFile(tb testing.TB, path string, data []byte) {
	tb.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
}

func TestJournalKeepsWhatWasAppended(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	newJournal(t, path, somePayloads()...)
	var want []string
	for _, p := range somePayloads() {
		want = append(want, string(p))
	}
	for range 3 {
		j, entries, notices := reopen(t, path)
		if got := texts(entries); !slices.Equal(got, want) {
			t.Fatalf("got entries %q, want %q", got, want)
		}
		if len(notices) > 0 {
			t.Errorf("got notices %q, want none", notices)
		}
		next := noteOf("more", len(want))
		if err := j.append(next); err != nil {
			t.Fatal(err)
		}
		want = append(want, string(next))
		closeJournal(t, j)
		if err := j.append(next); !errors.Is(err, errJournalClosed) {
			t.Errorf("append after close: got %v, want %v", err, errJournalClosed)
		}
	}
}

// TestJournalCutAtEveryByte has a file as a killed program leaves it: each
// whole entry is there, nothing of the last, and the file can be used.
func TestJournalCutAtEveryByte(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	newJournal(t, path, somePayloads()...)
	whole := getFile(t, path)
	for _, zeros := range []int{0, 7} { // zeros as after a power failure
		for n := range len(whole) + 1 {
			cut := slices.Concat(whole[:n], make([]byte, zeros))
			putFile(t, path, cut)
			if n < len(journalHeader) && len(cut) > 0 {
				if _, _, err := openJournal(path, noSnapshot); err == nil || !strings.Contains(err.Error(), "line 1: ") {
					t.Fatalf("%d bytes: got %v, want an error", n, err)
				}
				if got := getFile(t, path); !bytes.Equal(got, cut) {
					t.Fatalf("%d bytes: the file was changed", n)
				}
				continue
			}
			j, entries, notices := reopen(t, path)
			// An entry is there if it is whole, with or without the end of its line.
			lines := bytes.Count(whole[:n], []byte("\n"))
			unended := n < len(whole) && whole[n] == '\n'
			if unended {
				lines++
			}
			if want := max(lines-1, 0); len(entries) != want {
				t.Fatalf("%d bytes: got %d entries, want %d", n, len(entries), want)
			}
			tail := len(cut) - 1 - bytes.LastIndexByte(cut, '\n')
			if want := tail > 0 && !unended; want != (len(notices) > 0) {
				t.Fatalf("%d bytes: got notices %q, want any: %v", n, notices, want)
			}
			if n == 0 {
				closeJournal(t, j)
				continue
			}
			if err := j.append(noteOf("next", n)); err != nil {
				t.Fatal(err)
			}
			closeJournal(t, j)
			j, again, notices := reopen(t, path)
			if got, want := texts(again), append(texts(entries), string(noteOf("next", n))); !slices.Equal(got, want) || len(notices) > 0 {
				t.Fatalf("%d bytes: got entries %q, notices %q, want %q and none", n, got, notices, want)
			}
			closeJournal(t, j)
		}
	}
}

// TestJournalEveryByteChanged changes each byte to each other value: the damage
// is noticed, or every entry is still there.
func TestJournalEveryByteChanged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	newJournal(t, path, somePayloads()...)
	whole := getFile(t, path)
	good, err := parseJournal(whole)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		for value := range 256 {
			if byte(value) == whole[at] {
				continue
			}
			changed := bytes.Clone(whole)
			changed[at] = byte(value)
			got, err := parseJournal(changed)
			if err == nil && !slices.Equal(texts(got.entries), texts(good.entries)) {
				t.Fatalf("byte %d to %#x: got entries %q and no error", at, value, texts(got.entries))
			}
			if err == nil && at < len(whole)-1 { // zeros for the last end of a line are a power failure
				t.Fatalf("byte %d to %#x: got no error", at, value)
			}
		}
	}
	for at := range len(whole) - 1 {
		changed := bytes.Clone(whole)
		changed[at] ^= 0x11
		putFile(t, path, changed)
		_, _, err := openJournal(path, noSnapshot)
		line := 1 + bytes.Count(whole[:at], []byte("\n"))
		if want := fmt.Sprintf("%s, line %d", path, line); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "left as it was") {
			t.Fatalf("byte %d: got %v, want an error with %q that says the file was left as it was", at, err, want)
		}
		if !bytes.Equal(getFile(t, path), changed) {
			t.Fatalf("byte %d: the file was changed", at)
		}
	}
}

func TestJournalRefusesOtherFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	newJournal(t, good, somePayloads()...)
	lines := bytes.SplitAfter(getFile(t, good), []byte("\n"))
	join := func(order ...int) string {
		var b []byte
		for _, i := range order {
			b = append(b, lines[i]...)
		}
		return string(b)
	}
	for name, tc := range map[string]struct{ content, want string }{
		"a line is missing":        {join(0, 1, 3, 4, 5), "line 3"},
		"the first line is gone":   {join(0, 2, 3, 4, 5), "line 2"},
		"two lines are swapped":    {join(0, 1, 3, 2, 4, 5), "line 3"},
		"a line is there twice":    {join(0, 1, 1, 2, 3, 4, 5), "line 3"},
		"an empty line":            {join(0, 1) + "\n" + join(2, 3, 4, 5), "line 3"},
		"Windows line ends":        {strings.ReplaceAll(join(0, 1, 2), "\n", "\r\n"), `version "1\r"`},
		"a later version":          {strings.Replace(join(0, 1, 2), " 1\n", " 2\n", 1), `version "2", and this program knows only version 1`},
		"something else":           {`{"pools": []}` + "\n", "no state file of cognitotest"},
		"zeros":                    {strings.Repeat("\x00", 4096), "no state file of cognitotest"},
		"text after the end":       {join(0, 1, 2) + "hello", "line 4"},
		"whole but not ended":      {strings.TrimSuffix(strings.Replace(join(0, 1, 2, 3), "-20", "-21", 1), "\n"), "line 4"},
		"longer and not ended":     {strings.TrimSuffix(join(0, 1, 2, 3), "\n") + "x", "line 4"},
		"an unfinished odd line":   {join(0, 1, 2) + "0123abcd 3 ab\x00\x00c", "line 4"},
		"a length with a sign":     {join(0) + "00000000 -1 \n", "line 2"},
		"a length beyond all":      {join(0) + "00000000 99999999999999999999 x", "line 2"},
		"a huge unfinished length": {join(0) + "00000000 999999999 x", "line 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "state")
			if err := os.WriteFile(path, []byte(tc.content), 0o644); err != nil {
				t.Fatal(err)
			}
			j, _, err := openJournal(path, noSnapshot)
			if err == nil {
				closeJournal(t, j)
				t.Fatal("got no error")
			}
			if !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want %q and the path in it", err, tc.want)
			}
			if got := string(getFile(t, path)); got != tc.content {
				t.Error("the file was changed")
			}
			info, err := os.Stat(path)
			if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o644 {
				t.Errorf("got mode %v, %v, want it left", info.Mode(), err)
			}
		})
	}
}

func TestJournalOneProgramAtATime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	first, _, _ := reopen(t, path)
	if err := first.rewrite([][]byte{noteOf("a", 1)}); err != nil {
		t.Fatal(err)
	}
	_, _, err := openJournal(path, noSnapshot)
	if err == nil || !strings.Contains(err.Error(), "in use by another server") {
		t.Fatalf("second server: got %v, want that the file is in use", err)
	}
	// The lock must not stay with the old file.
	if err := first.rewrite([][]byte{noteOf("a", 2)}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openJournal(path, noSnapshot); err == nil {
		t.Fatal("second server after a rewrite: got no error")
	}
	closeJournal(t, first)
	_, entries, _ := reopen(t, path)
	if got, want := texts(entries), []string{string(noteOf("a", 2))}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestJournalBadPlaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, _, err := openJournal(filepath.Join(dir, "none", "state"), noSnapshot); err == nil || !strings.Contains(err.Error(), "create it") {
		t.Errorf("missing folder: got %v, want what to do", err)
	}
	if _, _, err := openJournal(dir, noSnapshot); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: got %v, want an error", err)
	}
}

func TestJournalRefusesBadPayloads(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	newJournal(t, path)
	j, _, _ := reopen(t, path)
	for name, p := range map[string][]byte{"two lines": []byte("a\nb"), "too long": make([]byte, maxPayload+1)} {
		if err := j.append(p); err == nil {
			t.Errorf("append, %s: got no error", name)
		}
		if err := j.rewrite([][]byte{p}); err == nil {
			t.Errorf("rewrite, %s: got no error", name)
		}
	}
	if err := j.append(noteOf("a", 1)); err != nil {
		t.Error(err)
	}
}

func TestJournalIsWrittenAnewWhenItHasGrown(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	newJournal(t, path, noteOf("kept", 7))
	j, _, _ := reopen(t, path)
	value, snapshots := 0, 0
	change := func() {
		t.Helper()
		if err := j.append(noteOf("changed", value+1)); err != nil {
			t.Fatal(err)
		}
		value++
	}
	j.snapshot = func() ([][]byte, error) {
		snapshots++
		return [][]byte{noteOf("kept", 7), noteOf("changed", value)}, nil
	}
	j.slack = 1000
	var longest int64
	for range 500 {
		change()
		longest = max(longest, j.end)
	}
	if longest < 1000 || longest > 1300 || snapshots < 10 || snapshots > 20 {
		t.Errorf("got at most %d bytes and %d snapshots, want a little more than 1000 and 16", longest, snapshots)
	}
	closeJournal(t, j)
	_, entries, _ := reopen(t, path)
	if n := len(entries); n > 30 || string(entries[0].payload) != string(noteOf("kept", 7)) || string(entries[n-1].payload) != string(noteOf("changed", value)) {
		t.Errorf("got %d entries %q, want few, from the first to the last", n, texts(entries))
	}
}

// TestJournalThatCannotBeWrittenAnew goes on with the file it has.
func TestJournalThatCannotBeWrittenAnew(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		block    func(t *testing.T, j *journal)
		snapshot func() ([][]byte, error)
	}{
		"no snapshot":       {snapshot: noSnapshot},
		"a payload too far": {snapshot: func() ([][]byte, error) { return [][]byte{make([]byte, maxPayload+1)}, nil }},
		"no new file": {
			snapshot: func() ([][]byte, error) { return nil, nil },
			// A folder in its place that cannot be removed.
			block: func(t *testing.T, j *journal) { t.Helper(); noError(t, os.MkdirAll(j.path+".new/x", 0o700)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "state")
			newJournal(t, path, noteOf("a", 1))
			j, _, _ := reopen(t, path)
			if tc.block != nil {
				tc.block(t, j)
			}
			tries := 0
			j.slack, j.snapshot = 100, func() ([][]byte, error) { tries++; return tc.snapshot() }
			for i := range 300 {
				noError(t, j.append(noteOf("b", i)))
			}
			if tries < 3 || tries > 20 {
				t.Errorf("got %d tries, want one whenever it has doubled", tries)
			}
			closeJournal(t, j)
			if _, entries, _ := reopen(t, path); len(entries) != 301 {
				t.Errorf("got %d entries, want 301", len(entries))
			}
		})
	}
}

func TestJournalTidiesAtStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	newJournal(t, path, noteOf("a", 1), noteOf("a", 2), noteOf("a", 3))
	j, _, _ := reopen(t, path)
	j.snapshot = func() ([][]byte, error) { return [][]byte{noteOf("a", 3)}, nil }
	before := j.end
	j.tidy()
	if j.end != before {
		t.Error("a short file was written anew")
	}
	j.slack = 10
	j.tidy()
	noError(t, j.append(noteOf("b", 4)))
	closeJournal(t, j)
	_, entries, _ := reopen(t, path)
	if got, want := texts(entries), []string{string(noteOf("a", 3)), string(noteOf("b", 4))}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestJournalIsOnDiskBeforeItIsAcknowledged has several writers.
func TestJournalIsOnDiskBeforeItIsAcknowledged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	newJournal(t, path)
	j, _, _ := reopen(t, path)
	faulty := &faultyFile{journalFile: j.file}
	j.file = faulty
	const writers = 20
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			if err := j.append(noteOf("w", i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if want := strings.Repeat("write sync ", writers); faulty.calls != want {
		t.Errorf("got calls %q, want %q", faulty.calls, want)
	}
	closeJournal(t, j)
	if _, entries, _ := reopen(t, path); len(entries) != writers {
		t.Errorf("got %d entries, want %d", len(entries), writers)
	}
}

// faultyFile fails when told to.
type faultyFile struct {
	journalFile

	write, truncate, sync error // nil: works
	half                  bool  // a failing write writes half
	calls                 string
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if f.write != nil {
		n, _ := f.journalFile.Write(p[:len(p)/2])
		return n, f.write
	}
	return f.journalFile.Write(p)
}

func (f *faultyFile) WriteAt(p []byte, at int64) (int, error) {
	f.calls += "write "
	if f.write == nil {
		return f.journalFile.WriteAt(p, at)
	}
	if f.half {
		n, _ := f.journalFile.WriteAt(p[:len(p)/2], at)
		return n, f.write
	}
	return 0, f.write
}

func (f *faultyFile) Truncate(n int64) error {
	f.calls += "truncate "
	if f.truncate != nil {
		return f.truncate
	}
	return f.journalFile.Truncate(n)
}

func (f *faultyFile) Sync() error {
	f.calls += "sync "
	if f.sync != nil {
		return f.sync
	}
	return f.journalFile.Sync()
}

func TestJournalDiskErrors(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left on device")
	for name, tc := range map[string]struct {
		fault  faultyFile
		change func(t *testing.T, path string) // instead of a fault
		goesOn bool                            // when the fault is over
		want   string
		after  []string // in the file, besides what was there
	}{
		"disk full":           {fault: faultyFile{write: full}, goesOn: true, want: "no space left"},
		"disk full half-way":  {fault: faultyFile{write: full, half: true}, goesOn: true, want: "no space left"},
		"no way back":         {fault: faultyFile{write: full, truncate: full}, want: "no space left"},
		"nothing works":       {fault: faultyFile{write: full, truncate: full, half: true}, want: "no space left"},
		"sync":                {fault: faultyFile{sync: full}, want: "cannot be synced"},
		"sync and take back":  {fault: faultyFile{sync: full, truncate: full}, want: "cannot be synced", after: []string{string(noteOf("lost", 2))}},
		"deleted":             {change: func(t *testing.T, path string) { noError(t, os.Remove(path)) }, want: "deleted or replaced"},
		"replaced":            {change: replaceFile, want: "deleted or replaced"},
		"appended to":         {change: appendToFile, want: "changed by another program"},
		"emptied":             {change: func(t *testing.T, path string) { noError(t, os.Truncate(path, 0)) }, want: "changed by another program"},
		"its folder has gone": {change: func(t *testing.T, path string) { noError(t, os.RemoveAll(filepath.Dir(path))) }, want: "deleted or replaced"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.change != nil && runtime.GOOS == "windows" {
				t.Skip("open files cannot be replaced there")
			}
			path := filepath.Join(t.TempDir(), "folder", "state")
			noError(t, os.Mkdir(filepath.Dir(path), 0o700))
			newJournal(t, path, noteOf("a", 1))
			j, _, _ := reopen(t, path)
			works := j.file
			tc.fault.journalFile = works
			j.file = &tc.fault
			if tc.change != nil {
				tc.change(t, path)
			}
			err := j.append(noteOf("lost", 2))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %q in it", err, tc.want)
			}
			if calls := tc.fault.calls; tc.goesOn && calls != "write truncate sync " {
				t.Errorf("got calls %q, want that the write is taken back, and synced", calls)
			}
			j.file = works
			err = j.append(noteOf("next", 3))
			if tc.goesOn != (err == nil) || err != nil && !strings.Contains(err.Error(), "restart the server") {
				t.Errorf("next append: got %v, want it to work: %v, or else to say what to do", err, tc.goesOn)
			}
			if err := j.rewrite(nil); tc.goesOn != (err == nil) {
				t.Errorf("rewrite: got %v, want it to work: %v", err, tc.goesOn)
			}
			closeJournal(t, j)
			if tc.change != nil || tc.goesOn {
				return
			}
			_, entries, _ := reopen(t, path)
			if got, want := texts(entries), append([]string{string(noteOf("a", 1))}, tc.after...); !slices.Equal(got, want) {
				t.Errorf("got entries %q, want %q", got, want)
			}
		})
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func replaceFile(t *testing.T, path string) {
	t.Helper()
	data := getFile(t, path)
	putFile(t, path+".other", data)
	noError(t, os.Rename(path+".other", path))
}

func appendToFile(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	noError(t, err)
	_, err = f.WriteString("x")
	noError(t, errors.Join(err, f.Close()))
}

func TestJournalLeavesNothingHalfReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	newJournal(t, path, noteOf("a", 1))
	// What a program leaves that was killed while it wrote the file anew.
	putFile(t, path+".new", []byte("cognitotest sta"))
	j, entries, _ := reopen(t, path)
	if len(entries) != 1 {
		t.Fatalf("got %d entries, want 1", len(entries))
	}
	noError(t, j.rewrite([][]byte{noteOf("b", 2)}))
	noError(t, j.append(noteOf("c", 3)))
	closeJournal(t, j)
	if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the new file's old name: got %v, want that it is gone", err)
	}
	_, entries, _ = reopen(t, path)
	if got, want := texts(entries), []string{string(noteOf("b", 2)), string(noteOf("c", 3))}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestJournalIsReplacedSafely wants of a file that is written anew that it is on
// disk before it gets the old one's name, and its name before it is used.
func TestJournalIsReplacedSafely(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	newJournal(t, path, noteOf("a", 1))
	before := getFile(t, path)
	j, _, _ := reopen(t, path)
	var seen []string
	var failing faultyFile // what the new file does
	j.open = func(path string, flag int) (journalFile, error) {
		f, err := openFile(path, flag)
		if err != nil || !strings.HasSuffix(path, ".new") {
			return f, err
		}
		beside := failing
		beside.journalFile = f
		return &watchedFile{faultyFile: &beside, synced: func() {
			seen = append(seen, fmt.Sprintf("new file synced, %d lines, old file as it was: %v",
				bytes.Count(getFile(t, path), []byte("\n")), bytes.Equal(getFile(t, j.path), before)))
		}}, nil
	}
	j.syncFolder = func(folder string) error {
		_, err := os.Stat(path + ".new")
		seen = append(seen, fmt.Sprintf("folder synced, it is the file's: %v, renamed: %v", folder == filepath.Dir(j.path), errors.Is(err, fs.ErrNotExist)))
		return syncFolder(folder)
	}
	full := errors.New("no space left on device")
	for name, fault := range map[string]faultyFile{"write": {write: full}, "sync": {sync: full}} {
		failing = fault
		if err := j.rewrite([][]byte{noteOf("b", 2)}); !errors.Is(err, full) {
			t.Errorf("%s: got %v, want %v", name, err, full)
		}
		if !bytes.Equal(getFile(t, path), before) {
			t.Errorf("%s: the file was changed", name)
		}
		if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the new file was left", name)
		}
	}
	failing, seen = faultyFile{}, nil
	noError(t, j.rewrite([][]byte{noteOf("b", 2)}))
	want := []string{"new file synced, 2 lines, old file as it was: true", "folder synced, it is the file's: true, renamed: true"}
	if !slices.Equal(seen, want) {
		t.Errorf("got %q, want %q", seen, want)
	}

	// The new file cannot get the old one's name.
	before = getFile(t, path)
	works := j.open
	j.open = func(path string, flag int) (journalFile, error) {
		f, err := openFile(path, flag)
		if err != nil || !strings.HasSuffix(path, ".new") {
			return f, err
		}
		return &lostFile{f, path}, nil
	}
	if err := j.rewrite([][]byte{noteOf("x", 2)}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rename: got %v, want %v", err, fs.ErrNotExist)
	}
	if !bytes.Equal(getFile(t, path), before) {
		t.Error("rename: the file was changed")
	}
	j.open = works
	noError(t, j.append(noteOf("c", 3))) // on the old file
	j.syncFolder = func(string) error { return full }
	if err := j.rewrite([][]byte{noteOf("c", 3)}); !errors.Is(err, full) {
		t.Errorf("folder not synced: got %v, want %v", err, full)
	}
	if err := j.append(noteOf("d", 4)); err == nil || !strings.Contains(err.Error(), "restart the server") {
		t.Errorf("append after it: got %v, want what to do", err)
	}
}

// TestJournalThatCannotBeMade has a folder where the file would be.
func TestJournalThatCannotBeMade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	j, _, _ := reopen(t, path)
	noError(t, os.Mkdir(path, 0o700))
	if err := j.rewrite(nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error", err)
	}
	if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the new file: got %v, want that it is gone", err)
	}
}

// lostFile has gone when it is closed.
type lostFile struct {
	journalFile

	path string
}

func (f *lostFile) Close() error {
	return errors.Join(f.journalFile.Close(), os.Remove(f.path))
}

// watchedFile tells of its syncs.
type watchedFile struct {
	*faultyFile

	synced func()
}

func (f *watchedFile) Sync() error {
	f.synced()
	return f.faultyFile.Sync()
}

func FuzzJournal(f *testing.F) {
	data, sum := []byte(journalHeader), uint32(0)
	for _, p := range somePayloads() {
		data, sum = appendEntry(data, sum, p)
		f.Add(bytes.Clone(data))
		f.Add(bytes.Clone(data[:len(data)-1]))
		f.Add(bytes.Clone(data[:len(data)-3]))
	}
	f.Add([]byte(journalHeader + "00000000 0 \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parseJournal(data)
		if err != nil {
			return
		}
		if int(p.end) > len(data) {
			t.Fatalf("got end %d of %d bytes", p.end, len(data))
		}
		// What was read, written again, is what was read.
		again, sum := []byte(journalHeader), uint32(0)
		for _, e := range p.entries {
			if err := checkPayload(e.payload); err != nil {
				t.Fatal(err)
			}
			again, sum = appendEntry(again, sum, e.payload)
		}
		if p.unended == nil && (sum != p.sum || !bytes.Equal(again, data[:p.end])) {
			t.Fatalf("written again: got %q, want %q", again, data[:p.end])
		}
		q, err := parseJournal(again)
		if err != nil || !slices.Equal(texts(q.entries), texts(p.entries)) {
			t.Fatalf("read again: got %q, %v, want %q", texts(q.entries), err, texts(p.entries))
		}
	})
}
