// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/tap"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// The guards that refuse before decoding, by name. Those for floods only are not
// compared where nothing is refused.
var (
	tapRows      = []string{"scopeauth-tap"}
	tapFloodRows = []string{"scopeauth-tap-window", "scopeauth-tap-rsa", "scopeauth-tap-rsa-window"}
	sketchRows   = []string{"sketched-tap", "sketched-tap-window"}
)

// rsaEnv is how a server's process is told to check signatures on the header frame.
const rsaEnv = "SCOPEAUTH_TAP_RSA=1"

// guardEnv is the environment that a guard's process needs.
func guardEnv(name string) []string {
	if strings.HasPrefix(name, "scopeauth-tap-rsa") {
		return []string{rsaEnv}
	}
	return nil
}

// smallWindow is how much of a message callers may send before the server has read any
// of it. It is what HTTP/2 begins with, and the least that gRPC takes; by itself gRPC
// lets it grow to megabytes, which then come in for calls that were refused.
const smallWindow = 64<<10 - 1

// newTap makes the guards whose names have "tap".
func newTap(ctx context.Context, p provider, name string) (*guard, error) {
	var (
		g   *guard
		err error
	)
	if strings.HasPrefix(name, "scopeauth-tap") {
		g, err = newScopeauth(ctx, p, serverauth.RefuseBeforeDecoding())
	} else {
		g, err = newSketchedTap(ctx, p)
	}
	if err == nil && strings.HasSuffix(name, "-window") {
		g.options = append(g.options, grpc.InitialWindowSize(smallWindow))
	}
	return g, err
}

// newSketchedTap is the least that can be done on the header frame: a call without a token
// is refused before its message is read, and all else is left to the interceptors.
func newSketchedTap(ctx context.Context, p provider) (*guard, error) {
	g, err := newScopeauth(ctx, p)
	if err != nil {
		return nil, err
	}
	g.options = append(g.options, grpc.InTapHandle(func(ctx context.Context, info *tap.Info) (context.Context, error) {
		if len(info.Header["authorization"]) != 1 {
			return nil, errNoToken
		}
		return ctx, nil
	}))
	return g, nil
}
