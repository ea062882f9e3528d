// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// bearingInTurn returns calls through an interceptor with one header after the other. As
// in a real call everything but the token has just been made, so it is one context whose
// metadata change.
//
// decoded: each call has a new copy of its header, as HPACK makes one of every token that
// it does not remember for the connection (it remembers about four).
func bearingInTurn(base context.Context, b *testing.B, intercept grpc.UnaryServerInterceptor, headers []string, decoded bool) batch {
	b.Helper()
	md, _ := metadata.FromIncomingContext(base)
	md.Set("authorization", headers[0])
	ctx, value, i := layered(base, b, md), md["authorization"], 0
	return func(n int) {
		for range n {
			value[0] = headers[i]
			if decoded {
				value[0] = strings.Clone(headers[i])
			}
			if _, err := intercept(ctx, nil, echoInfo, handleNothing); err != nil {
				b.Fatal(err)
			}
			if i++; i == len(headers) {
				i = 0
			}
		}
	}
}

// BenchmarkCacheSize is a call with a token that was seen before, beside 100,000 others:
// the same one each time, and all in turn. x-alone is by the same token where it is the
// only one. "floor" and "limit" show what memory alone makes of it.
//
// The tokens are signed once for the process, which takes a minute or two.
func BenchmarkCacheSize(b *testing.B) {
	l := newLab(b)
	tokens := l.mint(b, sized(100_000, 16))
	headers := make([]string, len(tokens))
	for i, token := range tokens {
		headers[i] = "Bearer " + strings.Clone(token)
	}
	hot := headers[len(headers)/2:][:1]
	base := hold(b, echov1.EchoService_Echo_FullMethodName, nil, tokens[0])[0]
	for _, guards := range []struct {
		name       string
		alone, all grpc.UnaryServerInterceptor
		// copied: what is remembered has other bytes than what asks for it, as on a second
		// connection; else they are the same, as on a connection's later calls.
		copied, decoded bool
	}{
		{"floor", newFloor(hot).unary, newFloor(headers).unary, false, false},
		{"limit", l.guard(b, "limit", tokens[len(tokens)/2]).unary, l.guard(b, "limit", tokens...).unary, true, false},
		{"limit,decoded", l.guard(b, "limit", tokens[len(tokens)/2]).unary, l.guard(b, "limit", tokens...).unary, true, true},
		{"scopeauth", l.largeCache(b), l.largeCache(b), false, false},
		{"scopeauth,copied", l.largeCache(b), l.largeCache(b), true, false},
		{"scopeauth,decoded", l.largeCache(b), l.largeCache(b), true, true},
	} {
		b.Run(guards.name, func(b *testing.B) {
			first := headers // what the guards see first
			if guards.copied {
				first = make([]string, len(headers))
				for i, header := range headers {
					first[i] = strings.Clone(header)
				}
			}
			bearingInTurn(base, b, guards.all, first, false)(len(first))
			bearingInTurn(base, b, guards.alone, first[len(first)/2:][:1], false)(1)
			alone := bearingInTurn(base, b, guards.alone, hot, guards.decoded)
			for _, row := range []struct {
				name string
				call batch
			}{
				{"alone", alone},
				{fmt.Sprintf("among=%d", len(tokens)), bearingInTurn(base, b, guards.all, hot, guards.decoded)},
				{fmt.Sprintf("in-turn=%d", len(tokens)), bearingInTurn(base, b, guards.all, headers, guards.decoded)},
			} {
				b.Run(row.name, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						row.call(1)
					}
					b.ReportMetric(ratio(alone, row.call), "x-alone")
				})
			}
		})
	}
}

// largeCache is an interceptor that can remember all tokens.
func (l *lab) largeCache(b *testing.B) grpc.UnaryServerInterceptor {
	b.Helper()
	v := l.verifier(b, serverauth.CacheLimits(200_000, 1<<30))
	g, err := newScopeauthWith(v)
	must(b, err)
	b.Cleanup(func() { must(b, g.close()) })
	return g.unary
}
