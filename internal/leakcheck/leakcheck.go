// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package leakcheck fails a test binary that leaves goroutines behind. Each test
// package calls it from TestMain. It is for tests only.
package leakcheck

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience bounds how long goroutines that are about to end may take. It is no
// measure of speed: a leaked goroutine never ends.
const patience = 10 * time.Second

// Main runs the tests and exits. The exit code is 1 if a test failed or if a
// goroutine that the tests started still runs afterwards; its stack is printed.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if leaked := wait(); len(leaked) > 0 {
			fmt.Fprintf(os.Stderr, "leakcheck: %d goroutines still run after all tests:\n\n%s\n",
				len(leaked), strings.Join(leaked, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

func wait() []string {
	deadline := time.Now().Add(patience)
	for {
		leaked := running()
		if len(leaked) == 0 || time.Now().After(deadline) {
			return leaked
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// running returns the stacks of all goroutines but the caller's and the runtime's own.
func running() []string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var stacks []string
	for i, stack := range strings.Split(string(buf), "\n\n") {
		if i == 0 || system(stack) {
			continue // the first is the goroutine that asks
		}
		stacks = append(stacks, stack)
	}
	return stacks
}

func system(stack string) bool {
	for _, s := range []string{
		"os/signal.signal_recv", "os/signal.loop", "runtime.ensureSigM",
		"testing.(*M).", "testing.runFuzzing", "runtime/trace.Start",
	} {
		if strings.Contains(stack, s) {
			return true
		}
	}
	return false
}
