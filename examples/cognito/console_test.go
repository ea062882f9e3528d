// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// TestConsoleInChromium uses the console in a real browser; the steps are in
// browser/console.mjs. It needs Chromium, Node.js and the packages of
// browser/package-lock.json (npm ci). With REQUIRE_BROWSER=1 it fails without
// them. With SCOPEAUTH_SCREENSHOT=DIR it only writes screenshots of a new server
// there: docs/console.png is one of them.
func TestConsoleInChromium(t *testing.T) {
	t.Parallel()
	lacking := func(what string) {
		t.Helper()
		if os.Getenv("REQUIRE_BROWSER") != "" {
			t.Fatalf("REQUIRE_BROWSER is set, and there is no %s", what)
		}
		t.Skipf("SKIPPED: the console is not tested in a browser, there is no %s (set REQUIRE_BROWSER=1 to fail instead)", what)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		lacking("node")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		lacking("chromium")
	}
	if _, err := os.Stat(filepath.Join("browser", "node_modules", "playwright-core", "package.json")); err != nil {
		lacking("playwright-core; run npm ci in examples/cognito/browser")
	}
	scripts, err := filepath.Glob("browser/*.mjs")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("got scripts %v, error %v, want some", scripts, err)
	}
	for _, script := range scripts { // read here so that a change of theirs is a change of this test
		if _, err := os.ReadFile(script); err != nil {
			t.Fatal(err)
		}
	}
	server, err := cognitotest.NewServer(cognitotest.WithConsole())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ctx := t.Context()
	if end, ok := t.Deadline(); ok { // a little earlier, so that the output says in which step it was
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-10*time.Second))
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, node, "console.mjs", server.URL())
	cmd.Dir = "browser"
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium)
	if dir := os.Getenv("SCOPEAUTH_SCREENSHOT"); dir != "" {
		if dir, err = filepath.Abs(dir); err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, "SCOPEAUTH_SCREENSHOT="+dir)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
