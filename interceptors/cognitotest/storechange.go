// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// change is one change of one user pool: whole entities that are put or
// deleted. It needs nothing but what earlier changes of the same pool made, and
// to apply it twice is to apply it once, so that a list of changes is the model.
//
// It holds secrets and private keys; fmt prints none of them.
type change struct {
	// Pool is the id of the pool.
	Pool string `json:"pool"`
	// Delete takes the pool away with all that is in it. Then all else is empty.
	Delete bool `json:"delete,omitempty"`
	// Put creates the pool, or replaces its settings and domains.
	Put *poolRecord `json:"put,omitempty"`
	// ResourceServers and Clients are put each in its place or at the end.
	ResourceServers []*resourceServerRecord `json:"resource_servers,omitempty"`
	Clients         []*clientRecord         `json:"clients,omitempty"`
	// DeletedResourceServers holds identifiers, DeletedClients client ids.
	DeletedResourceServers []string `json:"deleted_resource_servers,omitempty"`
	DeletedClients         []string `json:"deleted_clients,omitempty"`
	// Keys replaces all signing keys. The newest pair is the first.
	Keys keyPairs `json:"keys,omitempty"`
}

// poolRecord is a user pool without the parts that have changes of their own.
// Like all records it is never changed once it is in the store.
type poolRecord struct {
	ID                 string         `json:"id"`
	Name               string         `json:"name"`
	Domains            []domainRecord `json:"domains,omitempty"` // a prefix, a custom one, or both
	Issuer             IssuerForm     `json:"issuer"`
	DisallowedScopes   ScopeHandling  `json:"disallowed_scopes"`
	DeletionProtection bool           `json:"deletion_protection,omitempty"`
	Tier               string         `json:"tier,omitempty"`
	Created            time.Time      `json:"created"`
	Modified           time.Time      `json:"modified"`
	// Kept holds members of the management API that mean nothing here, by name.
	Kept map[string]json.RawMessage `json:"kept,omitempty"`
}

// domainRecord is a domain of a pool: a prefix of a Cognito domain, or a whole
// custom domain, which has a certificate if the management API made it.
type domainRecord struct {
	Name                string `json:"name"`
	CertificateARN      string `json:"certificate_arn,omitempty"`
	ManagedLoginVersion int64  `json:"managed_login_version,omitempty"`
}

type resourceServerRecord struct {
	Identifier string        `json:"identifier"`
	Name       string        `json:"name"`
	Scopes     []scopeRecord `json:"scopes,omitempty"`
}

type scopeRecord struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

type clientRecord struct {
	ID      string         `json:"id"`
	Name    string         `json:"name"`
	Secrets []secretRecord `json:"secrets,omitempty"` // oldest first
	Flows   []string       `json:"flows,omitempty"`
	OAuth   bool           `json:"oauth"` // AllowedOAuthFlowsUserPoolClient
	Scopes  []string       `json:"scopes,omitempty"`
	// Validity of access tokens in its unit, as it was asked for. Zero: the default.
	Validity          int64     `json:"validity,omitempty"`
	ValidityUnit      string    `json:"validity_unit,omitempty"`
	ExplicitAuthFlows []string  `json:"explicit_auth_flows,omitempty"`
	Created           time.Time `json:"created"`
	Modified          time.Time `json:"modified"`
	// Kept holds members of the management API that mean nothing here, by name.
	Kept map[string]json.RawMessage `json:"kept,omitempty"`
}

// secretRecord is an active secret. The id is of AWS's form, <client id>--<epoch milliseconds>.
type secretRecord struct {
	ID      string    `json:"id"`
	Value   string    `json:"value"`
	Created time.Time `json:"created"`
	Added   bool      `json:"added,omitempty"` // by AddUserPoolClientSecret, which shows it once
}

// Format prints the id, for every verb.
func (s secretRecord) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "secret "+s.ID) }

// Format prints the id, for every verb.
func (r *clientRecord) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "client "+r.ID) }

// Format prints the pool, for every verb.
func (c change) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "change of user pool "+c.Pool) }

// keyPairs is encoded in JSON as a list of pairs, each the access token key and
// the ID token key in PKCS #8, base64.
type keyPairs []KeyPair

// Format prints how many there are, for every verb.
func (k keyPairs) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%d key pairs", len(k)) }

// MarshalJSON encodes the private keys.
func (k keyPairs) MarshalJSON() ([]byte, error) {
	out := make([][2][]byte, len(k))
	for i, pair := range k {
		for j, key := range []*rsa.PrivateKey{pair.AccessToken, pair.IDToken} {
			der, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				return nil, err
			}
			out[i][j] = der
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON decodes the private keys and checks them as [WithKeys] does.
func (k *keyPairs) UnmarshalJSON(data []byte) error {
	var in [][2][]byte
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	pairs := make(keyPairs, len(in))
	for i, ders := range in {
		var keys [2]*rsa.PrivateKey
		for j, der := range ders {
			key, err := x509.ParsePKCS8PrivateKey(der)
			if err != nil {
				return failf("key pair %d cannot be read", i) // the cause may quote the key
			}
			keys[j], _ = key.(*rsa.PrivateKey)
		}
		pairs[i] = KeyPair{AccessToken: keys[0], IDToken: keys[1]}
		if problem := pairs[i].problem(); problem != "" {
			return failf("key pair %d: %s", i, problem)
		}
	}
	*k = pairs
	return nil
}

// region is the part of the pool id before "_".
func (r *poolRecord) region() string {
	region, _, _ := strings.Cut(r.ID, "_")
	return region
}

// domain returns the domain by which the pool is named: the prefix if there is
// one. Empty: the pool has no domain, and so no token endpoint.
func (r *poolRecord) domain() string {
	for _, d := range r.Domains {
		if !d.custom() {
			return d.Name
		}
	}
	if len(r.Domains) > 0 {
		return r.Domains[0].Name
	}
	return ""
}

func (d domainRecord) custom() bool { return strings.Contains(d.Name, ".") }

// host is the host name under which AWS serves the domain.
func (d domainRecord) host(region string) string {
	if d.custom() {
		return d.Name
	}
	return d.Name + ".auth." + region + ".amazoncognito.com"
}

// addSecret puts a secret behind the others, with an id of its own. A client that
// exists gets one that was added.
func (r *clientRecord) addSecret(value string, now time.Time, wasAdded bool) secretRecord {
	created := now.Truncate(time.Millisecond)
	id := func() string { return fmt.Sprintf("%s--%d", r.ID, created.UnixMilli()) }
	for slices.ContainsFunc(r.Secrets, func(s secretRecord) bool { return s.ID == id() }) {
		created = created.Add(time.Millisecond)
	}
	added := secretRecord{ID: id(), Value: value, Created: created, Added: wasAdded}
	r.Secrets = append(slices.Clip(r.Secrets), added)
	return added
}

// lifetime is the validity of access tokens (CreateUserPoolClient, AccessTokenValidity).
func (r *clientRecord) lifetime() time.Duration {
	if r.Validity == 0 {
		return defaultLifetime
	}
	return time.Duration(r.Validity) * validityUnits[r.ValidityUnit]
}

// validityUnits are the units of a token's validity; without one it is hours.
var validityUnits = map[string]time.Duration{
	"": time.Hour, "seconds": time.Second, "minutes": time.Minute, "hours": time.Hour, "days": 24 * time.Hour,
}
