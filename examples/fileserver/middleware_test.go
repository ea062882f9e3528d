// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// serverStream is a stream with a context and nothing else.
type serverStream struct {
	grpc.ServerStream

	ctx context.Context
}

func (s serverStream) Context() context.Context { return s.ctx }

// call runs a handler inside of logging and recovery, as both kinds of call do.
func call(ctx context.Context, logger *slog.Logger, handler func() error) map[string]error {
	_, unary := unaryLogging(logger)(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/demo.files.v1.FileReadService/StatFile"},
		func(ctx context.Context, req any) (any, error) {
			return unaryRecovery(logger)(ctx, req, nil, func(context.Context, any) (any, error) { return nil, handler() })
		})
	stream := streamLogging(logger)(nil, serverStream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: "/demo.files.v1.FileReadService/ReadFile"},
		func(srv any, ss grpc.ServerStream) error {
			return streamRecovery(logger)(srv, ss, nil, func(any, grpc.ServerStream) error { return handler() })
		})
	return map[string]error{"unary": unary, "stream": stream}
}

func TestLogNamesTheCaller(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		principal  *serverauth.Principal
		want, lack []string
	}{
		{"named", serverauth.NewPrincipal(serverauth.PrincipalSpec{ClientID: "1a2b", ClientName: "billing"}), []string{"client_id=1a2b", "client_name=billing"}, nil},
		{"not named", serverauth.NewPrincipal(serverauth.PrincipalSpec{ClientID: "1a2b"}), []string{"client_id=1a2b"}, []string{"client_name"}},
		{"public", nil, nil, []string{"client_id", "client_name"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			ctx := serverauth.ContextWithPrincipal(t.Context(), tt.principal)
			for kind, err := range call(ctx, slog.New(slog.NewTextHandler(&log, nil)), func() error { return status.Error(codes.NotFound, "none") }) {
				if status.Code(err) != codes.NotFound {
					t.Errorf("%s: got %v, want the handler's status", kind, err)
				}
			}
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			if len(lines) != 2 {
				t.Fatalf("got %d lines for 2 calls, want one each:\n%s", len(lines), log.String())
			}
			for _, line := range lines {
				for _, want := range append(tt.want, "grpc.code=NotFound", "grpc.service=demo.files.v1.FileReadService") {
					if !strings.Contains(line, want) {
						t.Errorf("got %q, want %s in it", line, want)
					}
				}
				for _, lack := range tt.lack {
					if strings.Contains(line, lack) {
						t.Errorf("got %q, want no %s in it", line, lack)
					}
				}
			}
		})
	}
}

func TestPanicsEndOneCall(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	errs := call(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), func() error { panic(errors.New("inner detail")) })
	for kind, err := range errs {
		if status.Code(err) != codes.Internal {
			t.Errorf("%s: got %v, want INTERNAL", kind, err)
		}
		if strings.Contains(err.Error(), "inner") || strings.Contains(err.Error(), ".go:") {
			t.Errorf("%s: the caller gets %q, want nothing about the panic", kind, err)
		}
	}
	for _, want := range []string{"inner detail", "middleware_test.go", "grpc.code=Internal"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}
