// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Command cognito runs the embedded Cognito of package cognitotest and prints
// the environment variables with which clients, servers and the AWS CLI find it:
//
//	go run ./examples/cognito
//
// It is a development program. To print the emulator's own client secret is its
// purpose; it knows no secret of Amazon Cognito.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
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
  cognito [-addr HOST:PORT] [-config FILE.json] [-state FILE] [more flags]

It prints environment variables for clients, servers and the AWS CLI, client
secrets among them, and runs until it is interrupted. It is for development only:
it takes any signature and any AWS credentials.

Without -config there is one user pool, s2s-test, with the resource server demo
(scopes read.file and write.file) and the app client sts-test-app-client that may
have both. Without -state everything is forgotten at the end: pools, keys and
secrets that the config file does not give are made anew at each start.

Flags:
`

const afterFlags = `
Output, on stdout, to paste into a shell:
  AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER
                         for the AWS CLI and SDKs: where the management API is
and for each user pool (with several pools or clients the later lines win if all
are pasted; of many only the first 20 are printed):
  COGNITO_TOKEN_URL      the token endpoint, or, if the pool has no domain:
  COGNITO_USER_POOL_API  the API for GetClientToken; clients take one of the two
  COGNITO_USER_POOL_ID   the user pool
  COGNITO_ISSUER         the iss claim of its tokens
  COGNITO_JWKS_URL       its public keys
  COGNITO_CLIENT_ID      the app client
  COGNITO_CLIENT_SECRET  its secret
  COGNITO_CLIENTS        all app clients of the pool as name=id, with commas
The line that begins with "# ready" is the last. A browser finds a console at its address.

Exit status: 0 interrupted, 1 failed, 64 wrong usage or configuration.

Examples:
  go run ./examples/cognito
  go run ./examples/cognito -state cognito.state
  go run ./examples/cognito -addr 127.0.0.1:0 -config pools.json -scopes reject
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
	flags.Usage = func() {} // an error is one line, help is written below
	options := define(flags)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp): // asked for, so it is output
		flags.SetOutput(stdout)
		fmt.Fprint(stdout, usage)
		flags.PrintDefaults()
		fmt.Fprint(stdout, afterFlags)
		return exitOK
	case err != nil:
		fmt.Fprintln(stderr, "cognito: see cognito --help")
		return exitUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "cognito: unexpected argument %q; see cognito --help\n", flags.Arg(0))
		return exitUsage
	}
	opts, err := options()
	if err != nil {
		fmt.Fprintf(stderr, "cognito: %v\n", err)
		return exitUsage
	}
	say := func(text string) { fmt.Fprintf(stderr, "cognito: %s\n", asFlags.Replace(text)) }
	server, err := cognitotest.NewServer(append(opts, cognitotest.WithStateErrors(func(err error) { say(err.Error()) }))...)
	if err != nil {
		say(err.Error())
		if _, ok := errors.AsType[*cognitotest.ConfigError](err); ok {
			return exitUsage
		}
		return exitFailed
	}
	for _, notice := range server.Notices() {
		say(notice)
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

// asFlags makes flags of the options that the package's errors name.
var asFlags = strings.NewReplacer(
	"WithPlaintextOnNonLoopbackAddress", "-plaintext", "WithTLS", "-tls-cert", "WithAddr", "-addr", "WithURL", "-url",
	"WithThrottle", "-throttle",
)

// define adds the flags. What it returns makes the server's options of them
// after they have been parsed; its errors are wrong usage.
func define(flags *flag.FlagSet) func() ([]cognitotest.Option, error) {
	var scopes cognitotest.ScopeHandling
	addr := flags.String("addr", "127.0.0.1:9229", "`HOST:PORT` to listen on; port 0 takes a free one.\nAn address that is not loopback needs -tls-cert or -plaintext")
	config := flags.String("config", "", "`FILE` with user pools, and answers that Amazon does not document, as JSON;\nthe form is in docs/cognito.md and the documentation of package cognitotest")
	state := flags.String("state", "", "`FILE` that keeps what is created, through restarts and kills.\nA new file is seeded with -config; one that is there already wins over it")
	url := flags.String("url", "", "`URL` under which others reach the server, if not the address it listens on")
	cert := flags.String("tls-cert", "", "`FILE` with the certificate chain (PEM) to serve HTTPS")
	key := flags.String("tls-key", "", "`FILE` with the certificate's key (PEM)")
	plaintext := flags.Bool("plaintext", false, "allow HTTP on an address that other machines reach: secrets cross the\nnetwork readable. For containers whose port is published on loopback only")
	throttle := flags.Int("throttle", 0, "refuse token requests beyond `N` per second with status 429; 0: none")
	flags.Func("scopes", "what becomes of a disallowed scope: `drop` it (the default), or reject the request.\nWith a -state that is there already it holds for new pools", func(v string) error {
		scopes = cognitotest.ScopeHandling(v)
		if scopes != cognitotest.DropScopes && scopes != cognitotest.RejectScopes {
			return errors.New("drop or reject")
		}
		return nil
	})
	return func() ([]cognitotest.Option, error) {
		opts := []cognitotest.Option{
			cognitotest.WithAddr(*addr),
			cognitotest.WithStateFile(*state),
			cognitotest.WithConsole(),
			cognitotest.WithURL(*url),
			cognitotest.WithThrottle(*throttle),
			cognitotest.WithDisallowedScopes(scopes),
		}
		if *config != "" {
			opts = append(opts, cognitotest.WithConfigFile(*config))
		}
		if *plaintext {
			opts = append(opts, cognitotest.WithPlaintextOnNonLoopbackAddress())
		}
		switch {
		case (*cert == "") != (*key == ""):
			return nil, errors.New("-tls-cert and -tls-key belong together: give both")
		case *cert != "":
			pair, err := tls.LoadX509KeyPair(*cert, *key)
			if err != nil {
				return nil, fmt.Errorf("-tls-cert, -tls-key: %w", err)
			}
			opts = append(opts, cognitotest.WithTLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}))
		}
		return opts, nil
	}
}
