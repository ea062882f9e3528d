// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
)

var (
	poolIDPattern = regexp.MustCompile(`^[a-z]{2}(?:-gov)?-[a-z]+-\d_[0-9a-zA-Z]{1,40}$`)
	regionPattern = regexp.MustCompile(`^[a-z]{2}(?:-gov)?-[a-z]+-\d$`)
)

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
