// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// headerContext is the context that gRPC gives a tap handle.
func headerContext(token string) (context.Context, metadata.MD) {
	ctx := context.WithValue(context.Background(), layer("connection"), 0)
	ctx = peer.NewContext(ctx, &peer.Peer{
		Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711},
		AuthInfo: credentials.TLSInfo{
			CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		},
	})
	md := metadata.Pairs(":authority", "files.internal", "content-type", "application/grpc", "user-agent", "grpc-go", "authorization", "Bearer "+token)
	return metadata.NewIncomingContext(ctx, md), md
}

// callContext is what gRPC makes of it for the interceptors.
func callContext(ctx context.Context, method string) context.Context {
	return grpc.NewContextWithServerTransportStream(context.WithValue(ctx, layer("server"), 0), wire(method))
}

// layer stands for a key that gRPC alone can set.
type layer string

// changing is what a tap handle returned last, so that the layers above it, which are
// gRPC's, are not made for each call.
type changing struct{ context.Context }

// cachedCalls returns one call with a token that was seen before, through the
// interceptor alone, and through the tap handle and the interceptor.
func cachedCalls(tb testing.TB) map[string]func() {
	tb.Helper()
	handler := func(context.Context, any) (any, error) { return nil, nil }
	info := &grpc.UnaryServerInfo{FullMethod: whoAmI}
	calls := map[string]func(){}
	for name, options := range map[string][]serverauth.Option{
		"interceptor":             nil,
		"tap-and-interceptor":     {serverauth.RefuseBeforeDecoding()},
		"interceptor-with-report": {serverauth.WithReporter(&lastDecision{})},
	} {
		l := newLab(tb, setup{options: options, verifier: []serverauth.VerifierOption{serverauth.WithTimerClock()}})
		intercept := l.auth.UnaryServerInterceptor()
		header, md := headerContext(l.issuer.good())
		below := &changing{header}
		ctx := callContext(below, whoAmI)
		tapInfo := &tap.Info{FullMethodName: whoAmI, Header: md}
		calls[name] = func() {
			if name == "tap-and-interceptor" {
				var err error
				if below.Context, err = l.auth.OnHeader(header, tapInfo); err != nil {
					tb.Fatal(err)
				}
			}
			if _, err := intercept(ctx, nil, info, handler); err != nil {
				tb.Fatal(err)
			}
		}
		calls[name]()
	}
	return calls
}

// lastDecision is a Reporter that does next to nothing.
type lastDecision struct{ last serverauth.Decision }

func (l *lastDecision) Report(_ context.Context, d serverauth.Decision) { l.last = d }

// A call with a token that was seen before allocates two things: gRPC's copy of the
// header's values, and the call's context. The tap handle gets the values themselves.
func TestCachedCallAllocs(t *testing.T) { //nolint:paralleltest // counts allocations of the whole process
	calls := cachedCalls(t)
	for name, want := range map[string]float64{"interceptor": 2, "interceptor-with-report": 2, "tap-and-interceptor": 1} {
		if got := testing.AllocsPerRun(1000, calls[name]); got != want {
			t.Errorf("%s: %v allocations, want %v", name, got, want)
		}
	}
}

// BenchmarkCachedCall is all that is done for such a call. What the whole costs beside
// other libraries is measured in interceptors/internal/bench, which cannot call a tap
// handle by itself.
func BenchmarkCachedCall(b *testing.B) {
	calls := cachedCalls(b)
	for _, name := range []string{"interceptor", "interceptor-with-report", "tap-and-interceptor"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				calls[name]()
			}
		})
	}
}
