// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestReadToAPipe has a target that is no file: it is written to, not replaced. The
// pipe is the test's own, since a client that gets this wrong replaces what it is
// given, and a device belongs to the whole machine.
func TestReadToAPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	// Open for both, so that neither side waits for the other to open it.
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	s, _ := newSession(t, sends(nil, described(7), part("con"), part("tent")), nil, "a", path)
	if err := s.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Fatalf("the pipe is %v, %v, want it as it was", info.Mode(), err)
	}
	got := make([]byte, 7)
	if _, err := io.ReadFull(pipe, got); err != nil || string(got) != "content" {
		t.Errorf("got %q, %v, want the content", got, err)
	}
	wantDir(t, dir, "pipe")
}
