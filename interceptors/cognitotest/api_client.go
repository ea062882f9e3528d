// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"cmp"
)

// clientSettings reads what CreateUserPoolClient and UpdateUserPoolClient have in
// common: all that an update resets.
func (in *input) clientSettings() clientRecord {
	units := in.object("TokenValidityUnits")
	access := in.validity("AccessTokenValidity", validityRule, units, "AccessToken")
	id := in.validity("IdTokenValidity", validityRule, units, "IdToken")
	refresh := in.validity("RefreshTokenValidity", refreshValidityRule, units, "RefreshToken")
	in.checkValidity(access, id, refresh)
	return clientRecord{
		Flows:             in.texts("AllowedOAuthFlows", rule{max: 3}, flowRule),
		OAuth:             in.flag("AllowedOAuthFlowsUserPoolClient"),
		Scopes:            in.texts("AllowedOAuthScopes", rule{max: maxClientScopes}, scopeRule),
		Validity:          access.value,
		ValidityUnit:      access.unit,
		ExplicitAuthFlows: in.texts("ExplicitAuthFlows", rule{}, authFlowRule),
		Kept:              in.kept(keptOfClient),
	}
}

func (in *input) validity(name string, r rule, units *input, unit string) validity {
	value, _ := in.number(name, r)
	return validity{value, units.text(unit, unitRule)}
}

func createUserPoolClient(in *input) action {
	id, name := in.needText("UserPoolId", poolIDRule), in.needText("ClientName", nameRule)
	generate, secret := in.flag("GenerateSecret"), in.text("ClientSecret", secretRule)
	r := in.clientSettings()
	r.Name = name
	return func(a *apiCall) (any, error) {
		p, err := a.pool(id)
		if err != nil {
			return nil, err
		}
		switch {
		case generate && secret != "":
			return nil, invalidParameter("ClientSecret cannot be given if GenerateSecret is true.")
		case generate:
			secret = newSecret()
		}
		r.Created = a.now()
		r.Modified = r.Created
		err = p.commit(func() (change, error) {
			if p.clientCount() >= maxClients {
				return change{}, apiErrorf("LimitExceededException", "A user pool has at most %d app clients.", maxClients)
			}
			for r.ID == "" || len(p.server.store.poolsOfClient(r.ID)) > 0 {
				r.ID = random(lowerBase32Hex, 26)
			}
			if secret != "" {
				r.addSecret(secret, r.Created, false)
			}
			return change{Clients: []*clientRecord{&r}}, p.checkClient(&r)
		})
		if err != nil {
			return nil, err
		}
		return structure{"UserPoolClient": r.output(p)}, nil
	}
}

func describeUserPoolClient(in *input) action {
	id, clientID := in.poolAndClient()
	return func(a *apiCall) (any, error) {
		p, c, err := a.client(id, clientID)
		if err != nil {
			return nil, err
		}
		return structure{"UserPoolClient": c.record.output(p)}, nil
	}
}

func listUserPoolClients(in *input) action {
	id := in.needText("UserPoolId", poolIDRule)
	page := in.page(60)
	return func(a *apiCall) (any, error) {
		p, err := a.pool(id)
		if err != nil {
			return nil, err
		}
		clients, out, err := listOf(a.server.store, &p.clients, "clients/"+id, page, nil, func(c *client) structure {
			return structure{"ClientId": c.id, "ClientName": c.name, "UserPoolId": p.id}
		})
		if err != nil {
			return nil, err
		}
		out["UserPoolClients"] = clients
		return out, nil
	}
}

// updateUserPoolClient resets all settings that are left out, but for the name.
// Secrets have operations of their own.
func updateUserPoolClient(in *input) action {
	id, clientID := in.poolAndClient()
	name := in.text("ClientName", nameRule)
	settings := in.clientSettings()
	return func(a *apiCall) (any, error) {
		var updated *clientRecord
		p, err := a.editClient(id, clientID, func(p *UserPool, r *clientRecord) error {
			next := settings
			next.ID, next.Name, next.Secrets = r.ID, cmp.Or(name, r.Name), r.Secrets
			next.Created, next.Modified = r.Created, r.Modified
			*r = next
			updated = r
			return p.checkClient(r)
		})
		if err != nil {
			return nil, err
		}
		return structure{"UserPoolClient": updated.output(p)}, nil
	}
}

func deleteUserPoolClient(in *input) action {
	id, clientID := in.poolAndClient()
	return func(a *apiCall) (any, error) {
		p, err := a.pool(id)
		if err != nil {
			return nil, err
		}
		return nil, p.commit(func() (change, error) {
			if p.client(clientID) == nil {
				return change{}, notFound(noSuchClient, clientID)
			}
			return change{DeletedClients: []string{clientID}}, nil
		})
	}
}

func (in *input) poolAndClient() (pool, client string) {
	return in.needText("UserPoolId", poolIDRule), in.needText("ClientId", clientIDRule)
}

func (a *apiCall) client(id, clientID string) (*UserPool, *client, error) {
	p, err := a.pool(id)
	if err != nil {
		return nil, nil, err
	}
	c := p.client(clientID)
	if c == nil {
		return nil, nil, notFound(noSuchClient, clientID)
	}
	return p, c, nil
}

// editClient changes a client as it is at that moment.
func (a *apiCall) editClient(id, clientID string, edit func(p *UserPool, r *clientRecord) error) (*UserPool, error) {
	p, err := a.pool(id)
	if err != nil {
		return nil, err
	}
	return p, p.commit(func() (change, error) {
		c := p.client(clientID)
		if c == nil {
			return change{}, notFound(noSuchClient, clientID)
		}
		return p.editClient(c, func(r *clientRecord) error { return edit(p, r) })
	})
}

func (p *UserPool) clientCount() int {
	p.server.store.mu.RLock()
	defer p.server.store.mu.RUnlock()
	return p.clients.len()
}

// output is a UserPoolClientType. It has the secret with which the client was
// created as long as that is active; secrets that were added are never shown again.
func (r *clientRecord) output(p *UserPool) structure {
	out := structure{
		"UserPoolId": p.id, "ClientId": r.ID, "ClientName": r.Name, "AllowedOAuthFlowsUserPoolClient": r.OAuth,
		"CreationDate": epoch(r.Created), "LastModifiedDate": epoch(r.Modified),
	}
	for _, s := range r.Secrets {
		if !s.Added {
			out["ClientSecret"] = s.Value
			break
		}
	}
	for name, list := range map[string][]string{
		"AllowedOAuthFlows": r.Flows, "AllowedOAuthScopes": r.Scopes, "ExplicitAuthFlows": r.ExplicitAuthFlows,
	} {
		if len(list) > 0 {
			out[name] = list
		}
	}
	if r.Validity > 0 {
		out["AccessTokenValidity"] = r.Validity
	}
	giveBack(out, keptOfClient, r.Kept)
	if _, ok := r.Kept["TokenValidityUnits"]; !ok && r.ValidityUnit != "" {
		out["TokenValidityUnits"] = structure{"AccessToken": r.ValidityUnit} // of a configuration
	}
	return out
}
