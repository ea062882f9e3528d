// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// UserPool is a pool of a running server. Its methods are safe for concurrent use.
//
// A pool that has been deleted does no harm: it has no clients, scopes and
// domains any more, and methods that would change it or need its keys return an error.
type UserPool struct {
	server *Server
	id     string
	record atomic.Pointer[poolRecord]
	keys   keyRing
	faults faultBook
	stats  stats

	// The mutex of the store guards these.
	servers ordered[*resourceServer] // by identifier
	clients ordered[*client]         // by id
}

// client is an app client as token requests need it. It is never changed: a
// change puts another in its place.
type client struct {
	record   *clientRecord
	id, name string
	flows    []string
	oauth    bool
	allowed  []string
	lifetime time.Duration
}

// newClient makes the client of a record. A lifetime that is not zero overrides its own.
func newClient(r *clientRecord, lifetime time.Duration) *client {
	if lifetime == 0 {
		lifetime = r.lifetime()
	}
	return &client{record: r, id: r.ID, name: r.Name, flows: r.Flows, oauth: r.OAuth, allowed: r.Scopes, lifetime: lifetime}
}

// resourceServer is never changed either.
type resourceServer struct {
	record *resourceServerRecord
	scopes map[string]bool // by name, without the identifier
}

func newResourceServer(r *resourceServerRecord) *resourceServer {
	rs := &resourceServer{record: r, scopes: make(map[string]bool, len(r.Scopes))}
	for _, s := range r.Scopes {
		rs.scopes[s.Name] = true
	}
	return rs
}

func newUserPool(s *Server, id string) *UserPool {
	p := &UserPool{server: s, id: id}
	p.keys.pool = p
	return p
}

// gone reports whether the pool has been deleted.
func (p *UserPool) gone() bool {
	present, _ := p.server.store.pool(p.id)
	return present != p
}

func (p *UserPool) goneError() error { return &goneError{p.id} }

// goneError is a change of a pool that has been deleted.
type goneError struct{ id string }

// Error names the pool.
func (e *goneError) Error() string { return "cognitotest: user pool " + e.id + " has been deleted" }

// commit makes a change of the pool, as [store.commit] does.
func (p *UserPool) commit(plan func() (change, error)) error {
	return p.server.store.commit(func() (change, error) {
		if p.gone() {
			return change{}, p.goneError()
		}
		c, err := plan()
		c.Pool = p.id
		return c, err
	})
}

// edit changes settings of the pool: edit gets a copy of its own.
func (p *UserPool) edit(edit func(r *poolRecord) error) error {
	return p.commit(func() (change, error) {
		r := *p.record.Load()
		r.Domains = slices.Clone(r.Domains)
		r.Modified = p.server.clock()
		err := edit(&r)
		return change{Put: &r}, err
	})
}

// editClient changes a client: edit gets a copy of its own, whose slices must be replaced and not written to.
func (p *UserPool) editClient(c *client, edit func(r *clientRecord) error) (change, error) {
	r := *c.record
	r.Modified = p.server.clock()
	err := edit(&r)
	return change{Clients: []*clientRecord{&r}}, err
}

// ID returns the pool id, <region>_<letters and digits>.
func (p *UserPool) ID() string { return p.id }

// Name returns the pool's name.
func (p *UserPool) Name() string { return p.record.Load().Name }

// Region returns the pool's AWS region.
func (p *UserPool) Region() string { return p.record.Load().region() }

// TokenURL returns the token endpoint, <URL>/<domain>/oauth2/token. A pool with a
// prefix and a custom domain has it under both; this is the prefix. Empty: the
// pool has no domain.
func (p *UserPool) TokenURL() string { return below(p.domainURL(), tokenPath) }

// Issuer returns the iss claim of the pool's tokens; see [Pool] for its form.
func (p *UserPool) Issuer() string {
	form := p.record.Load().Issuer
	if form == IssuerEmulator {
		return p.server.url + "/" + p.id
	}
	return p.CognitoIssuer(form)
}

