// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"path"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

const (
	defaultPageSize = 100
	// maxPageSize keeps a page under gRPC's default message bound of 4 MiB, whatever the names.
	maxPageSize = 1000
)

// ListFiles returns a page of files in the byte order of their names. A page token
// says after which name to go on, so it stays good while files come and go: a file
// that is there all the time is listed exactly once. A page_size above the bound
// is taken as the bound.
func (s *Service) ListFiles(ctx context.Context, req *filesv1.ListFilesRequest) (*filesv1.ListFilesResponse, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	size := int(req.GetPageSize())
	if size < 0 {
		return nil, status.Errorf(codes.InvalidArgument, "page_size is %d: it must not be negative", size)
	}
	if size == 0 {
		size = defaultPageSize
	}
	size = min(size, maxPageSize)
	after, err := parsePageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	w := walk{service: s, after: after, limit: size + 1}
	if err := w.dir(ctx, "."); err != nil {
		return nil, s.failure(ctx, "list", "/", err)
	}
	resp := &filesv1.ListFilesResponse{Files: w.found}
	if len(w.found) > size {
		resp.Files = w.found[:size]
		resp.NextPageToken = pageToken(w.found[size-1].GetName())
	}
	return resp, nil
}

// pageToken is opaque to the caller. It holds the last name of a page.
func pageToken(last string) string { return base64.RawURLEncoding.EncodeToString([]byte(last)) }

func parsePageToken(token string) (after string, err error) {
	if token == "" {
		return "", nil
	}
	// The decoder skips line ends, and takes several endings for one: only the token
	// that pageToken makes is a token.
	name, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || pageToken(string(name)) != token || nameFault(string(name)) != "" {
		return "", status.Error(codes.InvalidArgument, "page_token is not one that this method gave out: pass next_page_token of the page before, or nothing")
	}
	return string(name), nil
}

// walk collects up to limit files whose names come after a name.
type walk struct {
	service *Service
	after   string
	limit   int
	found   []*filesv1.FileInfo
}

// entry is a directory's entry with its name from the root on.
type entry struct {
	name string
	dir  bool
}

// key is what entries of one directory are ordered by, so that whole names come in
// byte order: "a-b" is before "a/c".
func (e entry) key() string {
	if e.dir {
		return e.name + "/"
	}
	return e.name
}

func (w *walk) dir(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := w.service.entries(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if len(w.found) >= w.limit {
			return nil
		}
		if err := w.entry(ctx, e); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err // what vanished since the directory was read is not listed
		}
	}
	return nil
}

func (w *walk) entry(ctx context.Context, e entry) error {
	if e.dir {
		// The range of names below "a" ends before "a0", since "0" follows "/".
		if w.after >= e.name+"0" {
			return nil
		}
		return w.dir(ctx, e.name)
	}
	if e.name <= w.after {
		return nil
	}
	info, err := w.service.root.Lstat(e.name)
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() { // no link and no device
		w.found = append(w.found, describe(e.name, info))
	}
	return nil
}

// entries returns what is in a directory in the order of the keys, without unfinished
// uploads and names that no request can have.
func (s *Service) entries(dir string) ([]entry, error) {
	f, err := s.root.Open(dir)
	if err != nil {
		return nil, err
	}
	list, err := f.ReadDir(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	var entries []entry
	for _, d := range list {
		name := path.Join(dir, d.Name())
		if nameFault(name) == "" {
			entries = append(entries, entry{name: name, dir: d.IsDir()})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.key(), b.key()) })
	return entries, nil
}
