// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
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
