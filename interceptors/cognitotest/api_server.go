// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

// resourceServer reads the input of CreateResourceServer and UpdateResourceServer.
func (in *input) resourceServer() (pool string, r *resourceServerRecord) {
	pool = in.needText("UserPoolId", poolIDRule)
	r = &resourceServerRecord{Identifier: in.needText("Identifier", identifierRule), Name: in.needText("Name", serverNameRule)}
	for _, s := range in.objects("Scopes", rule{max: maxScopes}) {
		r.Scopes = append(r.Scopes, scopeRecord{Name: s.needText("ScopeName", scopeNameRule), Description: s.needText("ScopeDescription", descriptionRule)})
	}
	return pool, r
}

// duplicate names a scope that is there twice. What AWS answers is not documented.
func (r *resourceServerRecord) duplicate() error {
	seen := make(map[string]bool)
	for _, s := range r.Scopes {
		if seen[s.Name] {
			return invalidParameter("Scope %s is there twice.", s.Name)
		}
		seen[s.Name] = true
	}
	return nil
}

func createResourceServer(in *input) action {
	id, r := in.resourceServer()
	return func(a *apiCall) (any, error) {
		return a.putResourceServer(id, r, func(p *UserPool) error {
			switch {
			case p.resourceServer(r.Identifier) != nil:
				return invalidParameter("%s already exists in user pool %s.", r.Identifier, p.id)
			case p.resourceServerCount() >= maxResourceServers:
				return apiErrorf("LimitExceededException", "A user pool has at most %d resource servers.", maxResourceServers)
			}
			return nil
		})
	}
}

// updateResourceServer replaces the scopes: those that are left out are gone.
func updateResourceServer(in *input) action {
	id, r := in.resourceServer()
	return func(a *apiCall) (any, error) {
		return a.putResourceServer(id, r, func(p *UserPool) error { return p.needResourceServer(r.Identifier) })
	}
}

func (a *apiCall) putResourceServer(id string, r *resourceServerRecord, check func(p *UserPool) error) (any, error) {
	p, err := a.pool(id)
	if err != nil {
		return nil, err
	}
	if err := r.duplicate(); err != nil {
		return nil, err
	}
	err = p.commit(func() (change, error) {
		return change{ResourceServers: []*resourceServerRecord{r}}, check(p)
	})
	if err != nil {
		return nil, err
	}
	return structure{"ResourceServer": r.output(p)}, nil
}

func describeResourceServer(in *input) action {
	id, identifier := in.needText("UserPoolId", poolIDRule), in.needText("Identifier", identifierRule)
	return func(a *apiCall) (any, error) {
		p, err := a.pool(id)
		if err != nil {
			return nil, err
		}
		rs := p.resourceServer(identifier)
		if rs == nil {
			return nil, noSuchResourceServer(identifier)
		}
		return structure{"ResourceServer": rs.record.output(p)}, nil
	}
}

func listResourceServers(in *input) action {
	id := in.needText("UserPoolId", poolIDRule)
	page := in.page(50)
	return func(a *apiCall) (any, error) {
		p, err := a.pool(id)
		if err != nil {
			return nil, err
		}
		servers, out, err := listOf(a.server.store, &p.servers, "resource-servers/"+id, page, nil, func(rs *resourceServer) structure { return rs.record.output(p) })
		if err != nil {
			return nil, err
		}
		out["ResourceServers"] = servers
		return out, nil
	}
}

// deleteResourceServer leaves the scopes in the lists of clients, where they have no effect.
func deleteResourceServer(in *input) action {
	id, identifier := in.needText("UserPoolId", poolIDRule), in.needText("Identifier", identifierRule)
	return func(a *apiCall) (any, error) {
		p, err := a.pool(id)
		if err != nil {
			return nil, err
		}
		return nil, p.commit(func() (change, error) {
			return change{DeletedResourceServers: []string{identifier}}, p.needResourceServer(identifier)
		})
	}
}

func noSuchResourceServer(identifier string) error {
	return notFound("Resource server %s does not exist.", identifier)
}

func (p *UserPool) needResourceServer(identifier string) error {
	if p.resourceServer(identifier) == nil {
		return noSuchResourceServer(identifier)
	}
	return nil
}

func (p *UserPool) resourceServerCount() int {
	p.server.store.mu.RLock()
	defer p.server.store.mu.RUnlock()
	return p.servers.len()
}

func (r *resourceServerRecord) output(p *UserPool) structure {
	scopes := make([]structure, len(r.Scopes))
	for i, s := range r.Scopes {
		scopes[i] = structure{"ScopeName": s.Name, "ScopeDescription": s.Description}
	}
	return structure{"UserPoolId": p.id, "Identifier": r.Identifier, "Name": r.Name, "Scopes": scopes}
}
