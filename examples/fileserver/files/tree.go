// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// lookUp describes the regular file called name. Directories, devices and links
// are no files of the store: they end in NOT_FOUND.
func (s *Service) lookUp(name string) (fs.FileInfo, error) {
	for dir := range parents(name) {
		info, err := s.root.Lstat(dir)
		if absent(err) || err == nil && !info.IsDir() {
			return nil, notFound(name)
		}
		if err != nil {
			return nil, err
		}
	}
	info, err := s.root.Lstat(name)
	if absent(err) || err == nil && !info.Mode().IsRegular() {
		return nil, notFound(name)
	}
	return info, err
}

// absent reports whether nothing has the name, or a file stands where a directory would be.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// open opens the regular file called name.
func (s *Service) open(name string, flag int) (*os.File, fs.FileInfo, error) {
	if _, err := s.lookUp(name); err != nil {
		return nil, nil, err
	}
	f, err := s.root.OpenFile(name, flag, 0)
	if absent(err) {
		return nil, nil, notFound(name)
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = notFound(name)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// checkPlace returns a FAILED_PRECONDITION status if no file called name can be
// made: a part of its path is a file, or it is a directory itself.
func (s *Service) checkPlace(name string) error {
	for dir := range parents(name) {
		info, err := s.root.Lstat(dir)
		if absent(err) {
			return nil // nothing below it exists either
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return status.Errorf(codes.FailedPrecondition, "cannot write %q: %q is no directory", name, dir)
		}
	}
	info, err := s.root.Lstat(name)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return status.Errorf(codes.FailedPrecondition, "cannot write %q: there is a directory, or another thing that is no file, of this name", name)
	}
	return nil
}

// install gives the file called temp the name, and makes the directories it needs.
// What it made is removed again if the file does not get there.
func (s *Service) install(ctx context.Context, temp, name string) error {
	release, err := s.names.acquire(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	leave, err := s.tree.acquire(ctx, "")
	if err != nil {
		return err
	}
	defer leave()
	if err := s.checkPlace(name); err != nil {
		return err
	}
	made, err := s.makeParents(name)
	if err == nil {
		err = s.root.Rename(temp, name)
	}
	if err != nil {
		for _, dir := range slices.Backward(made) {
			err = errors.Join(err, s.root.Remove(dir))
		}
		return err
	}
	for _, dir := range made {
		if err := s.syncDir(path.Dir(dir)); err != nil {
			return err
		}
	}
	return s.syncDir(path.Dir(name))
}

// makeParents makes the directories above name and returns those that were not there.
func (s *Service) makeParents(name string) (made []string, err error) {
	for dir := range parents(name) {
		err := s.root.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return made, err
		}
		made = append(made, dir)
	}
	return made, nil
}

// remove removes the file called name and the directories that are empty without it.
func (s *Service) remove(ctx context.Context, name string) error {
	release, err := s.names.acquire(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	leave, err := s.tree.acquire(ctx, "")
	if err != nil {
		return err
	}
	defer leave()
	if _, err := s.lookUp(name); err != nil {
		return err
	}
	if err := s.root.Remove(name); err != nil {
		return err
	}
	dir := path.Dir(name)
	for dir != "." && s.root.Remove(dir) == nil {
		dir = path.Dir(dir)
	}
	return s.syncDir(dir)
}

// syncDir makes renames and removals in a directory outlast a crash. Windows has no such call.
func (s *Service) syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// parents yields the directories above name, outermost first.
func parents(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range len(name) {
			if name[i] == '/' && !yield(name[:i]) {
				return
			}
		}
	}
}

// removeLeftovers removes the unfinished uploads of a process that was killed.
func (s *Service) removeLeftovers() error {
	dir, err := s.root.Open(".")
	if err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, tempPrefix) {
			continue
		}
		if err := s.root.Remove(name); err != nil {
			return err
		}
	}
	return nil
}
