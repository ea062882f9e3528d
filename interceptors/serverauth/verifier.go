// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/jwks"
)

// TokenVerifier turns a token into its verified [Principal]. token is what stands behind
// "Bearer ": up to 8192 characters of RFC 6750 section 2.1, and not yet checked in any
// other way. ctx is the call's.
//
// An implementation of the user's own is asked for each call, since only [Verifier]
// remembers tokens. It returns errors made by [NewError]; any other error ends the call
// with TOKEN_INVALID, and only its type is logged, since its text could quote the token.
// A principal that is nil or has no client id ends it so, too. It must be safe for
// concurrent use. A panic is not caught.
type TokenVerifier interface {
	Verify(ctx context.Context, token string) (*Principal, error)
}

// Verifier verifies access tokens of Amazon Cognito user pools, as the Cognito
// developer guide, "Verifying JSON web tokens", asks for. It is safe for concurrent
// use. Close it at the end.
type Verifier struct {
	issuers map[string]*trustedIssuer // by the exact iss claim
	cfg     verifierConfig
	cache   *tokenCache // nil if there is none
	burst   burst
	clock   clock

	readiness readiness
	lines     lineQueue // about the keys
}

// trustedIssuer is an issuer with its own keys: a key id means nothing without it.
type trustedIssuer struct {
	Issuer

	clock   *clock // of the verifier
	keys    *jwks.Set
	clients atomic.Pointer[ClientSet] // in force; Issuer.Clients is what the constructor was given

	standing *standing // the latest; guarded by the cache's lock
}

// startTimeout bounds the first fetch of keys, whatever the caller's context says.
const startTimeout = 10 * time.Second

// NewVerifier fetches the keys of all issuers and returns a verifier for their
// tokens, which takes them by the exact iss claim. ctx bounds that first fetch, to 10 s at most, and nothing later. It is an
// error if there is no issuer, if one has no decision about app clients, or if the
// keys of one cannot be fetched in time; the last is none with [LazyStart] or with
// Issuer.StaticJWKS.
func NewVerifier(ctx context.Context, issuers []Issuer, opts ...VerifierOption) (*Verifier, error) {
	cfg := newVerifierConfig(opts)
	checked, err := checkIssuers(issuers)
	if err = errors.Join(append([]error{err}, cfg.errs...)...); err != nil {
		return nil, fmt.Errorf("serverauth: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	v := &Verifier{issuers: make(map[string]*trustedIssuer, len(checked)), cfg: cfg}
	v.clock.now, v.clock.exact = cfg.now, cfg.exactClock
	if cfg.cacheEntries > 0 {
		v.cache = newTokenCache(cfg.cacheEntries, cfg.cacheBytes)
	}
	var (
		wg   sync.WaitGroup
		errs = make([]error, len(checked))
	)
	for i, issuer := range checked {
		trusted := &trustedIssuer{Issuer: issuer, clock: &v.clock}
		trusted.clients.Store(&issuer.Clients)
		v.issuers[issuer.URL] = trusted
		wg.Go(func() { trusted.keys, errs[i] = v.fetchKeys(ctx, trusted) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		_ = v.Close() // the error that counts is the one of the fetch
		return nil, fmt.Errorf("serverauth: %w", err)
	}
	return v, nil
}

func checkIssuers(issuers []Issuer) ([]Issuer, error) {
	if len(issuers) == 0 {
		return nil, errors.New("no issuer: give at least one, such as serverauth.UserPool(id)")
	}
	var (
		checked = make([]Issuer, 0, len(issuers))
		seen    = make(map[string]bool, len(issuers))
		errs    []error
	)
	for n, i := range issuers {
		i, err := i.check()
		if err != nil {
			errs = append(errs, fmt.Errorf("issuer %d of %d: %w", n+1, len(issuers), err))
			continue
		}
		if seen[i.URL] {
			errs = append(errs, fmt.Errorf("issuer %q is given twice", i.URL))
		}
		seen[i.URL] = true
		checked = append(checked, i)
	}
	return checked, errors.Join(errs...)
}

func (v *Verifier) fetchKeys(ctx context.Context, issuer *trustedIssuer) (*jwks.Set, error) {
	cfg := jwks.Config{
		URL:     issuer.JWKSURL,
		Static:  issuer.StaticJWKS,
		Offline: issuer.Offline,
		Lazy:    v.cfg.lazy,
		Client:  v.cfg.client,
		OnReady: func(ready bool) { v.readiness.set(issuer, ready) },
		Logger:  v.lines.logger(v.cfg.logger).With("issuer", issuer.URL), // a log that hangs must not keep the keys from being fetched
	}
	cfg.OnRotate = func(added, removed []string) {
		for _, f := range v.cfg.onRotated {
			f(issuer.URL, slices.Clone(added), slices.Clone(removed))
		}
	}
	cfg.OnReject = func(err error) {
		for _, f := range v.cfg.onRejected {
			f(issuer.URL, err)
		}
	}
	set, err := jwks.New(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("no keys of issuer %s: %w", issuer.URL, err)
	}
	return set, nil
}

// Ready reports whether any issuer has usable keys, so that some tokens can be
// verified. [Verifier.Stats] tells it of each; [HealthServer] tells it to load balancers.
func (v *Verifier) Ready() bool {
	for _, i := range v.issuers {
		if i.keys.Ready() {
			return true
		}
	}
	return false
}

// SetClients changes which app clients of an issuer may come, at once: tokens that are
// remembered are checked against the new set with their next call, those of open
// streams with [RecheckStreams]. The issuer is named by its URL, exactly. If there is no
// such issuer, or something is wrong with the set, it returns an error and changes
// nothing.
func (v *Verifier) SetClients(issuerURL string, clients ClientSet) error {
	issuer, ok := v.issuers[issuerURL]
	if !ok {
		return fmt.Errorf("serverauth: SetClients: %q is no issuer of this verifier", issuerURL)
	}
	if err := clients.check(); err != nil {
		return fmt.Errorf("serverauth: SetClients: %w; nothing was changed", err)
	}
	issuer.clients.Store(&clients)
	return nil
}

// Close stops fetching keys and waits until nothing runs any more, for a second at most
// if it is a log that hangs. Stop the servers that use v first: afterwards every token
// ends KEYS_UNAVAILABLE. It can be called often; the error is always nil.
func (v *Verifier) Close() error {
	var errs []error
	for _, i := range v.issuers {
		if i.keys != nil {
			errs = append(errs, i.keys.Close())
		}
	}
	v.lines.settle()
	return errors.Join(errs...)
}

// Verify checks a token and returns its principal. Every error is an [*Error].
//
// A token that passed every check is remembered (see [CacheLimits]), and then looked
// up instead of verified, as long as its times, its key and its client are still good.
func (v *Verifier) Verify(ctx context.Context, token string) (*Principal, error) {
	who, _, refusal := v.verify(ctx, token)
	if refusal != nil {
		return nil, refusal
	}
	return who.principal, nil
}
