// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

// acknowledges is an AppendFile that answers the given number of chunks and then ends with err.
func acknowledges(chunks int, err error, got *[]string) *fake {
	return &fake{appendFile: func(stream grpc.BidiStreamingServer[filesv1.AppendFileRequest, filesv1.AppendFileResponse]) error {
		if _, err := stream.Recv(); err != nil {
			return err
		}
		size := int64(100)
		for range chunks {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			*got = append(*got, string(m.GetChunk()))
			size += int64(len(m.GetChunk()))
			if err := stream.Send(&filesv1.AppendFileResponse{Size: size}); err != nil {
				return err
			}
		}
		return err
	}}
}

func TestAppend(t *testing.T) {
	t.Parallel()
	var got []string
	s, stdout := newSession(t, acknowledges(99, nil, &got), iotest.OneByteReader(strings.NewReader("abc")), "a")
	if err := s.append(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What comes in pieces goes in pieces: a line that is typed is not held back.
	if want := "[a b c]"; fmt.Sprint(got) != want {
		t.Errorf("the server got %v, want %s", got, want)
	}
	if want := "3 bytes added, 103 in all\n"; stdout.String() != want {
		t.Errorf("got %q on stdout, want %q", stdout.String(), want)
	}
}

func TestAppendFails(t *testing.T) {
	t.Parallel()
	aborted := status.Error(codes.Aborted, "was replaced")
	for _, tt := range []struct {
		name  string
		f     func(got *[]string) *fake
		stdin io.Reader
		code  codes.Code
		want  string
	}{
		{"refused", func(got *[]string) *fake { return acknowledges(0, aborted, got) }, strings.NewReader("abc"), codes.Aborted, "was replaced"},
		{"refused, endless input", func(got *[]string) *fake { return acknowledges(0, aborted, got) }, endless{}, codes.Aborted, "was replaced"},
		{"refused later", func(got *[]string) *fake { return acknowledges(2, aborted, got) }, iotest.OneByteReader(strings.NewReader("abc")), codes.Aborted, "was replaced (after 2 bytes that were added)"},
		{"broken input", func(got *[]string) *fake { return acknowledges(9, nil, got) }, brokenReader{strings.NewReader("abc")}, codes.Unknown, "the disk is broken (after 3 bytes that were added)"},
		{"ended early", func(got *[]string) *fake { return acknowledges(1, nil, got) }, endless{}, codes.Unknown, "before it had the whole input (after 65536 bytes that were added)"},
		{"ended early, after its input was sent", func(got *[]string) *fake { return acknowledges(0, nil, got) }, strings.NewReader("abc"), codes.Unknown, "before it had the whole input"},
		{"one answer too many", func(*[]string) *fake {
			return &fake{appendFile: func(stream grpc.BidiStreamingServer[filesv1.AppendFileRequest, filesv1.AppendFileResponse]) error {
				for range 2 {
					if err := stream.Send(&filesv1.AppendFileResponse{Size: 1}); err != nil {
						return err
					}
				}
				return nil
			}}
		}, strings.NewReader("abc"), codes.Unknown, "more chunks than it was sent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			s, stdout := newSession(t, tt.f(&got), tt.stdin, "a")
			err := s.append(t.Context())
			if status.Code(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %v with %q", err, tt.code, tt.want)
			}
			if stdout.Len() != 0 {
				t.Errorf("got %q on stdout, want nothing", stdout.String())
			}
		})
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	info := func(name string, size int64) *filesv1.FileInfo {
		return &filesv1.FileInfo{Name: name, Size: size, ChangeTime: &timestamppb.Timestamp{Seconds: 60}}
	}
	f := &fake{listFiles: func(req *filesv1.ListFilesRequest) (*filesv1.ListFilesResponse, error) {
		switch req.GetPageToken() {
		case "":
			return &filesv1.ListFilesResponse{Files: []*filesv1.FileInfo{info("a", 1), info("b", 2)}, NextPageToken: "t"}, nil
		case "t":
			return &filesv1.ListFilesResponse{Files: []*filesv1.FileInfo{info("c/d", 3)}}, nil
		}
		return nil, status.Error(codes.InvalidArgument, "page_token")
	}}
	s, stdout := newSession(t, f, nil)
	if err := s.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := "1\t1970-01-01T00:01:00Z\ta\n2\t1970-01-01T00:01:00Z\tb\n3\t1970-01-01T00:01:00Z\tc/d\n"; stdout.String() != want {
		t.Errorf("got %q, want %q", stdout.String(), want)
	}
}

func TestListThatDoesNotMove(t *testing.T) {
	t.Parallel()
	f := &fake{listFiles: func(*filesv1.ListFilesRequest) (*filesv1.ListFilesResponse, error) {
		return &filesv1.ListFilesResponse{NextPageToken: "same"}, nil
	}}
	s, _ := newSession(t, f, nil)
	if err := s.list(t.Context()); err == nil || !strings.Contains(err.Error(), "again and again") {
		t.Errorf("got %v, want that the pages repeat", err)
	}
}

func TestStat(t *testing.T) {
	t.Parallel()
	f := &fake{statFile: func(req *filesv1.StatFileRequest) (*filesv1.StatFileResponse, error) {
		return &filesv1.StatFileResponse{File: &filesv1.FileInfo{Name: req.GetName(), Size: 5, ChangeTime: &timestamppb.Timestamp{}}}, nil
	}}
	s, stdout := newSession(t, f, nil, "a/b")
	if err := s.stat(t.Context()); err != nil || stdout.String() != "5\t1970-01-01T00:00:00Z\ta/b\n" {
		t.Errorf("got %q, %v, want the file", stdout.String(), err)
	}
}
