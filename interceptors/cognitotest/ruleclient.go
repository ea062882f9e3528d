// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// scopeDoesNotExist is the error type for a scope that no resource server of the pool has.
const scopeDoesNotExist = "ScopeDoesNotExistException"

// clientTokenAuth is the flow of GetClientToken.
const clientTokenAuth = "ALLOW_CLIENT_TOKEN_AUTH"

// standardScopes exist in every pool; machine-to-machine tokens never carry them.
var standardScopes = map[string]bool{
	"openid": true, "email": true, "phone": true, "profile": true, "aws.cognito.signin.user.admin": true,
}

// problems says what the members of an app client say wrongly together, with
// Cognito's own sentences where they are known. hasScope reports whether a resource
// server of the pool has a whole scope.
func (r *clientRecord) problems(hasScope func(scope string) bool) []apiError {
	var found []apiError
	add := func(kind, format string, args ...any) {
		found = append(found, apiError{kind, fmt.Sprintf(format, args...)})
	}
	if slices.Contains(r.Flows, clientCredentials) {
		if len(r.Flows) > 1 {
			add("InvalidOAuthFlowException", "client_credentials flow can not be selected along with code flow or implicit flow.")
		}
		if len(r.Secrets) == 0 {
			add("InvalidOAuthFlowException", "client_credentials flow can not be selected if client does not have a client secret.")
		}
	}
	if r.OAuth && (len(r.Flows) == 0 || len(r.Scopes) == 0) {
		add("InvalidParameterException", "AllowedOAuthFlows and AllowedOAuthScopes are required if user pool client is allowed to use OAuth flows.")
	}
	for _, s := range r.Scopes {
		if !standardScopes[s] && !hasScope(s) {
			add(scopeDoesNotExist, "Invalid scope requested: %s", s)
		}
	}
	if problem := authFlowsProblem(r.ExplicitAuthFlows, len(r.Secrets) > 0); problem != "" {
		add("InvalidParameterException", "%s", problem)
	}
	return found
}

// checkClient is for the management API. The pool is read as it is at the moment of the
// change. A configuration may give a machine a standard scope, to see that tokens do not get it.
func (p *UserPool) checkClient(r *clientRecord) error {
	if found := r.problems(p.hasScope); len(found) > 0 {
		return found[0]
	}
	if slices.Contains(r.Flows, clientCredentials) {
		for _, s := range r.Scopes {
			if standardScopes[s] {
				return apiErrorf("InvalidOAuthFlowException", "%s is not supported with client_credentials flow", s)
			}
		}
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
	const least, most = int64(minLifetime / time.Second), int64(maxLifetime / time.Second)
	if !access.within(least, most) || !id.within(least, most) || !refresh.within(3600, refreshValidityRule.max) {
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
