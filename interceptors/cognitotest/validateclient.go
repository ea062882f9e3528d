// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"slices"
	"time"
)

// checkClients checks the clients of one pool, which have been completed.
func checkClients(found *problems, pool string, clients []Client, hasScope func(scope string) bool) {
	if len(clients) > maxClients {
		found.addf(pool, "at most %d clients, got %d", maxClients, len(clients))
	}
	seen := unique{}
	for i, c := range clients {
		at := fmt.Sprintf("%s clients[%d]", pool, i)
		if c.Name != "" {
			at += " (" + c.Name + ")"
		}
		if !seen.add("name", c.Name) {
			found.addf(at, "the name is there twice")
		}
		if !seen.add("id", c.ID) {
			found.addf(at, "id %q is there twice", c.ID)
		}
		c.check(found, at, hasScope)
	}
}

func (c Client) check(found *problems, at string, hasScope func(scope string) bool) {
	found.value(at, "name", c.Name, nameRule)
	found.value(at, "id", c.ID, clientIDRule)
	if len(c.Secrets) > maxSecrets {
		found.addf(at, "at most %d active secrets, got %d", maxSecrets, len(c.Secrets))
	}
	for i, s := range c.Secrets {
		at := fmt.Sprintf("%s secrets[%d]", at, i)
		found.value(at, "a secret", s, secretRule)
		if slices.Contains(c.Secrets[:i], s) {
			found.addf(at, "the same as the other one")
		}
	}
	if v := c.AccessTokenValidity; v < minLifetime || v > maxLifetime || v%time.Second != 0 {
		found.addf(at, "access token validity is %d to %d whole seconds, got %v", minLifetime/time.Second, maxLifetime/time.Second, v)
	}
	if len(c.AllowedOAuthScopes) > maxClientScopes {
		found.addf(at, "at most %d scopes, got %d", maxClientScopes, len(c.AllowedOAuthScopes))
	}
	found.once(at, "OAuth flow", c.AllowedOAuthFlows, flowRule)
	found.once(at, "explicit auth flow", c.ExplicitAuthFlows, authFlowRule)
	found.once(at, "scope", c.AllowedOAuthScopes, scopeRule)
	for _, problem := range c.record(time.Time{}).problems(hasScope) {
		text := problem.Message
		if problem.Type == scopeDoesNotExist {
			text += " (no resource server of the pool has it)"
		}
		found.addf(at, "%s", text)
	}
}
