// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package cognitotest

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockJournal locks path.lock, which stays there: the journal itself is replaced
// from time to time, and a lock would stay with the old file. The lock ends with
// the program, however it ends. It is no link: somebody else may have put one there.
func lockJournal(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600) //nolint:gosec // the program's own flag or test names the file
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%s is in use by another server: end that one, or name another file", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		// Closing is not enough at once: a child process that is just being started
		// shares the file for a moment.
		return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
	}, nil
}

// syncFolder makes a rename last. Some network file systems cannot do it and need not.
func syncFolder(path string) error {
	f, err := os.Open(path) //nolint:gosec // the folder of the program's own file
	if err != nil {
		return err
	}
	if err = f.Sync(); errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, f.Close())
}
