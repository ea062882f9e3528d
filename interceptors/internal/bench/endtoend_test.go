// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

const callers = 64

// BenchmarkEndToEnd is whole calls: 64 callers on one connection who send 100 bytes and
// get them back, from a server in a process of its own. The rows take turns within each
// round; each metric is the median of the rounds. What "ignored-again" differs from
// "ignored" by is the error of the measurement: they are the same server in two processes.
//
// The servers hold 32 MiB each, as services do. In the rows "empty" they hold nothing:
// then the garbage collector runs every few hundred calls, and what the rows differ in is
// above all how much it has to mark each time. Ours is some 300 KiB of descriptors that
// protobuf unfolds where anybody reads options, and 128 KiB for the cache.
//
//	server-ns/call   processor time of the server's process
//	x-ignored        that by what it is if the server gets the token and does not look
//	x-ignored-both   the same with the client's process added
//	of-no-auth       calls a second by those without a token to a server without a guard
func BenchmarkEndToEnd(b *testing.B) {
	const turns = 20 // of each row in a round
	l := newLab(b)
	tokens := l.mint(b, 1)
	rows := []*endToEndRow{
		{name: "no-auth", guard: "none"},
		{name: "ignored", guard: "none", tokens: tokens},
		{name: "ignored-again", guard: "none", tokens: tokens},
	}
	for _, name := range slices.Concat([]string{"passing", "limit", "scopeauth"}, tapRows, peerRows) {
		rows = append(rows, &endToEndRow{name: name, guard: name, tokens: tokens})
	}
	for _, heap := range []struct {
		name  string
		holds int
	}{{"", 32 << 20}, {",empty", 0}} {
		servers := make(map[string]*process)
		for _, row := range rows {
			servers[row.name] = startProcess(b, row.guard, l.provider(tokens...), heap.holds)
		}
		for _, secure := range []bool{false, true} {
			b.Run(transportName(secure)+heap.name, func(b *testing.B) {
				for _, row := range rows {
					row.server = servers[row.name]
					row.prepare(b, secure, turns)
				}
				order := rand.New(rand.NewPCG(1, 1))
				for round := range sized(rounds, 1) {
					for range sized(turns, 1) { // short ones, so that all rows meet the same noise
						for _, i := range order.Perm(len(rows)) { // what a row leaves behind meets another each time
							rows[i].sample(b, round)
						}
					}
				}
				for _, row := range rows {
					b.Run(row.name, func(b *testing.B) { row.report(b, rows[0], rows[1]) })
				}
			})
		}
	}
}

func transportName(secure bool) string {
	if secure {
		return "TLS"
	}
	return "plaintext"
}

type endToEndRow struct {
	name, guard string
	tokens      []string
	server      *process
	load        load
	// callsInRound is how many calls one sample sums up.
	callsInRound int
	samples      []endToEndSample // one for each round
}

// endToEndSample is the sum of a round's turns.
type endToEndSample struct {
	server, client time.Duration // processor time
	took           time.Duration
}

// prepare connects to the row's server, and lets it see the token.
func (r *endToEndRow) prepare(b *testing.B, secure bool, turns int) {
	b.Helper()
	r.samples = nil
	r.load = load{
		conns:   []*grpc.ClientConn{dial(b, r.server.addr(secure), secure)},
		callers: callers, calls: sized(2_000, callers), tokens: r.tokens, call: echoing(100), want: codes.OK,
	}
	r.load.run(b)
	r.load.calls = sized(1_000, callers)
	r.callsInRound = r.load.calls * sized(turns, 1)
}

func (r *endToEndRow) sample(b *testing.B, round int) {
	b.Helper()
	before := r.server.ask(b, askUsage)
	beforeClient, err := cpuTime()
	must(b, err)
	start := time.Now()
	r.load.run(b)
	took := time.Since(start)
	afterClient, err := cpuTime()
	must(b, err)
	after := r.server.ask(b, askUsage)
	if round == len(r.samples) {
		r.samples = append(r.samples, endToEndSample{})
	}
	sum := &r.samples[round]
	sum.server += after.CPU - before.CPU
	sum.client += afterClient - beforeClient
	sum.took += took
}

func (r *endToEndRow) report(b *testing.B, noAuth, ignored *endToEndRow) {
	b.Helper()
	var server, alone, both, rate []float64
	for i, s := range r.samples {
		base := ignored.samples[i]
		server = append(server, float64(s.server)/float64(r.callsInRound))
		alone = append(alone, float64(s.server)/float64(base.server))
		both = append(both, float64(s.server+s.client)/float64(base.server+base.client))
		rate = append(rate, float64(noAuth.samples[i].took)/float64(s.took))
	}
	b.ReportMetric(0, "ns/op") // the rounds were before
	b.ReportMetric(median(server), "server-ns/call")
	b.ReportMetric(median(alone), "x-ignored")
	b.ReportMetric(median(both), "x-ignored-both")
	b.ReportMetric(median(rate), "of-no-auth")
}
