// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

// CreatePool adds a user pool while the server runs, for example one for each test
// of a server that they share. Defaults, checks and quotas are those of [WithPool];
// all problems are in one [*ConfigError]. Names need not be new, as for Cognito's
// CreateUserPool: keep what CreatePool returns, [Server.Pool] finds the oldest of a name.
// A domain that is made from the name gets a random end if another pool has it.
func (s *Server) CreatePool(p Pool) (*UserPool, error) {
	var id string
	err := s.store.commit(func() (change, error) {
		const at = "CreatePool"
		_, there := s.store.first()
		next := p.completed(s.scopes, there)
		if p.Domain == "" && s.store.poolByDomain(next.Domain) != nil {
			next.Domain = next.Domain[:min(len(next.Domain), maxDomain-9)] + "-" + random(lowerBase32Hex, 8)
		}
		var found problems
		next.check(&found, at)
		if _, taken := s.store.pool(next.ID); taken {
			found.addf(at, "another user pool has the id %q", next.ID)
		}
		if s.store.poolByDomain(next.Domain) != nil {
			found.addf(at, "another user pool has the domain %q", next.Domain)
		}
		if there >= maxPools {
			found.addf(at, "at most %d user pools", maxPools)
		}
		if next.domain().custom() && s.store.customDomains() >= maxCustomDomains {
			found.addf(at, "at most %d custom domains of all user pools together", maxCustomDomains)
		}
		id = next.ID
		return next.change(s.clock()), found.err()
	})
	if err != nil {
		return nil, err
	}
	created, ok := s.store.pool(id)
	if !ok {
		return nil, &goneError{id} // deleted just now
	}
	return created, nil
}

// CreateClient adds an app client while the server runs and returns its id and first
// secret. Defaults, checks and quotas are those of the clients of a [Pool]; all problems
// are in one [*ConfigError]. The name need not be new, as for Cognito's
// CreateUserPoolClient: other methods take the id, too, and of a name the oldest client.
func (p *UserPool) CreateClient(c Client) (Credentials, error) {
	c = c.completed()
	err := p.commit(func() (change, error) {
		const at = "CreateClient"
		var found problems
		c.check(&found, at, p.hasScope)
		if p.client(c.ID) != nil {
			found.addf(at, "another client of the user pool has the id %q", c.ID)
		}
		if p.clientCount() >= maxClients {
			found.addf(at, "at most %d clients", maxClients)
		}
		return change{Clients: []*clientRecord{c.record(p.server.clock())}}, found.err()
	})
	if err != nil {
		return Credentials{}, err
	}
	created := Credentials{ID: c.ID}
	if len(c.Secrets) > 0 {
		created.Secret = c.Secrets[0]
	}
	return created, nil
}
