// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

const (
	largeFile = 256 << 20
	// heapBound is far above what a transfer needs (a few chunks, and what the
	// collector leaves for later) and far below the file.
	heapBound = largeFile / 4
)

// peak is the largest heap that watch has seen.
type peak struct {
	mu   sync.Mutex
	heap uint64
	n    int
}

// watch looks at the heap every 8 MiB of chunks.
func (p *peak) watch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n++; p.n%128 != 0 {
		return
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	p.heap = max(p.heap, stats.HeapAlloc)
}

func (p *peak) check(t *testing.T) {
	t.Helper()
	if p.n < largeFile/MaxChunk {
		t.Errorf("%d chunks were counted, want %d", p.n, largeFile/MaxChunk)
	}
	if p.heap > heapBound {
		t.Errorf("the heap grew to %d MiB for a file of %d MiB, want %d MiB at most", p.heap>>20, largeFile>>20, heapBound>>20)
	}
	t.Logf("largest heap seen: %.1f MiB", float64(p.heap)/(1<<20))
}

// TestMemoryStaysFlat moves a large file both ways and holds the heap of client and
// server together to a bound. It is not parallel: it must not see other tests' heap.
func TestMemoryStaysFlat(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	f := start(t)
	if err := os.WriteFile(filepath.Join(f.dir, "sparse"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(f.dir, "sparse"), largeFile); err != nil {
		t.Fatal(err)
	}
	t.Run("read", func(t *testing.T) {
		var p peak
		stream, err := f.read.ReadFile(t.Context(), &filesv1.ReadFileRequest{Name: "sparse"})
		if err != nil {
			t.Fatal(err)
		}
		var size int
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			size += len(m.GetChunk())
			p.watch()
		}
		if size != largeFile {
			t.Errorf("got %d bytes, want %d", size, largeFile)
		}
		p.check(t)
	})
	t.Run("write", func(t *testing.T) {
		var p peak
		stream, err := f.write.WriteFile(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(writeName("large")); err != nil {
			t.Fatal(err)
		}
		for range largeFile / MaxChunk {
			if err := stream.Send(writeChunk(make([]byte, MaxChunk))); err != nil {
				t.Fatal(err)
			}
			p.watch()
		}
		resp, err := stream.CloseAndRecv()
		if err != nil || resp.GetFile().GetSize() != largeFile {
			t.Errorf("got %v, %v, want %d bytes", resp, err, largeFile)
		}
		p.check(t)
	})
}

// TestReadIsOfOneMoment changes the file after its description was sent: the
// content that follows is the one that was described, or the call fails.
func TestReadIsOfOneMoment(t *testing.T) {
	t.Parallel()
	// More than the flow-control windows hold, so that the server is still reading.
	const size = 64 << 20
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, f *fixture)
		want   codes.Code
	}{
		{"replaced", func(t *testing.T, f *fixture) { t.Helper(); f.put(t, "a", []byte("new")) }, codes.OK},
		{"added to", func(t *testing.T, f *fixture) {
			t.Helper()
			if err := f.append(t.Context(), "a", []byte("more")); err != nil {
				t.Fatal(err)
			}
		}, codes.OK},
		{"deleted", func(t *testing.T, f *fixture) {
			t.Helper()
			if _, err := f.write.DeleteFile(t.Context(), &filesv1.DeleteFileRequest{Name: "a"}); err != nil {
				t.Fatal(err)
			}
		}, codes.OK},
		{"cut past the service", func(t *testing.T, f *fixture) {
			t.Helper()
			if err := os.Truncate(filepath.Join(f.dir, "a"), 0); err != nil {
				t.Fatal(err)
			}
		}, codes.Aborted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			mkfile(t, f.dir, "a", "")
			if err := os.Truncate(filepath.Join(f.dir, "a"), size); err != nil {
				t.Fatal(err)
			}
			stream, err := f.read.ReadFile(t.Context(), &filesv1.ReadFileRequest{Name: "a"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
			tt.change(t, f)
			got := 0
			m, err := stream.Recv()
			for ; err == nil; m, err = stream.Recv() {
				got += len(m.GetChunk())
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			wantCode(t, "ReadFile", err, tt.want)
			if tt.want == codes.OK && got != size {
				t.Errorf("got %d bytes, want the %d that were described", got, size)
			}
		})
	}
}

// TestConcurrentAppends add chunks of one letter each to one file: no chunk is cut
// by another, and none is lost.
func TestConcurrentAppends(t *testing.T) {
	t.Parallel()
	f := start(t)
	mkfile(t, f.dir, "a", "")
	const callers, chunks, size = 4, 8, MaxChunk / 2
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			chunk := bytes.Repeat([]byte{byte('a' + i)}, size)
			all := make([][]byte, chunks)
			for j := range all {
				all[j] = chunk
			}
			if err := f.append(t.Context(), "a", all...); err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	content, err := os.ReadFile(filepath.Join(f.dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	if len(content) != callers*chunks*size {
		t.Fatalf("got %d bytes, want %d", len(content), callers*chunks*size)
	}
	count := make(map[string]int)
	for i := 0; i < len(content); i += size {
		letter := string(content[i])
		if string(content[i:i+size]) != strings.Repeat(letter, size) {
			t.Errorf("the chunk at %d has bytes of several callers", i)
		}
		count[letter]++
	}
	for letter, n := range count {
		if n != chunks {
			t.Errorf("%d chunks of %q, want %d", n, letter, chunks)
		}
	}
}
