// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package clientauth

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSecretPipe: nobody writes to it, and nobody waits.
func TestSecretPipe(t *testing.T) {
	t.Parallel()
	p := secretPath{t, filepath.Join(t.TempDir(), "pipe")}
	if err := syscall.Mkfifo(p.path, 0o600); err != nil {
		t.Fatal(err)
	}
	// So no child has the file between its beginning and its own program.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if _, err := SecretFromFile(p.path)(t.Context()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v, want a refusal", err)
	}
	// A pipe that nobody reads cannot be opened for writing.
	writer, err := os.OpenFile(p.path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		_ = writer.Close()
	}
	if !errors.Is(err, syscall.ENXIO) {
		t.Errorf("got %v, want %v: the pipe is still open", err, syscall.ENXIO)
	}
}

// pipeInfo is of a file that has become another since.
type pipeInfo struct{ os.FileInfo }

func (pipeInfo) Mode() os.FileMode  { return os.ModeNamedPipe }
func (pipeInfo) Size() int64        { return 0 }
func (pipeInfo) ModTime() time.Time { return time.Time{} }

type openPipe struct{ io.Reader }

func (openPipe) Stat() (os.FileInfo, error) { return pipeInfo{}, nil }

// TestSecretBecomesAPipe between the look at the name and the opening.
func TestSecretBecomesAPipe(t *testing.T) {
	t.Parallel()
	if _, _, err := readSecretOf(openPipe{strings.NewReader("x")}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// TestSecretDevice: a device without end is not read, not even behind a link.
func TestSecretDevice(t *testing.T) {
	t.Parallel()
	p := secretPath{t, filepath.Join(t.TempDir(), "link")}
	p.link("/dev/zero")
	if _, err := SecretFromFile(p.path)(t.Context()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v, want a refusal", err)
	}
}
