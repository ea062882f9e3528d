// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

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
