// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxNameLen bounds a whole name, in bytes.
	maxNameLen = 1024
	// maxPartLen bounds each part between slashes, in bytes. Common file systems have the same bound.
	maxPartLen = 255
	// tempPrefix starts the names of unfinished uploads, and no other.
	tempPrefix = ".upload-"
)

// checkName returns an INVALID_ARGUMENT status if name cannot be a file's name.
// What passes is a clean relative path with "/" between its parts. The directory
// handle ([os.Root]) is the second guard: it does not open what lies outside,
// whatever the name.
func checkName(name string) error {
	reason := nameFault(name)
	if reason == "" {
		return nil
	}
	if len(name) > maxPartLen {
		return status.Errorf(codes.InvalidArgument, "the file's name, %d bytes long, %s", len(name), reason)
	}
	return status.Errorf(codes.InvalidArgument, "the file's name %q %s", name, reason)
}

func nameFault(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > maxNameLen:
		return fmt.Sprintf("is longer than %d bytes", maxNameLen)
	case !utf8.ValidString(name):
		return "is not valid UTF-8"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "has a control character"
	case filepath.Separator != '/' && strings.ContainsRune(name, filepath.Separator):
		return `has a separator that is not "/"`
	case !filepath.IsLocal(filepath.FromSlash(name)):
		return `is not a path below the store: write it without a leading "/" and without ".."`
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "", part == ".", part == "..":
			return `is not clean: write it without empty, "." and ".." parts`
		case len(part) > maxPartLen:
			return fmt.Sprintf("has a part longer than %d bytes", maxPartLen)
		case isTemp(part):
			return fmt.Sprintf("has a part that starts with %q, which is kept for unfinished uploads", tempPrefix)
		}
	}
	return ""
}

// isTemp compares without case, since some file systems do too.
func isTemp(part string) bool {
	return len(part) >= len(tempPrefix) && strings.EqualFold(part[:len(tempPrefix)], tempPrefix)
}
