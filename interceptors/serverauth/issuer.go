// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Issuer is a place that tokens may come from, with all that is trusted in them:
// trust is bound to the issuer, never to a client id alone.
type Issuer struct {
	// URL is the exact value of the iss claim. Required; https, or http on loopback.
	URL string
	// JWKSURL is where the issuer's keys are; https, or http on loopback. Default:
	// URL + "/.well-known/jwks.json".
	JWKSURL string
	// Clients says which app clients may come. Required: see [ClientSet]. It can be changed
	// later with [Verifier.SetClients].
	Clients ClientSet
	// ResourceServers, if not empty, are the identifiers of the resource servers whose
	// scopes this issuer's tokens can grant; other scopes in them count for nothing. Empty:
	// all scopes count.
	// Set it for each of several issuers: the admins of one user pool could otherwise
	// make scopes of the same name as those of another.
	ResourceServers []string
	// Audiences, if not empty, asks for a token whose aud claim has one of them.
	// M2M tokens of Cognito have no aud claim, so leave it empty for them.
	Audiences []string

	// StaticJWKS, if not nil, is a key set document (RFC 7517 section 5) to start with
	// when the issuer's cannot be fetched at start; it is replaced as a whole by the first
	// that can, and no longer used after 24 hours without one.
	StaticJWKS []byte
	// Offline uses StaticJWKS alone, for ever: nothing is fetched, and a key that is not
	// in it is unknown. A rotation then needs a restart. Without StaticJWKS it is an error.
	Offline bool

	err error // of UserPool and UserPoolUpdated
}

// userPoolID is Cognito's pattern (CreateUserPool, 55 characters at most), with the
// region taken apart as AWS's own verifier does it.
var userPoolID = regexp.MustCompile(`^([a-z]{2}(?:-[a-z]+)+-\d+)_[0-9a-zA-Z]+$`)

const maxUserPoolIDBytes = 55

// UserPool returns the issuer of a user pool in its original form,
// https://cognito-idp.<region>.amazonaws.com/<id>, which new pools have by default.
// Clients is still to be set. An id that is none is an error of [NewVerifier].
func UserPool(id string) Issuer { return userPool("cognito-idp", id) }

// UserPoolUpdated returns the issuer of a user pool whose IssuerConfiguration type is
// UPDATED: https://issuer-cognito-idp.<region>.amazonaws.com/<id> (API reference,
// IssuerConfigurationType). Clients is still to be set, and an id that is none is an error
// of [NewVerifier].
func UserPoolUpdated(id string) Issuer { return userPool("issuer-cognito-idp", id) }

func userPool(host, id string) Issuer {
	m := userPoolID.FindStringSubmatch(id)
	if m == nil || len(id) > maxUserPoolIDBytes {
		return Issuer{err: fmt.Errorf("the user pool id %q does not look like eu-central-1_AbCdEf123", id)}
	}
	return Issuer{URL: "https://" + host + "." + m[1] + ".amazonaws.com/" + id}
}

// check returns the issuer with its defaults, or everything that is wrong with it.
func (i Issuer) check() (Issuer, error) {
	if i.err != nil {
		return i, errors.Join(i.err, i.Clients.check())
	}
	if i.JWKSURL == "" {
		i.JWKSURL = i.URL + "/.well-known/jwks.json"
	}
	err := errors.Join(
		checkURL("Issuer.URL", i.URL),
		checkURL("Issuer.JWKSURL", i.JWKSURL),
		i.Clients.check(),
	)
	if strings.HasSuffix(i.URL, "/") {
		err = errors.Join(err, fmt.Errorf("Issuer.URL %q ends with a slash; an iss claim of Cognito does not", i.URL))
	}
	for _, a := range append(slices.Clone(i.Audiences), i.ResourceServers...) {
		if strings.TrimSpace(a) == "" {
			err = errors.Join(err, errors.New("Issuer.Audiences or Issuer.ResourceServers has an empty entry: is its environment variable set?"))
		}
	}
	i.Audiences, i.ResourceServers = slices.Clone(i.Audiences), slices.Clone(i.ResourceServers)
	return i, err
}

func checkURL(field, raw string) error {
	if raw == "" {
		return fmt.Errorf("%s is empty", field)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("%s is not a URL", field)
	}
	switch {
	case u.User != nil, u.RawQuery != "", u.Fragment != "", u.Host == "":
		return fmt.Errorf("%s %q must be https://host/path, without user, query or fragment", field, u.Redacted())
	case u.Host != strings.ToLower(u.Host):
		return fmt.Errorf("%s %q must have its host in lower case, since it is compared byte by byte", field, raw)
	case u.Scheme == "https", u.Scheme == "http" && isLoopbackHost(u.Hostname()):
		return nil
	default:
		return fmt.Errorf("%s %q must be https; http is for loopback only", field, raw)
	}
}

func isLoopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
