// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// Selection says which scopes the tokens of a connection have, and so what the server
// at its other end could do with them elsewhere. Choose with [ForMethods],
// [PerMethod], [FixedScopes] or [AllClientScopes]; the zero Selection is an error.
//
// Under every selection a method whose rule is public is called without a token.
type Selection struct {
	compile func(p *policy.Policy) (selected, error)
}

// selected is a Selection that was checked against a policy.
type selected struct {
	// methods are the methods that the selection speaks of, with the place of their
	// token.
	methods map[string]*slot
	// public are the methods that are called without a token: few, so that it costs little
	// to ask for each call.
	public map[string]bool
	// others is for the methods that are not in it; nil refuses them.
	others *slot
	// refuse says why a method is refused.
	refuse func(p *policy.Policy, method string) *Error
}

// slot decides about a call: with the token of the slot, without one if that is nil,
// or not at all.
func (s *selected) slot(p *policy.Policy, method string) (*slot, error) {
	if slot := s.methods[method]; slot != nil {
		return slot, nil
	}
	if s.public[method] {
		return nil, nil //nolint:nilnil // no token is needed
	}
	if s.others == nil {
		return nil, s.refuse(p, method)
	}
	return s.others, nil
}

// publicMethods are those whose rule is public.
func publicMethods(p *policy.Policy) map[string]bool {
	public := map[string]bool{}
	for method, rule := range p.Methods() {
		if rule.Kind() == policy.KindPublic {
			public[method] = true
		}
	}
	return public
}

// slots returns each slot once.
func (s *selected) slots() []*slot {
	slots := slices.Collect(maps.Values(s.methods))
	if s.others != nil {
		slots = append(slots, s.others)
	}
	slices.SortFunc(slots, func(a, b *slot) int { return slices.Compare(a.scopes, b.scopes) })
	return slices.Compact(slots)
}

// bind connects all slots to the source.
func (s *selected) bind(source TokenSource) error {
	slots, limit := s.slots(), defaultMaxScopeSets
	if own, ok := source.(*ClientCredentials); ok {
		limit = own.cfg.maxScopeSets
	}
	if len(slots) > limit {
		return usageErrorf("clientauth: PerMethod: the rules of the policy have %d different sets of scopes, and there is room for the tokens of %d: give WithPolicy a policy of the server's files only (policy.WithFiles), use ForMethods, or raise MaxScopeSets; each set is a stream of paid tokens", len(slots), limit)
	}
	for _, slot := range slots {
		if err := slot.bind(source); err != nil {
			return err
		}
	}
	return nil
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
		named := map[string]*slot{}
		var scopes []string
		var choices []policy.Rule
		var errs []error
		for _, method := range fullMethods {
			rule, err := ruleFor(p, method)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			named[method] = nil // its place comes when all scopes are known
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
		token := &slot{scopes: sortedScopes(scopes)}
		for method := range named {
			named[method] = token
		}
		return selected{methods: named, refuse: notNamed}, nil
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
		return selected{others: &slot{scopes: sortedScopes(scopes)}}, nil
	}}
}

// AllClientScopes selects every scope that the app client has: the server can then
// do everything that this client can, at every server that trusts the user pool.
// Prefer [ForMethods].
func AllClientScopes() Selection {
	return Selection{compile: func(*policy.Policy) (selected, error) { return selected{others: &slot{}}, nil }}
}

// notNamed is the refusal of ForMethods.
func notNamed(_ *policy.Policy, method string) *Error {
	return &Error{
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
