// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
)

// Answers chooses between two answers where Amazon's documents leave open which
// one Cognito gives. A client should be right with both. The zero value of each
// member is its first choice. See also [WithDisallowedScopes] and [WithJWKSCacheControl].
type Answers struct {
	// InvalidClientStatus is the status of invalid_client at the token endpoint:
	// 400 as documented by AWS, or 401 as in RFC 6749, section 5.2.
	InvalidClientStatus int
	// NoCredentials is the error of a token request without any credentials:
	// "invalid_client" or "invalid_request".
	NoCredentials string
	// FlowNotAllowed is the error for a client whose AllowedOAuthFlows lacks the
	// grant: "unauthorized_client" or "invalid_grant".
	FlowNotAllowed string
	// NotAFormStatus is the status for a content type other than that of a form: 405
	// without a body, or 400 with invalid_request.
	NotAFormStatus int
	// Resource is the error for a client credentials request with the parameter
	// resource (RFC 8707), which Cognito does not support for machines: empty, the
	// parameter is ignored, or "invalid_request".
	Resource string
	// UnknownPoolStatus is the status of well-known documents of a pool that does
	// not exist: 400 or 404.
	UnknownPoolStatus int
	// ThrottledStatus is the status of a token request beyond [WithThrottle]: 429, or
	// 400 as for the operations of Cognito's API.
	ThrottledStatus int
}

// WithAnswers chooses answers of the server that are not documented. A member that
// it leaves empty is as a config file says, see [WithConfigFile].
func WithAnswers(a Answers) Option {
	return optionFunc(func(o *options) { o.answers = a })
}

// choices are the members, each with its two values.
func (a *Answers) choices() []choice {
	return []choice{
		choose("InvalidClientStatus", "invalid_client_status", &a.InvalidClientStatus, http.StatusBadRequest, http.StatusUnauthorized),
		choose("NoCredentials", "no_credentials", &a.NoCredentials, invalidClient, invalidRequest),
		choose("FlowNotAllowed", "flow_not_allowed", &a.FlowNotAllowed, unauthorizedClient, invalidGrant),
		choose("NotAFormStatus", "not_a_form_status", &a.NotAFormStatus, http.StatusMethodNotAllowed, http.StatusBadRequest),
		choose("Resource", "resource", &a.Resource, "", invalidRequest),
		choose("UnknownPoolStatus", "unknown_pool_status", &a.UnknownPoolStatus, http.StatusBadRequest, http.StatusNotFound),
		choose("ThrottledStatus", "throttled_status", &a.ThrottledStatus, http.StatusTooManyRequests, http.StatusBadRequest),
	}
}

// choice is one member of Answers.
type choice struct {
	field    string // its name in a config file
	read     func(c configReader) func(at string, raw json.RawMessage)
	complete func()
	problem  func() string
}

func choose[T comparable](member, field string, value *T, first, second T) choice {
	values := fmt.Sprintf("%#v or %#v", first, second)
	good := func(v T) bool { return v == first || v == second }
	return choice{
		field: field,
		read: func(c configReader) func(at string, raw json.RawMessage) {
			return func(at string, raw json.RawMessage) {
				var inFile T
				plainValue(c, &inFile, values, good)(at, raw)
				*value = cmp.Or(*value, inFile)
			}
		},
		complete: func() { *value = cmp.Or(*value, first) },
		problem: func() string {
			if good(*value) {
				return ""
			}
			return fmt.Sprintf("%s is %s, got %#v", member, values, *value)
		},
	}
}

// complete fills in the first choices.
func (a *Answers) complete() {
	for _, c := range a.choices() {
		c.complete()
	}
}

// check takes completed answers.
func (a *Answers) check(found *problems) {
	for _, c := range a.choices() {
		if problem := c.problem(); problem != "" {
			found.addf("WithAnswers", "%s", problem)
		}
	}
}

// answers reads a member of a config file.
func (c configReader) answers(at string, raw json.RawMessage, a *Answers) {
	known := fields{}
	for _, choice := range a.choices() {
		known[choice.field] = choice.read(c)
	}
	c.object("", at, raw, known)
}
