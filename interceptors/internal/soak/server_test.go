// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package soak_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
	"github.com/scopeauth/scopeauth/interceptors/internal/soak/model"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// server is a real one, and the model of its world.
type server struct {
	soak  *soak
	index int
	name  string // with what sets it apart
	model *model.Server
	quiet bool // meets no unknown key id, so its keys are fetched once
	cuts  bool

	endpoints  []*endpoint // by issuer
	verifier   *serverauth.Verifier
	auth       *serverauth.Authorizer
	grpc       *grpc.Server
	done       chan error
	conns      []*grpc.ClientConn
	accessFile string

	cached, fresh atomic.Int64 // calls that were allowed, by whether the token was remembered
}

// rechecks are how often servers look at open streams.
var rechecks = []time.Duration{100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second}

// newServer starts one. Those of an even index refuse on the header frame.
func (s *soak) newServer(index int, quiet bool) (*server, error) {
	srv := &server{
		soak:  s,
		index: index,
		quiet: quiet,
		cuts:  index%6 == 4,
		model: &model.Server{
			ClockSkew: time.Duration(index/2%2) * time.Second,
			Access:    model.NewHistory(&model.AccessList{}),
			Needs:     needs,
		},
		accessFile: filepath.Join(s.dir, fmt.Sprintf("access-%d.json", index)),
		done:       make(chan error, 1),
	}
	recheck := rechecks[index/2%len(rechecks)]
	cache := serverauth.CacheLimits(8+index, 1<<20)
	if index%4 >= 2 {
		cache = serverauth.CacheLimits(1000, int64(40+index)<<10)
	}
	options := []serverauth.Option{
		s.logger, serverauth.AccessFile(srv.accessFile), serverauth.CheckRevoked(s.revoked), serverauth.RecheckStreams(recheck),
		serverauth.WithReporter(srv),
	}
	srv.name = fmt.Sprintf("server %d (look every %v, skew %v", index, recheck, srv.model.ClockSkew)
	if index%2 == 0 {
		options = append(options, serverauth.RefuseBeforeDecoding())
		srv.name += ", refuses on the header frame"
	}
	if srv.cuts {
		options = append(options, serverauth.CutIdleStreams())
		srv.name += ", cuts idle streams"
	}
	if quiet {
		srv.name += ", meets no unknown key id"
	}
	srv.name += ")"
	if err := srv.putAccessFile(&model.AccessList{}); err != nil {
		return nil, err
	}
	var err error
	if srv.verifier, err = srv.newVerifier(cache, serverauth.ClockSkew(srv.model.ClockSkew)); err != nil {
		return nil, err
	}
	rules, err := policy.New()
	if err != nil {
		return nil, errors.Join(err, srv.verifier.Close())
	}
	if srv.auth, err = serverauth.New(srv.verifier, rules, options...); err != nil {
		return nil, errors.Join(err, srv.verifier.Close())
	}
	return srv, srv.serve()
}

// newVerifier fetches the keys of all issuers, each from an endpoint of the server's own.
// A start may take 10 s at most, which is too little for a machine that is too slow: it
// is repeated.
func (srv *server) newVerifier(options ...serverauth.VerifierOption) (*serverauth.Verifier, error) {
	deadline := time.Now().Add(patience)
	for attempt := 1; ; attempt++ {
		v, err := srv.startVerifier(attempt, options...)
		if err == nil || time.Now().After(deadline) {
			return v, err
		}
	}
}

