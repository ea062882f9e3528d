// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"slices"
	"time"
)

// change makes the change that creates a pool which has been completed and checked.
func (p Pool) change(now time.Time) change {
	c := change{Pool: p.ID, Put: &poolRecord{
		ID:               p.ID,
		Name:             p.Name,
		Domains:          []domainRecord{{Name: p.Domain}},
		Issuer:           p.Issuer,
		DisallowedScopes: p.DisallowedScopes,
		Created:          now,
		Modified:         now,
	}}
	for _, rs := range p.ResourceServers {
		server := &resourceServerRecord{Identifier: rs.Identifier, Name: rs.Name}
		for _, s := range rs.Scopes {
			server.Scopes = append(server.Scopes, scopeRecord(s))
		}
		c.ResourceServers = append(c.ResourceServers, server)
	}
	for _, cl := range p.Clients {
		c.Clients = append(c.Clients, cl.record(now))
	}
	if !p.Keys.isZero() {
		c.Keys = keyPairs{p.Keys}
	}
	return c
}

func (c Client) record(now time.Time) *clientRecord {
	r := &clientRecord{
		ID:                c.ID,
		Name:              c.Name,
		Flows:             slices.Clone(c.AllowedOAuthFlows),
		OAuth:             *c.AllowedOAuthFlowsUserPoolClient,
		Scopes:            slices.Clone(c.AllowedOAuthScopes),
		ExplicitAuthFlows: slices.Clone(c.ExplicitAuthFlows),
		Validity:          int64(c.AccessTokenValidity / time.Second),
		ValidityUnit:      "seconds",
		Created:           now,
		Modified:          now,
	}
	for _, s := range c.Secrets {
		r.addSecret(s, now, false)
	}
	return r
}
