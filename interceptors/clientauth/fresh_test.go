// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"testing"

	"google.golang.org/grpc/credentials"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

// freshPaths returns the two ways to a token that is at hand.
func freshPaths(tb testing.TB) map[string]func() error {
	tb.Helper()
	c := newSource(tb, &fakeEndpoint{})
	carrier, err := newCarrier(c, ForMethods(filesv1.FileWriteService_AppendFile_FullMethodName), nil)
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

func BenchmarkFresh(b *testing.B) {
	for name, path := range freshPaths(b) {
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
