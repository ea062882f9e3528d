// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func checkClients(found *problems, pool string, clients []Client, scopes map[string]bool) {
	if len(clients) > maxClients {
		found.addf(pool, "at most %d clients, got %d", maxClients, len(clients))
	}
	seen := unique{}
	for i, c := range clients {
		at := fmt.Sprintf("%s clients[%d]", pool, i)
		if c.Name != "" {
			at += " (" + c.Name + ")"
		}
		if !named(c.Name) {
			found.addf(at, "name has 1 to 128 characters: letters, digits, space and _+=,.@-, got %q", c.Name)
		}
		if !seen.add("name", c.Name) {
			found.addf(at, "the name is there twice")
		}
		if !clientIDPattern.MatchString(c.ID) {
			found.addf(at, "id has 1 to 128 characters [A-Za-z0-9_+], got %q", c.ID)
		}
		if !seen.add("id", c.ID) {
			found.addf(at, "id %q is there twice", c.ID)
		}
		c.check(found, at, scopes)
	}
}

func (c Client) check(found *problems, at string, scopes map[string]bool) {
	if len(c.Secrets) > maxSecrets {
		found.addf(at, "at most %d active secrets, got %d", maxSecrets, len(c.Secrets))
	}
	for i, s := range c.Secrets {
		if !secretPattern.MatchString(s) { // the value itself stays out of the text
			found.addf(fmt.Sprintf("%s secrets[%d]", at, i), "a secret has 24 to 64 characters [A-Za-z0-9_+], got %d characters or others", len(s))
		}
		if slices.Contains(c.Secrets[:i], s) {
			found.addf(fmt.Sprintf("%s secrets[%d]", at, i), "the same as the other one")
		}
	}
	if v := c.AccessTokenValidity; v < minLifetime || v > maxLifetime || v%time.Second != 0 {
		found.addf(at, "access token validity is 300 to 86400 whole seconds, got %v", v)
	}
	c.checkFlows(found, at)
	c.checkAuthFlows(found, at)
	c.checkScopes(found, at, scopes)
}

// checkFlows uses Cognito's own sentences where they are known.
func (c Client) checkFlows(found *problems, at string) {
	for i, flow := range c.AllowedOAuthFlows {
		if flow != "code" && flow != "implicit" && flow != clientCredentials {
			found.addf(at, "allowed OAuth flows are code, implicit and client_credentials, got %q", flow)
		}
		if slices.Contains(c.AllowedOAuthFlows[:i], flow) {
			found.addf(at, "OAuth flow %q is there twice", flow)
		}
	}
	if slices.Contains(c.AllowedOAuthFlows, clientCredentials) {
		if len(c.AllowedOAuthFlows) > 1 {
			found.addf(at, "client_credentials must be the only allowed OAuth flow")
		}
		if len(c.Secrets) == 0 {
			found.addf(at, "client_credentials flow can not be selected if client does not have a client secret.")
		}
	}
	if *c.AllowedOAuthFlowsUserPoolClient && (len(c.AllowedOAuthFlows) == 0 || len(c.AllowedOAuthScopes) == 0) {
		found.addf(at, "AllowedOAuthFlows and AllowedOAuthScopes are required if user pool client is allowed to use OAuth flows.")
	}
}

func (c Client) checkAuthFlows(found *problems, at string) {
	for i, flow := range c.ExplicitAuthFlows {
		if !slices.Contains(authFlowRule.enum, flow) {
			found.addf(at, "explicit auth flows are %s, got %q", strings.Join(authFlowRule.enum, ", "), flow)
		}
		if slices.Contains(c.ExplicitAuthFlows[:i], flow) {
			found.addf(at, "explicit auth flow %q is there twice", flow)
		}
	}
	if problem := authFlowsProblem(c.ExplicitAuthFlows, len(c.Secrets) > 0); problem != "" {
		found.addf(at, "%s", problem)
	}
}

func (c Client) checkScopes(found *problems, at string, scopes map[string]bool) {
	if len(c.AllowedOAuthScopes) > maxClientScopes {
		found.addf(at, "at most %d scopes, got %d", maxClientScopes, len(c.AllowedOAuthScopes))
	}
	for i, s := range c.AllowedOAuthScopes {
		if !scopes[s] && !standardScopes[s] {
			found.addf(at, "Invalid scope requested: %s (no resource server of the pool has it)", s)
		}
		if slices.Contains(c.AllowedOAuthScopes[:i], s) {
			found.addf(at, "scope %q is there twice", s)
		}
	}
}
