// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package files is the demonstration service: a file store behind
// FileReadService and FileWriteService of demo/files/v1/files.proto.
//
// It holds no access rule: the rules stand in the .proto file, and the
// interceptors of serverauth enforce them before a method of this package runs.
//
// Files live below one directory. No name leads out of it: names are checked,
// each access goes through an [os.Root], and symbolic links are not followed. An
// upload is a temporary file until the caller has ended the stream; then it is
// synced and renamed, so that a file appears whole or not at all.
package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

const (
	// MaxChunk bounds a chunk of content, in bytes, both ways.
	MaxChunk = 64 << 10
	// DefaultMaxFileSize bounds a file, in bytes, unless [WithMaxFileSize] says otherwise.
	DefaultMaxFileSize = 8 << 30
)

// Service implements FileReadService and FileWriteService. It is safe for
// concurrent use. Make one with [New].
type Service struct {
	filesv1.UnimplementedFileReadServiceServer
	filesv1.UnimplementedFileWriteServiceServer

	root        *os.Root
	maxFileSize int64
	version     string
	logger      *slog.Logger

	names locks // by file name: append, replace, delete, and the look at a file's size
	tree  locks // one key: making and removing directories

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup
}

var (
	_ filesv1.FileReadServiceServer  = (*Service)(nil)
	_ filesv1.FileWriteServiceServer = (*Service)(nil)
)

// Option changes a [Service].
type Option interface{ apply(s *Service) }

type optionFunc func(s *Service)

func (f optionFunc) apply(s *Service) { f(s) }

// WithMaxFileSize bounds each file, in bytes. The default is [DefaultMaxFileSize].
// Zero or less is an error of [New].
func WithMaxFileSize(n int64) Option {
	return optionFunc(func(s *Service) { s.maxFileSize = n })
}

// WithVersion sets what Version answers. The default is the version of the main
// module that the program was built from.
func WithVersion(version string) Option {
	return optionFunc(func(s *Service) { s.version = version })
}

// WithLogger sets where the causes of INTERNAL answers go; a caller never sees
// them. The default is [slog.Default].
func WithLogger(logger *slog.Logger) Option {
	return optionFunc(func(s *Service) { s.logger = logger })
}

// New returns a service for the files below dir, which must be a directory.
// Unfinished uploads that an earlier process left there are removed, so no two
// services may use one directory at the same time.
func New(dir string, opts ...Option) (*Service, error) {
	s := &Service{maxFileSize: DefaultMaxFileSize, version: BuildVersion(), logger: slog.Default()}
	for _, o := range opts {
		o.apply(s)
	}
	if s.maxFileSize <= 0 {
		return nil, fmt.Errorf("files: the size bound of a file is %d: it must be one byte or more", s.maxFileSize)
	}
	if s.logger == nil {
		return nil, errors.New("files: WithLogger(nil): pass a logger, or leave the option out")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("files: open the root directory: %w", err)
	}
	s.root = root
	if err := s.removeLeftovers(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return s, nil
}

// Register registers both services.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	filesv1.RegisterFileReadServiceServer(r, s)
	filesv1.RegisterFileWriteServiceServer(r, s)
}

// Close waits for the calls that run, then closes the directory. Stop the gRPC
// server first: it ends the calls. Calls after Close end UNAVAILABLE. A second
// Close does nothing.
func (s *Service) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	s.calls.Wait()
	if closed {
		return nil
	}
	return s.root.Close()
}

// begin counts a call in, so that Close waits for it. Call s.calls.Done at its end.
func (s *Service) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return status.Error(codes.Unavailable, "the store is closing; try again later")
	}
	s.calls.Add(1)
	return nil
}

// BuildVersion returns the version of the main module that the program was built
// from, "(devel)" for a working copy.
func BuildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// failure turns an error of the file system into what the caller may see. The
// cause, which may name a path of this host, goes to the log only.
func (s *Service) failure(ctx context.Context, doing, name string, err error) error {
	if _, ok := status.FromError(err); ok {
		return err // decided already
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return status.Errorf(codes.ResourceExhausted, "cannot %s %q: the store's disk is full", doing, name)
	case errors.Is(err, syscall.ENAMETOOLONG):
		return status.Errorf(codes.InvalidArgument, "cannot %s %q: the name is too long for the store's disk", doing, name)
	}
	s.logger.LogAttrs(ctx, slog.LevelError, "file store: cannot "+doing,
		slog.String("name", name), slog.Any("error", err))
	return status.Errorf(codes.Internal, "cannot %s %q: the server's log has the reason", doing, name)
}

func notFound(name string) error {
	return status.Errorf(codes.NotFound, "there is no file %q", name)
}

func describe(name string, info fs.FileInfo) *filesv1.FileInfo {
	return &filesv1.FileInfo{Name: name, Size: info.Size(), ChangeTime: timestamppb.New(info.ModTime())}
}
