// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"io"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

// TestUnaryRefusedWhileReplayed: as TestRefusedWhileReplayed. gRPC 1.85 says io.EOF, bare
// or wrapped, in place of the status.
func TestUnaryRefusedWhileReplayed(t *testing.T) {
	t.Parallel()
	tlsPair()
	restarting := status.Error(codes.Unavailable, "restarting")
	denied := refusal(statFile, codes.PermissionDenied, reason.Domain, reason.InsufficientScope)
	expired := statRefused()
	// answer is what becomes of one attempt: early is before its message comes.
	type answer struct {
		early bool
		err   error
	}
	for name, test := range map[string]struct {
		answers []answer // the last one for all that follow
		want    codes.Code
		why     reason.Reason // what the server said in its ErrorInfo
		sent    [][]string
	}{
		"denied": {
			answers: []answer{{false, restarting}, {true, denied}},
			want:    codes.PermissionDenied, why: reason.InsufficientScope, sent: [][]string{bearer(0), bearer(0)},
		},
		"its token is refused": {
			answers: []answer{{false, restarting}, {true, expired}, {false, nil}},
			want:    codes.OK, sent: [][]string{bearer(0), bearer(0), bearer(1)},
		},
		"denied with another token": {
			answers: []answer{{false, expired}, {false, restarting}, {true, denied}},
			want:    codes.PermissionDenied, why: reason.InsufficientScope, sent: [][]string{bearer(0), bearer(1), bearer(1)},
		},
		"without details": {
			answers: []answer{{false, restarting}, {true, status.Error(codes.PermissionDenied, "no")}},
			want:    codes.Unknown, sent: [][]string{bearer(0), bearer(0)},
		},
		"repeated in vain": {
			answers: []answer{{false, restarting}, {true, restarting}},
			want:    codes.Unknown, sent: [][]string{bearer(0), bearer(0), bearer(0), bearer(0)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var attempts atomic.Int32
				var sent [][]string
				now := func() answer { return test.answers[min(int(attempts.Load()), len(test.answers))-1] }
				server := newMemoryServer(t, func(int, []string) error { return now().err },
					grpc.InTapHandle(func(ctx context.Context, info *tap.Info) (context.Context, error) {
						attempts.Add(1)
						sent = append(sent, info.Header.Get("authorization"))
						if a := now(); a.early {
							return nil, a.err
						}
						return ctx, nil
					}))
				own, err := DialOptions(newSource(t, &fakeEndpoint{}), AllClientScopes())
				if err != nil {
					t.Fatal(err)
				}
				err = stat(t.Context(), server.connect(t, append(own, retryPolicy("UNAVAILABLE"), grpc.WithStatsHandler(&answeredFirst{}))...))
				if st, ok := status.FromError(err); !ok || st.Code() != test.want || errors.Is(err, io.EOF) {
					t.Errorf("got %v, want %s", err, test.want)
				}
				if test.why != "" {
					wantReasonOnTheWire(t, err, test.want, test.why)
				}
				if !reflect.DeepEqual(sent, test.sent) {
					t.Errorf("authorization: got %q, want %q", sent, test.sent)
				}
			})
		})
	}
}

// TestStatusInTrailer takes no status that would be success, or that is none.
func TestStatusInTrailer(t *testing.T) {
	t.Parallel()
	for name, values := range map[string][]string{
		"none": nil, "two": {"\x08\x07", "\x08\x07"}, "empty": {""}, "OK": {"\x08\x00\x12\x02hi"}, "cut off": {"\x08\x07\x12"},
	} {
		if st := statusIn(metadata.MD{"grpc-status-details-bin": values}); st != nil {
			t.Errorf("%s: got %v, want none", name, st)
		}
	}
	if st := statusIn(metadata.MD{"grpc-status-details-bin": {"\x08\x07"}}); st.Code() != codes.PermissionDenied {
		t.Errorf("got %v, want PERMISSION_DENIED", st)
	}
}

// TestUnaryThatDidNotGoOut: an interceptor inside may say io.EOF for reasons of its own.
func TestUnaryThatDidNotGoOut(t *testing.T) {
	t.Parallel()
	c, err := newCarrier(newSource(t, &fakeEndpoint{}), AllClientScopes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = c.unary(t.Context(), statFile, nil, nil, nil, func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error { return io.EOF })
	if err != io.EOF { //nolint:errorlint // exactly this
		t.Errorf("got %v, want the interceptor's error", err)
	}
}
