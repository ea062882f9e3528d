// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"time"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/clientauth"
)

// tellRenewal calls for longer than a token lives, while the pool changes its keys.
// No call may fail, and the tokens must have changed meanwhile.
func (w *world) tellRenewal(ctx context.Context, out io.Writer) (good int) {
	fmt.Fprintf(out, "\n%d calls in %v with tokens that live %v; the pool's keys change in between\n\n",
		renewalCalls, renewalCalls*renewalPause, tokenLifetime)
	before := w.cognito.Counts()
	failures, err := w.callForAWhile(ctx)
	if err != nil {
		failures = append(failures, err.Error())
	}
	after := w.cognito.Counts()
	tokens, fetches := after.TokensIssued-before.TokensIssued, after.JWKSRequests-before.JWKSRequests
	for i, f := range failures {
		if i == 3 {
			fmt.Fprintf(out, "  !! and %d more\n", len(failures)-i)
			break
		}
		fmt.Fprintf(out, "  !! %s\n", f)
	}
	fmt.Fprintf(out, "  %d failed; %d tokens fetched, the server fetched the keys %d more times\n", len(failures), tokens, fetches)
	if tokens < 2 || fetches < 1 {
		// Then nothing was renewed or rotated, and the calls show nothing.
		fmt.Fprintf(out, "  !! at least 2 tokens and 1 fetch of keys were expected\n")
		return 0
	}
	return renewalCalls - min(len(failures), renewalCalls)
}

func (w *world) callForAWhile(ctx context.Context) (failures []string, err error) {
	_, conn, err := w.dial( //nolint:contextcheck // a connection outlives the context of whoever opens it
		w.pool, reader, clientauth.ForMethods(filesv1.FileReadService_ListFiles_FullMethodName))
	if err != nil {
		return nil, err
	}
	client := filesv1.NewFileReadServiceClient(conn)
	tick := time.NewTicker(renewalPause)
	defer tick.Stop()
	for i := range renewalCalls {
		if i == rotateAfter {
			if err := w.pool.RotateKeys(1); err != nil {
				return failures, err
			}
		}
		if _, err := client.ListFiles(ctx, &filesv1.ListFilesRequest{}); err != nil {
			failures = append(failures, fmt.Sprintf("call %d: %s", i+1, told(err)))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return failures, ctx.Err()
		}
	}
	return failures, nil
}
