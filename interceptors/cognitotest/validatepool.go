// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"slices"
	"strings"
)

// checkPools checks pools that have been completed.
func checkPools(found *problems, pools []Pool) {
	if len(pools) > maxPools {
		found.addf("", "at most %d user pools, got %d", maxPools, len(pools))
	}
	seen, custom := unique{}, 0
	for i, p := range pools {
		at := fmt.Sprintf("pools[%d]", i)
		if p.Name != "" {
			at += " (" + p.Name + ")"
		}
		if !seen.add("id", p.ID) {
			found.addf(at, "id %q is there twice", p.ID)
		}
		if !seen.add("name", p.Name) {
			found.addf(at, "the name is there twice")
		}
		if !seen.add("domain", p.Domain) {
			found.addf(at, "domain %q is there twice", p.Domain)
		}
		p.check(found, at)
		if p.domain().custom() {
			custom++
		}
	}
	if custom > maxCustomDomains {
		found.addf("", "at most %d custom domains of all user pools together, got %d", maxCustomDomains, custom)
	}
}

func (p Pool) check(found *problems, at string) {
	if !regionPattern.MatchString(p.Region) {
		found.addf(at, "region like eu-central-1, got %q", p.Region)
	}
	if len(p.ID) > int(poolIDRule.max) || !poolIDPattern.MatchString(p.ID) {
		found.addf(at, "id is <region>_<letters and digits>, for example %s_aBcDeFgHi, at most %d characters, got %q", defaultRegion, poolIDRule.max, p.ID)
	} else if region, _, _ := strings.Cut(p.ID, "_"); region != p.Region {
		found.addf(at, "id %q is of another region than %q", p.ID, p.Region)
	}
	found.value(at, "name", p.Name, nameRule)
	isCustom := p.domain().custom()
	if problem := p.domain().problem(isCustom); problem != "" {
		if isCustom {
			problem += " (lower-case labels, none of Amazon's own names, for example auth.example.com)"
		}
		found.addf(at, "domain %q: %s", p.Domain, problem)
	}
	if !slices.Contains([]IssuerForm{IssuerEmulator, IssuerOriginal, IssuerUpdated}, p.Issuer) {
		found.addf(at, "issuer is %s, %s or %s, got %q", IssuerEmulator, IssuerOriginal, IssuerUpdated, p.Issuer)
	}
	if p.DisallowedScopes != DropScopes && p.DisallowedScopes != RejectScopes {
		found.addf(at, "disallowed scopes are %q or %q, got %q", DropScopes, RejectScopes, p.DisallowedScopes)
	}
	if problem := p.Keys.problem(); problem != "" && !p.Keys.isZero() {
		found.addf(at, "%s", problem)
	}
	scopes := checkResourceServers(found, at, p.ResourceServers)
	checkClients(found, at, p.Clients, func(scope string) bool { return scopes[scope] })
}

func (p Pool) domain() domainRecord { return domainRecord{Name: p.Domain} }

// checkResourceServers returns the whole scopes that the resource servers have.
func checkResourceServers(found *problems, pool string, servers []ResourceServer) map[string]bool {
	if len(servers) > maxResourceServers {
		found.addf(pool, "at most %d resource servers, got %d", maxResourceServers, len(servers))
	}
	seen, scopes := unique{}, make(map[string]bool)
	for i, rs := range servers {
		at := fmt.Sprintf("%s resource_servers[%d]", pool, i)
		found.value(at, "identifier", rs.Identifier, identifierRule)
		if !seen.add("identifier", rs.Identifier) {
			found.addf(at, "identifier %q is there twice", rs.Identifier)
		}
		found.value(at, "name", rs.Name, serverNameRule)
		if len(rs.Scopes) > maxScopes {
			found.addf(at, "at most %d scopes, got %d", maxScopes, len(rs.Scopes))
		}
		for j, s := range rs.Scopes {
			at := fmt.Sprintf("%s scopes[%d]", at, j)
			found.value(at, "name", s.Name, scopeNameRule)
			found.value(at, "description", s.Description, descriptionRule)
			full := rs.Identifier + "/" + s.Name
			if scopes[full] {
				found.addf(at, "%q is there twice", s.Name)
			}
			scopes[full] = true
		}
	}
	return scopes
}

// unique remembers values of several kinds.
type unique map[[2]string]struct{}

func (u unique) add(kind, value string) bool {
	key := [2]string{kind, value}
	_, there := u[key]
	u[key] = struct{}{}
	return !there
}
