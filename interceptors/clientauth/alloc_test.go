// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// TestInterceptorAllocations: under every selection the interceptor allocates the
// call's state and gRPC's option, and the credentials nothing. Options of the call's
// own need a longer list.
func TestInterceptorAllocations(t *testing.T) { //nolint:paralleltest // counts allocations of the whole process
	if raceEnabled {
		t.Skip("the race detector allocates: run without -race")
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "a", "b", "c", "d")
	for name, test := range map[string]struct {
		scopes Selection
		method string
		opts   []Option
		call   []grpc.CallOption
		want   float64
	}{
		"ForMethods":      {scopes: ForMethods(statFile, appendFile), method: appendFile, want: 2},
		"PerMethod":       {scopes: PerMethod(), method: appendFile, want: 2},
		"FixedScopes":     {scopes: FixedScopes("demo/read.file"), method: statFile, want: 2},
		"AllClientScopes": {scopes: AllClientScopes(), method: statFile, want: 2},
		"call options":    {scopes: PerMethod(), method: statFile, call: []grpc.CallOption{grpc.WaitForReady(true)}, want: 3},
		"ExistingReplace": {scopes: PerMethod(), method: statFile, opts: []Option{WithExistingAuthorization(ExistingReplace)}, want: 3},
		"ExistingFail":    {scopes: PerMethod(), method: statFile, opts: []Option{WithExistingAuthorization(ExistingFail)}, want: 2},
		"RetryStreams":    {scopes: PerMethod(), method: appendFile, opts: []Option{RetryStreams(appendFile)}, want: 2},
	} {
		c, err := newCarrier(newSource(t, &fakeEndpoint{}), test.scopes, test.opts)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		invoke := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
			for _, opt := range opts {
				if own, ok := opt.(grpc.PerRPCCredsCallOption); ok {
					_, err := own.Creds.GetRequestMetadata(ctx)
					return err
				}
			}
			return errReset
		}
		call := func() {
			if err := c.unary(ctx, test.method, nil, nil, nil, invoke, test.call...); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		call()
		if got := testing.AllocsPerRun(1000, call); got > test.want {
			t.Errorf("%s: got %v allocations, want at most %v", name, got, test.want)
		}
		place, err := c.selected.slot(c.policy, test.method)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		state := &callCarrier{carrier: c, slot: place, method: test.method}
		creds := testing.AllocsPerRun(1000, func() {
			if _, err := state.GetRequestMetadata(ctx); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		})
		if creds > 0 {
			t.Errorf("%s: the credentials: got %v allocations, want 0", name, creds)
		}
	}
}
