// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package accesslist

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestEffectWithinTheInterval is the bound of the package comment: no call is decided
// by the old list after the interval and a read, which takes no fake time.
func TestEffectWithinTheInterval(t *testing.T) {
	t.Parallel()
	for configured, interval := range map[time.Duration]time.Duration{0: time.Second, time.Second: time.Second, 90 * time.Millisecond: 90 * time.Millisecond} {
		for _, offset := range []time.Duration{0, time.Nanosecond, interval / 2, interval - time.Nanosecond, interval, 10*interval + 1} {
			synctest.Test(t, func(t *testing.T) {
				f := newFile(t, empty)
				l := f.open(Config{Interval: configured})
				wantVerdict(t, l, "id1", Permitted)
				sleep(offset)
				f.put(deniesID)
				wantVerdict(t, l, "id1", Permitted) // the file is read at the ticks alone
				sleep(interval - offset%interval - time.Nanosecond)
				wantVerdict(t, l, "id1", Permitted)
				sleep(time.Nanosecond)
				wantVerdict(t, l, "id1", TokenDenied)
				f.put(empty)
				sleep(interval)
				wantVerdict(t, l, "id1", Permitted)
			})
		}
	}
}

// TestSlowLog: a log that takes a part of the interval does not shift the reads.
func TestSlowLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t, empty)
		l := f.open(Config{Logger: onNewList(func() { time.Sleep(700 * time.Millisecond) })})
		f.put(deniesID)
		sleep(time.Second)
		f.put(empty)
		sleep(time.Second - time.Nanosecond)
		wantVerdict(t, l, "id1", TokenDenied)
		sleep(time.Nanosecond)
		wantVerdict(t, l, "id1", Permitted)
		sleep(time.Second)
	})
}

// TestSameSizeAndTime: only the bytes tell that this file is another one.
func TestSameSizeAndTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t, deniesID)
		then := time.Unix(1_000_000_000, 0)
		inPlace := func(content string) {
			t.Helper()
			if err := errors.Join(os.WriteFile(f.path, []byte(content), 0o600), os.Chtimes(f.path, then, then)); err != nil {
				t.Fatal(err)
			}
		}
		inPlace(deniesID)
		l := f.open(Config{})
		inPlace(strings.Replace(deniesID, "id1", "id2", 1))
		sleep(time.Second)
		wantVerdict(t, l, "id1", Permitted)
		wantVerdict(t, l, "id2", TokenDenied)
	})
}

// TestSymlinkSwap changes the file as Kubernetes does for a mounted volume.
func TestSymlinkSwap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		link := func(target, name string) {
			t.Helper()
			if err := os.Symlink(target, filepath.Join(dir, "tmp")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "tmp"), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		for version, content := range map[string]string{"v1": empty, "v2": deniesID} {
			if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, version, "callers.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		link("v1", "..data")
		link("..data/callers.json", "callers.json")
		l := file{t, filepath.Join(dir, "callers.json")}.open(Config{})
		wantVerdict(t, l, "id1", Permitted)
		link("v2", "..data")
		sleep(time.Second)
		wantVerdict(t, l, "id1", TokenDenied)
	})
}

// TestOnlyAnotherListIsNew: the first list is told as well.
func TestOnlyAnotherListIsNew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t, empty)
		told := 0
		l := f.open(Config{Logger: onNewList(func() { told++ })})
		want := func(lists int, verdict Verdict) {
			t.Helper()
			sleep(10 * time.Second)
			if told != lists || l.Generation() != uint64(lists) {
				t.Errorf("told of %d lists, at generation %d, want %d", told, l.Generation(), lists)
			}
			wantVerdict(t, l, "id1", verdict)
		}
		want(1, Permitted)
		f.put(broken)
		want(1, Permitted)
		f.put(empty)
		want(1, Permitted) // back to the list in effect
		f.put(deniesID)
		want(2, TokenDenied)
		f.put(broken)
		want(2, TokenDenied)
		f.put(empty + "\n")
		want(3, Permitted)
	})
}

