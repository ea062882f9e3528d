// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// PerMethod selects for each method what its rule needs and nothing else: the first
// alternative. Methods that need the same scopes share a token. It gives away the
// least with each call, and it has its price: each different set of scopes is a
// stream of paid tokens of its own (a method that is never called costs nothing), and
// calls that take turns with more tokens than HPACK's table of 4 KiB has room for,
// about four, send each token in full: from the fifth on a call took a sixth longer and 12
// to 29 % more processor time, both ends together.
//
// A method whose rule is `authenticated` takes the token of the fewest scopes that a
// method of the same service needs, of several the first in the alphabet: a token
// request without scopes would get every scope of the client.
//
// A call fails with PERMISSION_DENIED before anything is sent if the method is in no
// descriptor that the policy has read, if it has no rule, or if it is `authenticated`
// in a service without scopes. A connection has no other token under this selection,
// and each choice among its tokens would be a guess about what the server may have.
// The error says what to do.
//
// More sets than [MaxScopeSets] (16 for a source of one's own) are an error at the
// start, counted over all methods that the policy knows. A program that links many
// services gives [WithPolicy] one of the files of this server.
func PerMethod() Selection {
	return Selection{compile: func(p *policy.Policy) (selected, error) {
		sets := map[string]*slot{}
		methods := map[string]*slot{}
		narrowest := map[string]*slot{} // by service
		for method, rule := range p.Methods() {
			if rule.Kind() != policy.KindScopes {
				continue
			}
			scopes := sortedScopes(rule.Alternatives()[0])
			key := string(appendKey(nil, scopes))
			token, again := sets[key]
			if !again {
				token = &slot{scopes: scopes}
				sets[key] = token
			}
			methods[method] = token
			if service := serviceOf(method); narrowest[service] == nil || narrower(scopes, narrowest[service].scopes) {
				narrowest[service] = token
			}
		}
		if len(methods) == 0 {
			return selected{}, usageError("clientauth: PerMethod: no method that the policy knows has a rule with scopes: import the generated package of the service, give WithPolicy a policy that knows it, or use FixedScopes")
		}
		for method, rule := range p.Methods() {
			if token := narrowest[serviceOf(method)]; token != nil && rule.Kind() == policy.KindAuthenticated {
				methods[method] = token
			}
		}
		return selected{methods: methods, refuse: notKnown}, nil
	}}
}

// serviceOf returns the part of a full method name before the method.
func serviceOf(method string) string { return method[:strings.LastIndexByte(method, '/')+1] }

// narrower reports whether a is the better choice for a method that needs any token.
func narrower(a, b []string) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return slices.Compare(a, b) < 0
}

// notKnown is the refusal of PerMethod.
func notKnown(p *policy.Policy, method string) *Error {
	refused := &Error{reason: ReasonMethod, code: codes.PermissionDenied}
	const sent = "the call was not sent: PerMethod does not know which token to send: "
	switch rule, known := p.Rule(method); {
	case !known:
		refused.text = sent + printable(method, 300) + " is in no descriptor that the policy has read"
		refused.hint = "import the generated package of its service, give WithPolicy a policy that knows it, or use FixedScopes"
	case rule.Kind() == policy.KindAuthenticated:
		refused.text = sent + method + " needs a token whatever its scopes, and no method of its service has a rule with scopes"
		refused.hint = "use FixedScopes with one scope that the client has"
	default:
		refused.text = sent + method + " has no access rule"
		refused.hint = "write inside the rpc in its .proto file\n    option (scopeauth.v1.method).scope = \"...\";"
	}
	return refused
}
