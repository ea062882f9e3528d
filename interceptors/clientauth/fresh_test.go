// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

// freshPaths returns the ways to a token that is at hand.
func freshPaths(tb testing.TB) map[string]func() error {
	tb.Helper()
	c := newSource(tb, &fakeEndpoint{})
	carrier, err := newCarrier(c, ForMethods(filesv1.FileWriteService_AppendFile_FullMethodName), nil)
	if err != nil {
		tb.Fatal(err)
	}
	set, err := c.set([]string{"demo/read.file", "demo/write.file"})
	if err != nil {
		tb.Fatal(err)
	}
	ctx := credentials.NewContextWithRequestInfo(context.Background(), credentials.RequestInfo{Method: filesv1.FileWriteService_AppendFile_FullMethodName})
	req := Request{Scopes: []string{"demo/read.file", "demo/write.file"}}
	return map[string]func() error{
		"Token": func() error {
			_, err := c.Token(ctx, req)
			return err
		},
		"a set that was looked up": func() error { // as a connection does it
			_, err := c.tokenOf(ctx, set, Token{})
			return err
		},
		"GetRequestMetadata": func() error {
			_, err := carrier.GetRequestMetadata(ctx)
			return err
		},
	}
}

// TestFreshPathAllocatesNothing needs a build without the race detector, which
// allocates by itself.
func TestFreshPathAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates: run without -race")
	}
	for name, path := range freshPaths(t) {
		if err := path(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := testing.AllocsPerRun(1000, func() {
			if err := path(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		})
		if got != 0 {
			t.Errorf("%s: got %v allocations, want 0", name, got)
		}
	}
}

// callPath returns what the interceptor and the carrier do for a unary call.
func callPath(ctx context.Context, tb testing.TB) func() error {
	tb.Helper()
	carrier, err := newCarrier(newSource(tb, &fakeEndpoint{}), ForMethods(filesv1.FileWriteService_AppendFile_FullMethodName), nil)
	if err != nil {
		tb.Fatal(err)
	}
	invoke := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
		_, err := opts[0].(grpc.PerRPCCredsCallOption).Creds.GetRequestMetadata(ctx)
		return err
	}
	return func() error {
		return carrier.unary(ctx, filesv1.FileWriteService_AppendFile_FullMethodName, nil, nil, nil, invoke)
	}
}

// TestCallAllocations: the carrier, and gRPC's option.
func TestCallAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates: run without -race")
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "a", "b", "c", "d")
	path := callPath(ctx, t)
	got := testing.AllocsPerRun(1000, func() {
		if err := path(); err != nil {
			t.Fatal(err)
		}
	})
	if got > 2 {
		t.Errorf("got %v allocations, want at most 2", got)
	}
}

func BenchmarkFresh(b *testing.B) {
	paths := freshPaths(b)
	paths["time.Now"] = func() error { _ = time.Now(); return nil }
	paths["Call"] = callPath(context.Background(), b)
	paths["Call with metadata"] = callPath(metadata.AppendToOutgoingContext(context.Background(), "a", "b", "c", "d", "e", "f"), b)
	for name, path := range paths {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := path(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := path(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
