// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/scopeauth/scopeauth/examples/fileserver/files"
	"github.com/scopeauth/scopeauth/examples/fileserver/loopback"
	"github.com/scopeauth/scopeauth/interceptors/clientauth"
	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

const (
	appClient = "sts-test-app-client" // may have both scopes
	reader    = "read-only-client"    // may have demo/read.file only

	// tokenLifetime is far below Cognito's 5 minutes, so that renewal can be watched.
	tokenLifetime = 4 * time.Second
)

// world is everything that runs.
type world struct {
	cognito *cognitotest.Server
	pool    *cognitotest.UserPool
	other   *cognitotest.UserPool // trusted by nobody here
	cert    *loopback.Certificate
	root    string // of the file server
	addr    string
	closers []func() error
}

// start starts the embedded Cognito and the file server.
func start(ctx context.Context, protect guard) (*world, error) {
	w := &world{}
	// A pool without keys makes them while its first token is asked for, and on a slow
	// machine that can take longer than the token lives.
	own, err1 := cognitotest.GenerateKeys()
	others, err2 := cognitotest.GenerateKeys()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if err := w.startCognito(own, others); err != nil {
		return nil, errors.Join(err, w.close())
	}
	if err := w.startServer(ctx, protect); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) startCognito(own, others cognitotest.KeyPair) error {
	pool := cognitotest.DemoPool()
	pool.Clients = append(pool.Clients, cognitotest.Client{Name: reader, AllowedOAuthScopes: []string{"demo/read.file"}})
	other := cognitotest.DemoPool()
	other.Name = "another-pool"
	cognito, err := cognitotest.NewServer(
		cognitotest.WithPool(pool), cognitotest.WithPool(other), cognitotest.WithKeys(own, others), cognitotest.WithTokenLifetime(tokenLifetime))
	if err != nil {
		return err
	}
	w.closers = append(w.closers, cognito.Close)
	w.cognito, w.pool, w.other = cognito, cognito.Pool(pool.Name), cognito.Pool(other.Name)
	return nil
}

// startServer is what a service does. With a real user pool the first three steps are
// one: serverauth.ForUserPool(ctx, userPoolID, clients).
func (w *world) startServer(ctx context.Context, protect guard) error {
	quiet := serverauth.WithLogger(slog.New(slog.DiscardHandler)) // the table below tells what is refused
	verifier, err := serverauth.NewVerifier(ctx, []serverauth.Issuer{{
		URL:     w.pool.Issuer(),
		JWKSURL: w.pool.JWKSURL(),
		Clients: serverauth.NamedClients(map[string]string{
			appClient: w.pool.Client(appClient).ID,
			reader:    w.pool.Client(reader).ID,
		}),
	}}, quiet)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, verifier.Close)
	rules, err := policy.New()
	if err != nil {
		return err
	}
	auth, err := serverauth.New(verifier, rules, quiet)
	if err != nil {
		return err
	}
	if w.root, err = os.MkdirTemp("", "scopeauth-quickstart-"); err != nil {
		return err
	}
	w.closers = append(w.closers, func() error { return os.RemoveAll(w.root) })
	store, err := files.New(w.root)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, store.Close)
	if w.cert, err = loopback.NewCertificate(); err != nil {
		return err
	}
	srv := grpc.NewServer(append(protect(auth), grpc.Creds(credentials.NewTLS(w.cert.ServerConfig())))...)
	store.Register(srv)
	// Serve checks this too, but its error would come when the clients are at work.
	if err := auth.CheckServer(srv); err != nil {
		return err
	}
	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	w.addr = lis.Addr().String()
	done := make(chan error, 1)
	go func() { done <- auth.Serve(srv, lis) }()
	w.closers = append(w.closers, func() error {
		srv.Stop()
		return <-done
	})
	return nil
}

// dial connects a client that gets its tokens from the pool's token endpoint.
func (w *world) dial(pool *cognitotest.UserPool, client string, scopes clientauth.Selection) (*clientauth.ClientCredentials, *grpc.ClientConn, error) {
	app := pool.Client(client)
	tokens, err := clientauth.NewClientCredentials(clientauth.Config{
		TokenURL: pool.TokenURL(),
		ClientID: app.ID,
		Secret:   clientauth.StaticSecret(app.Secret),
	}, clientauth.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, nil, err
	}
	w.closers = append(w.closers, tokens.Close)
	conn, err := clientauth.NewClient(w.addr, tokens, scopes, grpc.WithTransportCredentials(credentials.NewTLS(w.cert.ClientConfig())))
	if err != nil {
		return nil, nil, err
	}
	w.closers = append(w.closers, conn.Close)
	return tokens, conn, nil
}

// dialBare connects a client that knows nothing of scopeauth.
func (w *world) dialBare() (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(w.addr, grpc.WithTransportCredentials(credentials.NewTLS(w.cert.ClientConfig())))
	if err == nil {
		w.closers = append(w.closers, conn.Close)
	}
	return conn, err
}

// onDisk tells a file's state from the disk itself, not from what the server says.
func (w *world) onDisk(name string) string {
	info, err := os.Stat(filepath.Join(w.root, name))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "no file"
	case err != nil:
		return "disk: " + err.Error()
	default:
		return fmt.Sprintf("%d bytes", info.Size())
	}
}

func (w *world) stop() { _ = w.close() }

func (w *world) close() error {
	var errs []error
	for _, closer := range slices.Backward(w.closers) {
		errs = append(errs, closer())
	}
	w.closers = nil
	return errors.Join(errs...)
}
