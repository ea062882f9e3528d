// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/scopeauth/scopeauth/interceptors/internal/accesslist"
	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// Authorizer decides for every call of a server. It is safe for concurrent use.
type Authorizer struct {
	verifier TokenVerifier
	own      *Verifier // verifier, if it is our own
	owned    bool      // it was made by ForUserPool and is closed by Close
	policy   *policy.Policy
	now      func() time.Time
	log      *refusalLog

	allowInsecure  bool
	metadataKey    string
	maxTokenBytes  int
	ownScopes      *ownScopes
	access         *accesslist.List
	accessLines    lineQueue
	revoked        RevokedFunc
	checkCall      CheckCallFunc
	reporters      []Reporter
	reportOnly     *policy.ReportOnly
	early          *earlyRefusal
	cutIdle        bool
	recheckStreams time.Duration
	stopHealth     func()

	swift bool // see isSwift
	noted notedMethods

	// services are the registered methods, by full name, and whether each is a stream;
	// nil until CheckServer has seen the server.
	services atomic.Pointer[map[string]bool]

	// handedOut notes whether anything that protects a server was asked for, so that
	// Serve does not start one that nothing protects.
	handedOut struct{ unary, stream atomic.Bool }
}

// ForUserPool returns an authorizer for the access tokens of one Cognito user pool
// and the access rules of the descriptors that are linked into the program. It
// fetches the pool's keys: ctx bounds that, to 10 s at most, and nothing later.
// The pool's issuer is the original form; for a pool of the type UPDATED use
// [NewVerifier] with [UserPoolUpdated], and [New].
//
// It is an error if something is wrong with the id, the clients, the rules or an option,
// which is found before the network is asked, or if the keys cannot be fetched in time,
// unless [LazyStart] is given. Close the authorizer at the end.
func ForUserPool(ctx context.Context, userPoolID string, clients ClientSet, opts ...Option) (*Authorizer, error) {
	cfg := newConfig(opts)
	issuer := UserPool(userPoolID)
	issuer.Clients = clients
	p := cfg.policy
	if p == nil {
		var err error
		if p, err = policy.New(); err != nil {
			return nil, fmt.Errorf("serverauth: %w", err)
		}
	}
	// The rules are checked before the network is asked.
	a, err := newAuthorizer(p, cfg)
	if err != nil {
		return nil, err
	}
	v, err := NewVerifier(ctx, []Issuer{issuer}, cfg.verifier...)
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	a.owned = true
	if err := a.use(v, cfg); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// New returns an authorizer that verifies tokens with v, which is a [Verifier] or one of
// the user's own, and takes its rules from p. Several authorizers can share a Verifier.
// Close the authorizer at the end, and v after it: New does not take v over.
func New(v TokenVerifier, p *policy.Policy, opts ...Option) (*Authorizer, error) {
	cfg := newConfig(opts)
	if isNil(v) {
		cfg.errs = append(cfg.errs, errors.New("New needs a TokenVerifier, such as NewVerifier makes"))
	}
	if p == nil {
		cfg.errs = append(cfg.errs, errors.New("New needs a policy, such as policy.New makes"))
	}
	if cfg.policy != nil {
		cfg.errs = append(cfg.errs, errors.New("WithPolicy is for ForUserPool: New is given the policy"))
	}
	if cfg.verifierOnly {
		cfg.errs = append(cfg.errs, errors.New("an option for the verifier was given to New: give it to NewVerifier"))
	}
	a, err := newAuthorizer(p, cfg)
	if err != nil {
		return nil, err
	}
	if err := a.use(v, cfg); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// isNil finds also a nil pointer or function in the interface.
func isNil(v TokenVerifier) bool {
	if v == nil {
		return true
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map:
		return r.IsNil()
	default:
		return false
	}
}

func newAuthorizer(p *policy.Policy, cfg *config) (*Authorizer, error) {
	if cfg.publicHealth && p != nil {
		with, err := withPublicHealth(p)
		if err != nil {
			cfg.errs = append(cfg.errs, fmt.Errorf("PublicHealth: %w", err))
		}
		p = with
	}
	if err := errors.Join(cfg.errs...); err != nil {
		return nil, fmt.Errorf("serverauth: %w", err)
	}
	if cfg.reportOnly != nil {
		if err := cfg.reportOnly.Valid(p); err != nil {
			return nil, fmt.Errorf("serverauth: %w", err)
		}
	}
	for _, fault := range p.Faults() {
		cfg.logger.Warn("scopeauth: a linked service has a faulty access rule; calls to it are refused",
			"service", fault.Service, "method", fault.Method, "file", fault.File, "problem", fault.Problem)
	}
	a := &Authorizer{
		policy:         p,
		now:            time.Now,
		log:            newRefusalLog(cfg.logger, cfg.refusalsBurst),
		allowInsecure:  cfg.allowInsecure != "",
		metadataKey:    cfg.metadataKey,
		maxTokenBytes:  jose.DefaultMaxBytes,
		ownScopes:      cfg.ownScopes,
		revoked:        cfg.revoked,
		checkCall:      cfg.checkCall,
		reporters:      cfg.reporters,
		reportOnly:     cfg.reportOnly,
		early:          cfg.early,
		cutIdle:        cfg.cutIdle,
		recheckStreams: cfg.recheckStreams,
	}
	a.announceReportOnly(cfg)
	return a, nil
}

func (a *Authorizer) openAccessFile(cfg *config) error {
	if cfg.accessFile == "" {
		return nil
	}
	known := make(map[string]bool)
	for method := range a.policy.Methods() {
		known[method] = true
		known[strings.Split(method, "/")[1]] = true
	}
	config := accesslist.Config{
		Logger:      a.accessLines.logger(cfg.logger), // a log that hangs must not keep the file from being read
		KnownMethod: func(name string) bool { return known[name] },
	}
	if a.own != nil {
		config.KnownIssuer = func(issuer string) bool { return a.own.issuers[issuer] != nil }
	}
	list, err := accesslist.Open(cfg.accessFile, config)
	if err != nil {
		return fmt.Errorf("serverauth: AccessFile: %w", err)
	}
	a.access = list
	if a.recheckStreams == 0 {
		a.recheckStreams = defaultRecheck
	}
	return nil
}

// withPublicHealth opens the two methods that load balancers, kubelets and gRPC's own
// client-side checks call. List names the server's services, so it needs a token.
func withPublicHealth(p *policy.Policy) (*policy.Policy, error) {
	const service = "grpc.health.v1.Health"
	for _, method := range []string{healthpb.Health_Check_FullMethodName, healthpb.Health_Watch_FullMethodName, healthpb.Health_List_FullMethodName} {
		if rule, _ := p.Rule(method); rule.Kind() != policy.KindNone {
			return nil, fmt.Errorf("the policy has a rule for %s already: leave out one of the two", method)
		}
	}
	public := policy.Public("load balancers and kubelets have no token")
	return p.With(
		policy.WithService(service, "Check", "Watch", "List"), // for a policy whose files do not have it
		policy.WithRule(healthpb.Health_Check_FullMethodName, public),
		policy.WithRule(healthpb.Health_Watch_FullMethodName, public),
		policy.WithRule(healthpb.Health_List_FullMethodName, policy.Authenticated()),
	)
}

func (a *Authorizer) use(v TokenVerifier, cfg *config) error {
	a.verifier = v
	own, ok := v.(*Verifier)
	if ok {
		a.own = own
		a.now = own.cfg.now
		a.maxTokenBytes = own.cfg.maxTokenBytes
	}
	if err := a.openAccessFile(cfg); err != nil {
		return err
	}
	a.swift = a.isSwift()
	return a.tellHealth(cfg)
}

// Close stops what the authorizer started and waits for it: the reading of an access
// file, and the verifier that [ForUserPool] made. It leaves a verifier that was given
// to [New] alone. Lines that are still to be logged are waited for as well, for a second
// at most if the log hangs. Stop the server first: calls that need the file or the
// verifier and come after Close end UNAVAILABLE. It can be called often; the error is
// always nil.
func (a *Authorizer) Close() error {
	var errs []error
	if a.stopHealth != nil {
		a.stopHealth()
	}
	if a.access != nil {
		errs = append(errs, a.access.Close())
	}
	if a.owned && a.own != nil {
		errs = append(errs, a.own.Close())
	}
	a.accessLines.settle()
	a.log.queue.settle()
	for _, r := range a.reporters {
		if l, ok := r.(*decisionLog); ok {
			l.queue.settle()
		}
	}
	return errors.Join(errs...)
}
