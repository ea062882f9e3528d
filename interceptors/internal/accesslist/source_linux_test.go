// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package accesslist

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestReadFails: this file is a regular one, but its first page is never mapped.
func TestReadFails(t *testing.T) {
	t.Parallel()
	file{t, "/proc/self/mem"}.refuses("input/output error")
}

// TestFileIsClosed: a read leaves no descriptor behind, whatever comes of it.
func TestFileIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t, empty)
		f.open(Config{})
		sleep(time.Second)
		f.put(broken)
		sleep(time.Second)
		open, err := filepath.Glob("/proc/self/fd/*")
		if err != nil || len(open) == 0 {
			t.Fatalf("got %v, %v, want the descriptors of this process", open, err)
		}
		for _, fd := range open {
			if target, err := os.Readlink(fd); err == nil && filepath.Dir(target) == filepath.Dir(f.path) {
				t.Errorf("%s is open", target)
			}
		}
	})
}
