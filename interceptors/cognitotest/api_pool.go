// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"cmp"
	"encoding/json"
	"maps"
)

// accountID is the account of AWS's own examples.
const accountID = "123456789012"

// poolSettings reads what CreateUserPool and UpdateUserPool have in common: all
// that an update resets.
func (in *input) poolSettings(r *poolRecord) {
	r.DeletionProtection = in.text("DeletionProtection", protectionRule) == "ACTIVE"
	if tier := in.text("UserPoolTier", tierRule); tier != "" {
		r.Tier = tier // UpdateUserPool leaves it if it is left out
	}
	if form := in.object("IssuerConfiguration").text("Type", issuerRule); form != "" {
		r.Issuer = IssuerForm(form)
	}
	r.Kept = in.kept(keptOfPool)
}

// createUserPool: a pool has the issuer of the emulator unless the request has
// IssuerConfiguration, so that discovery works over the network.
func createUserPool(in *input) action {
	r := &poolRecord{Name: in.needText("PoolName", nameRule), Issuer: IssuerEmulator, Tier: "ESSENTIALS"}
	in.poolSettings(r)
	if fixed := in.kept(keptOfNewPool); fixed != nil {
		fixed = maps.Clone(fixed)
		maps.Copy(fixed, r.Kept)
		r.Kept = fixed
	}
	return func(a *apiCall) (any, error) {
		s := a.server.store
		r.DisallowedScopes = a.server.scopes
		r.Created = a.now()
		r.Modified = r.Created
		err := s.commit(func() (change, error) {
			if _, n := s.first(); n >= maxPools {
				return change{}, apiErrorf("LimitExceededException", "An account has at most %d user pools.", maxPools)
			}
			for there := true; there; {
				r.ID = a.newRegion() + "_" + random(poolIDAlphabet, 9)
				_, there = s.pool(r.ID)
			}
			return change{Pool: r.ID, Put: r}, nil
		})
		if err != nil {
			return nil, err
		}
		return structure{"UserPool": r.output()}, nil
	}
}

func describeUserPool(in *input) action {
	id := in.needText("UserPoolId", poolIDRule)
	return func(a *apiCall) (any, error) {
		p, err := a.pool(id)
		if err != nil {
			return nil, err
		}
		return structure{"UserPool": p.record.Load().output()}, nil
	}
}

func listUserPools(in *input) action {
	in.need("MaxResults")
	page := in.page(60)
	return func(a *apiCall) (any, error) {
		s := a.server.store
		pools, out, err := listOf(s, &s.pools, "pools/"+a.region, page, a.sees, func(p *UserPool) structure {
			r := p.record.Load()
			return structure{
				"Id": r.ID, "Name": r.Name, "Status": "Enabled", "LambdaConfig": r.lambdaConfig(),
				"CreationDate": epoch(r.Created), "LastModifiedDate": epoch(r.Modified),
			}
		})
		if err != nil {
			return nil, err
		}
		out["UserPools"] = pools
		return out, nil
	}
}

// updateUserPool resets settings that are left out, but for the name, the tier
// and, since a changed issuer would end all tokens, the issuer.
func updateUserPool(in *input) action {
	id, name := in.needText("UserPoolId", poolIDRule), in.text("PoolName", nameRule)
	var settings poolRecord
	in.poolSettings(&settings)
	return func(a *apiCall) (any, error) {
		p, err := a.pool(id)
		if err != nil {
			return nil, err
		}
		return structure{}, p.edit(func(r *poolRecord) error {
			r.Name = cmp.Or(name, r.Name)
			r.Tier = cmp.Or(settings.Tier, r.Tier)
			r.Issuer = cmp.Or(settings.Issuer, r.Issuer)
			r.DeletionProtection = settings.DeletionProtection
			kept := maps.Clone(settings.Kept)
			for fixed := range keptOfNewPool {
				if raw, ok := r.Kept[fixed]; ok {
					if kept == nil {
						kept = make(map[string]json.RawMessage)
					}
					kept[fixed] = raw
				}
			}
			r.Kept = kept
			return nil
		})
	}
}

func deleteUserPool(in *input) action {
	id := in.needText("UserPoolId", poolIDRule)
	return func(a *apiCall) (any, error) {
		p, err := a.pool(id)
		if err != nil {
			return nil, err
		}
		return nil, p.commit(func() (change, error) {
			switch r := p.record.Load(); {
			case r.DeletionProtection:
				return change{}, invalidParameter("The user pool cannot be deleted because deletion protection is activated. Deletion protection must be inactivated first.")
			case len(r.Domains) > 0:
				return change{}, invalidParameter("User pool cannot be deleted. It has a domain configured that should be deleted first.")
			}
			return change{Delete: true}, nil
		})
	}
}

// output is a UserPoolType without the standard attributes of users.
func (r *poolRecord) output() structure {
	out := structure{
		"Id": r.ID, "Name": r.Name, "Status": "Enabled", "Arn": r.arn(),
		"CreationDate": epoch(r.Created), "LastModifiedDate": epoch(r.Modified),
		"DeletionProtection": "INACTIVE", "EstimatedNumberOfUsers": 0, "UserPoolTier": cmp.Or(r.Tier, "ESSENTIALS"),
	}
	if r.DeletionProtection {
		out["DeletionProtection"] = "ACTIVE"
	}
	if r.Issuer != IssuerEmulator { // which AWS does not know
		out["IssuerConfiguration"] = structure{"Type": r.Issuer}
	}
	for _, d := range r.Domains {
		if d.custom() {
			out["CustomDomain"] = d.Name
		} else {
			out["Domain"] = d.Name
		}
	}
	giveBack(out, keptOfPool, r.Kept)
	giveBack(out, keptOfNewPool, r.Kept)
	return out
}

func (r *poolRecord) lambdaConfig() json.RawMessage {
	if raw, ok := r.Kept["LambdaConfig"]; ok {
		return raw
	}
	return keptOfPool["LambdaConfig"].initial
}

func (r *poolRecord) arn() string {
	return "arn:" + partition(r.region()) + ":cognito-idp:" + r.region() + ":" + accountID + ":userpool/" + r.ID
}
