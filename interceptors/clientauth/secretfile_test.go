// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// secretPath is a secret file of a test.
type secretPath struct {
	t    *testing.T
	path string
}

func newSecretPath(t *testing.T, content string) secretPath {
	t.Helper()
	p := secretPath{t: t, path: filepath.Join(t.TempDir(), "secret")}
	p.write(content)
	return p
}

// write writes the file in its place.
func (p secretPath) write(content string) {
	p.t.Helper()
	if err := os.WriteFile(p.path, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p secretPath) remove() {
	p.t.Helper()
	if err := os.RemoveAll(p.path); err != nil {
		p.t.Fatal(err)
	}
}

// warnings is a context that collects what a secret function warns of.
func warnings(t *testing.T) (ctx context.Context, told *[]string) {
	t.Helper()
	told = new([]string)
	return context.WithValue(t.Context(), warnKey{}, func(text string, attrs []slog.Attr) {
		*told = append(*told, fmt.Sprint(text, attrs))
	}), told
}

func wantSecret(ctx context.Context, t *testing.T, secret SecretFunc, want string) {
	t.Helper()
	got, err := secret(ctx)
	if err != nil || got.reveal() != want {
		t.Errorf("got %.20q, %v, want %.20q", got.reveal(), err, want)
	}
}

func TestSecretFromFile(t *testing.T) {
	t.Parallel()
	p := newSecretPath(t, "")
	secret := SecretFromFile(p.path)
	ctx, told := warnings(t)
	for _, test := range []struct{ content, want string }{
		{"one\n", "one"},
		{"two", "two"},
		{" a b \r\n", " a b "},
		{"ä+/", "ä+/"},
		{strings.Repeat("a", maxSecretFile), strings.Repeat("a", maxSecretFile)},
	} {
		p.write(test.content)
		wantSecret(ctx, t, secret, test.want)
	}
	if len(*told) != 0 {
		t.Errorf("got the warnings %q, want none", *told)
	}
}

// badSecretFiles are states of a secret file that give no secret.
var badSecretFiles = map[string]struct {
	make func(p secretPath)
	want string
}{
	"missing":              {make: secretPath.remove, want: "no such file"},
	"empty":                {make: func(p secretPath) { p.write("") }, want: "it is empty"},
	"a newline":            {make: func(p secretPath) { p.write("\n") }, want: "it is empty"},
	"too large":            {make: func(p secretPath) { p.write(strings.Repeat("a", maxSecretFile+1)) }, want: "larger than 4096 bytes"},
	"two lines":            {make: func(p secretPath) { p.write("leakleak\nleakleak\n") }, want: "control characters"},
	"two newlines":         {make: func(p secretPath) { p.write("leakleak\n\n") }, want: "control characters"},
	"space not written":    {make: func(p secretPath) { p.write("leakleak\x00\x00\x00\x00") }, want: "control characters"},
	"escape":               {make: func(p secretPath) { p.write("leakleak\x1b[2J") }, want: "control characters"},
	"C1 control":           {make: func(p secretPath) { p.write("leakleak\u0085") }, want: "control characters"},
	"byte order mark":      {make: func(p secretPath) { p.write("\ufeffleakleak") }, want: "byte order mark"},
	"UTF-16":               {make: func(p secretPath) { p.write("l\x00e\x00a\x00k\x00") }, want: "control characters"},
	"not UTF-8":            {make: func(p secretPath) { p.write("leakleak\xff") }, want: "not UTF-8"},
	"a folder":             {make: func(p secretPath) { p.remove(); p.folder() }, want: "not a regular file"},
	"a link to nothing":    {make: func(p secretPath) { p.remove(); p.link("/nonexistent/secret") }, want: "no such file"},
	"a link to itself":     {make: func(p secretPath) { p.remove(); p.link(p.path) }, want: "too many levels"},
	"a folder in its path": {make: func(p secretPath) { p.remove(); p.link("/dev/null/secret") }, want: "not a directory"},
}

func (p secretPath) folder() {
	p.t.Helper()
	if err := os.Mkdir(p.path, 0o700); err != nil {
		p.t.Fatal(err)
	}
}

func (p secretPath) link(target string) {
	p.t.Helper()
	if err := os.Symlink(target, p.path); err != nil {
		p.t.Fatal(err)
	}
}

// TestBadSecretFileKeepsTheSecret: each bad state leaves the last good secret in use,
// is told once, and the next good content is used at once.
func TestBadSecretFileKeepsTheSecret(t *testing.T) {
	t.Parallel()
	for name, test := range badSecretFiles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newSecretPath(t, "good")
			secret := SecretFromFile(p.path)
			ctx, told := warnings(t)
			wantSecret(ctx, t, secret, "good")
			for round := 1; round <= 2; round++ {
				test.make(p)
				for range 5 {
					wantSecret(ctx, t, secret, "good")
				}
				if len(*told) != round {
					t.Fatalf("after change %d: got the warnings %q, want %d", round, *told, round)
				}
				if text := (*told)[round-1]; !strings.Contains(text, test.want) || !strings.Contains(text, p.path) || strings.Contains(text, "leakleak") {
					t.Errorf("got the warning %q, want %q and the path", text, test.want)
				}
				p.remove()
				p.write("good")
				wantSecret(ctx, t, secret, "good")
			}
			p.write("better\n")
			wantSecret(ctx, t, secret, "better")
		})
	}
}

