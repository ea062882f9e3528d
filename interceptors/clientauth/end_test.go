// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestNoTokenIsNoEndOfAStream: programs take an error that is io.EOF for the good end of
// a stream. That of a token that was missing when gRPC repeated the stream must not be.
func TestNoTokenIsNoEndOfAStream(t *testing.T) {
	t.Parallel()
	tlsPair()
	for name, kind := range replayKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				src := sourceFunc(func(context.Context, Request) (Token, error) {
					if asked++; asked == 1 {
						return NewToken("first", time.Time{}), nil
					}
					return Token{}, fmt.Errorf("reading the token: %w", io.EOF)
				})
				server := newMemoryServer(t, func(int, []string) error {
					time.Sleep(2 * time.Second) // all messages are sent
					return status.Error(codes.Unavailable, "restarting")
				})
				own, err := DialOptions(src, AllClientScopes())
				if err != nil {
					t.Fatal(err)
				}
				err = kind.call(t.Context(), server.connect(t, append(own, retryPolicy("UNAVAILABLE"))...))
				if errors.Is(err, io.EOF) {
					t.Errorf("got %v, which is io.EOF", err)
				}
				wantReason(t, err, ReasonSource, codes.Unavailable)
				if asked < 2 {
					t.Errorf("the source was asked %d times: the test shows nothing", asked)
				}
			})
		})
	}
}