// JWKSURL returns the address of the public keys on this server, whatever the
// form of the issuer.
func (p *UserPool) JWKSURL() string { return p.server.url + "/" + p.id + wellKnownPath + "jwks.json" }

// CognitoTokenURL returns the token endpoint as Amazon Cognito would name it.
// [Server.Transport] serves it. Empty: the pool has no domain.
func (p *UserPool) CognitoTokenURL() string { return below(p.cognitoDomainURL(), tokenPath) }

// CognitoIssuer returns the issuer as Amazon Cognito would name it, in the
// ORIGINAL or UPDATED form. [Server.Transport] serves the well-known paths
// below both, whichever the pool's tokens carry.
func (p *UserPool) CognitoIssuer(form IssuerForm) string {
	host := "cognito-idp."
	if form == IssuerUpdated {
		host = "issuer-cognito-idp."
	}
	return "https://" + host + p.Region() + ".amazonaws.com/" + p.id
}

// domainURL is the domain under the server's own address, or empty.
func (p *UserPool) domainURL() string {
	domain := p.record.Load().domain()
	if domain == "" {
		return ""
	}
	return p.server.url + "/" + domain
}

// cognitoDomainURL is the domain as AWS would name it, or empty.
func (p *UserPool) cognitoDomainURL() string {
	r := p.record.Load()
	if r.domain() == "" {
		return ""
	}
	return "https://" + domainRecord{Name: r.domain()}.host(r.region())
}

// below adds a path to an address, unless there is none.
func below(address, path string) string {
	if address == "" {
		return ""
	}
	return address + path
}

// Client returns id and first secret of the app client with this name or id.
// The zero value says that there is none.
func (p *UserPool) Client(nameOrID string) Credentials {
	c := p.find(nameOrID)
	if c == nil {
		return Credentials{}
	}
	out := Credentials{ID: c.id}
	if len(c.record.Secrets) > 0 {
		out.Secret = c.record.Secrets[0].Value
	}
	return out
}

// ClientNames returns the names of the app clients, oldest client first.
func (p *UserPool) ClientNames() []string {
	clients := p.allClients()
	names := make([]string, len(clients))
	for i, c := range clients {
		names[i] = c.name
	}
	return names
}

// ClientIDs returns the ids of the app clients, oldest client first. Unlike
// names they are unique, also among clients that were created while the server ran.
func (p *UserPool) ClientIDs() []string {
	clients := p.allClients()
	ids := make([]string, len(clients))
	for i, c := range clients {
		ids[i] = c.id
	}
	return ids
}

func (p *UserPool) allClients() []*client {
	p.server.store.mu.RLock()
	defer p.server.store.mu.RUnlock()
	return p.clients.all()
}

// client returns the client with an id, or nil.
func (p *UserPool) client(id string) *client {
	p.server.store.mu.RLock()
	defer p.server.store.mu.RUnlock()
	c, _ := p.clients.get(id)
	return c
}

// find is for the Go API; requests name clients by id only.
func (p *UserPool) find(nameOrID string) *client {
	if c := p.client(nameOrID); c != nil {
		return c
	}
	clients := p.allClients()
	if i := slices.IndexFunc(clients, func(c *client) bool { return c.name == nameOrID }); i >= 0 {
		return clients[i]
	}
	return nil
}

// resourceServer returns the resource server with an identifier, or nil.
func (p *UserPool) resourceServer(identifier string) *resourceServer {
	p.server.store.mu.RLock()
	defer p.server.store.mu.RUnlock()
	rs, _ := p.servers.get(identifier)
	return rs
}

// hasScope reports whether a resource server of the pool has this whole scope
// now. Names have no "/", identifiers may.
func (p *UserPool) hasScope(scope string) bool {
	cut := strings.LastIndexByte(scope, '/')
	if cut < 0 {
		return false
	}
	rs := p.resourceServer(scope[:cut])
	return rs != nil && rs.scopes[scope[cut+1:]]
}

