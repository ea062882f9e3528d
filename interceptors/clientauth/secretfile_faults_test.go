// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fileState is what a file system says of a regular file.
type fileState struct {
	size int64
	at   time.Time
	err  error
}

func (s fileState) Name() string       { return "secret" }
func (s fileState) Size() int64        { return s.size }
func (s fileState) Mode() fs.FileMode  { return 0o600 }
func (s fileState) ModTime() time.Time { return s.at }
func (s fileState) IsDir() bool        { return false }
func (s fileState) Sys() any           { return nil }

// scriptedFile is an open file whose states before and after it is read are given.
type scriptedFile struct {
	io.Reader

	states []fileState
}

func (f *scriptedFile) Stat() (os.FileInfo, error) {
	state := f.states[0]
	f.states = f.states[1:]
	return state, state.err
}

// TestSecretFileFaults: what cannot be known to be the whole secret is none.
func TestSecretFileFaults(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	broken := &os.PathError{Op: "stat", Path: "/private/place", Err: syscall.EIO}
	for name, test := range map[string]struct {
		content       io.Reader
		before, after fileState
		want          string // in the error; "" is no error
	}{
		"whole":                    {before: fileState{size: 6, at: at}, after: fileState{size: 6, at: at}},
		"grown, at the same time":  {before: fileState{size: 5, at: at}, after: fileState{size: 6, at: at}, want: "being written"},
		"another of the same size": {before: fileState{size: 6, at: at}, after: fileState{size: 6, at: at.Add(1)}, want: "being written"},
		"no state":                 {before: fileState{size: 6, at: at, err: broken}, after: fileState{size: 6, at: at}, want: "input/output error"},
		"no state any more":        {before: fileState{size: 6, at: at}, after: fileState{size: 6, at: at, err: broken}, want: "input/output error"},
		"breaks off": {
			content: io.MultiReader(strings.NewReader("secret"), failingReader{}),
			before:  fileState{size: 6, at: at}, after: fileState{size: 6, at: at}, want: errReset.Error(),
		},
	} {
		if test.content == nil {
			test.content = strings.NewReader("secret")
		}
		secret, _, err := readSecretOf(&scriptedFile{Reader: test.content, states: []fileState{test.before, test.after}})
		if test.want == "" {
			if err != nil || secret.reveal() != "secret" {
				t.Errorf("%s: got %q, %v, want the secret", name, secret.reveal(), err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "private") || secret.reveal() != "" {
			t.Errorf("%s: got %q, %v, want no secret and the error %q without a path", name, secret.reveal(), err, test.want)
		}
	}
}

// TestLargeSecretFileIsNotRead beyond the limit.
func TestLargeSecretFileIsNotRead(t *testing.T) {
	t.Parallel()
	content := strings.NewReader(strings.Repeat("a", 100*maxSecretFile))
	_, _, err := readSecretOf(&scriptedFile{Reader: content, states: make([]fileState, 2)})
	if err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v, want that it is too large", err)
	}
	if got := 100*maxSecretFile - content.Len(); got != maxSecretFile+1 {
		t.Errorf("read %d bytes, want %d", got, maxSecretFile+1)
	}
}
