// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
)

// maxChunk is the most that a message may carry, as the .proto file says.
const maxChunk = 64 << 10

// chunks is an input that is read in the background, so that a caller who waits for
// a terminal or a pipe hears of the end of the call.
type chunks struct{ c chan chunk }

type chunk struct {
	content []byte
	err     error
}

// readChunks reads r with fill until it ends or ctx does. A goroutine that is
// inside of r.Read stays there until that returns.
func readChunks(ctx context.Context, r io.Reader, fill func(r io.Reader, buf []byte) (int, error)) chunks {
	in := chunks{make(chan chunk)}
	go func() {
		for {
			buf := make([]byte, maxChunk) // a fresh one: gRPC does not allow a sent message to change
			n, err := fill(r, buf)
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = io.EOF // io.ReadFull's word for a last chunk that is not full
			}
			if n > 0 && !in.put(ctx, chunk{content: buf[:n]}) {
				return
			}
			if err != nil {
				in.put(ctx, chunk{err: err})
				return
			}
		}
	}()
	return in
}

func (in chunks) put(ctx context.Context, c chunk) bool {
	select {
	case in.c <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

// next returns the next chunk, io.EOF at the end, or the error of ctx.
func (in chunks) next(ctx context.Context) ([]byte, error) {
	select {
	case c := <-in.c:
		return c.content, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// readSome fills buf with what is there, so that lines typed at a terminal go one by one.
func readSome(r io.Reader, buf []byte) (int, error) { return r.Read(buf) }