// TestLastGoodListStays: whatever happens to the file, the list stays in effect, and
// the next good file replaces it.
func TestLastGoodListStays(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		do   func(f file) error
		want string
	}{
		"gone":          {func(f file) error { return os.Remove(f.path) }, "no such file or directory"},
		"cut":           {func(f file) error { return os.Truncate(f.path, 10) }, "unexpected end of JSON input"},
		"empty":         {func(f file) error { return os.Truncate(f.path, 0) }, "unexpected end of JSON input"},
		"refused":       {func(f file) error { f.put(`{"deny": [{}]}`); return nil }, "deny[0]: denies nobody"},
		"too large":     {func(f file) error { return os.Truncate(f.path, MaxBytes+1) }, "larger than 1048576 bytes"},
		"unknown names": {func(f file) error { f.put(`{"deny": [{"methods": ["p.S"]}]}`); return nil }, "deny[0].methods[0]: no registered method"},
		"a directory": {func(f file) error {
			return errors.Join(os.Remove(f.path), os.Mkdir(f.path, 0o700))
		}, "not a regular file"},
		"a link to nowhere": {func(f file) error {
			return errors.Join(os.Remove(f.path), os.Symlink("nowhere", f.path))
		}, "no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFile(t, deniesID)
				l := f.open(Config{KnownMethod: func(string) bool { return false }})
				before := l.Stats()
				if err := fault.do(f); err != nil {
					t.Fatal(err)
				}
				sleep(time.Hour)
				wantVerdict(t, l, "id1", TokenDenied)
				wantVerdict(t, l, "id2", Permitted)
				got := l.Stats()
				if got.LastError == nil || !strings.Contains(got.LastError.Error(), fault.want) || !strings.HasPrefix(got.LastError.Error(), "accesslist: "+f.path+": ") {
					t.Errorf("LastError: got %v, want %s", got.LastError, fault.want)
				}
				if strings.Count(got.LastError.Error(), f.path) != 1 {
					t.Errorf("LastError: got %v, want the path once", got.LastError)
				}
				if got.LastError = nil; got != before || got.Generation != 1 || got.Entries != 1 {
					t.Errorf("got %+v, want all but the error as before, %+v", got, before)
				}
				os.Remove(f.path) // a directory cannot be renamed over
				f.put(empty)
				sleep(time.Second)
				wantVerdict(t, l, "id1", Permitted)
				if got := l.Stats(); got.LastError != nil || got.Generation != 2 || got.Entries != 0 || time.Since(got.LoadedAt) != 0 {
					t.Errorf("got %+v, want a new list without error", got)
				}
			})
		})
	}
}

// TestErrorsWrapTheCause: a program can tell a file that is gone.
func TestErrorsWrapTheCause(t *testing.T) {
	t.Parallel()
	_, err := Open(filepath.Join(t.TempDir(), "none"), Config{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want it to wrap that the file does not exist", err)
	}
}

// TestLog: one line for a fault, one more each minute, one when it is over.
func TestLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t, empty)
		var b logBuffer
		f.open(Config{Logger: b.logger()})
		want := func(after time.Duration, lines ...string) {
			t.Helper()
			sleep(after)
			got := b.take()
			if len(got) != len(lines) {
				t.Fatalf("got %d lines, want %d\n%s", len(got), len(lines), strings.Join(got, "\n"))
			}
			for i, line := range lines {
				for part := range strings.SplitSeq(line, "|") {
					if !strings.Contains(got[i], part) || !strings.Contains(got[i], "access_list="+f.path) {
						t.Errorf("line %d: got %s\nwant %s", i, got[i], part)
					}
				}
			}
		}
		const (
			fault = "level=ERROR|accesslist: the file cannot be used, the last good list stays in effect"
			good  = "level=INFO|accesslist: the file is good again"
			fresh = "level=INFO|accesslist: a new list is in effect"
		)
		want(time.Minute, fresh+"|generation=1|entries=0")
		f.put(broken)
		want(time.Second, fault+"|unexpected end of JSON input|generation=1")
		want(59 * time.Second)
		want(time.Second, fault+"|unexpected end")
		want(59 * time.Second)
		want(time.Second, fault+"|unexpected end")
		f.put("x")
		want(time.Second, fault+"|invalid character 'x'")
		f.put("x ") // other bytes, same fault
		want(59 * time.Second)
		want(time.Second, fault+"|invalid character 'x'")
		f.put(empty)
		want(time.Second, good+"|generation=1")
		want(time.Hour)
		f.put("x") // the fault of before, anew
		want(time.Second, fault+"|invalid character 'x'")
		f.put(deniesID)
		want(time.Second, fresh+"|generation=2|entries=1", good+"|generation=2")
		f.put(empty)
		want(time.Second, fresh+"|generation=3|entries=0")
		want(time.Hour)
	})
}

