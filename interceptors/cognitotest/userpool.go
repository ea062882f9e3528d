// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"sync"
	"time"
)

// UserPool is a pool of a running server. Its methods are safe for concurrent use.
type UserPool struct {
	server                   *Server
	id, name, region, domain string
	issuer                   IssuerForm
	reject                   bool
	keys                     keyRing
	faults                   faultBook
	stats                    stats

	mu      sync.RWMutex
	scopes  map[string]bool // whole custom scopes that the resource servers have
	clients []*client
}

// client is an app client. Only its secrets change, under the pool's mutex.
type client struct {
	id, name string
	secrets  []string
	flows    []string
	oauth    bool
	allowed  []string
	lifetime time.Duration
}

// newUserPool takes a pool that has been completed and checked.
func newUserPool(s *Server, c Pool, lifetime time.Duration) *UserPool {
	p := &UserPool{
		server: s, id: c.ID, name: c.Name, region: c.Region, domain: c.Domain,
		issuer: c.Issuer,
		reject: c.DisallowedScopes == RejectScopes,
		scopes: make(map[string]bool),
	}
	p.keys.poolID = c.ID
	if !c.Keys.isZero() {
		p.keys.pairs = []keyPair{p.keys.named(c.Keys)}
	}
	for _, rs := range c.ResourceServers {
		for _, scope := range rs.Scopes {
			p.scopes[rs.Identifier+"/"+scope.Name] = true
		}
	}
	for _, cl := range c.Clients {
		live := &client{
			id: cl.ID, name: cl.Name,
			secrets:  slices.Clone(cl.Secrets),
			flows:    slices.Clone(cl.AllowedOAuthFlows),
			oauth:    *cl.AllowedOAuthFlowsUserPoolClient,
			allowed:  slices.Clone(cl.AllowedOAuthScopes),
			lifetime: cl.AccessTokenValidity,
		}
		if lifetime > 0 {
			live.lifetime = lifetime
		}
		p.clients = append(p.clients, live)
	}
	return p
}

// ID returns the pool id, <region>_<letters and digits>.
func (p *UserPool) ID() string { return p.id }

// Name returns the pool's name.
func (p *UserPool) Name() string { return p.name }

// Region returns the pool's AWS region.
func (p *UserPool) Region() string { return p.region }

// TokenURL returns the token endpoint, <URL>/<domain>/oauth2/token.
func (p *UserPool) TokenURL() string { return p.domainURL() + tokenPath }

// Issuer returns the iss claim of the pool's tokens; see [Pool] for its form.
func (p *UserPool) Issuer() string {
	if p.issuer == IssuerEmulator {
		return p.server.url + "/" + p.id
	}
	return p.CognitoIssuer(p.issuer)
}

// JWKSURL returns the address of the public keys on this server, whatever the
// form of the issuer.
func (p *UserPool) JWKSURL() string { return p.server.url + "/" + p.id + wellKnownPath + "jwks.json" }

// CognitoTokenURL returns the token endpoint as Amazon Cognito would name it.
// [Server.Transport] serves it.
func (p *UserPool) CognitoTokenURL() string { return "https://" + p.domainHost() + tokenPath }

// CognitoIssuer returns the issuer as Amazon Cognito would name it, in the
// ORIGINAL or UPDATED form. [Server.Transport] serves the well-known paths
// below both, whichever the pool's tokens carry.
func (p *UserPool) CognitoIssuer(form IssuerForm) string {
	host := "cognito-idp."
	if form == IssuerUpdated {
		host = "issuer-cognito-idp."
	}
	return "https://" + host + p.region + ".amazonaws.com/" + p.id
}

func (p *UserPool) domainURL() string { return p.server.url + "/" + p.domain }

// Client returns id and first secret of the app client with this name or id.
// The zero value says that there is none.
func (p *UserPool) Client(nameOrID string) Credentials {
	p.mu.RLock()
	defer p.mu.RUnlock()
	c := p.find(nameOrID)
	if c == nil {
		return Credentials{}
	}
	return c.credentials()
}

// ClientNames returns the names of the app clients in the order of the configuration.
func (p *UserPool) ClientNames() []string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	names := make([]string, len(p.clients))
	for i, c := range p.clients {
		names[i] = c.name
	}
	return names
}

