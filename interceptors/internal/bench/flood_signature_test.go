// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// forge returns tokens with good claims and a known key whose signatures are wrong, and
// can only be told from right ones by the RSA operation.
func (l *lab) forge(tb testing.TB, n int) []string {
	tb.Helper()
	good := l.mint(tb, 1)[0]
	input := good[:strings.LastIndexByte(good, '.')+1]
	forged := make([]string, n)
	for i := range forged {
		signature := make([]byte, l.key.Size())
		_, err := rand.Read(signature[1:]) // less than the modulus
		must(tb, err)
		forged[i] = input + base64.RawURLEncoding.EncodeToString(signature)
	}
	return forged
}

// latency is how long the calls of one caller took.
type latency []time.Duration

func (l latency) String() string {
	slices.Sort(l)
	at := func(percent int) time.Duration { return l[len(l)*percent/100].Round(10 * time.Microsecond) }
	return fmt.Sprintf("p50 %v, p99 %v", at(50), at(99))
}

// callGood makes a call every two milliseconds for a while, or one after the other if they
// take longer. They must succeed.
func callGood(t *testing.T, conn *grpc.ClientConn, token string, while time.Duration) latency {
	t.Helper()
	const every = 2 * time.Millisecond
	call, ctx := echoing(100), withToken(t.Context(), token)
	var took latency
	for begin, due := time.Now(), time.Now(); time.Since(begin) < while; due = due.Add(every) {
		time.Sleep(time.Until(due))
		start := time.Now()
		must(t, call(ctx, conn))
		took = append(took, time.Since(start))
	}
	return took
}

// TestFloodBadSignatures measures what a flood of well-formed tokens with bad signatures
// does to a good caller on the same connection, as behind a proxy, and to the server.
// It shows figures and asserts only what each call ends with: they decide whether RSA
// operations have a place on the header frame, where they delay the whole connection.
//
// Floods of one rate compare what a call costs others; those that are as fast as their
// callers can, what an attacker can do.
func TestFloodBadSignatures(t *testing.T) {
	needFlood(t)
	l := newLab(t)
	good, forged := l.mint(t, 1)[0], l.forge(t, 256)
	for _, kind := range []struct {
		bytes, rate int
	}{
		{100, 1_000}, {100, 4_000}, {100, 0}, {floodBytes, 40}, {floodBytes, 0},
	} {
		for _, name := range slices.Concat([]string{"scopeauth"}, sketchRows, tapRows, tapFloodRows) {
			t.Run(fmt.Sprintf("bytes=%d/rate=%d/%s", kind.bytes, kind.rate, name), func(t *testing.T) {
				server := startProcess(t, name, l.provider(), 0, guardEnv(name)...)
				conn := dial(t, server.addr(true), true)
				alone := callGood(t, conn, good, time.Second)
				before := server.ask(t, askSettle)
				begin := time.Now()
				stop := startFlood(t, conn, forged, kind.bytes, kind.rate)
				during := callGood(t, conn, good, 4*time.Second)
				refused := stop()
				took := time.Since(begin)
				after := server.ask(t, askUsage)
				used := after.CPU - before.CPU
				t.Logf("good caller: %d calls, %v; before the flood %v", len(during), during, alone)
				t.Logf("flood: %.0f calls a second; server: %.2f cores, %v for each call of the flood with the good ones' share, %.1f MiB above idle",
					float64(refused)/took.Seconds(), used.Seconds()/took.Seconds(),
					(used / time.Duration(max(refused, 1))).Round(100*time.Nanosecond), float64(after.Peak-before.RSS)/(1<<20))
			})
		}
	}
}

// startFlood lets callers call with bad tokens until stop is called, which returns how
// many calls were refused. They make so many calls a second together, or with 0 as many
// as they can.
func startFlood(t *testing.T, conn *grpc.ClientConn, tokens []string, bytes, rate int) (stop func() int64) {
	t.Helper()
	var (
		refused atomic.Int64
		over    atomic.Bool
		wg      sync.WaitGroup
	)
	call, begin := flooding(t, bytes), time.Now()
	for range floodCallers {
		wg.Go(func() {
			for {
				n := refused.Add(1)
				if rate > 0 {
					time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Second / time.Duration(rate))))
				}
				if over.Load() {
					refused.Add(-1)
					return
				}
				err := call(withToken(t.Context(), tokens[n%int64(len(tokens))]), conn)
				if status.Code(err) != codes.Unauthenticated {
					t.Errorf("a call of the flood ended %v: %v", status.Code(err), err)
					return
				}
			}
		})
	}
	return func() int64 {
		over.Store(true)
		wg.Wait()
		return refused.Load()
	}
}
