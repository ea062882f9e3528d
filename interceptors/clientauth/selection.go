// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// Selection says which scopes the token of a connection has, and so what the server
// at its other end could do with it elsewhere. A connection has one token. Choose
// with [ForMethods], [FixedScopes] or [AllClientScopes]; the zero Selection is an
// error.
//
// Under every selection a method whose rule is public is called without a token.
type Selection struct {
	compile func(p *policy.Policy) (selected, error)
}

// selected is a Selection that was checked against a policy.
type selected struct {
	// scopes is what the token has; none means all that the client has.
	scopes []string
	// named are the methods that may be called with the token; nil means any.
	named map[string]bool
}

// ForMethods selects what the named methods need, and nothing else: the scopes of all
// rules that leave no choice, and of each other rule that these do not fulfil already
// the first alternative. It is the recommended selection: a program that
// names a method that is unknown, public or without a rule does not start. Name
// methods by the generated constants, such as
// filesv1.FileReadService_ReadFile_FullMethodName.
//
// A call of a method that is neither named nor public fails with PERMISSION_DENIED
// before anything is sent; the error says what to add.
//
// A method whose rule is `authenticated` adds no scope. If that leaves no scope at
// all, ForMethods is an error: a token request without scopes gets every scope of
// the client, which is the opposite of what was asked for. Use [FixedScopes] with a
// scope that the client has.
func ForMethods(fullMethods ...string) Selection {
	return Selection{compile: func(p *policy.Policy) (selected, error) {
		if len(fullMethods) == 0 {
			return selected{}, usageError("clientauth: ForMethods names no method")
		}
		named := map[string]bool{}
		var scopes []string
		var choices []policy.Rule
		var errs []error
		for _, method := range fullMethods {
			rule, err := ruleFor(p, method)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			named[method] = true
			switch alternatives := rule.Alternatives(); len(alternatives) {
			case 0: // any token will do
			case 1:
				scopes = append(scopes, alternatives[0]...)
			default:
				choices = append(choices, rule)
			}
		}
		if len(errs) > 0 {
			return selected{}, errors.Join(errs...)
		}
		for _, rule := range choices {
			if !rule.Permits(scopes) {
				scopes = append(scopes, rule.Alternatives()[0]...)
			}
		}
		if len(scopes) == 0 {
			return selected{}, usageError("clientauth: ForMethods: the named methods need a token but no scope, and a token request without scopes gets every scope of the client: use FixedScopes with one scope that the client has, or AllClientScopes if the server may have them all")
		}
		return selected{scopes: sortedScopes(scopes), named: named}, nil
	}}
}

// sortedScopes returns each scope once. A source that appends to the result gets a
// copy.
func sortedScopes(scopes []string) []string {
	return slices.Clip(slices.Compact(slices.Sorted(slices.Values(scopes))))
}

// ruleFor returns the rule of a method that needs a token.
func ruleFor(p *policy.Policy, method string) (policy.Rule, error) {
	if !fullMethodName(method) {
		return policy.Rule{}, usageErrorf("clientauth: ForMethods: %q is not a full method name; it must be like /package.Service/Method", printable(method, 200))
	}
	rule, known := p.Rule(method)
	if !known {
		return policy.Rule{}, usageErrorf("clientauth: ForMethods: %s is in no linked descriptor: import the generated package of its service, or give WithPolicy a policy that knows it", method)
	}
	switch rule.Kind() {
	case policy.KindScopes, policy.KindAuthenticated:
		return rule, nil
	case policy.KindPublic:
		return policy.Rule{}, usageErrorf("clientauth: ForMethods: %s is public and needs no token: leave it out", method)
	case policy.KindNone:
	}
	return policy.Rule{}, usageErrorf("clientauth: ForMethods: %s has no access rule: write inside the rpc in its .proto file\n    option (scopeauth.v1.method).scope = \"...\";", method)
}

// fullMethodName reports whether name has the form /package.Service/Method.
func fullMethodName(name string) bool {
	service, method, ok := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	return ok && strings.HasPrefix(name, "/") && service != "" && method != "" && !strings.Contains(method, "/")
}

// FixedScopes selects a list of full scope names, such as "demo/read.file", for
// servers whose descriptors have no rules. At least one is needed.
func FixedScopes(scopes ...string) Selection {
	scopes = slices.Clone(scopes)
	return Selection{compile: func(*policy.Policy) (selected, error) {
		if len(scopes) == 0 {
			return selected{}, usageError("clientauth: FixedScopes has no scope; AllClientScopes asks for all that the client has")
		}
		for _, scope := range scopes {
			if !validScope(scope) {
				return selected{}, usageErrorf("clientauth: FixedScopes: %q is no scope (RFC 6749, section 3.3)", printable(scope, 100))
			}
		}
		return selected{scopes: sortedScopes(scopes)}, nil
	}}
}

// AllClientScopes selects every scope that the app client has: the server can then
// do everything that this client can, at every server that trusts the user pool.
// Prefer [ForMethods].
func AllClientScopes() Selection {
	return Selection{compile: func(*policy.Policy) (selected, error) { return selected{}, nil }}
}

// needsToken decides about a call: with the connection's token, without one, or
// not at all.
func (s *selected) needsToken(p *policy.Policy, method string) (bool, error) {
	if s.named[method] {
		return true, nil
	}
	if rule, known := p.Rule(method); known && rule.Kind() == policy.KindPublic {
		return false, nil
	}
	if s.named == nil {
		return true, nil
	}
	return false, &Error{
		reason: ReasonMethod, code: codes.PermissionDenied,
		text: "the call was not sent: this connection's ForMethods does not name " + printable(method, 300),
		hint: "add " + constantOf(method) + " to ForMethods, or, if the server takes the method without a token, a policy with a Public rule for it by WithPolicy",
	}
}

// constantOf returns the name of the generated constant for a method.
func constantOf(method string) string {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	service = service[strings.LastIndexByte(service, '.')+1:]
	return printable(service+"_"+name+"_FullMethodName", 300)
}
