// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// codedError has a gRPC status of any code, also OK.
type codedError codes.Code

func (codedError) Error() string                { return "a source's own" }
func (e codedError) GRPCStatus() *status.Status { return status.New(codes.Code(e), "a source's own") }

// TestCodesOfASourcesError: gRFC A54 leaves some codes to the server; what a source says
// with one of them is UNAVAILABLE. The others stay.
func TestCodesOfASourcesError(t *testing.T) {
	t.Parallel()
	legal := map[codes.Code]bool{
		codes.Canceled: true, codes.Unknown: true, codes.DeadlineExceeded: true, codes.PermissionDenied: true, codes.ResourceExhausted: true,
		codes.Unimplemented: true, codes.Internal: true, codes.Unavailable: true, codes.Unauthenticated: true,
	}
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		err := sourceError(t.Context(), codedError(code))
		if !legal[code] {
			wantReason(t, err, ReasonSource, codes.Unavailable)
			continue
		}
		if _, own := errors.AsType[*Error](err); own || status.Code(err) != code {
			t.Errorf("%v: got %v, want it as it is", code, err)
		}
	}
}

// TestSourcesErrorAfterTheEndOfTheCall: the end of the call is why, unless the error is
// one of this package's, which says so itself.
func TestSourcesErrorAfterTheEndOfTheCall(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range []error{errReset, codedError(codes.Unauthenticated), codedError(codes.NotFound), context.Canceled} {
		wantReason(t, sourceError(ctx, err), ReasonContext, codes.Canceled)
	}
	wantReason(t, sourceError(ctx, &Error{reason: ReasonRefused, code: codes.Unauthenticated}), ReasonRefused, codes.Unauthenticated)
}

// TestCredentialsWithoutAMethod: which token a call may have is not known then.
func TestCredentialsWithoutAMethod(t *testing.T) {
	t.Parallel()
	endpoint := &fakeEndpoint{}
	creds, err := PerRPCCredentials(newSource(t, endpoint), AllClientScopes())
	if err != nil {
		t.Fatal(err)
	}
	_, err = creds.GetRequestMetadata(t.Context())
	wantReason(t, err, ReasonMethod, codes.Internal)
	wantRequests(t, endpoint, 0)
}
