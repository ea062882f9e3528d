// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Command quickstart shows the whole way of a call in one process: an embedded
// Amazon Cognito, a file server that takes its access rules from a .proto file, and
// clients that are allowed and refused. It needs nothing but Go:
//
//	go run ./examples/quickstart
//
// It exits with 0 if every call ended as expected, and with 1 otherwise.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"google.golang.org/grpc"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Stdout, os.Stderr, (*serverauth.Authorizer).ServerOptions)
	stop()
	os.Exit(code)
}

// guard makes the options that protect the server. Only tests give another one than
// [serverauth.Authorizer.ServerOptions], to see that the demonstration notices.
type guard func(*serverauth.Authorizer) []grpc.ServerOption

func run(ctx context.Context, out, errOut io.Writer, protect guard) int {
	w, err := start(ctx, protect)
	if err != nil {
		fmt.Fprintln(errOut, "quickstart:", err)
		return 1
	}
	defer w.stop()
	if err := tellSteps(ctx, out, w); err != nil {
		fmt.Fprintln(errOut, "quickstart:", err)
		return 1
	}
	good, all, err := tellCalls(ctx, out, w)
	if err != nil {
		fmt.Fprintln(errOut, "quickstart:", err)
		return 1
	}
	fmt.Fprintf(out, "\n%d calls, %d as expected\n", all, good)
	if good != all {
		return 1
	}
	return 0
}
