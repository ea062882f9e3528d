// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/internal/reason"
)

func TestRepeatOnce(t *testing.T) {
	t.Parallel()
	onlyNew := func(err error) func(int, []string) error {
		return func(_ int, authorization []string) error {
			if reflect.DeepEqual(authorization, bearer(0)) {
				return err
			}
			return nil
		}
	}
	tests := map[string]struct {
		refuse func(int, []string) error
		want   codes.Code
		sent   [][]string
	}{
		"TOKEN_EXPIRED": {refuse: onlyNew(refusal(statFile, codes.Unauthenticated, reason.Domain, reason.TokenExpired)), want: codes.OK, sent: [][]string{bearer(0), bearer(1)}},
		"TOKEN_INVALID": {refuse: onlyNew(refusal(statFile, codes.Unauthenticated, reason.Domain, reason.TokenInvalid)), want: codes.OK, sent: [][]string{bearer(0), bearer(1)}},
		"TOKEN_REVOKED": {refuse: onlyNew(refusal(statFile, codes.Unauthenticated, reason.Domain, reason.TokenRevoked)), want: codes.OK, sent: [][]string{bearer(0), bearer(1)}},
		"always": {refuse: func(int, []string) error {
			return refusal(statFile, codes.Unauthenticated, reason.Domain, reason.TokenInvalid)
		}, want: codes.Unauthenticated, sent: [][]string{bearer(0), bearer(1)}},
		"then for another cause": {refuse: func(n int, _ []string) error {
			if n == 0 {
				return refusal(statFile, codes.Unauthenticated, reason.Domain, reason.TokenInvalid)
			}
			return status.Error(codes.NotFound, "no such file")
		}, want: codes.NotFound, sent: [][]string{bearer(0), bearer(1)}},
		"bare":               {refuse: onlyNew(status.Error(codes.Unauthenticated, "no")), want: codes.Unauthenticated, sent: [][]string{bearer(0)}},
		"another domain":     {refuse: onlyNew(refusal(statFile, codes.Unauthenticated, "example.com", reason.TokenInvalid)), want: codes.Unauthenticated, sent: [][]string{bearer(0)}},
		"CLAIM_INVALID":      {refuse: onlyNew(refusal(statFile, codes.Unauthenticated, reason.Domain, reason.ClaimInvalid)), want: codes.Unauthenticated, sent: [][]string{bearer(0)}},
		"TOKEN_MISSING":      {refuse: onlyNew(refusal(statFile, codes.Unauthenticated, reason.Domain, reason.TokenMissing)), want: codes.Unauthenticated, sent: [][]string{bearer(0)}},
		"PermissionDenied":   {refuse: onlyNew(refusal(statFile, codes.PermissionDenied, reason.Domain, reason.TokenInvalid)), want: codes.PermissionDenied, sent: [][]string{bearer(0)}},
		"INSUFFICIENT_SCOPE": {refuse: onlyNew(refusal(statFile, codes.PermissionDenied, reason.Domain, reason.InsufficientScope)), want: codes.PermissionDenied, sent: [][]string{bearer(0)}},
		"Unavailable":        {refuse: onlyNew(refusal(statFile, codes.Unavailable, reason.Domain, reason.KeysUnavailable)), want: codes.Unavailable, sent: [][]string{bearer(0)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newFileServer(t, true, test.refuse)
			endpoint := &fakeEndpoint{}
			files := filesv1.NewFileReadServiceClient(server.dial(t, newSource(t, endpoint), AllClientScopes()))
			_, err := files.StatFile(t.Context(), &filesv1.StatFileRequest{})
			if got := status.Code(err); got != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if got := server.sent("authorization"); !reflect.DeepEqual(got, test.sent) {
				t.Errorf("authorization: got %q, want %q", got, test.sent)
			}
			if got := endpoint.count(); got != len(test.sent) {
				t.Errorf("token requests: got %d, want %d", got, len(test.sent))
			}
		})
	}
}

// TestAlwaysRejected: a thousand calls cost one token more, and each has at most two
// attempts.
func TestAlwaysRejected(t *testing.T) {
	t.Parallel()
	memoryBubble(t, func(t *testing.T) {
		server := newMemoryServer(t, func(int, []string) error {
			return refusal(statFile, codes.Unauthenticated, reason.Domain, reason.TokenInvalid)
		})
		endpoint := &fakeEndpoint{}
		files := filesv1.NewFileReadServiceClient(server.dial(t, newSource(t, endpoint), AllClientScopes()))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range 50 {
					_, err := files.StatFile(t.Context(), &filesv1.StatFileRequest{})
					if _, local := errors.AsType[*Error](err); local || status.Code(err) != codes.Unauthenticated {
						t.Errorf("got %v, want the server's error", err)
					}
				}
			})
		}
		wg.Wait()
		if got := endpoint.count(); got != 2 {
			t.Errorf("token requests: got %d, want 2", got)
		}
		if got := len(server.sent("")); got > 2000 {
			t.Errorf("the server got %d calls, want at most 2000", got)
		}
	})
}

