// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

// pattern returns n bytes that do not repeat at the size of a chunk.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func TestWriteThenRead(t *testing.T) {
	t.Parallel()
	f := start(t)
	for _, size := range []int{0, 1, MaxChunk - 1, MaxChunk, MaxChunk + 1, 5*MaxChunk + 7} {
		name, content := fmt.Sprintf("sizes/of/%d", size), pattern(size)
		written := f.put(t, name, content)
		described, got, err := f.get(t.Context(), name)
		if err != nil {
			t.Fatalf("read %q: %v", name, err)
		}
		if !bytes.Equal(got, content) {
			t.Errorf("%q: got %d other bytes than the %d written", name, len(got), size)
		}
		stat, err := f.read.StatFile(t.Context(), &filesv1.StatFileRequest{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		onDisk, err := os.Stat(filepath.Join(f.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for what, info := range map[string]*filesv1.FileInfo{"WriteFile": written, "ReadFile": described, "StatFile": stat.GetFile()} {
			if info.GetName() != name || info.GetSize() != int64(size) || !info.GetChangeTime().AsTime().Equal(onDisk.ModTime()) {
				t.Errorf("%s describes %v, want %q with %d bytes of %v", what, info, name, size, onDisk.ModTime())
			}
		}
	}
}

func TestMissingFiles(t *testing.T) {
	t.Parallel()
	f := start(t)
	mkfile(t, f.dir, "a/b", "x")
	for _, name := range []string{"none", "a/none", "none/none", "a", "a/b/c"} {
		for method, err := range f.everyMethod(t.Context(), name) {
			if method != "WriteFile" {
				wantCode(t, method+" "+name, err, codes.NotFound)
			}
		}
		// WriteFile made what it could; take it away for the next name.
		_, _ = f.write.DeleteFile(t.Context(), &filesv1.DeleteFileRequest{Name: name})
	}
	wantOnDisk(t, f.dir, "a", "a/b")
}

func TestWriteWhereItCannotBe(t *testing.T) {
	t.Parallel()
	f := start(t)
	mkfile(t, f.dir, "dir/file", "x")
	for _, name := range []string{"dir", "dir/file/below", "dir/file/far/below"} {
		_, err := f.upload(t.Context(), writeName(name), writeChunk([]byte("y")))
		wantCode(t, "write "+name, err, codes.FailedPrecondition)
	}
	wantOnDisk(t, f.dir, "dir", "dir/file")
	wantFile(t, filepath.Join(f.dir, "dir", "file"), "x")
}

// TestRefusalComesEarly has a caller who has sent the name only: it need not send
// the rest in vain.
func TestRefusalComesEarly(t *testing.T) {
	t.Parallel()
	f := start(t)
	mkfile(t, f.dir, "dir/file", "x")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := f.write.WriteFile(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(writeName("dir")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-f.events.received:
		t.Error("the server wants the content of a file that cannot be made")
	case err := <-f.events.ended:
		wantCode(t, "WriteFile", err, codes.FailedPrecondition)
	}
}

// TestBrokenUploads ends streams in each way but the good one: nothing stays.
func TestBrokenUploads(t *testing.T) {
	t.Parallel()
	const bound = 2*MaxChunk + 10
	chunk := pattern(MaxChunk)
	for _, tt := range []struct {
		name     string
		messages []*filesv1.WriteFileRequest
		want     codes.Code
	}{
		{"no message", nil, codes.InvalidArgument},
		{"no name first", []*filesv1.WriteFileRequest{writeChunk(chunk)}, codes.InvalidArgument},
		{"empty first message", []*filesv1.WriteFileRequest{{}}, codes.InvalidArgument},
		{"empty name", []*filesv1.WriteFileRequest{writeName("")}, codes.InvalidArgument},
		{"empty message later", []*filesv1.WriteFileRequest{writeName("a/b/c"), writeChunk(chunk), {}}, codes.InvalidArgument},
		{"second name", []*filesv1.WriteFileRequest{writeName("a/b/c"), writeChunk(chunk), writeName("d")}, codes.InvalidArgument},
		{"chunk too large", []*filesv1.WriteFileRequest{writeName("a/b/c"), writeChunk(chunk), writeChunk(pattern(MaxChunk + 1))}, codes.InvalidArgument},
		{"file too large", []*filesv1.WriteFileRequest{writeName("a/b/c"), writeChunk(chunk), writeChunk(chunk), writeChunk(chunk[:11])}, codes.ResourceExhausted},
		{"below the old file", []*filesv1.WriteFileRequest{writeName("old/a"), writeChunk(chunk)}, codes.FailedPrecondition},
		{"over the old file", []*filesv1.WriteFileRequest{writeName("old"), writeChunk(chunk), {}}, codes.InvalidArgument},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, WithMaxFileSize(bound))
			mkfile(t, f.dir, "old", "old content")
			_, err := f.upload(t.Context(), tt.messages...)
			wantCode(t, "WriteFile", err, tt.want)
			<-f.events.ended
			wantOnDisk(t, f.dir, "old")
			wantFile(t, filepath.Join(f.dir, "old"), "old content")
		})
	}
}

func TestLargestFile(t *testing.T) {
	t.Parallel()
	f := start(t, WithMaxFileSize(2*MaxChunk+10))
	f.put(t, "a", pattern(2*MaxChunk+10))
	wantOnDisk(t, f.dir, "a")
}

// TestInterruptedUploads lose the caller in the middle.
func TestInterruptedUploads(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(f *fixture, cancel context.CancelFunc)
	}{
		{"cancelled", func(_ *fixture, cancel context.CancelFunc) { cancel() }},
		{"connection lost", func(f *fixture, _ context.CancelFunc) { f.conn.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			mkfile(t, f.dir, "a/old", "old content")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stream, err := f.write.WriteFile(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range []*filesv1.WriteFileRequest{writeName("a/old"), writeChunk(pattern(MaxChunk))} {
				if err := stream.Send(m); err != nil {
					t.Fatal(err)
				}
				<-f.events.received
			}
			if got := onDisk(t, f.dir); len(got) != 3 {
				t.Errorf("on disk during the upload: got %q, want one temporary file beside a/old", got)
			}
			wantFile(t, filepath.Join(f.dir, "a", "old"), "old content")
			tt.end(f, cancel)
			wantCode(t, "the handler", <-f.events.ended, codes.Canceled)
			wantOnDisk(t, f.dir, "a", "a/old")
			wantFile(t, filepath.Join(f.dir, "a", "old"), "old content")
		})
	}
}

// TestCancelledBeforeCommit has a stream that ended well for a caller that is gone.
func TestCancelledBeforeCommit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newService(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // waiting for a lock may or may not see the end of the context
		up, err := s.newUpload("a/b")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := up.commit(ctx); err == nil {
			t.Error("commit for a caller that is gone: got success, want an error")
		}
		up.discard(ctx)
		wantOnDisk(t, dir)
	}
}

