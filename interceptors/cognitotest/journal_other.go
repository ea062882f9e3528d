// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package cognitotest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// lockJournal creates path.lock. A program that is killed leaves it behind, and
// somebody has to delete it.
func lockJournal(path string) (unlock func() error, err error) {
	lock := path + ".lock"
	f, err := os.OpenFile(lock, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the program's own flag or test names the file
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s is in use by another server: end that one, or name another file; if there is none, delete %s", path, lock)
	}
	if err != nil {
		return nil, err
	}
	return func() error { return errors.Join(f.Close(), os.Remove(lock)) }, nil
}

// syncFolder does nothing: this system has no sync of folders.
func syncFolder(string) error { return nil }
