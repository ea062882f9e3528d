// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
)

// withToken returns a context for calls that carry the token as it is; "" is none.
func withToken(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// call makes one call.
type call func(ctx context.Context, conn *grpc.ClientConn) error

// echoing calls Echo as programs do.
func echoing(bytes int) call {
	req := &echov1.EchoRequest{Payload: make([]byte, bytes)}
	return func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := echov1.NewEchoServiceClient(conn).Echo(ctx, req)
		return err
	}
}

// flooding calls Echo as somebody does who wants to cost the server much and himself
// little: the message is encoded once for all calls.
func flooding(tb testing.TB, bytes int) call {
	tb.Helper()
	message, err := proto.Marshal(&echov1.EchoRequest{Payload: make([]byte, bytes)})
	must(tb, err)
	return func(ctx context.Context, conn *grpc.ClientConn) error {
		return conn.Invoke(ctx, echov1.EchoService_Echo_FullMethodName, message, nil, grpc.ForceCodecV2(encoded{}))
	}
}

// encoded is the codec of messages that are encoded already. Answers are dropped.
type encoded struct{}

func (encoded) Name() string { return "proto" }

func (encoded) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (encoded) Unmarshal(mem.BufferSlice, any) error { return nil }

// load is many callers, who each make one call after the other.
type load struct {
	conns   []*grpc.ClientConn // caller i uses conns[i % len(conns)]
	callers int
	calls   int      // of all callers together
	tokens  []string // in turn; none: without a token
	call    call
	want    codes.Code
}

// run makes the calls and fails if one ends with another code.
func (l load) run(tb testing.TB) {
	tb.Helper()
	var (
		next  atomic.Int64
		wrong atomic.Pointer[error]
		wg    sync.WaitGroup
	)
	for i := range l.callers {
		conn := l.conns[i%len(l.conns)]
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(l.calls) || wrong.Load() != nil {
					return
				}
				ctx := tb.Context()
				if len(l.tokens) > 0 {
					ctx = withToken(ctx, l.tokens[n%int64(len(l.tokens))])
				}
				if err := l.call(ctx, conn); status.Code(err) != l.want {
					wrong.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := wrong.Load(); err != nil {
		tb.Fatalf("a call ended %v, want %v: %v", status.Code(*err), l.want, *err)
	}
}

// median sorts values and returns the middle.
func median[T float64 | time.Duration](values []T) T {
	slices.Sort(values)
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}

// rounds is how often rows that are compared take turns.
const rounds = 6

// batch is work that can be repeated n times.
type batch func(n int)

// ratioRounds is how often two pieces of work take turns: often and shortly, so that both
// meet the same noise.
const ratioRounds = 101

// ratio runs both in turns, for some milliseconds each, and returns the median of row's
// time by base's. One of the two begins every second round.
func ratio(base, row batch) float64 {
	nBase, nRow := fitting(base), fitting(row)
	ratios := make([]float64, 0, ratioRounds)
	for round := range sized(ratioRounds, 1) {
		var timeBase, timeRow float64
		if round%2 == 0 {
			timeBase = perOp(base, nBase)
			timeRow = perOp(row, nRow)
		} else {
			timeRow = perOp(row, nRow)
			timeBase = perOp(base, nBase)
		}
		ratios = append(ratios, timeRow/timeBase)
	}
	return median(ratios)
}

func perOp(work batch, n int) float64 {
	start := time.Now()
	work(n)
	return float64(time.Since(start)) / float64(n)
}

// fitting returns how often work fits into five milliseconds, about.
func fitting(work batch) int {
	if smoke() {
		return 1
	}
	n := 1
	for {
		start := time.Now()
		work(n)
		took := time.Since(start)
		if took > 5*time.Millisecond {
			return n
		}
		n *= 2
	}
}