func (srv *server) startVerifier(attempt int, options ...serverauth.VerifierOption) (*serverauth.Verifier, error) {
	s := srv.soak
	srv.endpoints, srv.model.Issuers = nil, nil
	var issuers []serverauth.Issuer
	for _, i := range s.issuers {
		seen := &model.Issuer{URL: i.url, Clients: model.NewHistory(known())}
		srv.model.Issuers = append(srv.model.Issuers, seen)
		path := fmt.Sprintf("/server-%d/issuer-%d/start-%d", srv.index, i.index, attempt)
		srv.endpoints = append(srv.endpoints, s.keyServer.endpoint(path, i, &seen.Keys, srv.quiet))
		issuers = append(issuers, serverauth.Issuer{URL: i.url, JWKSURL: s.keyServer.base + path, Clients: serverauth.Clients(known()...)})
	}
	endpoints := srv.endpoints
	v, err := serverauth.NewVerifier(context.Background(), issuers, append(options, s.logger,
		serverauth.WithHTTPClient(&http.Client{Transport: s.keyServer}),
		serverauth.OnKeysRotated(func(issuer string, added, _ []string) {
			for _, e := range endpoints {
				if e.issuer.url == issuer {
					e.rotated(added)
				}
			}
		}))...)
	if err != nil {
		return nil, err
	}
	for _, e := range srv.endpoints {
		e.started()
	}
	return v, nil
}

// connections to each server.
const connections = 3

func (srv *server) serve() error {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, srv.auth.Close(), srv.verifier.Close())
	}
	srv.grpc = grpc.NewServer(append(srv.auth.ServerOptions(), grpc.Creds(credentials.NewTLS(srv.soak.serverTLS)))...)
	echov1.RegisterEchoServiceServer(srv.grpc, echo{soak: srv.soak})
	go func() { srv.done <- srv.auth.Serve(srv.grpc, lis) }()
	for range connections {
		conn, err := grpc.NewClient("passthrough:///"+lis.Addr().String(), grpc.WithTransportCredentials(
			credentials.NewTLS(&tls.Config{RootCAs: srv.soak.roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})))
		if err != nil {
			return errors.Join(err, srv.close())
		}
		srv.conns = append(srv.conns, conn)
	}
	return nil
}

func (srv *server) close() error {
	var errs []error
	for _, conn := range srv.conns {
		errs = append(errs, conn.Close())
	}
	srv.grpc.Stop()
	if err := <-srv.done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, srv.auth.Close(), srv.verifier.Close())...)
}

// Report implements [serverauth.Reporter]. It keeps the reason of a refusal, which does
// not cross the wire, for the report of a violation.
func (srv *server) Report(ctx context.Context, d serverauth.Decision) {
	switch {
	case d.Outcome != serverauth.OutcomeAllowed:
		if values := metadata.ValueFromIncomingContext(ctx, callKey); len(values) == 1 {
			srv.soak.reasons.Store(values[0], string(d.Reason)+" at "+string(d.Stage))
		}
	case d.Cached:
		srv.cached.Add(1)
	default:
		srv.fresh.Add(1)
	}
}

// revoked is the function for revocation of all servers.
func (s *soak) revoked(_ context.Context, p *serverauth.Principal) (bool, error) {
	found, ok := s.revocable.Load(p.TokenID())
	if !ok {
		return false, nil
	}
	t, _ := found.(*token)
	if t.ClientID != p.ClientID() || s.issuers[t.Issuer].url != p.Issuer() {
		s.violate(fmt.Sprintf("token %s of client %s is said to be that of client %s", t.TokenID, t.ClientID, p.ClientID()))
	}
	switch t.look() {
	case model.Revoked:
		return true, nil
	case model.Unanswered:
		return false, errNoAnswer
	default:
		return false, nil
	}
}

var errNoAnswer = errors.New("the list of revoked tokens does not answer")

// putAccessFile replaces the server's access file by renaming another.
func (srv *server) putAccessFile(list *model.AccessList) error {
	content, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return srv.renameAccessFile(content)
}

func (srv *server) renameAccessFile(content []byte) error {
	next := srv.accessFile + ".next"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		return err
	}
	return os.Rename(next, srv.accessFile)
}

// certificate makes one for loopback, and the pool that has it.
func certificate() (*tls.Config, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}, MinVersion: tls.VersionTLS12}, roots, nil
}
