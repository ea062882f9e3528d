// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package cognitotest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestJournalIsPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	newJournal(t, path, noteOf("a", 1))
	mode := func() fs.FileMode {
		info, err := os.Stat(path)
		noError(t, err)
		return info.Mode().Perm()
	}
	if got := mode(); got != 0o600 {
		t.Errorf("new file: got mode %04o, want 0600", got)
	}
	for _, open := range []fs.FileMode{0o644, 0o620, 0o601, 0o777} {
		noError(t, os.Chmod(path, open))
		j, entries, notices := reopen(t, path)
		if len(entries) != 1 || len(notices) != 1 || !strings.Contains(notices[0], fmt.Sprintf("%04o", open)) {
			t.Errorf("mode %04o: got %d entries, notices %q, want 1 and one with the mode", open, len(entries), notices)
		}
		if got := mode(); got != open&0o700 {
			t.Errorf("mode %04o: got %04o after it, want %04o", open, got, open&0o700)
		}
		closeJournal(t, j)
	}
	// An empty file that somebody has made is replaced by a private one.
	noError(t, os.Truncate(path, 0))
	noError(t, os.Chmod(path, 0o666))
	newJournal(t, path)
	if got := mode(); got != 0o600 {
		t.Errorf("a file that was empty: got mode %04o, want 0600", got)
	}
}

func TestJournalThroughSymbolicLinks(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	noError(t, err)
	noError(t, os.MkdirAll(filepath.Join(dir, "data", "deep"), 0o700))
	noError(t, os.Symlink(filepath.Join(dir, "data", "deep"), filepath.Join(dir, "folder")))
	noError(t, os.Symlink("folder/../state", filepath.Join(dir, "link"))) // data/state: .. is of the folder that the link leads to
	noError(t, os.Symlink(filepath.Join(dir, "link"), filepath.Join(dir, "link2")))
	newJournal(t, filepath.Join(dir, "link2"), noteOf("a", 1)) // leads nowhere so far
	target := filepath.Join(dir, "data", "state")
	j, entries, _ := reopen(t, target)
	if len(entries) != 1 {
		t.Fatalf("target: got %d entries, want 1", len(entries))
	}
	if _, _, err := openJournal(filepath.Join(dir, "link"), noSnapshot); err == nil {
		t.Error("the same file by another name: got no error, want that it is in use")
	}
	closeJournal(t, j)
	j, _, _ = reopen(t, filepath.Join(dir, "link"))
	noError(t, j.rewrite([][]byte{noteOf("b", 2)}))
	noError(t, j.append(noteOf("c", 3)))
	closeJournal(t, j)
	for _, name := range []string{"link", "link2"} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%s: got %v, %v, want that it is still a link", name, info, err)
		}
	}
	if _, entries, _ := reopen(t, target); len(entries) != 2 {
		t.Errorf("target: got %d entries, want 2", len(entries))
	}
	noError(t, os.Symlink("round", filepath.Join(dir, "round")))
	if _, _, err := openJournal(filepath.Join(dir, "round"), noSnapshot); err == nil || !strings.Contains(err.Error(), "symbolic links") {
		t.Errorf("a link to itself: got %v, want an error", err)
	}
}

const (
	journalChild = "COGNITOTEST_JOURNAL_CHILD" // tells TestJournalChild to be the child
	childWriters = 3
	childKeys    = 5
)

// notesOf returns the values by key.
func notesOf(tb testing.TB, entries []journalEntry) map[string]int {
	tb.Helper()
	notes := make(map[string]int)
	for _, e := range entries {
		var n note
		if err := json.Unmarshal(e.payload, &n); err != nil {
			tb.Fatal(err)
		}
		notes[n.Key] = n.Value
	}
	return notes
}

// last returns the last value of a child's writer. Value v is kept under key v%childKeys.
func last(notes map[string]int, writer int) int {
	most := 0
	for i := range childKeys {
		most = max(most, notes[fmt.Sprint(writer, i)])
	}
	return most
}

