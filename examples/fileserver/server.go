// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/scopeauth/scopeauth/examples/fileserver/files"
	"github.com/scopeauth/scopeauth/examples/fileserver/loopback"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

const (
	// maxConcurrentStreams bounds the calls, and so the open files, of one connection.
	maxConcurrentStreams = 128
	// keepaliveTime is after how much silence a caller is asked whether it is there
	// still: one that vanished would keep its half-done upload otherwise.
	keepaliveTime = time.Minute
	// keepaliveMinTime is how often callers may ask the same of the server.
	keepaliveMinTime = 15 * time.Second
)

// serve runs the server until ctx ends, and then until the calls have ended.
func serve(ctx context.Context, cfg *config, logger *slog.Logger, stdout io.Writer) error {
	store, err := files.New(cfg.root, files.WithMaxFileSize(int64(cfg.maxFileSize)), files.WithLogger(logger))
	if err != nil {
		return usageError{fmt.Errorf("-root %s: %w", cfg.root, err)}
	}
	defer closing(logger, "the file store", store)
	tlsConfig, err := serverTLS(cfg, logger)
	if err != nil {
		return err
	}
	auth, closeAuth, err := authorizer(ctx, cfg, logger)
	if err != nil {
		return err
	}
	defer closeAuth()
	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.addr)
	if err != nil {
		return unavailableError{fmt.Errorf("-addr %s: %w", cfg.addr, err)}
	}
	srv := grpc.NewServer(append(auth.ServerOptions(), //nolint:contextcheck // each call has its own context
		grpc.Creds(credentials.NewTLS(tlsConfig)),
		grpc.ChainUnaryInterceptor(unaryLogging(logger), unaryRecovery(logger)), // after the access check
		grpc.ChainStreamInterceptor(streamLogging(logger), streamRecovery(logger)),
		grpc.MaxConcurrentStreams(maxConcurrentStreams),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMinTime}),
		grpc.WaitForHandlers(true), // so that no handler, and no line of its log, outlives the server
	)...)
	store.Register(srv)
	ready := health.NewServer()
	healthpb.RegisterHealthServer(srv, ready)
	fmt.Fprintf(stdout, "fileserver: listening on %s\n", lis.Addr())
	return serveAndDrain(ctx, time.Duration(cfg.drainTimeout), logger, srv, ready, func() error { return auth.Serve(srv, lis) })
}

// serveAndDrain serves until ctx ends. Then the server takes no new calls, and
// those that run have the time given to end.
func serveAndDrain(ctx context.Context, limit time.Duration, logger *slog.Logger, srv *grpc.Server, ready *health.Server, serve func() error) error {
	served := make(chan error, 1)
	go func() { served <- serve() }()
	select {
	case err := <-served:
		srv.Stop()
		return err
	case <-ctx.Done():
	}
	logger.Info("stopping", slog.Duration("drain_timeout", limit))
	ready.Shutdown()
	cut := time.AfterFunc(limit, func() {
		logger.Warn("calls that did not end in time are cut off")
		srv.Stop()
	})
	srv.GracefulStop()
	cut.Stop()
	if err := <-served; !errors.Is(err, grpc.ErrServerStopped) { // which is what a stop before the first accept gives
		return err
	}
	return nil
}

// authorizer makes what decides about calls. For Amazon Cognito the user pool's id
// says all; an issuer elsewhere is named by its URLs.
func authorizer(ctx context.Context, cfg *config, logger *slog.Logger) (*serverauth.Authorizer, func(), error) {
	if cfg.issuer == "" {
		auth, err := serverauth.ForUserPool(ctx, cfg.userPoolID, cfg.clients.set(), serverauth.PublicHealth(), serverauth.WithLogger(logger))
		if err != nil {
			return nil, nil, startError(err)
		}
		return auth, func() { closing(logger, "the authorizer", auth) }, nil
	}
	rules, err := policy.New()
	if err != nil {
		return nil, nil, err
	}
	verifier, err := serverauth.NewVerifier(ctx,
		[]serverauth.Issuer{{URL: cfg.issuer, JWKSURL: cfg.jwksURL, Clients: cfg.clients.set()}},
		serverauth.WithLogger(logger))
	if err != nil {
		return nil, nil, startError(err)
	}
	auth, err := serverauth.New(verifier, rules, serverauth.PublicHealth(), serverauth.WithLogger(logger))
	if err != nil {
		return nil, nil, errors.Join(err, verifier.Close())
	}
	return auth, func() {
		closing(logger, "the authorizer", auth)
		closing(logger, "the verifier", verifier)
	}, nil
}

// startError tells keys that cannot be fetched, which is when the library's error
// wraps that of the fetch's context, from a configuration that is wrong.
func startError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return unavailableError{err}
	}
	return usageError{err}
}

// serverTLS reads the certificate, or makes one for loopback.
func serverTLS(cfg *config, logger *slog.Logger) (*tls.Config, error) {
	if cfg.tlsCert != "" {
		pair, err := tls.LoadX509KeyPair(cfg.tlsCert, cfg.tlsKey)
		if err != nil {
			return nil, usageError{fmt.Errorf("-tls-cert %s, -tls-key %s: %w", cfg.tlsCert, cfg.tlsKey, err)}
		}
		return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
	}
	cert, err := loopback.NewCertificate()
	if err != nil {
		return nil, err
	}
	if cfg.caOut != "" {
		if err := writeWhole(cfg.caOut, cert.PEM); err != nil {
			return nil, usageError{fmt.Errorf("-ca-out %s: %w", cfg.caOut, err)}
		}
	}
	logger.Info("made a certificate for loopback; for other addresses give -tls-cert",
		slog.Time("not_after", cert.NotAfter), slog.String("ca_out", cfg.caOut))
	return cert.ServerConfig(), nil
}

// writeWhole puts content in the file, so that a client that starts at the same
// time reads all of it or an earlier one.
func writeWhole(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o644), f.Close()) // a certificate is no secret
	if err == nil {
		err = os.Rename(f.Name(), path) //nolint:gosec // the operator's own path
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name())) //nolint:gosec // the operator's own path
	}
	return nil
}

func closing(logger *slog.Logger, what string, c io.Closer) {
	if err := c.Close(); err != nil {
		logger.Error("cannot close "+what, slog.Any("error", err))
	}
}