func (c *client) credentials() Credentials {
	out := Credentials{ID: c.id}
	if len(c.secrets) > 0 {
		out.Secret = c.secrets[0]
	}
	return out
}

// find needs the mutex.
func (p *UserPool) find(nameOrID string) *client {
	for _, c := range p.clients {
		if c.id == nameOrID || c.name == nameOrID {
			return c
		}
	}
	return nil
}

// AddClientSecret gives the client a second active secret and returns it
// (AddUserPoolClientSecret). There can be two; the oldest is deleted with [UserPool.DeleteClientSecret].
func (p *UserPool) AddClientSecret(nameOrID string) (Credentials, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.find(nameOrID)
	switch {
	case c == nil:
		return Credentials{}, failf("pool %s has no client %q", p.name, nameOrID)
	case len(c.secrets) == 0:
		return Credentials{}, failf("a public client cannot get a secret")
	case len(c.secrets) == maxSecrets:
		return Credentials{}, failf("client %s has %d active secrets already; delete one first", c.name, maxSecrets)
	}
	secret := newSecret()
	c.secrets = append(c.secrets, secret)
	return Credentials{ID: c.id, Secret: secret}, nil
}

// DeleteClientSecret deletes the oldest of two active secrets
// (DeleteUserPoolClientSecret). The last one cannot be deleted.
func (p *UserPool) DeleteClientSecret(nameOrID string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.find(nameOrID)
	if c == nil {
		return failf("pool %s has no client %q", p.name, nameOrID)
	}
	if len(c.secrets) < maxSecrets {
		return failf("the last secret of a client cannot be deleted; add another first")
	}
	c.secrets = slices.Clone(c.secrets[1:])
	return nil
}

// RemoveScope takes a whole scope ("demo/read.file") off its resource server.
// Clients keep it in their list, but tokens no longer carry it and asking for it is no error.
func (p *UserPool) RemoveScope(scope string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.scopes[scope] {
		return failf("pool %s has no scope %q", p.name, scope)
	}
	delete(p.scopes, scope)
	return nil
}

// checkSecret finds the client and says whether the secret is one of its own. A public
// client has none and shows none. The comparison takes the same time for each
// secret of the same client, right or wrong.
func (p *UserPool) checkSecret(id, secret string) (*client, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var c *client
	for _, candidate := range p.clients {
		if candidate.id == id {
			c = candidate
		}
	}
	if c == nil {
		return nil, false
	}
	if len(c.secrets) == 0 {
		return c, secret == ""
	}
	got := sha256.Sum256([]byte(secret))
	match := 0
	for _, s := range c.secrets {
		want := sha256.Sum256([]byte(s))
		match |= subtle.ConstantTimeCompare(got[:], want[:])
	}
	return c, match == 1
}

// RotateKeys makes a new pair of signing keys, which sign from now on. The
// public keys of the keep youngest pairs before it stay in the JWKS, older ones
// go: 0 makes all earlier tokens unverifiable at once. It takes some tenths of
// a second; [UserPool.RotateKeysTo] takes a ready pair.
func (p *UserPool) RotateKeys(keep int) error {
	pair, err := GenerateKeys()
	if err != nil {
		return err
	}
	return p.RotateKeysTo(pair, keep)
}

// RotateKeysTo is [UserPool.RotateKeys] with a ready pair.
func (p *UserPool) RotateKeysTo(pair KeyPair, keep int) error {
	if problem := pair.problem(); problem != "" {
		return failf("rotation: %s", problem)
	}
	return p.keys.rotate(pair, keep)
}

// DropOldKeys takes all public keys but the present pair's out of the JWKS.
func (p *UserPool) DropOldKeys() { p.keys.dropOld() }

// SetFault is [Server.SetFault] for this pool alone.
func (p *UserPool) SetFault(e Endpoint, faults ...Fault) { p.faults.set(e, faults) }

func (p *UserPool) nextFault(e Endpoint) *Fault {
	if f := p.faults.next(e); f != nil {
		return f
	}
	return p.server.faults.next(e)
}

// Counts returns what the pool was asked so far.
func (p *UserPool) Counts() Counts { return p.stats.counts() }
