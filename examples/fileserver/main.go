// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// The fileserver program serves the demonstration file store over gRPC: TLS,
// access tokens of an Amazon Cognito user pool, and the access rules of
// demo/files/v1/files.proto. See fileserver -help.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes, as in sysexits.h.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 64
	exitUnavailable = 69
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

// run is the program: it serves until ctx ends and returns the exit code. Standard
// output gets one line, "fileserver: listening on HOST:PORT"; the log goes to
// standard error.
func run(ctx context.Context, args []string, env func(string) string, _ io.Reader, stdout, stderr io.Writer) int {
	cfg, err := parse(args, env)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, help())
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "fileserver: %v\nfileserver: see fileserver -help\n", err)
		return exitUsage
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	if err := serve(ctx, cfg, logger, stdout); err != nil {
		fmt.Fprintf(stderr, "fileserver: %v\n", err)
		return exitCode(err)
	}
	return exitOK
}

// usageError is what the caller of the program can put right; unavailableError is
// something else that is not there now.
type (
	usageError       struct{ error }
	unavailableError struct{ error }
)

func (e usageError) Unwrap() error       { return e.error }
func (e unavailableError) Unwrap() error { return e.error }

func exitCode(err error) int {
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[unavailableError](err); ok {
		return exitUnavailable
	}
	return exitError
}