// TestRefusedFileIsTriedAgain: the server may get to know the method later.
func TestRefusedFileIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t, empty)
		var registered atomic.Bool
		l := f.open(Config{KnownMethod: func(name string) bool { return registered.Load() && name == readMethod }})
		f.put(`{"deny": [{"methods": ["` + readMethod + `"]}]}`)
		sleep(time.Second)
		wantVerdict(t, l, "a", Permitted)
		registered.Store(true)
		sleep(time.Second)
		wantVerdict(t, l, "a", MethodDenied)
	})
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	f := newFile(t, empty)
	for want, open := range map[string]func() (*List, error){
		"accesslist: the path is empty: name the file":           func() (*List, error) { return Open("", Config{}) },
		"accesslist: the interval -1s is negative: use 0 for 1s": func() (*List, error) { return Open(f.path, Config{Interval: -time.Second}) },
		"accesslist: " + f.path + "/x: not a directory":          func() (*List, error) { return Open(f.path+"/x", Config{}) },
	} {
		if l, err := open(); l != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, %v, want %s", l, err, want)
			l.Close()
		}
	}
	f.path = filepath.Dir(f.path)
	f.refuses("it is not a regular file: name a file, or a symbolic link to one")
}

// TestSizeLimit: the last byte that fits, and the first that does not.
func TestSizeLimit(t *testing.T) {
	t.Parallel()
	newFile(t, deniesID+strings.Repeat(" ", MaxBytes-len(deniesID))).open(Config{})
	newFile(t, deniesID+strings.Repeat(" ", MaxBytes+1-len(deniesID))).refuses("it is larger than 1048576 bytes: deny clients rather than tokens")
}

// TestBoundedRead: what is too large is not read to its end.
func TestBoundedRead(t *testing.T) {
	t.Parallel()
	f := newFile(t, "")
	if err := os.Truncate(f.path, 64*MaxBytes); err != nil { // a hole, which takes no space
		t.Fatal(err)
	}
	s := source{path: f.path}
	if _, err := s.read(); !errors.Is(err, errTooLarge) {
		t.Errorf("got %v, want that it is too large", err)
	}
	if n := s.buffer.Cap(); n > 8*MaxBytes {
		t.Errorf("got %d bytes of memory, want a read that ends behind %d", n, MaxBytes)
	}
}

// TestClose: it waits for the polling goroutine, can be called often, and leaves nothing
// permitted.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t, empty)
		release, returned := make(chan struct{}), false
		first := true
		l := f.open(Config{Logger: onNewList(func() {
			if first { // while it is opened
				first = false
				return
			}
			<-release
			returned = true
		})})
		f.put(deniesID)
		sleep(time.Second)
		var closers sync.WaitGroup
		for range 3 {
			closers.Go(func() {
				if err := l.Close(); err != nil || !returned {
					t.Errorf("Close: got %v, the log returned %v, want to wait for it", err, returned)
				}
			})
		}
		sleep(time.Second)
		close(release)
		closers.Wait()
		if err := l.Close(); err != nil {
			t.Errorf("Close again: %v", err)
		}
		wantVerdict(t, l, "other", Undecided)
		if got := l.Stats(); got.LastError == nil || got.Generation != 0 || l.Generation() != 0 {
			t.Errorf("got %+v, want no list", got)
		}
		f.put(empty)
		sleep(time.Hour)
		wantVerdict(t, l, "other", Undecided)
	})
}

// TestReadersWhileChanging: every decision is by one whole list, old or new.
func TestReadersWhileChanging(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const rounds = 50
		content := func(n int) string {
			return fmt.Sprintf(`{"deny": [{"clients": ["c"], "reason": "%d"}, {"token_ids": ["t"], "reason": "%d"}]}`, n, n)
		}
		f := newFile(t, content(1))
		l := f.open(Config{})
		var finished atomic.Bool
		var readers sync.WaitGroup
		for range 8 {
			readers.Go(func() {
				for last := 0; !finished.Load(); time.Sleep(97 * time.Millisecond) {
					before := l.Generation()
					d := l.Decide(caller("c"), readMethod)
					after := l.Generation()
					n := 0
					fmt.Sscan(d.Reason, &n)
					if d.Verdict != TokenDenied || n < last || uint64(n) < before || uint64(n) > after {
						t.Errorf("got %+v between generations %d and %d", d, before, after)
						return
					}
					last = n
					l.Stats()
				}
			})
		}
		for n := 2; n <= rounds; n++ {
			f.put(content(n))
			sleep(time.Second)
		}
		finished.Store(true)
		readers.Wait()
		if got := l.Generation(); got != rounds {
			t.Errorf("got generation %d, want %d", got, rounds)
		}
	})
}
