// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits and patterns are those of the Cognito API reference (CreateUserPool,
// CreateUserPoolDomain, CreateResourceServer, CreateUserPoolClient,
// AddUserPoolClientSecret) and of the developer guide's "Quotas" page.
const (
	maxResourceServers = 25
	maxScopes          = 100
	maxClients         = 1000
	maxClientScopes    = 50
	maxSecrets         = 2
	maxDomain          = 63
	minLifetime        = 300 * time.Second
	maxLifetime        = 86400 * time.Second
)

var (
	poolIDPattern    = regexp.MustCompile(`^[a-z]{2}(?:-gov)?-[a-z]+-\d_[0-9a-zA-Z]{1,40}$`)
	regionPattern    = regexp.MustCompile(`^[a-z]{2}(?:-gov)?-[a-z]+-\d$`)
	namePattern      = regexp.MustCompile(`^[\w\s+=,.@-]+$`)
	prefixPattern    = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)
	customPattern    = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$`)
	amazonsOwn       = regexp.MustCompile(`\.(?:amazoncognito\.com|amazonaws\.com|api\.aws)$`)
	reservedInDomain = regexp.MustCompile(`aws|amazon|cognito`)
	identPattern     = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]{1,256}$`)
	scopePattern     = regexp.MustCompile(`^[\x21\x23-\x2E\x30-\x5B\x5D-\x7E]{1,256}$`)
	clientIDPattern  = regexp.MustCompile(`^[\w+]{1,128}$`)
	secretPattern    = regexp.MustCompile(`^[\w+]{24,64}$`)
)

// isCustomDomain reports whether a name can be a custom domain. Amazon's own host
// names cannot: they are those of other pools and of the API.
func isCustomDomain(name string) bool {
	return len(name) <= 253 && customPattern.MatchString(name) && !amazonsOwn.MatchString(name)
}

// standardScopes exist in every pool; machine-to-machine tokens never carry them.
var standardScopes = map[string]bool{
	"openid": true, "email": true, "phone": true, "profile": true, "aws.cognito.signin.user.admin": true,
}

func (o *options) check(found *problems) {
	if o.lifetimeSet && (o.lifetime < time.Second || o.lifetime > maxLifetime || o.lifetime%time.Second != 0) {
		found.addf("WithTokenLifetime", "whole seconds from 1s to %v, got %v", maxLifetime, o.lifetime)
	}
	if o.scopes != DropScopes && o.scopes != RejectScopes {
		found.addf("WithDisallowedScopes", "%q or %q, got %q", DropScopes, RejectScopes, o.scopes)
	}
	o.answers.check(found)
	if o.throttle < 0 {
		found.addf("WithThrottle", "a positive number of requests per second, got %d", o.throttle)
	}
	for i, k := range o.keys {
		if problem := k.problem(); problem != "" {
			found.addf(fmt.Sprintf("WithKeys[%d]", i), "%s", problem)
		}
	}
	if o.tls != nil && len(o.tls.Certificates) == 0 && o.tls.GetCertificate == nil && o.tls.GetConfigForClient == nil {
		found.addf("WithTLS", "the configuration has no certificate")
	}
	if o.url != "" {
		if u, err := url.Parse(o.url); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.TrimSuffix(o.url, "/") != u.Scheme+"://"+u.Host {
			found.addf("WithURL", "scheme and host only, for example https://cognito.example:8443, got %q", o.url)
		}
	}
	if !o.noListener && o.tls == nil && !o.plainAnywhere && !namesLoopback(o.addr) {
		found.addf("WithAddr", "%s", plaintextProblem(o.addr))
	}
}

// namesLoopback looks at the text only; what a name resolves to is checked after listening.
func namesLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true // listening will say what is wrong with it
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func plaintextProblem(addr string) string {
	return "plain HTTP on " + addr + " would show secrets and tokens to the network: listen on 127.0.0.1, or use WithTLS, or say WithPlaintextOnNonLoopbackAddress"
}

func checkPools(found *problems, pools []Pool) {
	seen := unique{}
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
	}
}

func (p Pool) check(found *problems, at string) {
	if !regionPattern.MatchString(p.Region) {
		found.addf(at, "region like eu-central-1, got %q", p.Region)
	}
	if len(p.ID) > 55 || !poolIDPattern.MatchString(p.ID) {
		found.addf(at, "id is <region>_<letters and digits>, for example %s_aBcDeFgHi, at most 55 characters, got %q", defaultRegion, p.ID)
	} else if region, _, _ := strings.Cut(p.ID, "_"); region != p.Region {
		found.addf(at, "id %q is of another region than %q", p.ID, p.Region)
	}
	if !named(p.Name) {
		found.addf(at, "name has 1 to 128 characters: letters, digits, space and _+=,.@-, got %q", p.Name)
	}
	switch custom := strings.Contains(p.Domain, "."); {
	case custom && !isCustomDomain(p.Domain):
		found.addf(at, "domain %q is no custom domain: lower case labels, none of Amazon's own, for example auth.example.com", p.Domain)
	case !custom && !prefixPattern.MatchString(p.Domain):
		found.addf(at, "domain %q is no prefix: 1 to 63 characters a-z, 0-9 and -, not at the ends", p.Domain)
	case !custom && reservedInDomain.MatchString(p.Domain):
		found.addf(at, "domain %q: a prefix must not contain aws, amazon or cognito", p.Domain)
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
	checkClients(found, at, p.Clients, scopes)
}

// named checks names of pools, resource servers up to 256 by their own call, and clients.
func named(name string) bool { return len(name) <= 128 && namePattern.MatchString(name) }

func checkResourceServers(found *problems, pool string, servers []ResourceServer) map[string]bool {
	if len(servers) > maxResourceServers {
		found.addf(pool, "at most %d resource servers, got %d", maxResourceServers, len(servers))
	}
	seen, scopes := unique{}, make(map[string]bool)
	for i, rs := range servers {
		at := fmt.Sprintf("%s resource_servers[%d]", pool, i)
		if !identPattern.MatchString(rs.Identifier) {
			found.addf(at, `identifier has 1 to 256 printable characters without space, " and \, got %q`, rs.Identifier)
		}
		if !seen.add("identifier", rs.Identifier) {
			found.addf(at, "identifier %q is there twice", rs.Identifier)
		}
		if len(rs.Name) > 256 || !namePattern.MatchString(rs.Name) {
			found.addf(at, "name has 1 to 256 characters: letters, digits, space and _+=,.@-, got %q", rs.Name)
		}
		if len(rs.Scopes) > maxScopes {
			found.addf(at, "at most %d scopes, got %d", maxScopes, len(rs.Scopes))
		}
		for j, s := range rs.Scopes {
			if !scopePattern.MatchString(s.Name) {
				found.addf(fmt.Sprintf("%s scopes[%d]", at, j), `name has 1 to 256 printable characters without space, ", \ and /, got %q`, s.Name)
			}
			if n := utf8.RuneCountInString(s.Description); n < 1 || n > 256 {
				found.addf(fmt.Sprintf("%s scopes[%d]", at, j), "description has 1 to 256 characters, got %d", n)
			}
			full := rs.Identifier + "/" + s.Name
			if scopes[full] {
				found.addf(fmt.Sprintf("%s scopes[%d]", at, j), "%q is there twice", s.Name)
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
