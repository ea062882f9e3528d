// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

// StatFile returns a file's size and time of change.
func (s *Service) StatFile(ctx context.Context, req *filesv1.StatFileRequest) (*filesv1.StatFileResponse, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	name := req.GetName()
	if err := checkName(name); err != nil {
		return nil, err
	}
	info, err := s.lookUp(name)
	if err != nil {
		return nil, s.failure(ctx, "look up", name, err)
	}
	return &filesv1.StatFileResponse{File: describe(name, info)}, nil
}

// ReadFile sends the file's description, then as many bytes as the description
// says. A file that is replaced or added to meanwhile does not change them.
func (s *Service) ReadFile(req *filesv1.ReadFileRequest, stream grpc.ServerStreamingServer[filesv1.ReadFileResponse]) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	ctx, name := stream.Context(), req.GetName()
	if err := checkName(name); err != nil {
		return err
	}
	f, info, err := s.openWhole(ctx, name)
	if err != nil {
		return s.failure(ctx, "read", name, err)
	}
	defer f.Close()
	first := &filesv1.ReadFileResponse{Part: &filesv1.ReadFileResponse_File{File: describe(name, info)}}
	if err := stream.Send(first); err != nil {
		return err
	}
	for left := info.Size(); left > 0; {
		// A fresh buffer each time: gRPC does not allow a sent message to change.
		chunk := make([]byte, min(left, MaxChunk))
		if _, err := io.ReadFull(f, chunk); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return status.Errorf(codes.Aborted, "%q became shorter while it was read: read it again", name)
			}
			return s.failure(ctx, "read", name, err)
		}
		left -= int64(len(chunk))
		if err := stream.Send(&filesv1.ReadFileResponse{Part: &filesv1.ReadFileResponse_Chunk{Chunk: chunk}}); err != nil {
			return err
		}
	}
	return nil
}

// openWhole opens the file between two appended chunks, not within one.
func (s *Service) openWhole(ctx context.Context, name string) (*os.File, fs.FileInfo, error) {
	release, err := s.names.acquire(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	return s.open(name, os.O_RDONLY)
}

// Version returns the server's version. The method is public.
func (s *Service) Version(context.Context, *filesv1.VersionRequest) (*filesv1.VersionResponse, error) {
	return &filesv1.VersionResponse{Version: s.version}, nil
}
