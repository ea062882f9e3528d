// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// One line for each call that came past the access check, with who called. Refused
// calls do not get here: the authorizer logs them.

func unaryLogging(logger *slog.Logger) grpc.UnaryServerInterceptor {
	return logging.UnaryServerInterceptor(callLogger(logger), loggingOptions()...)
}

func streamLogging(logger *slog.Logger) grpc.StreamServerInterceptor {
	return logging.StreamServerInterceptor(callLogger(logger), loggingOptions()...)
}

func loggingOptions() []logging.Option {
	return []logging.Option{
		logging.WithLogOnEvents(logging.FinishCall),
		logging.WithFieldsFromContext(callerFields),
	}
}

func callLogger(logger *slog.Logger) logging.Logger {
	return logging.LoggerFunc(func(ctx context.Context, level logging.Level, msg string, fields ...any) {
		logger.Log(ctx, slog.Level(level), msg, fields...)
	})
}

// callerFields names the caller. A call to a public method has none.
func callerFields(ctx context.Context) logging.Fields {
	p, ok := serverauth.PrincipalFromContext(ctx)
	if !ok {
		return nil
	}
	fields := logging.Fields{"client_id", p.ClientID()}
	if name := p.ClientName(); name != "" {
		fields = append(fields, "client_name", name)
	}
	return fields
}

// A panic ends one call, not the server. The caller hears nothing about it; the
// stack goes to the log. This stands inside of the logging, so that the call has its line.

func unaryRecovery(logger *slog.Logger) grpc.UnaryServerInterceptor {
	return recovery.UnaryServerInterceptor(recoveryOption(logger))
}

func streamRecovery(logger *slog.Logger) grpc.StreamServerInterceptor {
	return recovery.StreamServerInterceptor(recoveryOption(logger))
}

func recoveryOption(logger *slog.Logger) recovery.Option {
	return recovery.WithRecoveryHandlerContext(func(ctx context.Context, cause any) error {
		logger.ErrorContext(ctx, "a handler panicked",
			slog.String("panic", fmt.Sprint(cause)), slog.String("stack", string(debug.Stack())))
		return status.Error(codes.Internal, "the server failed; its log has the reason")
	})
}
