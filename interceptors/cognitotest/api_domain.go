// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// createUserPoolDomain makes a prefix domain, or a custom domain if the request
// has CustomDomainConfig. A pool can have one of each.
func createUserPoolDomain(in *input) action {
	id := in.needText("UserPoolId", poolIDRule)
	d := domainRecord{Name: in.needText("Domain", domainRule)}
	d.ManagedLoginVersion, _ = in.number("ManagedLoginVersion", loginVersionRule)
	isCustom := in.raw("CustomDomainConfig") != nil
	if isCustom {
		d.CertificateARN = in.object("CustomDomainConfig").needText("CertificateArn", certificateRule)
	}
	return func(a *apiCall) (any, error) {
		p, err := a.pool(id)
		if err != nil {
			return nil, err
		}
		if problem := d.problem(isCustom); problem != "" {
			return nil, invalidParameter("%s", problem)
		}
		if isCustom && !strings.Contains(d.CertificateARN, ":acm:us-east-1:") {
			return nil, invalidParameter("The certificate of a custom domain must be one of AWS Certificate Manager in us-east-1.")
		}
		err = p.edit(func(r *poolRecord) error {
			switch {
			case a.server.store.poolByDomain(d.Name) != nil:
				return invalidParameter("Domain already associated with another user pool.")
			case slices.ContainsFunc(r.Domains, func(other domainRecord) bool { return other.custom() == isCustom }):
				return invalidParameter("User pool already has a domain configured.")
			case isCustom && a.server.store.customDomains() >= maxCustomDomains:
				return apiErrorf("LimitExceededException", "An account has at most %d custom domains.", maxCustomDomains)
			}
			r.Domains = append(r.Domains, d)
			return nil
		})
		if err != nil {
			return nil, err
		}
		out := structure{"ManagedLoginVersion": d.loginVersion()}
		if isCustom {
			out["CloudFrontDomain"] = d.cloudFront()
		}
		return out, nil
	}
}

// describeUserPoolDomain: a domain that nobody has is described as an empty one.
func describeUserPoolDomain(in *input) action {
	name := in.needText("Domain", domainRule)
	return func(a *apiCall) (any, error) {
		description := structure{}
		if p := a.server.store.poolByDomain(name); p != nil && a.sees(p) {
			for _, d := range p.record.Load().Domains {
				if d.Name == strings.ToLower(name) {
					description = d.output(p)
				}
			}
		}
		return structure{"DomainDescription": description}, nil
	}
}

func deleteUserPoolDomain(in *input) action {
	id, name := in.needText("UserPoolId", poolIDRule), in.needText("Domain", domainRule)
	return func(a *apiCall) (any, error) {
		p, err := a.pool(id)
		if err != nil {
			return nil, err
		}
		return structure{}, p.edit(func(r *poolRecord) error {
			rest := slices.DeleteFunc(slices.Clone(r.Domains), func(d domainRecord) bool { return d.Name == name })
			if len(rest) == len(r.Domains) {
				return invalidParameter("No such domain or user pool exists.")
			}
			r.Domains = rest
			return nil
		})
	}
}

func (d domainRecord) output(p *UserPool) structure {
	out := structure{
		"UserPoolId": p.id, "AWSAccountId": accountID, "Domain": d.Name, "Status": "ACTIVE", "Version": "20260101000000",
		"CloudFrontDistribution": d.cloudFront(), "CustomDomainConfig": structure{}, "ManagedLoginVersion": d.loginVersion(),
	}
	if d.CertificateARN != "" {
		out["CustomDomainConfig"] = structure{"CertificateArn": d.CertificateARN}
	}
	return out
}

func (d domainRecord) loginVersion() int64 { return cmp.Or(d.ManagedLoginVersion, 1) }

// cloudFront is a name of the right form that is always the same for a domain.
func (d domainRecord) cloudFront() string {
	sum := sha256.Sum256([]byte(d.Name))
	return "d" + hex.EncodeToString(sum[:])[:13] + ".cloudfront.net"
}

// customDomains counts the custom domains of all pools.
func (s *store) customDomains() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := 0
	for name := range s.domains {
		if (domainRecord{Name: name}).custom() {
			n++
		}
	}
	return n
}

// partition of a region, as ARNs name it.
func partition(region string) string {
	if strings.HasPrefix(region, "us-gov-") {
		return "aws-us-gov"
	}
	return "aws"
}
