// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Command cognito runs the embedded Cognito of package cognitotest and prints
// the environment variables with which clients and servers find it:
//
//	go run ./examples/cognito
//
// It is a development program. To print the emulator's own client secret is its
// purpose; it knows no secret of Amazon Cognito.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 64 // EX_USAGE of sysexits.h
)

const usage = `cognito: an embedded Amazon Cognito for development

Usage:
  cognito [-addr HOST:PORT] [-config FILE.json]

It prints environment variables for clients and servers, the client secret among
them, and runs until it is interrupted. It is for development only: pools, keys
and secrets are made anew at each start, unless the config file gives them
(keys are always new). Without a config file there is one user pool, s2s-test,
with the resource server demo (scopes read.file and write.file) and the app
client sts-test-app-client that may have both.

Flags:
`

const afterFlags = `
Output, for each user pool of the file in its order (with several pools or
clients the later block wins if all are pasted):
  COGNITO_TOKEN_URL      the token endpoint
  COGNITO_USER_POOL_ID   the user pool
  COGNITO_ISSUER         the iss claim of its tokens
  COGNITO_JWKS_URL       its public keys
  COGNITO_CLIENT_ID      the app client
  COGNITO_CLIENT_SECRET  its secret
  COGNITO_CLIENTS        name=id of all app clients of the pool, with commas

Exit status: 0 interrupted, 1 failed, 64 wrong usage.

Examples:
  go run ./examples/cognito
  go run ./examples/cognito -addr 127.0.0.1:0 -config pools.json
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: it returns the exit status after ctx has ended.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("cognito", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
		fmt.Fprint(flags.Output(), afterFlags)
	}
	addr := flags.String("addr", "127.0.0.1:9229", "`HOST:PORT` to listen on, a loopback address; port 0 takes a free one")
	config := flags.String("config", "", "`FILE` with user pools as JSON; the form is in the documentation of package cognitotest")
	for _, a := range args { // help that was asked for is output, not an error
		if a == "-h" || a == "-help" || a == "--help" {
			flags.SetOutput(stdout)
		}
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "cognito: unexpected argument %q; see cognito --help\n", flags.Arg(0))
		return exitUsage
	}
	opts := []cognitotest.Option{cognitotest.WithAddr(*addr)}
	if *config != "" {
		opts = append(opts, cognitotest.WithConfigFile(*config))
	}
	server, err := cognitotest.NewServer(opts...)
	if err != nil {
		fmt.Fprintf(stderr, "cognito: %v\n", err)
		if _, ok := errors.AsType[*cognitotest.ConfigError](err); ok {
			return exitUsage
		}
		return exitFailed
	}
	_, err = io.WriteString(stdout, environment(server)+"# ready: "+server.URL()+"\n")
	if err == nil {
		<-ctx.Done()
	}
	if err := cmp.Or(err, server.Close()); err != nil {
		fmt.Fprintf(stderr, "cognito: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// environment returns the lines to paste into a shell.
func environment(server *cognitotest.Server) string {
	var out strings.Builder
	for _, pool := range server.Pools() {
		var clients []string
		for _, name := range pool.ClientNames() {
			clients = append(clients, name+"="+pool.Client(name).ID)
		}
		fmt.Fprintf(&out, "# user pool %s\n", pool.Name())
		export(&out, "COGNITO_TOKEN_URL", pool.TokenURL())
		export(&out, "COGNITO_USER_POOL_ID", pool.ID())
		export(&out, "COGNITO_ISSUER", pool.Issuer())
		export(&out, "COGNITO_JWKS_URL", pool.JWKSURL())
		export(&out, "COGNITO_CLIENTS", strings.Join(clients, ","))
		for _, name := range pool.ClientNames() {
			client := pool.Client(name)
			fmt.Fprintf(&out, "# app client %s\n", name)
			export(&out, "COGNITO_CLIENT_ID", client.ID)
			export(&out, "COGNITO_CLIENT_SECRET", client.Secret)
		}
	}
	return out.String()
}

// export writes one assignment. The value is quoted for every POSIX shell.
func export(out *strings.Builder, name, value string) {
	fmt.Fprintf(out, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
}
