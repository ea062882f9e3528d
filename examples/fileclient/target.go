// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// target is where a file is read to. It is kept by commit, or else lost.
type target struct {
	io.Writer

	file *os.File // nil for standard output
	temp string   // the name until commit, "" if the file is written in place
	path string
}

// target opens what the second argument names. A file gets a temporary name first;
// a device or a pipe is written in place.
func (s *session) target() (*target, error) {
	path := s.local()
	if path == "-" {
		return &target{Writer: s.stdout}, nil
	}
	// A link stays a link: what it points to is replaced.
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil, usageError{fmt.Errorf("%s is a directory: name a file", path)}
	case err == nil && !info.Mode().IsRegular():
		f, err := os.OpenFile(path, os.O_WRONLY, 0) //nolint:gosec // the user's own device or pipe
		if err != nil {
			return nil, err
		}
		return &target{Writer: f, file: f, path: path}, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	temp := filepath.Join(filepath.Dir(path), ".fileclient-"+rand.Text())
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666) //nolint:gosec // the umask decides, as for any new file
	if err != nil {
		return nil, err
	}
	t := &target{Writer: f, file: f, temp: temp, path: path}
	if info != nil { // who may use the file stays as it is when it is replaced
		if err := f.Chmod(info.Mode().Perm()); err != nil {
			t.discard()
			return nil, err
		}
	}
	return t, nil
}

// commit gives the file its name.
func (t *target) commit() error {
	if t.file == nil {
		return nil
	}
	if t.temp == "" {
		return t.file.Close()
	}
	if err := errors.Join(t.file.Sync(), t.file.Close()); err != nil {
		return err
	}
	if err := os.Rename(t.temp, t.path); err != nil {
		return err
	}
	t.temp = ""
	return nil
}

// discard removes what commit has not kept.
func (t *target) discard() {
	if t.file == nil {
		return
	}
	_ = t.file.Close() // commit has closed it, or nothing of it is kept
	if t.temp != "" {
		_ = os.Remove(t.temp) // the command fails already
	}
}
