// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// Authorizer decides for every call of a server. It is safe for concurrent use.
type Authorizer struct {
	verifier      TokenVerifier
	owned         *Verifier // made by ForUserPool and closed by Close
	policy        *policy.Policy
	allowInsecure bool
	maxTokenBytes int
	log           *refusalLog

	// handedOut notes whether anything that protects a server was asked for, so that
	// Serve does not start one that nothing protects.
	handedOut struct{ unary, stream atomic.Bool }
}

// ForUserPool returns an authorizer for the access tokens of one Cognito user pool
// and the access rules of the descriptors that are linked into the program. It
// fetches the pool's keys: ctx bounds that, to 10 s at most, and nothing later.
// The pool's issuer is the original form; for a pool of the type UPDATED use
// [NewVerifier] with [UserPoolUpdated], and [New].
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
		return nil, err
	}
	a.use(v)
	a.owned = v
	return a, nil
}

// New returns an authorizer that verifies tokens with v and takes its rules from p.
// It does not close v.
func New(v TokenVerifier, p *policy.Policy, opts ...Option) (*Authorizer, error) {
	cfg := newConfig(opts)
	if own, ok := v.(*Verifier); v == nil || ok && own == nil {
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
	a.use(v)
	return a, nil
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
	for _, fault := range p.Faults() {
		cfg.logger.Warn("scopeauth: a linked service has a faulty access rule; calls to it are refused",
			"service", fault.Service, "method", fault.Method, "file", fault.File, "problem", fault.Problem)
	}
	return &Authorizer{
		policy:        p,
		allowInsecure: cfg.allowInsecure != "",
		maxTokenBytes: jose.DefaultMaxBytes,
		log:           newRefusalLog(cfg.logger, cfg.refusalsBurst),
	}, nil
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

func (a *Authorizer) use(v TokenVerifier) {
	a.verifier = v
	if own, ok := v.(*Verifier); ok {
		a.maxTokenBytes = own.cfg.maxTokenBytes
	}
}

// Close stops what [ForUserPool] started and waits for it. It leaves a verifier
// that was given to [New] alone. Stop the server first: calls that need a token and
// come after Close end UNAVAILABLE.
func (a *Authorizer) Close() error {
	if a.owned == nil {
		return nil
	}
	return a.owned.Close()
}