// TestFailedInstallLeavesNoDirectory loses the temporary file to something outside.
func TestFailedInstallLeavesNoDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newService(t, dir)
	mkfile(t, dir, "kept/file", "x")
	up, err := s.newUpload("kept/new/deep/file")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, up.temp)); err != nil {
		t.Fatal(err)
	}
	if _, err := up.commit(t.Context()); err == nil {
		t.Error("commit without the temporary file: got success, want an error")
	}
	up.discard(t.Context())
	wantOnDisk(t, dir, "kept", "kept/file")
}

// TestConcurrentWriters write one name: the file is always one of theirs, whole.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	f := start(t)
	const writers, size = 6, 3*MaxChunk + 5
	whole := func(content []byte) bool {
		return len(content) == size && len(slices.Compact(slices.Clone(content))) == 1
	}
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			content := bytes.Repeat([]byte{byte('a' + i)}, size)
			messages := []*filesv1.WriteFileRequest{writeName("d/file")}
			for chunk := range slices.Chunk(content, MaxChunk) {
				messages = append(messages, writeChunk(chunk))
			}
			if _, err := f.upload(t.Context(), messages...); err != nil {
				t.Errorf("writer %d: %v", i, err)
				return
			}
			if _, got, err := f.get(t.Context(), "d/file"); err != nil || !whole(got) {
				t.Errorf("read beside the writers: got %d bytes, %v, want one writer's %d", len(got), err, size)
			}
		})
	}
	wg.Wait()
	wantOnDisk(t, f.dir, "d", "d/file")
}

// TestWritersAndDeletersShareDirectories makes and removes the same directories at once.
func TestWritersAndDeletersShareDirectories(t *testing.T) {
	t.Parallel()
	f := start(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			name := fmt.Sprintf("a/b/c/%d", i)
			for range 20 {
				if _, err := f.upload(t.Context(), writeName(name)); err != nil {
					t.Errorf("write %q: %v", name, err)
				}
				if _, err := f.write.DeleteFile(t.Context(), &filesv1.DeleteFileRequest{Name: name}); err != nil {
					t.Errorf("delete %q: %v", name, err)
				}
			}
		})
	}
	wg.Wait()
	wantOnDisk(t, f.dir)
}

func TestDelete(t *testing.T) {
	t.Parallel()
	f := start(t)
	mkfile(t, f.dir, "a/b/c/one", "")
	mkfile(t, f.dir, "a/two", "")
	if _, err := f.write.DeleteFile(t.Context(), &filesv1.DeleteFileRequest{Name: "a/b/c/one"}); err != nil {
		t.Fatal(err)
	}
	wantOnDisk(t, f.dir, "a", "a/two")
	if _, err := f.write.DeleteFile(t.Context(), &filesv1.DeleteFileRequest{Name: "a/two"}); err != nil {
		t.Fatal(err)
	}
	wantOnDisk(t, f.dir)
}
