// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

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
