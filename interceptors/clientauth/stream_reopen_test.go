// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
)

// TestServerStreamReopened: who asks for the headers, trailers or context of a stream
// while it is opened again is told of the second one, or returns when the call ends:
// also if the source of the token does not heed that.
func TestServerStreamReopened(t *testing.T) {
	t.Parallel()
	tlsPair()
	for name, ends := range map[string]bool{"opened": false, "the call ends": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				release := make(chan struct{})
				src := sourceFunc(func(_ context.Context, req Request) (Token, error) {
					if req.Rejected.IsZero() {
						return NewToken(opaque(0), time.Time{}), nil
					}
					<-release
					return NewToken(opaque(1), time.Time{}), nil
				})
				server := newMemoryServer(t, refuseFirst(readRefused()))
				files := filesv1.NewFileReadServiceClient(server.dial(t, src, AllClientScopes()))
				stream, err := files.ReadFile(ctx, &filesv1.ReadFileRequest{})
				if err != nil {
					t.Fatal(err)
				}
				var recvErr error
				received := make(chan struct{})
				go func() {
					defer close(received)
					_, recvErr = stream.Recv()
				}()
				synctest.Wait()

				var returned atomic.Int32
				for _, look := range []func(){
					func() { _, _ = stream.Header() }, func() { stream.Trailer() }, func() { stream.Context() },
				} {
					go func() {
						look()
						returned.Add(1)
					}()
				}
				synctest.Wait()
				if got := returned.Load(); got != 0 {
					t.Errorf("%d of 3 were told before it is known which stream it is", got)
				}
				if ends {
					cancel()
					synctest.Wait()
					if got := returned.Load(); got != 3 {
						t.Errorf("the call has ended, and %d of 3 have returned", got)
					}
				}
				close(release)
				<-received
				synctest.Wait()
				if got := returned.Load(); got != 3 || !ends && recvErr != nil {
					t.Errorf("got %v, and %d of 3 have returned, want success and all", recvErr, got)
				}
			})
		})
	}
}
