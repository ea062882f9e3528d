// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	defaultAddr     = "127.0.0.1:0"
	defaultRegion   = "us-east-1"
	defaultLifetime = time.Hour
)

// resolve reads the config files, fills in what is empty and checks everything.
func (o *options) resolve() ([]Pool, error) {
	var found problems
	pools := slices.Clone(o.pools)
	for _, path := range o.files {
		pools = append(pools, readConfigFile(&found, path, &o.answers)...)
	}
	o.poolsGiven = len(pools) > 0
	if !o.poolsGiven {
		pools = []Pool{DemoPool()}
	}
	o.complete()
	o.check(&found)
	keys := o.keys
	for i := range pools {
		if pools[i].Keys.isZero() && len(keys) > 0 {
			pools[i].Keys, keys = keys[0], keys[1:]
		}
		pools[i] = pools[i].completed(o.scopes, i)
	}
	if len(keys) > 0 {
		found.addf("WithKeys", "%d pairs more than there are pools without keys", len(keys))
	}
	checkPools(&found, pools)
	return pools, found.err()
}

func (o *options) complete() {
	o.addr = cmp.Or(o.addr, defaultAddr)
	o.scopes = cmp.Or(o.scopes, DropScopes)
	o.answers.complete()
	if o.clock == nil {
		o.clock = time.Now
	}
}

// completed returns the pool with its defaults. It shares no slices with the original.
func (p Pool) completed(scopes ScopeHandling, index int) Pool {
	p.Name = cmp.Or(p.Name, fmt.Sprintf("pool-%d", index+1))
	if region, _, ok := strings.Cut(p.ID, "_"); ok && p.Region == "" {
		p.Region = region
	}
	p.Region = cmp.Or(p.Region, defaultRegion)
	if p.ID == "" {
		p.ID = p.Region + "_" + random(poolIDAlphabet, 9)
	}
	p.Domain = cmp.Or(p.Domain, domainFrom(p.Name))
	p.Issuer = cmp.Or(p.Issuer, IssuerEmulator)
	p.DisallowedScopes = cmp.Or(p.DisallowedScopes, scopes)

	p.ResourceServers = slices.Clone(p.ResourceServers)
	for i := range p.ResourceServers {
		rs := &p.ResourceServers[i]
		rs.Name = cmp.Or(rs.Name, notInName.ReplaceAllString(rs.Identifier, "-"))
		rs.Scopes = slices.Clone(rs.Scopes)
		for j := range rs.Scopes {
			rs.Scopes[j].Description = cmp.Or(rs.Scopes[j].Description, rs.Scopes[j].Name)
		}
	}
	p.Clients = slices.Clone(p.Clients)
	for i := range p.Clients {
		p.Clients[i] = p.Clients[i].completed()
	}
	return p
}

func (c Client) completed() Client {
	if c.ID == "" {
		c.ID = random(lowerBase32Hex, 26)
	}
	if c.GenerateSecret == nil {
		c.GenerateSecret = new(true)
	}
	if len(c.Secrets) == 0 && *c.GenerateSecret {
		c.Secrets = []string{newSecret()}
	}
	if c.AllowedOAuthFlows == nil {
		c.AllowedOAuthFlows = []string{clientCredentials}
	}
	if c.AllowedOAuthFlowsUserPoolClient == nil {
		c.AllowedOAuthFlowsUserPoolClient = new(true)
	}
	c.AccessTokenValidity = cmp.Or(c.AccessTokenValidity, defaultLifetime)
	return c
}

const (
	lowerBase32Hex = "0123456789abcdefghijklmnopqrstuv"
	poolIDAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

func newSecret() string { return random(lowerBase32Hex, 52) }

// random returns n characters of the alphabet, each with the same probability.
func random(alphabet string, n int) string {
	limit := byte(256 / len(alphabet) * len(alphabet) % 256) // 0: every byte will do
	out := make([]byte, 0, n)
	var b [64]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		for _, x := range b {
			if limit != 0 && x >= limit {
				continue
			}
			if out = append(out, alphabet[int(x)%len(alphabet)]); len(out) == n {
				return string(out)
			}
		}
	}
}

var (
	notInName   = regexp.MustCompile(`[^\w\s+=,.@-]`)
	notInDomain = regexp.MustCompile(`[^a-z0-9-]+`)
)

// domainFrom makes a domain prefix from a pool's name. Words that Cognito
// refuses in a prefix make it a generated one.
func domainFrom(name string) string {
	prefix := strings.Trim(notInDomain.ReplaceAllString(strings.ToLower(name), "-"), "-")
	prefix = strings.TrimRight(prefix[:min(len(prefix), maxDomain)], "-")
	if prefix == "" || reservedInDomain.MatchString(prefix) {
		return "pool-" + random(lowerBase32Hex, 8)
	}
	return prefix
}