// TestJournalChild is the program that TestJournalSurvivesKills kills: it goes on
// where it was and says what is on disk.
func TestJournalChild(t *testing.T) {
	if os.Getenv(journalChild) == "" {
		t.Skip("only runs inside of TestJournalSurvivesKills")
	}
	j, start, err := openJournal("state", noSnapshot)
	noError(t, err)
	notes := notesOf(t, start.entries)
	var mu sync.Mutex // as the store: one change at a time, visible when it is kept
	j.snapshot = func() ([][]byte, error) {
		var payloads [][]byte
		for k, v := range notes {
			payloads = append(payloads, noteOf(k, v))
		}
		return payloads, nil
	}
	j.slack = 500 // written anew all the time
	if !start.exists {
		notes["seed"] = 1
		noError(t, j.rewrite([][]byte{noteOf("seed", 1)}))
	}
	j.tidy()
	change := func(key string, value int) error {
		mu.Lock()
		defer mu.Unlock()
		if err := j.append(noteOf(key, value)); err != nil {
			return err
		}
		notes[key] = value
		return nil
	}
	var values [childWriters]int // read before the first writer starts: they all change notes
	for w := range values {
		values[w] = last(notes, w)
	}
	var writers sync.WaitGroup
	for w, value := range values {
		writers.Go(func() {
			for {
				value++
				if err := change(fmt.Sprint(w, value%childKeys), value); err != nil {
					t.Error(err)
					return
				}
				fmt.Fprintf(os.Stdout, "done %d %d\n", w, value) // one write
			}
		})
	}
	writers.Wait()
}

func TestJournalSurvivesKills(t *testing.T) {
	t.Parallel()
	const files, kills = 4, 30
	for seed := range uint64(files) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "state")
			random := rand.New(rand.NewPCG(seed, 5))
			done := make(map[int]int) // by writer
			for n := range kills {
				killChild(t, path, 1+random.IntN(25), random.IntN(20000), done)
				j, entries, _ := reopen(t, path)
				notes := notesOf(t, entries)
				if notes["seed"] != 1 {
					t.Fatalf("kill %d: what was there first is gone", n)
				}
				for w := range childWriters {
					most := last(notes, w)
					if most != done[w] && most != done[w]+1 {
						t.Fatalf("kill %d, writer %d: got %d, want the acknowledged %d or the one after it", n, w, most, done[w])
					}
					for v := max(1, most-childKeys+1); v <= most; v++ {
						if got := notes[fmt.Sprint(w, v%childKeys)]; got != v {
							t.Fatalf("kill %d, writer %d: got %d for value %d", n, w, got, v)
						}
					}
					done[w] = most
				}
				closeJournal(t, j)
			}
			total := 0
			for _, v := range done {
				total += v
			}
			if total < kills {
				t.Errorf("got %d changes in all, want more", total)
			}
		})
	}
}

// killChild starts the child and kills it when it has acknowledged so many
// changes and so many rounds more of this loop have gone by. It notes all that was acknowledged.
func killChild(t *testing.T, path string, changes, rounds int, done map[int]int) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestJournalChild$", "-test.count=1")
	child.Env = append(os.Environ(), journalChild+"=yes")
	child.Dir = filepath.Dir(path)
	var stderr strings.Builder
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	noError(t, err)
	noError(t, child.Start())
	lines := bufio.NewScanner(out)
	seen := 0
	for lines.Scan() {
		var w, v int
		if _, err := fmt.Sscanf(lines.Text(), "done %d %d", &w, &v); err != nil {
			t.Errorf("the child said %q", lines.Text())
			continue
		}
		if v != done[w]+1 {
			t.Errorf("writer %d: got %d after %d", w, v, done[w])
		}
		done[w] = v
		if seen++; seen == changes {
			for range rounds {
				_ = filepath.Clean(path)
			}
			noError(t, child.Process.Kill())
		}
	}
	err = child.Wait()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		t.Fatalf("child: got %v, %s", err, &stderr)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("child: got %v, want that it was killed; it had said %d changes; %s", err, seen, &stderr)
	}
}

// In a folder that others can write to, somebody may have put a link in the lock's place.
func TestJournalLockIsNoLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, target := filepath.Join(dir, "state"), filepath.Join(dir, "elsewhere")
	if err := os.Symlink(target, path+".lock"); err != nil {
		t.Fatal(err)
	}
	if j, _, err := openJournal(path, noSnapshot); err == nil {
		closeJournal(t, j)
		t.Error("a lock that is a link: got no error")
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want nothing made where the link leads", err)
	}
}
