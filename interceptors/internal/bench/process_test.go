// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"google.golang.org/grpc"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
)

// processEnv makes the test binary one server instead: see startProcess.
const processEnv = "SCOPEAUTH_BENCH_SERVER"

// maxMessageBytes is the largest message that the servers take.
const maxMessageBytes = 8 << 20

// echo answers with what it is sent.
type echo struct {
	echov1.UnimplementedEchoServiceServer
}

func (echo) Echo(_ context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Payload: req.GetPayload()}, nil
}

func registerEcho(srv *grpc.Server) { echov1.RegisterEchoServiceServer(srv, echo{}) }

// processConfig is the first line that a server in a process of its own reads.
type processConfig struct {
	Guard    string
	Provider provider
	Holds    int // bytes that the server keeps in memory for itself, as a service does
}

// processAnswer answers each line.
type processAnswer struct {
	Plain, TLS string // addresses
	Usage      usage
	Error      string
}

// usage is what a process has used.
type usage struct {
	CPU  time.Duration // user and system, since the start
	RSS  int64         // bytes
	Peak int64         // of RSS, bytes, since the process was last asked to settle
	Heap int64         // bytes in objects
}

// What a process can be asked.
const (
	askUsage  = "usage"  // what it has used
	askSettle = "settle" // the same, after it gave back all memory that it can and began its peak anew
)

// serveProcess is the main function of such a process. It ends when its input does, so
// with the process that started it.
func serveProcess(in io.Reader, out io.Writer) (exitCode int) {
	answers := json.NewEncoder(out)
	if err := serveAsked(json.NewDecoder(in), answers); err != nil {
		_ = answers.Encode(processAnswer{Error: err.Error()}) //nolint:errchkjson // nobody is left to be told
		return 1
	}
	return 0
}

func serveAsked(questions *json.Decoder, answers *json.Encoder) (err error) {
	var cfg processConfig
	if err := questions.Decode(&cfg); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	g, err := buildGuard(ctx, cfg.Guard, cfg.Provider)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	held := make([]byte, cfg.Holds)
	defer runtime.KeepAlive(held)
	creds, _ := lentTLS()
	var addrs [2]string
	for i, opts := range [][]grpc.ServerOption{nil, {grpc.Creds(creds)}} {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		addrs[i] = lis.Addr().String()
		srv := grpc.NewServer(append(append(opts, g.options...), grpc.MaxRecvMsgSize(maxMessageBytes))...)
		registerEcho(srv)
		done := make(chan error, 1)
		go func() { done <- srv.Serve(lis) }()
		defer func() { srv.Stop(); <-done }()
	}
	if err := answers.Encode(processAnswer{Plain: addrs[0], TLS: addrs[1]}); err != nil {
		return err
	}
	for {
		var question string
		if err := questions.Decode(&question); err != nil {
			return ignoreEOF(err)
		}
		if question == askSettle {
			runtime.GC()
			runtime.GC() // the first one moves pools to their victims
			debug.FreeOSMemory()
			if err := beginPeakAnew(); err != nil {
				return err
			}
		}
		used, err := readUsage()
		if err != nil {
			return err
		}
		if err := answers.Encode(processAnswer{Usage: used}); err != nil {
			return err
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// process is a server with one guard in a process of its own, reached in plaintext and
// over TLS.
type process struct {
	plain, tls string
	questions  *json.Encoder
	answers    *json.Decoder
}

// startProcess starts this binary once more, as a server that holds so many bytes beside
// what it needs. env is added to its environment.
func startProcess(tb testing.TB, guard string, p provider, holds int, env ...string) *process {
	tb.Helper()
	if runtime.GOOS != "linux" {
		tb.Skip("what a process uses is read from /proc")
	}
	self, err := os.Executable()
	must(tb, err)
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), processEnv+"=1"), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(tb, err)
	out, err := cmd.StdoutPipe()
	must(tb, err)
	must(tb, cmd.Start())
	tb.Cleanup(func() {
		_ = in.Close() // it ends now
		if err := cmd.Wait(); err != nil {
			tb.Errorf("server %s: %v", guard, err)
		}
	})
	s := &process{questions: json.NewEncoder(in), answers: json.NewDecoder(out)}
	must(tb, s.questions.Encode(processConfig{Guard: guard, Provider: p, Holds: holds}))
	answer, err := s.answer()
	must(tb, err)
	s.plain, s.tls = answer.Plain, answer.TLS
	return s
}

// addr returns the address for TLS or plaintext.
func (s *process) addr(secure bool) string {
	if secure {
		return s.tls
	}
	return s.plain
}

func (s *process) ask(tb testing.TB, question string) usage {
	tb.Helper()
	must(tb, s.questions.Encode(question))
	answer, err := s.answer()
	must(tb, err)
	return answer.Usage
}

func (s *process) answer() (processAnswer, error) {
	var answer processAnswer
	if err := s.answers.Decode(&answer); err != nil {
		return answer, fmt.Errorf("the server's process ended: %w", err)
	}
	if answer.Error != "" {
		return answer, errors.New("the server's process: " + answer.Error)
	}
	return answer, nil
}