// TestOneBackendRejects: the other backend goes on with the old token while the
// endpoint is down; the first one's calls get its error.
func TestOneBackendRejects(t *testing.T) {
	t.Parallel()
	bad := newFileServer(t, true, func(int, []string) error {
		return refusal(statFile, codes.Unauthenticated, reason.Domain, reason.TokenInvalid)
	})
	good := newFileServer(t, true, nil)
	src := newSource(t, &fakeEndpoint{answer: func(n int, _ request) reply {
		if n == 0 {
			return ok(n, 3600)
		}
		return page(500)
	}})
	ask := func(s *fileServer) error {
		_, err := filesv1.NewFileReadServiceClient(s.dial(t, src, AllClientScopes())).StatFile(t.Context(), &filesv1.StatFileRequest{})
		return err
	}
	for range 3 {
		err := ask(bad)
		if _, local := errors.AsType[*Error](err); local || status.Code(err) != codes.Unauthenticated {
			t.Errorf("the bad backend: got %v, want its own error", err)
		}
		if err := ask(good); err != nil {
			t.Errorf("the good backend: got %v", err)
		}
	}
}

// TestLocalErrorIsNotRepeated: the token endpoint's Unauthenticated is not the
// server's, even with the same detail.
func TestLocalErrorIsNotRepeated(t *testing.T) {
	t.Parallel()
	server := newFileServer(t, true, nil)
	asked := 0
	src := sourceFunc(func(context.Context, Request) (Token, error) {
		asked++
		return Token{}, refusal(statFile, codes.Unauthenticated, reason.Domain, reason.TokenInvalid)
	})
	_, err := filesv1.NewFileReadServiceClient(server.dial(t, src, AllClientScopes())).StatFile(t.Context(), &filesv1.StatFileRequest{})
	if status.Code(err) != codes.Unauthenticated || asked != 1 {
		t.Errorf("got %v after %d questions to the source, want Unauthenticated after 1", err, asked)
	}
}

// TestLastAttemptCounts: gRPC may make several attempts. One that failed locally has
// sent nothing, whatever the one before it sent.
func TestLastAttemptCounts(t *testing.T) {
	t.Parallel()
	asked := 0
	src := sourceFunc(func(context.Context, Request) (Token, error) {
		if asked++; asked == 1 {
			return NewToken("first", time.Time{}), nil
		}
		return Token{}, errReset
	})
	c, err := newCarrier(src, AllClientScopes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	call := &callCarrier{carrier: c, slot: c.selected.others, method: statFile}
	refused := refusal(statFile, codes.Unauthenticated, reason.Domain, reason.TokenInvalid)
	if _, err := call.GetRequestMetadata(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := call.rejection(refused); got.Value() != "first" {
		t.Errorf("after the first attempt: got %q, want its token", got.Value())
	}
	if _, err := call.GetRequestMetadata(t.Context()); err == nil {
		t.Fatal("the second attempt has no error")
	}
	if got := call.rejection(refused); !got.IsZero() {
		t.Errorf("after the second attempt: got %q, want none", got.Value())
	}
}

// TestStreamReportsForTheNextCall: a stream whose client sends messages is not
// repeated itself.
func TestStreamReportsForTheNextCall(t *testing.T) {
	t.Parallel()
	memoryBubble(t, func(t *testing.T) {
		server := newMemoryServer(t, func(_ int, authorization []string) error {
			if reflect.DeepEqual(authorization, bearer(0)) {
				return refusal(appendFile, codes.Unauthenticated, reason.Domain, reason.TokenExpired)
			}
			return nil
		})
		endpoint := &fakeEndpoint{}
		files := filesv1.NewFileWriteServiceClient(server.dial(t, newSource(t, endpoint), AllClientScopes()))
		read := func() error {
			stream, err := files.AppendFile(t.Context())
			if err != nil {
				return err
			}
			// It may be refused by then, which Recv tells.
			_ = stream.Send(&filesv1.AppendFileRequest{})
			_, err = stream.Recv()
			return err
		}
		if err := read(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("first: got %v, want Unauthenticated", err)
		}
		if got := endpoint.count(); got != 1 {
			t.Errorf("token requests after the first: got %d, want 1", got)
		}
		if err := read(); err != nil {
			t.Errorf("second: got %v, want success with another token", err)
		}
		if got := endpoint.count(); got != 2 {
			t.Errorf("token requests: got %d, want 2", got)
		}
		if got, want := server.sent("authorization"), [][]string{bearer(0), bearer(1)}; !reflect.DeepEqual(got, want) {
			t.Errorf("authorization: got %q, want %q", got, want)
		}
	})
}
