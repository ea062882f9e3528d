// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"cmp"
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

// WithAnswers chooses answers of the server that are not documented.
func WithAnswers(a Answers) Option {
	return optionFunc(func(o *options) { o.answers = a })
}

// completed returns the answers with their defaults.
func (a Answers) completed() Answers {
	return Answers{
		InvalidClientStatus: cmp.Or(a.InvalidClientStatus, http.StatusBadRequest),
		NoCredentials:       cmp.Or(a.NoCredentials, invalidClient),
		FlowNotAllowed:      cmp.Or(a.FlowNotAllowed, unauthorizedClient),
		NotAFormStatus:      cmp.Or(a.NotAFormStatus, http.StatusMethodNotAllowed),
		Resource:            a.Resource,
		UnknownPoolStatus:   cmp.Or(a.UnknownPoolStatus, http.StatusBadRequest),
		ThrottledStatus:     cmp.Or(a.ThrottledStatus, http.StatusTooManyRequests),
	}
}

// check takes completed answers.
func (a Answers) check(found *problems) {
	for _, choice := range []struct {
		member              string
		got, first, another any
	}{
		{"InvalidClientStatus", a.InvalidClientStatus, 400, 401},
		{"NoCredentials", a.NoCredentials, invalidClient, invalidRequest},
		{"FlowNotAllowed", a.FlowNotAllowed, unauthorizedClient, invalidGrant},
		{"NotAFormStatus", a.NotAFormStatus, 405, 400},
		{"Resource", a.Resource, "", invalidRequest},
		{"UnknownPoolStatus", a.UnknownPoolStatus, 400, 404},
		{"ThrottledStatus", a.ThrottledStatus, 429, 400},
	} {
		if choice.got != choice.first && choice.got != choice.another {
			found.addf("WithAnswers", "%s is %#v or %#v, got %#v", choice.member, choice.first, choice.another, choice.got)
		}
	}
}
