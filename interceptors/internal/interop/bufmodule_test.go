// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../../.." // of the repository

// block is a fenced code block of a documentation page with the test's name for it.
var block = regexp.MustCompile("(?s)<!-- test: ([^\n]+) -->\n```[a-z]*\n(.*?)```")

func blocks(t *testing.T, page string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		found[m[1]] = m[2]
	}
	return found
}

// tools returns the folder of buf and its plugins. Without them the test is skipped,
// but never where REQUIRE_TOOLS is set, as CI does.
func tools(t *testing.T) string {
	t.Helper()
	bin, err := filepath.Abs(filepath.Join(root, ".tmp/bin"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"buf", "protoc-gen-go", "protoc-gen-go-grpc"} {
		if _, err := os.Stat(filepath.Join(bin, tool)); err != nil {
			if os.Getenv("REQUIRE_TOOLS") != "" {
				t.Fatalf("%s is not built: run make tools", tool)
			}
			t.Skipf("SKIPPED: %s is not built; `make tools` builds it", tool)
		}
	}
	return bin
}

// The page docs/annotate.md, done in an empty folder by somebody who has a buf module
// of his own; then the mistake that the page warns of.
func TestOwnBufModule(t *testing.T) {
	bin := tools(t)
	page := blocks(t, "docs/annotate.md")
	dir := t.TempDir()
	run := func(name string, args ...string) (string, error) {
		if name == "buf" {
			name = filepath.Join(bin, name)
		}
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "GOFLAGS=-mod=mod", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	must := func(name string, args ...string) string {
		t.Helper()
		out, err := run(name, args...)
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return out
	}
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if text == "" {
			t.Fatalf("the page has no block %q", name)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", userModule(t))
	write("go.sum", readRoot(t, "go.sum"))
	for _, name := range []string{"buf.yaml", "buf.gen.yaml", "proto/acme/orders/v1/orders.proto", "main.go"} {
		write(name, page[name])
	}
	must("bash", "-euc", page["run"])
	must("buf", "lint", "proto")
	must("buf", "generate")
	if got := must("go", "run", "."); got != page["output"] {
		t.Errorf("the program prints\n%swant\n%s", got, page["output"])
	}

	// The wrong way: everything is generated, and managed mode renames every package.
	wrong := regexp.MustCompile(`(?m)^  disable:\n(    .*\n)+`).ReplaceAllString(page["buf.gen.yaml"], "")
	wrong = regexp.MustCompile(`(?m)^inputs:\n(  .*\n)`).ReplaceAllString(wrong, "")
	write("buf.gen.yaml", wrong)
	must("buf", "generate")
	got, err := run("go", "run", ".")
	got = strings.ReplaceAll(got, "\u00a0", " ") // protobuf-go varies its spaces, so that nobody parses its texts
	if want := strings.TrimSpace(page["the wrong way"]); err == nil || want == "" || !strings.Contains(got, want) {
		t.Errorf("the wrong way: got %v and\n%s\nwant it to stop with\n%s", err, got, want)
	}
}

// userModule is the go.mod of a user of the library, with the versions that the
// library itself is built with.
func userModule(t *testing.T) string {
	t.Helper()
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	mod := strings.Replace(readRoot(t, "go.mod"), "module github.com/scopeauth/scopeauth", "module example.com/orders", 1)
	return mod + "\nrequire github.com/scopeauth/scopeauth v0.0.0\n\nreplace github.com/scopeauth/scopeauth => " + abs + "\n"
}

func readRoot(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
