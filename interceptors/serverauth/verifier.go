// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
	"github.com/scopeauth/scopeauth/interceptors/internal/jwks"
)

// TokenVerifier turns a token into its verified [Principal]. An implementation of
// the user's own returns errors made by [NewError]; any other error ends the call
// with TOKEN_INVALID. It must be safe for concurrent use.
type TokenVerifier interface {
	Verify(ctx context.Context, token string) (*Principal, error)
}

// Verifier verifies access tokens of Amazon Cognito user pools, as the Cognito
// developer guide, "Verifying JSON web tokens", asks for. It is safe for concurrent
// use. Close it at the end.
type Verifier struct {
	issuers map[string]*trustedIssuer // by the exact iss claim
	cfg     verifierConfig
}

// trustedIssuer is an issuer with its own keys: a key id means nothing without it.
type trustedIssuer struct {
	Issuer

	keys *jwks.Set
}

// startTimeout bounds the first fetch of keys, whatever the caller's context says.
const startTimeout = 10 * time.Second

// NewVerifier fetches the keys of all issuers and returns a verifier for their
// tokens. ctx bounds that first fetch, to 10 s at most, and nothing later. It is an
// error if there is no issuer, if one has no decision about app clients, or if the
// keys of one cannot be fetched in time.
func NewVerifier(ctx context.Context, issuers []Issuer, opts ...VerifierOption) (*Verifier, error) {
	cfg := newVerifierConfig(opts)
	checked, err := checkIssuers(issuers)
	if err = errors.Join(append([]error{err}, cfg.errs...)...); err != nil {
		return nil, fmt.Errorf("serverauth: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	v := &Verifier{issuers: make(map[string]*trustedIssuer, len(checked)), cfg: cfg}
	var (
		wg   sync.WaitGroup
		errs = make([]error, len(checked))
	)
	for i, issuer := range checked {
		trusted := &trustedIssuer{Issuer: issuer}
		v.issuers[issuer.URL] = trusted
		wg.Go(func() { trusted.keys, errs[i] = fetchKeys(ctx, issuer, &cfg) })
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

func fetchKeys(ctx context.Context, issuer Issuer, cfg *verifierConfig) (*jwks.Set, error) {
	set, err := jwks.New(ctx, jwks.Config{
		URL:    issuer.JWKSURL,
		Client: cfg.client,
		Logger: cfg.logger.With("issuer", issuer.URL),
	})
	if err != nil {
		return nil, fmt.Errorf("no keys of issuer %s: %w", issuer.URL, err)
	}
	return set, nil
}

// Ready reports whether the keys of every issuer are usable.
func (v *Verifier) Ready() bool {
	for _, i := range v.issuers {
		if !i.keys.Ready() {
			return false
		}
	}
	return true
}

// Close stops fetching keys and waits until nothing runs any more. Stop the servers
// that use v first: afterwards every token ends KEYS_UNAVAILABLE.
func (v *Verifier) Close() error {
	var errs []error
	for _, i := range v.issuers {
		if i.keys != nil {
			errs = append(errs, i.keys.Close())
		}
	}
	return errors.Join(errs...)
}

// Verify checks a token and returns its principal. Every error is an [*Error].
//
// The cheap checks of claims come before the signature: they can only refuse, and
// they spare the RSA operation and any fetch of keys. Nothing is believed before
// the signature holds.
func (v *Verifier) Verify(ctx context.Context, token string) (*Principal, error) {
	parsed, err := jose.Parse(token, v.cfg.maxTokenBytes)
	if err != nil {
		return nil, joseError(err)
	}
	claims := parsed.Claims()
	issuer, refusal := v.issuer(claims)
	if refusal != nil {
		return nil, refusal
	}
	facts, refusal := checkClaims(claims, issuer, v.cfg.now(), &v.cfg)
	if refusal != nil {
		return nil, refusal
	}
	key, err := issuer.keys.Key(ctx, parsed.KeyID())
	if err != nil {
		return nil, keyError(ctx, issuer, parsed.KeyID(), err)
	}
	if err := parsed.Verify(key); err != nil {
		return nil, joseError(err)
	}
	// From here on what the token says is true.
	name, ok := issuer.Clients.allows(facts.clientID)
	if !ok {
		return nil, clientError(issuer, facts)
	}
	return &Principal{
		clientID:   facts.clientID,
		clientName: name,
		issuer:     issuer.URL,
		tokenID:    claims.TokenID.Value,
		scopes:     splitScopes(claims.Scope.Value, issuer.ResourceServers),
		issuedAt:   facts.issuedAt,
		expiresAt:  facts.expiresAt,
		claim:      claims.Lookup,
	}, nil
}

// joseError passes the reason of the strict parser on.
func joseError(err error) *Error {
	if e, ok := errors.AsType[*jose.Error](err); ok {
		return NewError(e.Reason, err)
	}
	return NewError(ReasonTokenInvalid, err)
}

func keyError(ctx context.Context, issuer *trustedIssuer, kid string, err error) *Error {
	details := []detail{{"issuer", issuer.URL}, {"kid(unverified)", clip(kid)}}
	if errors.Is(err, jwks.ErrUnknownKey) {
		refusal := NewError(ReasonKeyNotFound, err)
		refusal.details = details
		return refusal
	}
	refusal := NewError(ReasonKeysUnavailable, err)
	if ctx.Err() != nil { // the caller did not wait for the keys
		refusal.code = status.FromContextError(ctx.Err()).Code()
	}
	refusal.details = details
	return refusal
}

func clientError(issuer *trustedIssuer, facts claimFacts) *Error {
	refusal := NewError(ReasonClientNotAllowed, nil)
	refusal.details = []detail{{"issuer", issuer.URL}, {"client_id", clip(facts.clientID)}}
	return refusal
}
