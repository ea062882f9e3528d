// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"slices"
	"strings"
)

// clientTokenAuth is the flow of GetClientToken.
const clientTokenAuth = "ALLOW_CLIENT_TOKEN_AUTH"

// checkClient checks what the members of an app client say together, with
// Cognito's own sentences where they are known. The pool is read as it is at
// the moment of the change.
func (p *UserPool) checkClient(r *clientRecord) error {
	machine := slices.Contains(r.Flows, clientCredentials)
	switch {
	case machine && len(r.Flows) > 1:
		return apiErrorf("InvalidOAuthFlowException", "client_credentials flow can not be selected along with code flow or implicit flow.")
	case machine && len(r.Secrets) == 0:
		return apiErrorf("InvalidOAuthFlowException", "client_credentials flow can not be selected if client does not have a client secret.")
	case r.OAuth && (len(r.Flows) == 0 || len(r.Scopes) == 0):
		return invalidParameter("AllowedOAuthFlows and AllowedOAuthScopes are required if user pool client is allowed to use OAuth flows.")
	}
	for _, s := range r.Scopes {
		switch {
		case standardScopes[s] && machine:
			return apiErrorf("InvalidOAuthFlowException", "%s is not supported with client_credentials flow", s)
		case !standardScopes[s] && !p.hasScope(s):
			return apiErrorf("ScopeDoesNotExistException", "Invalid scope requested: %s", s)
		}
	}
	if problem := authFlowsProblem(r.ExplicitAuthFlows, len(r.Secrets) > 0); problem != "" {
		return invalidParameter("%s", problem)
	}
	return nil
}

// authFlowsProblem says why ExplicitAuthFlows do not go together, or nothing: the
// flow of GetClientToken excludes those of users and needs a secret, and legacy
// flows exclude those that came later.
func authFlowsProblem(flows []string, hasSecret bool) string {
	allow := 0
	for _, flow := range flows {
		if strings.HasPrefix(flow, "ALLOW_") {
			allow++
		}
	}
	switch token := slices.Contains(flows, clientTokenAuth); {
	case token && len(flows) > 1:
		return clientTokenAuth + " must be the only authentication flow of an app client."
	case token && !hasSecret:
		return clientTokenAuth + " can not be selected if client does not have a client secret."
	case allow > 0 && allow < len(flows):
		return "Legacy authentication flows can not be selected along with those that begin with ALLOW_."
	default:
		return ""
	}
}

// checkValidity checks how long tokens are valid, in seconds (developer guide, "Quotas").
func (in *input) checkValidity(access, id, refresh validity) {
	if refresh.unit == "" {
		refresh.unit = "days"
	}
	if !access.within(300, 86_400) || !id.within(300, 86_400) || !refresh.within(3600, 315_360_000) {
		in.found.refusal = invalidParameter("Invalid range for token validity.")
	}
}

// validity is how long a token is valid. Zero: the default.
type validity struct {
	value int64
	unit  string
}

func (v validity) within(least, most int64) bool {
	seconds := v.value * int64(validityUnits[v.unit].Seconds())
	return v.value == 0 || seconds >= least && seconds <= most
}
