// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// flood says that floods shall be measured. They take minutes, and figures are no part
// of the gate.
var flood = flag.Bool("flood", false, "run the floods")

func needFlood(t *testing.T) {
	t.Helper()
	if !*flood {
		t.Skip("go test -run Flood -flood -v -timeout 30m runs it")
	}
}

const (
	floodCallers = 16
	floodBytes   = 4 << 20 // of one message
)

// leastSaving is by what refusing before decoding shall make a flood cheaper.
const leastSaving = 20

// floodCost is what calls that are refused cost the server's process.
type floodCost struct {
	perCall time.Duration // processor time
	peak    int64         // of its memory above what it had before, bytes
}

func (c floodCost) String() string {
	return fmt.Sprintf("%v a call, %.1f MiB above idle", c.perCall.Round(100*time.Nanosecond), float64(c.peak)/(1<<20))
}

// measureFlood makes calls of 4 MiB without a token. Each must end UNAUTHENTICATED.
func measureFlood(t *testing.T, l *lab, guard string, secure bool, calls int) floodCost {
	t.Helper()
	server := startProcess(t, guard, l.provider(), 0, guardEnv(guard)...)
	conns := make([]*grpc.ClientConn, floodCallers)
	for i := range conns {
		conns[i] = dial(t, server.addr(secure), secure)
	}
	calling := load{conns: conns, callers: floodCallers, calls: floodCallers, call: echoing(1), want: codes.Unauthenticated}
	calling.run(t) // all connections are there
	before := server.ask(t, askSettle)
	calling.calls, calling.call = calls, flooding(t, floodBytes)
	calling.run(t)
	after := server.ask(t, askUsage)
	return floodCost{perCall: (after.CPU - before.CPU) / time.Duration(calls), peak: max(after.Peak-before.RSS, int64(os.Getpagesize()))}
}

// savesEnough compares the costs without and with refusing before decoding.
func savesEnough(without, with floodCost) error {
	var errs []error
	if got := float64(without.perCall) / float64(with.perCall); got < leastSaving {
		errs = append(errs, fmt.Errorf("processor time is %.1f times lower, want %d", got, leastSaving))
	}
	if got := float64(without.peak) / float64(with.peak); got < leastSaving {
		errs = append(errs, fmt.Errorf("memory is %.1f times lower, want %d", got, leastSaving))
	}
	return errors.Join(errs...)
}

// TestFloodWithoutToken compares what a flood of large messages without a token costs a
// server that refuses them in the interceptor and one that refuses them on the header
// frame. It shows too that the comparison is none that everything passes.
func TestFloodWithoutToken(t *testing.T) {
	needFlood(t)
	l := newLab(t)
	const calls = 640
	for _, secure := range []bool{false, true} {
		t.Run(transportName(secure), func(t *testing.T) {
			without := measureFlood(t, l, "scopeauth", secure, calls)
			t.Logf("scopeauth: %v", without)
			again := measureFlood(t, l, "scopeauth", secure, calls)
			if err := savesEnough(without, again); err == nil {
				t.Errorf("the interceptor alone passes the comparison with itself: %v", again)
			} else {
				t.Logf("scopeauth once more: %v; as it must, it fails: %v", again, err)
			}
			for _, name := range []string{"scopeauth-tap", "scopeauth-tap-window"} {
				with := measureFlood(t, l, name, secure, calls)
				t.Logf("%s: %v: %.0f and %.0f times lower", name, with,
					float64(without.perCall)/float64(with.perCall), float64(without.peak)/float64(with.peak))
				if err := savesEnough(without, with); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}
