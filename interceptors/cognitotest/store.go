// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// recorder keeps changes, so that the model outlives the process. It is called
// with one change at a time, in the order in which they become visible.
type recorder interface {
	// record returns when the change is kept. After an error it must not be kept.
	record(c change) error
}

// forget is the recorder of a server without a state.
type forget struct{}

func (forget) record(change) error { return nil }

// store is the model of a server: its user pools and what is in them.
//
// Each change is checked against the model, recorded and applied, one after the
// other. Whoever only reads never waits for the recorder: the read-write mutex
// is held for look-ups and for putting a change in place, and for nothing else.
// What the look-ups return is never changed later.
type store struct {
	server   *Server
	recorder recorder
	run      string // another one each time the program runs

	writers sync.Mutex // held from the check of a change until it is visible

	mu      sync.RWMutex
	pools   ordered[*UserPool]     // by id
	domains map[string]*UserPool   // by prefix or custom domain
	hosts   map[string]*UserPool   // by the host name of a domain
	clients map[string][]*UserPool // by client id; more than one only if a configuration says so
	regions map[string]int         // how many pools are there
}

func newStore(s *Server) *store {
	return &store{
		server:   s,
		recorder: forget{},
		run:      random(lowerBase32Hex, 8),
		domains:  make(map[string]*UserPool),
		hosts:    make(map[string]*UserPool),
		clients:  make(map[string][]*UserPool),
		regions:  make(map[string]int),
	}
}

// commit makes a change. plan sees the model as it is when the change is made;
// its error is returned as it is.
func (s *store) commit(plan func() (change, error)) error {
	s.writers.Lock()
	defer s.writers.Unlock()
	c, err := plan()
	if err != nil {
		return err
	}
	if err := s.check(&c); err != nil {
		return err
	}
	if err := s.recorder.record(c); err != nil {
		return &recordError{err}
	}
	s.put(&c)
	return nil
}

// recordError says that a change could not be kept and so did not happen.
type recordError struct{ cause error }

// Error returns the cause with what it means.
func (e *recordError) Error() string {
	return fmt.Sprintf("cognitotest: nothing was changed, the change could not be kept: %v", e.cause)
}

// Unwrap returns the recorder's error.
func (e *recordError) Unwrap() error { return e.cause }

// apply makes a recorded change visible again. It is not recorded. An error
// says that the change does not fit to those before it; then nothing happened.
func (s *store) apply(c change) error {
	s.writers.Lock()
	defer s.writers.Unlock()
	if err := s.check(&c); err != nil {
		return err
	}
	s.put(&c)
	return nil
}

// check refuses what would break the indexes. What Cognito allows has been
// checked before, by whoever makes the change.
func (s *store) check(c *change) error {
	if _, there := s.pool(c.Pool); !there && c.Put == nil {
		return failf("there is no user pool %s", c.Pool)
	}
	if c.Put == nil {
		return nil
	}
	if c.Delete || c.Put.ID != c.Pool || !poolIDPattern.MatchString(c.Pool) {
		return failf("the change of user pool %s contradicts itself", c.Pool)
	}
	for _, d := range c.Put.Domains {
		if owner := s.poolByDomain(d.Name); owner != nil && owner.id != c.Pool {
			return failf("domain %q belongs to user pool %s", d.Name, owner.id)
		}
	}
	return nil
}

// put makes a checked change visible.
func (s *store) put(c *change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, there := s.pools.get(c.Pool)
	if c.Delete {
		s.removePool(p)
		return
	}
	if c.Put != nil {
		if there {
			s.removeDomains(p)
		} else {
			p = newUserPool(s.server, c.Pool)
			s.pools.put(c.Pool, p)
			s.regions[c.Put.region()]++
		}
		p.record.Store(c.Put)
		for _, d := range c.Put.Domains {
			s.domains[d.Name] = p
			s.hosts[d.host(p.Region())] = p
		}
	}
	for _, r := range c.ResourceServers {
		p.servers.put(r.Identifier, newResourceServer(r))
	}
	for _, identifier := range c.DeletedResourceServers {
		p.servers.remove(identifier)
	}
	for _, r := range c.Clients {
		if _, there := p.clients.get(r.ID); !there {
			s.clients[r.ID] = append(slices.Clip(s.clients[r.ID]), p)
		}
		p.clients.put(r.ID, newClient(r, s.server.lifetime))
	}
	for _, id := range c.DeletedClients {
		s.removeClient(p, id)
	}
	if c.Keys != nil {
		p.keys.set(c.Keys)
	}
}

func (s *store) removePool(p *UserPool) {
	s.removeDomains(p)
	for _, c := range p.clients.all() {
		s.removeClient(p, c.id)
	}
	p.servers = ordered[*resourceServer]{}
	gone := *p.record.Load()
	gone.Domains = nil
	p.record.Store(&gone)
	p.keys.set(nil)
	s.pools.remove(p.id)
	s.regions[gone.region()]--
}

func (s *store) removeDomains(p *UserPool) {
	r := p.record.Load()
	for _, d := range r.Domains {
		delete(s.domains, d.Name)
		delete(s.hosts, d.host(r.region()))
	}
}

func (s *store) removeClient(p *UserPool, id string) {
	p.clients.remove(id)
	rest := slices.DeleteFunc(slices.Clone(s.clients[id]), func(q *UserPool) bool { return q == p })
	if len(rest) == 0 {
		delete(s.clients, id)
	} else {
		s.clients[id] = rest
	}
}

// snapshot returns changes that make the present model, one for each pool. It
// belongs between two calls of record, or before the first.
func (s *store) snapshot() []change {
	s.mu.RLock()
	defer s.mu.RUnlock()
	changes := make([]change, 0, s.pools.len())
	for _, p := range s.pools.all() {
		c := change{Pool: p.id, Put: p.record.Load(), Keys: p.keys.own()}
		for _, rs := range p.servers.all() {
			c.ResourceServers = append(c.ResourceServers, rs.record)
		}
		for _, cl := range p.clients.all() {
			c.Clients = append(c.Clients, cl.record)
		}
		changes = append(changes, c)
	}
	return changes
}

func (s *store) pool(id string) (*UserPool, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.pools.get(id)
}

func (s *store) all() []*UserPool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.pools.all()
}

// first returns the oldest pool, or nil, and how many there are.
func (s *store) first() (*UserPool, int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	pools, _ := s.pools.page(0, 1, nil)
	if len(pools) == 0 {
		return nil, 0
	}
	return pools[0], s.pools.len()
}

func (s *store) poolByDomain(name string) *UserPool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.domains[strings.ToLower(name)]
}

func (s *store) poolByHost(host string) *UserPool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.hosts[strings.ToLower(host)]
}

// poolsOfClient returns the pools that have a client of this id.
func (s *store) poolsOfClient(id string) []*UserPool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.clients[id]
}

// hasRegion reports whether a pool of the region exists.
func (s *store) hasRegion(region string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.regions[region] > 0
}

// someHosts returns host names of domains, for a text.
func (s *store) someHosts(limit int) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var hosts []string
	pools, _ := s.pools.page(0, limit, nil)
	for _, p := range pools {
		for _, d := range p.record.Load().Domains {
			hosts = append(hosts, d.host(p.Region()))
		}
	}
	return hosts
}
