// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

// read copies a file of the server to a local one, or to standard output.
func (s *session) read(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream if this side fails
	stream, err := s.reader.ReadFile(ctx, &filesv1.ReadFileRequest{Name: s.args[0]})
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	size := first.GetFile().GetSize()
	if first.GetFile() == nil || size < 0 {
		return errors.New("the server's first message has no description of the file")
	}
	to, err := s.target()
	if err != nil {
		return err
	}
	defer to.discard()
	bar := newProgress(s.stderr, s.bar, size)
	defer bar.clear()
	var got int64
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if got += int64(len(m.GetChunk())); got > size {
			break
		}
		if _, err := to.Write(m.GetChunk()); err != nil {
			return err
		}
		bar.add(len(m.GetChunk()))
	}
	if got != size {
		kept := "nothing was kept"
		if to.temp == "" {
			kept = "what was written is not the file"
		}
		return fmt.Errorf("the file has %d bytes, and the server sent %d: %s", size, got, kept)
	}
	return to.commit()
}

// errEndedEarly is a server that calls it done where there is more.
var errEndedEarly = errors.New("the server ended the call, as if all were well, before it had the whole input")

// write creates or replaces a file of the server.
func (s *session) write(ctx context.Context) error {
	from, size, err := s.source()
	if err != nil {
		return err
	}
	defer from.Close()
	// Ending the stream would make a file of what was sent so far: when this side
	// fails, the stream is cancelled instead.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.writer.WriteFile(ctx)
	if err != nil {
		return err
	}
	bar := newProgress(s.stderr, s.bar, size)
	defer bar.clear()
	err = stream.Send(&filesv1.WriteFileRequest{Part: &filesv1.WriteFileRequest_Name{Name: s.args[0]}})
	input, whole := readChunks(ctx, from, io.ReadFull), false
	for err == nil {
		var chunk []byte
		if chunk, err = input.next(ctx); err != nil {
			whole = errors.Is(err, io.EOF)
			break
		}
		if err = stream.Send(&filesv1.WriteFileRequest{Part: &filesv1.WriteFileRequest_Chunk{Chunk: chunk}}); err == nil {
			bar.add(len(chunk))
		}
	}
	// io.EOF is the end of the input, or a stream that the server ended: either way
	// CloseAndRecv has the outcome. After anything else it must not be called, nor after
	// ctx ended, when a Send that waited says io.EOF too: it could still end the stream
	// well, before gRPC cancels it.
	if !errors.Is(err, io.EOF) || ctx.Err() != nil {
		return stopped(ctx, err)
	}
	resp, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	if !whole {
		return errEndedEarly
	}
	bar.clear()
	return s.printFile(resp.GetFile())
}

// append adds to a file of the server, chunk by chunk: the next one is sent when
// the server has the last one on disk.
func (s *session) append(ctx context.Context) error {
	from, size, err := s.source()
	if err != nil {
		return err
	}
	defer from.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.writer.AppendFile(ctx)
	if err != nil {
		return err
	}
	bar := newProgress(s.stderr, s.bar, size)
	defer bar.clear()
	var added, total int64
	err = stream.Send(&filesv1.AppendFileRequest{Part: &filesv1.AppendFileRequest_Name{Name: s.args[0]}})
	input, whole := readChunks(ctx, from, readSome), false
	for err == nil {
		var chunk []byte
		if chunk, err = input.next(ctx); err != nil {
			whole = errors.Is(err, io.EOF)
			break
		}
		if err = stream.Send(&filesv1.AppendFileRequest{Part: &filesv1.AppendFileRequest_Chunk{Chunk: chunk}}); err != nil {
			break
		}
		resp, failure := stream.Recv()
		if errors.Is(failure, io.EOF) {
			failure = errEndedEarly
		}
		if failure != nil {
			return partly(failure, added)
		}
		total = resp.GetSize()
		added += int64(len(chunk))
		bar.add(len(chunk))
	}
	if !errors.Is(err, io.EOF) {
		return partly(stopped(ctx, err), added)
	}
	if err := stream.CloseSend(); err != nil {
		return partly(err, added)
	}
	switch _, err := stream.Recv(); {
	case err == nil:
		return errors.New("the server acknowledged more chunks than it was sent")
	case !errors.Is(err, io.EOF):
		return partly(err, added)
	case !whole:
		return partly(errEndedEarly, added)
	}
	bar.clear()
	if added == 0 {
		return nil
	}
	_, err = fmt.Fprintf(s.stdout, "%d bytes added, %d in all\n", added, total)
	return err
}

// stopped gives the end of ctx, if that is what err is about, its gRPC code.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	return err
}

// partly says what an append that failed has done.
func partly(err error, added int64) error {
	if added == 0 {
		return err
	}
	if st, ok := status.FromError(err); ok {
		return status.Errorf(st.Code(), "%s (after %d bytes that were added)", st.Message(), added)
	}
	return fmt.Errorf("%w (after %d bytes that were added)", err, added)
}

// source opens what is sent. The size is -1 if it is not known.
func (s *session) source() (io.ReadCloser, int64, error) {
	path := s.local()
	if path == "-" {
		return io.NopCloser(s.stdin), -1, nil
	}
	f, err := os.Open(path) //nolint:gosec // the user's own file
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory", path)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	if !info.Mode().IsRegular() {
		return f, -1, nil
	}
	return f, info.Size(), nil
}
