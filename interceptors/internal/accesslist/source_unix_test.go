// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package accesslist

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestPipe: nobody writes to it, and nobody waits.
func TestPipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t, deniesID)
		l := f.open(Config{})
		if err := os.Remove(f.path); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(f.path, 0o600); err != nil {
			t.Fatal(err)
		}
		f.refuses("it is not a regular file")
		sleep(time.Second)
		wantVerdict(t, l, "id1", TokenDenied)
		if l.Stats().LastError == nil {
			t.Error("got no error")
		}
	})
}

// TestDevice: a device without end is not read, not even behind a link.
func TestDevice(t *testing.T) {
	t.Parallel()
	f := file{t, filepath.Join(t.TempDir(), "link")}
	if err := os.Symlink("/dev/zero", f.path); err != nil {
		t.Fatal(err)
	}
	f.refuses("it is not a regular file")
}
