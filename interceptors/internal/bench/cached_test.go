// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
)

var errLetGo = status.Error(codes.Aborted, "let go")

// hold makes one call of the method for each token to a server over TLS with these
// options, and returns the contexts that gRPC gave them. The calls stay open until the
// end, so that nothing of the contexts is over. The order is not that of the tokens.
func hold(tb testing.TB, method string, options []grpc.ServerOption, tokens ...string) []context.Context {
	tb.Helper()
	held, release := make(chan context.Context), make(chan struct{})
	catch := func(ctx context.Context) error {
		select {
		case held <- ctx:
		case <-release:
		}
		<-release
		return errLetGo
	}
	// These two run before all chained interceptors, so before every guard's.
	options = append(slices.Clip(options),
		grpc.UnaryInterceptor(func(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
			return nil, catch(ctx)
		}),
		grpc.StreamInterceptor(func(_ any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, _ grpc.StreamHandler) error {
			return catch(ss.Context())
		}))
	client := echov1.NewEchoServiceClient(serve(tb, registerEcho, options, nil))
	ended := make(chan error, len(tokens))
	var wg sync.WaitGroup
	for _, token := range tokens {
		wg.Go(func() { ended <- openCall(withToken(context.Background(), token), client, method) })
	}
	tb.Cleanup(func() { close(release); wg.Wait() })
	contexts := make([]context.Context, len(tokens))
	for i := range contexts {
		select {
		case contexts[i] = <-held:
		case err := <-ended:
			tb.Fatalf("a call that shall stay open ended: %v", err)
		}
	}
	return contexts
}

func openCall(ctx context.Context, client echov1.EchoServiceClient, method string) error {
	if method == echov1.EchoService_Echo_FullMethodName {
		_, err := client.Echo(ctx, &echov1.EchoRequest{})
		return err
	}
	stream, err := client.Chat(ctx)
	if err != nil {
		return err
	}
	_, err = stream.Recv()
	return err
}

// bearing returns the context of a call like that of base with another token, whose bytes
// are a copy, as those of another connection's header are.
func bearing(base context.Context, b *testing.B, token string) context.Context {
	b.Helper()
	md, _ := metadata.FromIncomingContext(base)
	md.Set("authorization", "Bearer "+strings.Clone(token))
	return layered(base, b, md)
}

// layered returns the context of a call like that of base with other metadata. It is
// built as gRPC 1.85 builds it (in serveStreams, operateHeaders, handleStream and
// processRPC), since each layer is a step of every look-up.
func layered(base context.Context, b *testing.B, md metadata.MD) context.Context {
	b.Helper()
	from, _ := grpcpeer.FromContext(base)
	ctx := context.WithValue(context.Background(), layer("connection"), 0)
	ctx = grpcpeer.NewContext(ctx, from)
	ctx, cancel := context.WithCancel(ctx)
	b.Cleanup(cancel)
	ctx = metadata.NewIncomingContext(ctx, md)
	ctx = context.WithValue(ctx, layer("server"), 0)
	return grpc.NewContextWithServerTransportStream(ctx, grpc.ServerTransportStreamFromContext(base))
}

// layer stands for a key that gRPC alone can set.
type layer string

var echoInfo = &grpc.UnaryServerInfo{FullMethod: echov1.EchoService_Echo_FullMethodName}

func handleNothing(context.Context, any) (any, error) { return nil, nil }

// through returns calls through an interceptor, one for each context in turn.
func through(b *testing.B, intercept grpc.UnaryServerInterceptor, contexts []context.Context) batch {
	b.Helper()
	i := 0
	return func(n int) {
		for range n {
			if _, err := intercept(contexts[i], nil, echoInfo, handleNothing); err != nil {
				b.Fatal(err)
			}
			if i++; i == len(contexts) {
				i = 0
			}
		}
	}
}

// BenchmarkCachedCall is what a unary call costs in the interceptor if its token was
// seen before: one token, alone or one of 1,024 that are known, and 1,024 in turn. The
// contexts have the layers of gRPC's own, and what is in them comes from a call over TLS
// that is open all the time; only the metadata differ. (Go's map compares the keys one by one while there are no more than eight, and
// hashes none, so "limit" with one token known does without a hash.) In the rows
// "copied" what was remembered has other bytes than the header that asks for it, as if it
// came on another connection; on one connection gRPC hands the same bytes to all calls.
//
// With a guard that refuses before decoding, the interceptor's part alone is measured,
// in the context that the part before it left.
func BenchmarkCachedCall(b *testing.B) {
	l := newLab(b)
	for _, row := range []struct {
		name     string
		n, known int
		copied   bool
	}{
		{"tokens=1", 1, 1, false},
		{"tokens=1,of=1024", 1, 1024, false},
		{"tokens=1,of=1024,copied", 1, 1024, true},
		{"tokens=1024", 1024, 1024, false},
		{"tokens=1024,copied", 1024, 1024, true},
	} {
		b.Run(row.name, func(b *testing.B) {
			tokens := l.mint(b, row.known)
			base := hold(b, echov1.EchoService_Echo_FullMethodName, nil, tokens[0])[0]
			first := bearingEach(base, b, tokens) // what the guards see first
			contexts := first[:row.n]
			if row.copied {
				contexts = bearingEach(base, b, tokens[:row.n])
			}
			limit := through(b, l.guard(b, "limit", borneBy(first)...).unary, contexts)
			for _, name := range slices.Concat([]string{"limit", "scopeauth"}, tapRows, peerRows) {
				b.Run(name, func(b *testing.B) {
					g, contexts := l.guard(b, name, borneBy(first)...), contexts
					through(b, g.unary, first)(row.known) // now all tokens are known
					if slices.Contains(tapRows, name) {
						contexts = hold(b, echov1.EchoService_Echo_FullMethodName, g.options, tokens[:row.n]...)
					}
					call := through(b, g.unary, contexts)
					b.ReportAllocs()
					for b.Loop() {
						call(1)
					}
					if name != "limit" {
						b.ReportMetric(ratio(limit, call), "x-limit")
					}
				})
			}
		})
	}
}

// bearingEach returns a context for each token.
func bearingEach(base context.Context, b *testing.B, tokens []string) []context.Context {
	b.Helper()
	contexts := make([]context.Context, len(tokens))
	for i, token := range tokens {
		contexts[i] = bearing(base, b, token) //nolint:fatcontext // each is of its own
	}
	return contexts
}

// borneBy returns the tokens of the contexts, with the very bytes that their headers have.
func borneBy(contexts []context.Context) []string {
	tokens := make([]string, len(contexts))
	for i, ctx := range contexts {
		tokens[i] = strings.TrimPrefix(metadata.ValueFromIncomingContext(ctx, "authorization")[0], "Bearer ")
	}
	return tokens
}
