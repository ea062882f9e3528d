// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"errors"
	"io"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

// WriteFile creates or replaces a file. Of writers of one name, the one that ends
// last wins, and each file is whole.
func (s *Service) WriteFile(stream grpc.ClientStreamingServer[filesv1.WriteFileRequest, filesv1.WriteFileResponse]) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	ctx := stream.Context()
	first, err := stream.Recv()
	if err != nil {
		return missingFirst(err)
	}
	name, err := firstName(first)
	if err != nil {
		return err
	}
	// The same check decides when the file is put in place; here it spares a long upload.
	if err := s.checkPlace(name); err != nil {
		return s.failure(ctx, "write", name, err)
	}
	up, err := s.newUpload(name)
	if err != nil {
		return s.failure(ctx, "write", name, err)
	}
	defer up.discard(ctx)
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err // cancelled, broken, or half a message: not the end that commits
		}
		chunk, err := nextChunk(req)
		if err != nil {
			return err
		}
		if err := up.write(chunk); err != nil {
			return s.failure(ctx, "write", name, err)
		}
	}
	info, err := up.commit(ctx)
	if err != nil {
		return s.failure(ctx, "write", name, err)
	}
	return stream.SendAndClose(&filesv1.WriteFileResponse{File: describe(name, info)})
}

// DeleteFile deletes a file, and the directories that are empty without it.
func (s *Service) DeleteFile(ctx context.Context, req *filesv1.DeleteFileRequest) (*filesv1.DeleteFileResponse, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	name := req.GetName()
	if err := checkName(name); err != nil {
		return nil, err
	}
	if err := s.remove(ctx, name); err != nil {
		return nil, s.failure(ctx, "delete", name, err)
	}
	return &filesv1.DeleteFileResponse{}, nil
}

// AppendFile adds to a file that exists. Each chunk is added whole, never mixed
// with another caller's, and answered once it is on disk.
func (s *Service) AppendFile(stream grpc.BidiStreamingServer[filesv1.AppendFileRequest, filesv1.AppendFileResponse]) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	ctx := stream.Context()
	first, err := stream.Recv()
	if err != nil {
		return missingFirst(err)
	}
	name, err := firstName(first)
	if err != nil {
		return err
	}
	f, _, err := s.open(name, os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return s.failure(ctx, "append to", name, err)
	}
	defer f.Close()
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		chunk, err := nextChunk(req)
		if err != nil {
			return err
		}
		size, err := s.appendChunk(ctx, name, f, chunk)
		if err != nil {
			return s.failure(ctx, "append to", name, err)
		}
		if err := stream.Send(&filesv1.AppendFileResponse{Size: size}); err != nil {
			return err
		}
	}
}

// appendChunk adds the chunk, syncs, and returns the file's size. It holds the
// file's lock: what it answers is in the file that has the name at that moment.
func (s *Service) appendChunk(ctx context.Context, name string, f *os.File, chunk []byte) (int64, error) {
	release, err := s.names.acquire(ctx, name)
	if err != nil {
		return 0, err
	}
	defer release()
	now, err := s.lookUp(name)
	if err != nil {
		return 0, err
	}
	mine, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !os.SameFile(now, mine) {
		return 0, status.Errorf(codes.Aborted, "%q was replaced since this append began: begin again", name)
	}
	size := mine.Size()
	if err := s.checkChunk(name, size, chunk); err != nil {
		return 0, err
	}
	_, err = f.Write(chunk)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		// The caller hears that the chunk is not there, so it must not be there in part.
		return 0, errors.Join(err, f.Truncate(size))
	}
	return size + int64(len(chunk)), nil
}

// namer and chunker are what the requests of both uploading methods have.
type (
	namer   interface{ GetName() string }
	chunker interface{ GetChunk() []byte }
)

// firstName returns the checked name in the first message of a stream.
func firstName(req namer) (string, error) {
	switch req := req.(type) {
	case *filesv1.WriteFileRequest:
		if _, ok := req.GetPart().(*filesv1.WriteFileRequest_Name); !ok {
			return "", missingName()
		}
	case *filesv1.AppendFileRequest:
		if _, ok := req.GetPart().(*filesv1.AppendFileRequest_Name); !ok {
			return "", missingName()
		}
	}
	return req.GetName(), checkName(req.GetName())
}

// nextChunk returns the chunk in a message that follows the first.
func nextChunk(req chunker) ([]byte, error) {
	ok := false
	switch req := req.(type) {
	case *filesv1.WriteFileRequest:
		_, ok = req.GetPart().(*filesv1.WriteFileRequest_Chunk)
	case *filesv1.AppendFileRequest:
		_, ok = req.GetPart().(*filesv1.AppendFileRequest_Chunk)
	}
	if !ok {
		return nil, status.Error(codes.InvalidArgument, "each message after the first must carry a chunk, and nothing else")
	}
	return req.GetChunk(), nil
}

func missingName() error {
	return status.Error(codes.InvalidArgument, "the first message must carry the file's name")
}

// missingFirst tells a stream that ended before its first message from one that broke.
func missingFirst(err error) error {
	if errors.Is(err, io.EOF) {
		return missingName()
	}
	return err
}