// TestBadSecretFileAtFirst: without a good secret it is an error.
func TestBadSecretFileAtFirst(t *testing.T) {
	t.Parallel()
	for name, test := range badSecretFiles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newSecretPath(t, "")
			test.make(p)
			secret := SecretFromFile(p.path)
			ctx, told := warnings(t)
			got, err := secret(ctx)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), p.path) || strings.Contains(err.Error(), "leakleak") {
				t.Errorf("got %v, want %q and the path", err, test.want)
			}
			if got.reveal() != "" || len(*told) != 0 {
				t.Errorf("got %q with the warnings %q, want nothing but the error", got.reveal(), *told)
			}
			p.remove()
			p.write("good")
			wantSecret(ctx, t, secret, "good")
		})
	}
}

// TestAnotherBadFileIsToldAnew: each change counts, the same state does not.
func TestAnotherBadFileIsToldAnew(t *testing.T) {
	t.Parallel()
	p := newSecretPath(t, "good")
	secret := SecretFromFile(p.path)
	ctx, told := warnings(t)
	wantSecret(ctx, t, secret, "good")
	written := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, step := range []struct {
		content string
		at      time.Time
		want    int
	}{
		{"", written, 1},
		{"", written, 1},
		{"", written.Add(time.Nanosecond), 2},
		{"\n", written.Add(time.Nanosecond), 3},
		{"a\nb", written.Add(time.Nanosecond), 4},
	} {
		p.write(step.content)
		if err := os.Chtimes(p.path, step.at, step.at); err != nil {
			t.Fatal(err)
		}
		wantSecret(ctx, t, secret, "good")
		if len(*told) != step.want {
			t.Errorf("step %d: got the warnings %q, want %d", i, *told, step.want)
		}
	}
}

// TestSlowReadDoesNotBringTheOldSecretBack: what a later read found stays the last good
// secret.
func TestSlowReadDoesNotBringTheOldSecretBack(t *testing.T) {
	t.Parallel()
	p := newSecretPath(t, "old")
	ctx, _ := warnings(t)
	f := &secretFile{path: p.path, reads: 7, good: NewSecret("new"), goodRead: 9}
	if got, err := f.secret(ctx); err != nil || got.reveal() != "old" {
		t.Errorf("got %q, %v, want what the read found", got.reveal(), err)
	}
	p.remove()
	if got, err := f.secret(ctx); err != nil || got.reveal() != "new" {
		t.Errorf("got %q, %v, want the secret of the later read", got.reveal(), err)
	}
}

// mounted is a folder as Kubernetes mounts a secret: secret -> ..data/secret, and
// ..data -> a folder for each version.
type mounted struct {
	t   *testing.T
	dir string
}

func newMounted(t *testing.T, content string) mounted {
	t.Helper()
	m := mounted{t: t, dir: t.TempDir()}
	m.swap("..2027_01", content)
	if err := os.Symlink(filepath.Join("..data", "secret"), m.path()); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m mounted) path() string { return filepath.Join(m.dir, "secret") }

// swap writes a new version beside the old and renames the link to it.
func (m mounted) swap(version, content string) {
	m.t.Helper()
	old, _ := os.Readlink(filepath.Join(m.dir, "..data"))
	link := filepath.Join(m.dir, "..data_tmp")
	for _, err := range []error{
		os.Mkdir(filepath.Join(m.dir, version), 0o700),
		os.WriteFile(filepath.Join(m.dir, version, "secret"), []byte(content), 0o600),
		os.Symlink(version, link),
		os.Rename(link, filepath.Join(m.dir, "..data")),
	} {
		if err != nil {
			m.t.Fatal(err)
		}
	}
	if old != "" {
		if err := os.RemoveAll(filepath.Join(m.dir, old)); err != nil {
			m.t.Fatal(err)
		}
	}
}

func TestSecretFileBySymlinkSwap(t *testing.T) {
	t.Parallel()
	m := newMounted(t, "first\n")
	secret := SecretFromFile(m.path())
	ctx, told := warnings(t)
	wantSecret(ctx, t, secret, "first")
	m.swap("..2027_02", "second\n")
	wantSecret(ctx, t, secret, "second")
	m.swap("..2027_03", "")
	wantSecret(ctx, t, secret, "second")
	m.swap("..2027_04", "fourth")
	wantSecret(ctx, t, secret, "fourth")
	if len(*told) != 1 {
		t.Errorf("got the warnings %q, want one of the third version", *told)
	}
}

// growing is a file to which somebody writes between two reads.
type growing struct {
	*os.File

	grown bool
}

func (g *growing) Read(b []byte) (int, error) {
	if !g.grown {
		g.grown = true
		writer, err := os.OpenFile(g.Name(), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return 0, err
		}
		if _, err := writer.WriteString("-and-more"); err != nil {
			return 0, err
		}
		if err := writer.Close(); err != nil {
			return 0, err
		}
	}
	return g.File.Read(b)
}

func TestSecretFileThatIsBeingWritten(t *testing.T) {
	t.Parallel()
	p := newSecretPath(t, "half")
	file, err := os.Open(p.path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if secret, _, err := readSecretOf(&growing{File: file}); err == nil || secret.reveal() != "" {
		t.Errorf("got %q, %v, want an error: it changed while it was read", secret.reveal(), err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if secret, _, err := readSecretOf(file); err != nil || secret.reveal() != "half-and-more" {
		t.Errorf("got %q, %v, want the whole", secret.reveal(), err)
	}
}
