// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

const (
	// unaryTimeout bounds a call that moves no file.
	unaryTimeout = 30 * time.Second
	pageSize     = 1000
)

func (s *session) stat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	resp, err := s.reader.StatFile(ctx, &filesv1.StatFileRequest{Name: s.args[0]})
	if err != nil {
		return err
	}
	return s.printFile(resp.GetFile())
}

func (s *session) list(ctx context.Context) error {
	token := ""
	for {
		resp, err := s.page(ctx, token)
		if err != nil {
			return err
		}
		for _, f := range resp.GetFiles() {
			if err := s.printFile(f); err != nil {
				return err
			}
		}
		if resp.GetNextPageToken() == "" {
			return nil
		}
		if resp.GetNextPageToken() == token {
			return fmt.Errorf("the server sends the page after %q again and again", token)
		}
		token = resp.GetNextPageToken()
	}
}

func (s *session) page(ctx context.Context, token string) (*filesv1.ListFilesResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	return s.reader.ListFiles(ctx, &filesv1.ListFilesRequest{PageSize: pageSize, PageToken: token})
}

func (s *session) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	_, err := s.writer.DeleteFile(ctx, &filesv1.DeleteFileRequest{Name: s.args[0]})
	return err
}

func (s *session) whoami(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	resp, err := s.reader.WhoAmI(ctx, &filesv1.WhoAmIRequest{})
	if err != nil {
		return err
	}
	scopes := make([]string, len(resp.GetScopes()))
	for i, scope := range resp.GetScopes() {
		scopes[i] = printable(scope)
	}
	_, err = fmt.Fprintf(s.stdout, "client_id  %s\nscopes     %s\nissuer     %s\nexpires    %s\n",
		printable(resp.GetClientId()), strings.Join(scopes, " "), printable(resp.GetIssuer()),
		resp.GetExpireTime().AsTime().Format(time.RFC3339))
	return err
}

func (s *session) version(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	resp, err := s.reader.Version(ctx, &filesv1.VersionRequest{})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.stdout, printable(resp.GetVersion()))
	return err
}

// printFile prints a line that cut and awk can take apart: tabs between the fields.
func (s *session) printFile(f *filesv1.FileInfo) error {
	_, err := fmt.Fprintf(s.stdout, "%d\t%s\t%s\n", f.GetSize(), f.GetChangeTime().AsTime().Format(time.RFC3339), printable(f.GetName()))
	return err
}

// printable quotes a text that could act on a terminal.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(text)
	}
	return text
}
