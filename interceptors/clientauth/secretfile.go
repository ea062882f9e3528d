// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxSecretFile bounds a secret file, in bytes. Cognito's secrets have 64
// characters at most (API reference, AddUserPoolClientSecret).
const maxSecretFile = 4096

// SecretFromFile reads the secret from a file, as it is mounted from a Kubernetes
// secret, for example. The file is read anew each time, by its name, so it may be
// written again, replaced, or reached by a symbolic link that is. One newline at the
// end is not part of the secret.
//
// A file that is missing, empty, larger than 4096 bytes, being written, not a regular
// file, or that holds what no secret holds keeps the last good secret in use. The
// source logs this as a warning, once for each change of the file. If there is no good
// secret yet it is an error. Replace the file by renaming another over it: the first
// half of a secret cannot be told from a short one, so one that is read in the middle
// of the writing is used, refused, and replaced by what the file holds a second later.
//
// Errors and warnings name the path and never the content.
func SecretFromFile(path string) SecretFunc {
	f := &secretFile{path: path}
	return f.secret
}

// secretFile is the file with what was last found in it.
type secretFile struct {
	path string

	mu sync.Mutex // guards the rest; not held while the file is read
	// reads counts the reads that began; goodRead is the one that good is from.
	reads, goodRead uint64
	good            Secret
	// told is the state of the file that was warned of, or "".
	told string
}

// secret is the [SecretFunc].
func (f *secretFile) secret(ctx context.Context) (Secret, error) {
	f.mu.Lock()
	f.reads++
	read := f.reads
	f.mu.Unlock()

	secret, version, err := readSecretFile(f.path)
	if err == nil {
		err = secret.check()
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		// A read that took long may bring what is old by now.
		if read > f.goodRead {
			f.good, f.goodRead, f.told = secret, read, ""
		}
		return secret, nil
	}
	if f.goodRead == 0 {
		return Secret{}, fmt.Errorf("clientauth: secret file %s: %w", f.path, err)
	}
	if state := version + " " + err.Error(); state != f.told {
		f.told = state
		warn(ctx, "clientauth: the secret file cannot be used; the last good secret stays in use",
			slog.String("path", printable(f.path, 300)), slog.String("error", err.Error()))
	}
	return f.good, nil
}

var (
	errSecretFileIrregular = errors.New("it is not a regular file")
	errSecretFileTooLarge  = fmt.Errorf("it is larger than %d bytes, so it is no client secret", maxSecretFile)
	errSecretFileChanging  = errors.New("it is being written")
)

// readSecretFile returns the secret and what tells this state of the file from others.
// The error has no path.
func readSecretFile(path string) (secret Secret, version string, err error) {
	// Without O_NONBLOCK the opening of a pipe lasts until somebody writes to it.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the path is the operator's configuration
	if err != nil {
		return Secret{}, "", withoutPath(err)
	}
	defer func() { _ = file.Close() }()
	return readSecretOf(file)
}

// openFile is an [os.File] for reading.
type openFile interface {
	io.Reader
	Stat() (os.FileInfo, error)
}

func readSecretOf(file openFile) (secret Secret, version string, err error) {
	before, err := file.Stat() // of what is open: the name may mean another file by now
	if err != nil {
		return Secret{}, "", withoutPath(err)
	}
	version = fmt.Sprint(before.Size(), " ", before.ModTime().Format(time.RFC3339Nano))
	if !before.Mode().IsRegular() {
		return Secret{}, version, errSecretFileIrregular
	}
	content, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err != nil {
		return Secret{}, version, withoutPath(err)
	}
	if len(content) > maxSecretFile {
		return Secret{}, version, errSecretFileTooLarge
	}
	after, err := file.Stat()
	if err != nil {
		return Secret{}, version, withoutPath(err)
	}
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return Secret{}, version, errSecretFileChanging
	}
	return NewSecret(string(content)), version, nil
}

// withoutPath drops the path from an error whose text is put behind the path.
func withoutPath(err error) error {
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		return pathErr.Err
	}
	return err
}
