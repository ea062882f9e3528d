// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// upload is a file that is not there yet: a temporary file in the root directory.
type upload struct {
	service *Service
	name    string // what the file will be called
	temp    string // what it is called meanwhile
	file    *os.File
	size    int64
	ended   bool // committed or discarded
}

// newUpload makes the temporary file. Call discard when done, also after commit.
func (s *Service) newUpload(name string) (*upload, error) {
	temp := tempPrefix + rand.Text()
	f, err := s.root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &upload{service: s, name: name, temp: temp, file: f}, nil
}

func (u *upload) write(chunk []byte) error {
	if err := u.service.checkChunk(u.name, u.size, chunk); err != nil {
		return err
	}
	n, err := u.file.Write(chunk)
	u.size += int64(n)
	return err
}

// commit puts the file in its place, whole and on disk.
func (u *upload) commit(ctx context.Context) (fs.FileInfo, error) {
	if err := u.file.Sync(); err != nil {
		return nil, err
	}
	info, err := u.file.Stat()
	if err != nil {
		return nil, err
	}
	if err := u.file.Close(); err != nil {
		return nil, err
	}
	// A caller that has gone does not learn that the file is there, so it is not put there.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := u.service.install(ctx, u.temp, u.name); err != nil {
		return nil, err
	}
	u.ended = true
	return info, nil
}

// discard removes the temporary file unless commit has made a file of it.
func (u *upload) discard(ctx context.Context) {
	if u.ended {
		return
	}
	u.ended = true
	_ = u.file.Close() // nothing of it is kept, and commit may have closed it
	if err := u.service.root.Remove(u.temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		u.service.logger.LogAttrs(ctx, slog.LevelError, "file store: cannot remove an unfinished upload",
			slog.String("name", u.name), slog.Any("error", err))
	}
}

// checkChunk bounds a chunk and the size that the file would have with it.
func (s *Service) checkChunk(name string, size int64, chunk []byte) error {
	if len(chunk) > MaxChunk {
		return status.Errorf(codes.InvalidArgument, "a chunk of %d bytes for %q: send %d bytes at most at a time", len(chunk), name, MaxChunk)
	}
	if size+int64(len(chunk)) > s.maxFileSize {
		return status.Errorf(codes.ResourceExhausted, "%q would be larger than %d bytes, which is the most that this store takes", name, s.maxFileSize)
	}
	return nil
}
