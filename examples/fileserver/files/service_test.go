// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mkfile(t, dir, "file", "")
	for _, tt := range []struct {
		name string
		dir  string
		opt  Option
	}{
		{"no such directory", filepath.Join(dir, "missing"), WithVersion("v1")},
		{"a file", filepath.Join(dir, "file"), WithVersion("v1")},
		{"no size", dir, WithMaxFileSize(0)},
		{"negative size", dir, WithMaxFileSize(-1)},
		{"no logger", dir, WithLogger(nil)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := New(tt.dir, tt.opt); err == nil || !strings.HasPrefix(err.Error(), "files: ") {
				t.Errorf("got %v, want an error that starts with files:", err)
			}
		})
	}
}

func TestLeftoversAreRemovedAtStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mkfile(t, dir, tempPrefix+"LEFTOVER", "half")
	mkfile(t, dir, "a/kept", "whole")
	newService(t, dir)
	wantOnDisk(t, dir, "a", "a/kept")
}

func TestVersion(t *testing.T) {
	t.Parallel()
	f := start(t, WithVersion("v1.2.3"))
	resp, err := f.read.Version(t.Context(), &filesv1.VersionRequest{})
	if err != nil || resp.GetVersion() != "v1.2.3" {
		t.Errorf("Version: got %q, %v, want v1.2.3", resp.GetVersion(), err)
	}
	if BuildVersion() == "" {
		t.Error("BuildVersion: got nothing, want a version")
	}
}

// TestInternalErrorsStayInside breaks the store under a running service: the cause
// with its path is for the log, not for the caller.
func TestInternalErrorsStayInside(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	dir := t.TempDir()
	s := newService(t, dir, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	if err := s.root.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.StatFile(t.Context(), &filesv1.StatFileRequest{Name: "secret-plan"})
	wantCode(t, "StatFile", err, codes.Internal)
	if strings.Contains(err.Error(), "closed") || strings.Contains(err.Error(), dir) {
		t.Errorf("the caller gets %q, want no cause in it", err)
	}
	if !strings.Contains(log.String(), "file already closed") {
		t.Errorf("the log has %q, want the cause in it", log.String())
	}
	_, err = s.ListFiles(t.Context(), &filesv1.ListFilesRequest{})
	wantCode(t, "ListFiles", err, codes.Internal)
}

func TestCallsAfterClose(t *testing.T) {
	t.Parallel()
	f := start(t)
	if err := f.service.Close(); err != nil {
		t.Fatal(err)
	}
	for method, err := range f.everyMethod(t.Context(), "a") {
		wantCode(t, method, err, codes.Unavailable)
	}
	_, err := f.read.ListFiles(t.Context(), &filesv1.ListFilesRequest{})
	wantCode(t, "ListFiles", err, codes.Unavailable)
}

func TestCloseWaitsForCalls(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := f.write.WriteFile(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(writeName("a")); err != nil {
		t.Fatal(err)
	}
	<-f.events.received // the upload has begun
	closed := make(chan error, 1)
	go func() { closed <- f.service.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("Close returned %v while an upload ran, want it to wait", err)
	default:
	}
	cancel()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	wantOnDisk(t, f.dir) // so the upload could clean up before the directory was closed
}

// TestEscapes calls each method with names that point out of the root.
func TestEscapes(t *testing.T) {
	t.Parallel()
	f := start(t)
	outside := filepath.Join(filepath.Dir(f.dir), "outside-"+filepath.Base(f.dir))
	mkfile(t, outside, "file", "untouched")
	t.Cleanup(func() { os.RemoveAll(outside) })
	for _, name := range []string{
		"../" + filepath.Base(outside) + "/file",
		"a/../../" + filepath.Base(outside) + "/file",
		filepath.Join(outside, "file"),
		"..", ".", "", "/",
	} {
		for method, err := range f.everyMethod(t.Context(), name) {
			wantCode(t, method+" "+name, err, codes.InvalidArgument)
		}
	}
	wantFile(t, filepath.Join(outside, "file"), "untouched")
	wantOnDisk(t, outside, "file")
	wantOnDisk(t, f.dir)
}

// TestLinks has links in the store: none is followed, listed or replaced.
func TestLinks(t *testing.T) {
	t.Parallel()
	f := start(t)
	outside := t.TempDir()
	mkfile(t, outside, "file", "untouched")
	mkfile(t, f.dir, "inside/file", "inside")
	for name, target := range map[string]string{
		"file-out":      filepath.Join(outside, "file"),
		"dir-out":       outside,
		"relative-out":  filepath.Join("..", filepath.Base(outside)),
		"file-in":       filepath.Join("inside", "file"),
		"dir-in":        "inside",
		"dangling":      "nowhere",
		"loop":          "loop",
		"inside/parent": "..",
	} {
		if err := os.Symlink(target, filepath.Join(f.dir, filepath.FromSlash(name))); err != nil {
			t.Fatal(err)
		}
	}
	before := onDisk(t, f.dir)
	for _, name := range []string{
		"file-out", "dir-out", "dir-out/file", "dir-out/new", "relative-out/file", "file-in", "dir-in",
		"dir-in/file", "dir-in/new", "dangling", "dangling/new", "loop", "inside/parent/inside/file",
	} {
		for method, err := range f.everyMethod(t.Context(), name) {
			want := codes.NotFound
			if method == "WriteFile" {
				want = codes.FailedPrecondition
			}
			wantCode(t, method+" "+name, err, want)
		}
	}
	wantFile(t, filepath.Join(outside, "file"), "untouched")
	wantOnDisk(t, outside, "file")
	wantOnDisk(t, f.dir, before...)
	resp, err := f.read.ListFiles(t.Context(), &filesv1.ListFilesRequest{})
	if err != nil || len(resp.GetFiles()) != 1 || resp.GetFiles()[0].GetName() != "inside/file" {
		t.Errorf("ListFiles: got %v, %v, want inside/file only", resp.GetFiles(), err)
	}
}

// TestRootHoldsAgainstARace has what the check of links cannot see: a link that
// takes a directory's place after the check. The directory handle refuses then.
func TestRootHoldsAgainstARace(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	mkfile(t, outside, "file", "untouched")
	s := newService(t, dir)
	if err := os.Symlink(outside, filepath.Join(dir, "d")); err != nil {
		t.Fatal(err)
	}
	mkfile(t, dir, tempPrefix+"X", "")
	if f, err := s.root.Open("d/file"); err == nil {
		f.Close()
		t.Error("open through a link that leads out: got success, want an error")
	}
	if err := s.root.Rename(tempPrefix+"X", "d/file"); err == nil {
		t.Error("rename through a link that leads out: got success, want an error")
	}
	wantFile(t, filepath.Join(outside, "file"), "untouched")
}
