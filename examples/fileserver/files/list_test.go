// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

// listAll pages through the store and returns the names of each page.
func (f *fixture) listAll(t *testing.T, size int32, between func(page int)) [][]string {
	t.Helper()
	var pages [][]string
	token := ""
	for {
		resp, err := f.read.ListFiles(t.Context(), &filesv1.ListFilesRequest{PageSize: size, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, info := range resp.GetFiles() {
			names = append(names, info.GetName())
		}
		pages = append(pages, names)
		if token = resp.GetNextPageToken(); token == "" {
			return pages
		}
		if between != nil {
			between(len(pages))
		}
	}
}

// inOrder is a tree whose byte order is not the order of its directories: "-" and
// "." come before "/".
var inOrder = []string{"a-b", "a.b", "a/b-c", "a/b/c", "a/b0", "a0", "b/x/y/z", "z"}

func TestListOrderAndPages(t *testing.T) {
	t.Parallel()
	f := start(t)
	for _, name := range inOrder {
		mkfile(t, f.dir, name, name)
	}
	mkfile(t, f.dir, tempPrefix+"X", "unfinished")
	mkfile(t, f.dir, "bad\nname", "no request can have this name")
	if !slices.IsSorted(inOrder) {
		t.Fatal("the wanted names are not in byte order")
	}
	for size := int32(1); size <= int32(len(inOrder)+1); size++ {
		pages := f.listAll(t, size, nil)
		if got := slices.Concat(pages...); !slices.Equal(got, inOrder) {
			t.Errorf("pages of %d: got %q, want %q", size, got, inOrder)
		}
		if want := (len(inOrder) + int(size) - 1) / int(size); len(pages) != want {
			t.Errorf("pages of %d: got %d pages, want %d: the last one must say that it is", size, len(pages), want)
		}
	}
}

func TestListDescribes(t *testing.T) {
	t.Parallel()
	f := start(t)
	want := f.put(t, "a/b", []byte("content"))
	resp, err := f.read.ListFiles(t.Context(), &filesv1.ListFilesRequest{})
	if err != nil || len(resp.GetFiles()) != 1 || resp.GetFiles()[0].String() != want.String() {
		t.Errorf("ListFiles: got %v, %v, want %v", resp.GetFiles(), err, want)
	}
}

func TestListOfNothing(t *testing.T) {
	t.Parallel()
	f := start(t)
	if pages := f.listAll(t, 0, nil); len(pages) != 1 || len(pages[0]) != 0 {
		t.Errorf("got %q, want one empty page", pages)
	}
}

// TestTokensStayGood changes the store between pages: what is there all the time is
// listed once, and the file that a token names may go.
func TestTokensStayGood(t *testing.T) {
	t.Parallel()
	f := start(t)
	for _, name := range inOrder {
		mkfile(t, f.dir, name, "")
	}
	pages := f.listAll(t, 2, func(page int) {
		if page != 1 {
			return
		}
		if _, err := f.write.DeleteFile(t.Context(), &filesv1.DeleteFileRequest{Name: "a.b"}); err != nil {
			t.Error(err)
		}
		mkfile(t, f.dir, "A", "before the token: not listed any more")
		mkfile(t, f.dir, "a/a", "after the token: listed")
	})
	want := slices.Insert(slices.Clone(inOrder), 2, "a/a")
	if got := slices.Concat(pages...); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPageSizeIsBounded(t *testing.T) {
	t.Parallel()
	f := start(t)
	for i := range maxPageSize + 1 {
		mkfile(t, f.dir, fmt.Sprintf("%04d", i), "")
	}
	for _, tt := range []struct {
		ask  int32
		want []int
	}{
		{0, slices.Repeat([]int{defaultPageSize}, 10)},
		{maxPageSize, []int{maxPageSize}},
		{1 << 30, []int{maxPageSize}},
	} {
		var got []int
		for _, page := range f.listAll(t, tt.ask, nil) {
			got = append(got, len(page))
		}
		if want := slices.Concat(tt.want, []int{1}); !slices.Equal(got, want) {
			t.Errorf("page_size %d: got pages of %d, want %d", tt.ask, got, want)
		}
	}
}

func TestListRefuses(t *testing.T) {
	t.Parallel()
	f := start(t)
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for _, tt := range []struct {
		name string
		req  *filesv1.ListFilesRequest
	}{
		{"negative size", &filesv1.ListFilesRequest{PageSize: -1}},
		{"no base64", &filesv1.ListFilesRequest{PageToken: "!"}},
		{"padding", &filesv1.ListFilesRequest{PageToken: "YQ=="}},
		{"bits left over", &filesv1.ListFilesRequest{PageToken: "YR"}},
		{"line end", &filesv1.ListFilesRequest{PageToken: "\rYQ"}},
		{"a way out", &filesv1.ListFilesRequest{PageToken: encode("../a")}},
		{"not UTF-8", &filesv1.ListFilesRequest{PageToken: encode("\xff")}},
		{"too long", &filesv1.ListFilesRequest{PageToken: encode(strings.Repeat("a/", maxNameLen) + "a")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := f.read.ListFiles(t.Context(), tt.req)
			wantCode(t, "ListFiles", err, codes.InvalidArgument)
		})
	}
}

func FuzzPageToken(f *testing.F) {
	for _, s := range []string{"", "YQ", "YQ==", "YR", "\r070", "!", pageToken("a/b"), pageToken("../a")} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		after, err := parsePageToken(token)
		if err != nil {
			return
		}
		if got := pageToken(after); got != token {
			t.Errorf("%q means %q, whose token is %q, want one token per name", token, after, got)
		}
		if after != "" && checkName(after) != nil {
			t.Errorf("%q means %q, which is no name", token, after)
		}
	})
}