// AddClientSecret gives the client a second active secret and returns it
// (AddUserPoolClientSecret). There can be two; the oldest is deleted with [UserPool.DeleteClientSecret].
func (p *UserPool) AddClientSecret(nameOrID string) (Credentials, error) {
	var added Credentials
	err := p.commit(func() (change, error) {
		c := p.find(nameOrID)
		switch {
		case c == nil:
			return change{}, failf("pool %s has no client %q", p.Name(), nameOrID)
		case len(c.record.Secrets) == 0:
			return change{}, failf("a public client cannot get a secret")
		case len(c.record.Secrets) == maxSecrets:
			return change{}, failf("client %s has %d active secrets already; delete one first", c.name, maxSecrets)
		}
		added = Credentials{ID: c.id, Secret: newSecret()}
		return p.editClient(c, func(r *clientRecord) error {
			r.addSecret(added.Secret, p.server.clock(), true)
			return nil
		})
	})
	if err != nil {
		return Credentials{}, err
	}
	return added, nil
}

// DeleteClientSecret deletes the oldest of two active secrets
// (DeleteUserPoolClientSecret). The last one cannot be deleted.
func (p *UserPool) DeleteClientSecret(nameOrID string) error {
	return p.commit(func() (change, error) {
		c := p.find(nameOrID)
		switch {
		case c == nil:
			return change{}, failf("pool %s has no client %q", p.Name(), nameOrID)
		case len(c.record.Secrets) < maxSecrets:
			return change{}, failf("the last secret of a client cannot be deleted; add another first")
		}
		return p.editClient(c, func(r *clientRecord) error {
			r.Secrets = slices.Clone(r.Secrets[1:])
			return nil
		})
	})
}

// RemoveScope takes a whole scope ("demo/read.file") off its resource server.
// Clients keep it in their list, but tokens no longer carry it and asking for it is no error.
func (p *UserPool) RemoveScope(scope string) error {
	return p.commit(func() (change, error) {
		if !p.hasScope(scope) {
			return change{}, failf("pool %s has no scope %q", p.Name(), scope)
		}
		cut := strings.LastIndexByte(scope, '/')
		r := *p.resourceServer(scope[:cut]).record
		r.Scopes = slices.DeleteFunc(slices.Clone(r.Scopes), func(s scopeRecord) bool { return s.Name == scope[cut+1:] })
		return change{ResourceServers: []*resourceServerRecord{&r}}, nil
	})
}

// checkSecret finds the client and says whether the secret is one of its own. A public
// client has none and shows none. The comparison takes the same time for each
// secret of the same client, right or wrong.
func (p *UserPool) checkSecret(id, secret string) (*client, bool) {
	c := p.client(id)
	if c == nil {
		return nil, false
	}
	if len(c.record.Secrets) == 0 {
		return c, secret == ""
	}
	got := sha256.Sum256([]byte(secret))
	match := 0
	for _, s := range c.record.Secrets {
		want := sha256.Sum256([]byte(s.Value))
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

// DropOldKeys takes all public keys but the present pair's out of the JWKS. An error
// says that they are still there: the change could not be kept, see [WithStateFile].
func (p *UserPool) DropOldKeys() error { return p.keys.dropOld() }

// SetFault is [Server.SetFault] for this pool alone.
func (p *UserPool) SetFault(e Endpoint, faults ...Fault) { p.faults.set(e, faults) }

// ClearFaults removes the faults of this pool alone; those of the server stay.
func (p *UserPool) ClearFaults() { p.faults.clear() }

func (p *UserPool) nextFault(e Endpoint) *Fault {
	if f := p.faults.next(e); f != nil {
		return f
	}
	return p.server.faults.next(e)
}

// Counts returns what the pool was asked so far.
func (p *UserPool) Counts() Counts { return p.stats.counts() }

// TokenRequests returns those of [Server.TokenRequests] that were for this pool.
func (p *UserPool) TokenRequests() []TokenRequest {
	return slices.DeleteFunc(p.server.TokenRequests(), func(t TokenRequest) bool { return t.Pool != p.id })
}
