// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package accesslist

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// MaxBytes bounds the file.
const MaxBytes = 1 << 20

var (
	errIrregular = errors.New("it is not a regular file: name a file, or a symbolic link to one")
	errTooLarge  = fmt.Errorf("it is larger than %d bytes: deny clients rather than tokens, and services rather than methods", MaxBytes)
)

// source is the file. It is for one goroutine.
type source struct {
	path   string
	buffer bytes.Buffer // kept, so that a read each second leaves no garbage
}

// read returns the whole content, which is valid until the next read. The error has
// no path.
func (s *source) read() ([]byte, error) {
	// Without O_NONBLOCK the opening of a pipe lasts until somebody writes to it.
	file, err := os.OpenFile(s.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat() // of what is open: the name may mean another file by now
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errIrregular
	}
	s.buffer.Reset()
	if _, err := s.buffer.ReadFrom(io.LimitReader(file, MaxBytes+1)); err != nil {
		return nil, withoutPath(err)
	}
	if s.buffer.Len() > MaxBytes {
		return nil, errTooLarge
	}
	return s.buffer.Bytes(), nil
}

// withoutPath drops the path from an error whose text is put behind the path.
func withoutPath(err error) error {
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		return pathErr.Err
	}
	return err
}
