// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// The fileclient program reads and writes the files of a fileserver, with an access
// token of an Amazon Cognito app client. See fileclient -help.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

// run is the program: it runs one command and returns the exit code.
func run(ctx context.Context, args []string, env func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	cfg, err := parse(args, env)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, help())
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "fileclient: %s: see fileclient -help\n", oneLine(err.Error()))
		return exitUsage
	}
	s := &session{args: cfg.args, stdin: stdin, stdout: stdout, stderr: stderr, bar: isTerminal(stderr) && env("TERM") != "dumb"}
	if err := s.perform(ctx, cfg); err != nil {
		fmt.Fprintf(stderr, "fileclient: %s\n", explain(cfg, err))
		return exitCode(err)
	}
	return exitOK
}

// command is one thing that the program can do.
type command struct {
	name, usage, summary string
	// min and max bound the number of arguments after the command.
	min, max int
	// method is the one that the command calls, and access says what its token has.
	method string
	access access
	do     func(s *session, ctx context.Context) error
}

// access says what the token of a command has.
type access int

const (
	// byMethod: the scopes that the method needs, and no others.
	byMethod access = iota
	// allScopes: all that the app client has, since the method needs none and tells them.
	allScopes
	// noToken: none; the method is public.
	noToken
)

func commands() []command {
	return []command{
		{"read", "read NAME [FILE|-]", "Copy a file to FILE, or to standard output.\nFILE appears when it is complete, or not at all.", 1, 2, filesv1.FileReadService_ReadFile_FullMethodName, byMethod, (*session).read},
		{"write", "write NAME [FILE|-]", "Create or replace a file with FILE, or with standard input.", 1, 2, filesv1.FileWriteService_WriteFile_FullMethodName, byMethod, (*session).write},
		{"append", "append NAME [FILE|-]", "Add FILE, or standard input, to a file that exists.", 1, 2, filesv1.FileWriteService_AppendFile_FullMethodName, byMethod, (*session).append},
		{"stat", "stat NAME", "Print a file's size, time of change and name.", 1, 1, filesv1.FileReadService_StatFile_FullMethodName, byMethod, (*session).stat},
		{"ls", "ls", "Print that of all files, in the order of their names.", 0, 0, filesv1.FileReadService_ListFiles_FullMethodName, byMethod, (*session).list},
		{"rm", "rm NAME", "Delete a file.", 1, 1, filesv1.FileWriteService_DeleteFile_FullMethodName, byMethod, (*session).remove},
		{"whoami", "whoami", "Print who the server takes the caller for. The token for it has all scopes of the app client.", 0, 0, filesv1.FileReadService_WhoAmI_FullMethodName, allScopes, (*session).whoami},
		{"version", "version", "Print the server's version. This needs no app client.", 0, 0, filesv1.FileReadService_Version_FullMethodName, noToken, (*session).version},
	}
}

// session is a command at work.
type session struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	bar            bool // whether to draw a progress bar on stderr
	reader         filesv1.FileReadServiceClient
	writer         filesv1.FileWriteServiceClient
}

// perform connects and runs the command.
func (s *session) perform(ctx context.Context, cfg *config) (err error) {
	conn, closeTokens, err := connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		if closed := errors.Join(conn.Close(), closeTokens()); err == nil {
			err = closed
		}
	}()
	s.use(conn)
	return cfg.command.do(s, ctx)
}

func (s *session) use(conn grpc.ClientConnInterface) {
	s.reader, s.writer = filesv1.NewFileReadServiceClient(conn), filesv1.NewFileWriteServiceClient(conn)
}

// local returns the argument that names a local file, "-" if there is none.
func (s *session) local() string {
	if len(s.args) < 2 {
		return "-"
	}
	return s.args[1]
}
