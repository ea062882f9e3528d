// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import "slices"

// addUserPoolClientSecret shows the value of the new secret if it was generated, and never again.
func addUserPoolClientSecret(in *input) action {
	id, clientID := in.poolAndClient()
	given := in.text("ClientSecret", secretRule)
	return func(a *apiCall) (any, error) {
		value := given
		if value == "" {
			value = newSecret()
		}
		var added secretRecord
		_, err := a.editClient(id, clientID, func(_ *UserPool, r *clientRecord) error {
			switch {
			case len(r.Secrets) == 0:
				return invalidParameter("The app client does not have a client secret.")
			case len(r.Secrets) >= maxSecrets:
				return apiErrorf("LimitExceededException", "An app client has at most %d active secrets.", maxSecrets)
			case slices.ContainsFunc(r.Secrets, func(s secretRecord) bool { return s.Value == value }):
				return invalidParameter("The app client has this secret already.")
			}
			added = r.addSecret(value, a.now(), true)
			return nil
		})
		if err != nil {
			return nil, err
		}
		descriptor := added.output()
		if given == "" {
			descriptor["ClientSecretValue"] = value
		}
		return structure{"ClientSecretDescriptor": descriptor}, nil
	}
}

// listUserPoolClientSecrets has no pages: there are two secrets at most.
func listUserPoolClientSecrets(in *input) action {
	id, clientID := in.poolAndClient()
	return func(a *apiCall) (any, error) {
		_, c, err := a.client(id, clientID)
		if err != nil {
			return nil, err
		}
		secrets := make([]structure, len(c.record.Secrets))
		for i, s := range c.record.Secrets {
			secrets[i] = s.output()
		}
		return structure{"ClientSecrets": secrets}, nil
	}
}

func deleteUserPoolClientSecret(in *input) action {
	id, clientID := in.poolAndClient()
	secretID := in.needText("ClientSecretId", secretIDRule)
	return func(a *apiCall) (any, error) {
		_, err := a.editClient(id, clientID, func(_ *UserPool, r *clientRecord) error {
			rest := slices.DeleteFunc(slices.Clone(r.Secrets), func(s secretRecord) bool { return s.ID == secretID })
			switch {
			case len(rest) == len(r.Secrets):
				return notFound("Client secret %s does not exist.", secretID)
			case len(rest) == 0:
				return invalidParameter("The last client secret cannot be deleted.")
			}
			r.Secrets = rest
			return nil
		})
		return structure{}, err
	}
}

// output never has the value.
func (s secretRecord) output() structure {
	return structure{"ClientSecretId": s.ID, "ClientSecretCreateDate": epoch(s.Created)}
}
