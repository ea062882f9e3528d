// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strings"
)

// Kind is the kind of a [Rule].
type Kind int

// The kinds of rules. The zero Kind permits nothing.
const (
	// KindNone: there is no usable rule, so no call is permitted.
	KindNone Kind = iota
	// KindScopes: a valid token with certain scopes is needed.
	KindScopes
	// KindAuthenticated: a valid token is needed; its scopes do not matter.
	KindAuthenticated
	// KindPublic: no token is needed.
	KindPublic
)

// String returns a word for people: "none", "scopes", "authenticated" or "public".
func (k Kind) String() string {
	switch k {
	case KindScopes:
		return "scopes"
	case KindAuthenticated:
		return "authenticated"
	case KindPublic:
		return "public"
	default:
		return "none"
	}
}

// Rule says who may call a method. The zero Rule permits nothing. A Rule never
// changes; copies are cheap, and any number of goroutines may use it.
type Rule struct {
	_ [0]func() // not comparable: == would tell copies apart from equal rules
	r *rule     // nil: no rule
}

// rule is shared by the copies of a Rule and never written after it is made.
type rule struct {
	kind   Kind
	allOf  []string
	anyOf  []string
	reason string
	fault  string // why the arguments of the constructor make no rule
}

// AnyOf returns the rule "a valid token with one of these scopes". Scopes are
// written in full, for example "demo/read.file". Put the narrowest first: clients
// ask for the first.
//
// Without a scope, with a scope that Cognito would not take or that has no "/",
// and with a scope twice, the result permits nothing, and [New] reports why.
func AnyOf(scopes ...string) Rule {
	return goScopes("AnyOf", nil, scopes)
}

// AllOf returns the rule "a valid token with every one of these scopes". See
// [AnyOf] for how scopes are written and what is an error.
func AllOf(scopes ...string) Rule {
	return goScopes("AllOf", scopes, nil)
}

// Authenticated returns the rule "a valid token, whatever its scopes".
func Authenticated() Rule {
	return Rule{r: &rule{kind: KindAuthenticated}}
}

// Public returns the rule "no token is needed, and one that is sent is not read".
// The reason says why that is safe. With a blank reason the result permits
// nothing, and [New] reports it. It is a rule for single methods: [WithRule] and
// [WithRuleOverride] do not take it for a whole service.
func Public(reason string) Rule {
	if strings.TrimSpace(reason) == "" {
		return Rule{r: &rule{fault: "Public needs a reason: write why the method is safe without a token"}}
	}
	return Rule{r: &rule{kind: KindPublic, reason: reason}}
}

func goScopes(constructor string, allOf, anyOf []string) Rule {
	scopes := slices.Concat(allOf, anyOf)
	if len(scopes) == 0 {
		return Rule{r: &rule{fault: constructor + " needs a scope; for a valid token without scopes use Authenticated"}}
	}
	var faults []string
	for i, s := range scopes {
		if wrong := scopeFault(s); wrong != "" {
			faults = append(faults, wrong)
		} else if slices.Contains(scopes[:i], s) {
			faults = append(faults, constructor+" names scope "+quote(s)+" twice")
		}
	}
	if len(faults) > 0 {
		return Rule{r: &rule{fault: strings.Join(faults, "; ")}}
	}
	return scopesRule(slices.Clone(allOf), slices.Clone(anyOf))
}

// scopesRule makes a rule of lists that are checked and that nobody else keeps.
func scopesRule(allOf, anyOf []string) Rule {
	return Rule{r: &rule{kind: KindScopes, allOf: allOf, anyOf: anyOf}}
}

// Kind returns the kind of the rule; [KindNone] if it permits nothing.
func (r Rule) Kind() Kind {
	if r.r == nil {
		return KindNone
	}
	return r.r.kind
}

// Reason returns why a public rule is safe, as its author wrote it. It is empty
// for other kinds, and for a public annotation without words.
func (r Rule) Reason() string {
	if r.r == nil {
		return ""
	}
	return r.r.reason
}

// fault returns why the rule's constructor could not make a rule, or "".
func (r Rule) fault() string {
	if r.r == nil {
		return "the rule is empty; use AnyOf, AllOf, Authenticated or Public"
	}
	return r.r.fault
}

// Permits reports whether a caller with the granted scopes may call. Scopes are
// compared byte by byte, whole and with case. For [KindAuthenticated] and
// [KindPublic] it is true whatever is granted: whether there is a valid token at
// all is for the caller of Permits to know. The zero Rule permits nothing. Permits
// does not allocate.
func (r Rule) Permits(granted []string) bool {
	switch r.Kind() {
	case KindAuthenticated, KindPublic:
		return true
	case KindScopes:
		return r.r.grantedBy(granted)
	default:
		return false
	}
}

func (r *rule) grantedBy(granted []string) bool {
	for _, s := range r.allOf {
		if !slices.Contains(granted, s) {
			return false
		}
	}
	for _, s := range r.anyOf {
		if slices.Contains(granted, s) {
			return true
		}
	}
	return len(r.anyOf) == 0 && len(r.allOf) > 0
}

// Alternatives returns the rule as an OR of ANDs: each element is a set of full
// scope names that suffices, in the order in which the rule was written. It is nil
// for rules of another kind than [KindScopes]. The caller owns the result.
func (r Rule) Alternatives() [][]string {
	if r.Kind() != KindScopes {
		return nil
	}
	if len(r.r.anyOf) == 0 {
		return [][]string{slices.Clone(r.r.allOf)}
	}
	alternatives := make([][]string, len(r.r.anyOf))
	for i, s := range r.r.anyOf {
		alternatives[i] = append(slices.Clone(r.r.allOf), s)
	}
	return alternatives
}

// String returns the rule for people: "demo/read.file or demo/write.file",
// "demo/a and (demo/b or demo/c)", "any valid token", "public: the reason" or "no
// rule".
func (r Rule) String() string {
	switch r.Kind() {
	case KindScopes:
		each, one := strings.Join(r.r.allOf, " and "), strings.Join(r.r.anyOf, " or ")
		switch {
		case each == "":
			return one
		case one == "":
			return each
		case len(r.r.anyOf) > 1:
			return each + " and (" + one + ")"
		default:
			return each + " and " + one
		}
	case KindAuthenticated:
		return "any valid token"
	case KindPublic:
		if r.r.reason == "" {
			return "public"
		}
		return "public: " + r.r.reason
	default:
		return NoRule
	}
}

// servers calls f with the resource server of each scope of the rule.
func (r Rule) servers(f func(server string)) {
	if r.Kind() != KindScopes {
		return
	}
	for _, list := range [][]string{r.r.allOf, r.r.anyOf} {
		for _, s := range list {
			server, _, _ := splitScope(s)
			f(server)
		}
	}
}

// withServers returns the rule with each scope's resource server replaced as
// servers says.
func (r Rule) withServers(servers map[string]string) Rule {
	if r.Kind() != KindScopes || len(servers) == 0 {
		return r
	}
	replace := func(scopes []string) []string {
		replaced := make([]string, len(scopes))
		for i, s := range scopes {
			server, name, _ := splitScope(s)
			if to, ok := servers[server]; ok {
				s = joinScope(to, name)
			}
			replaced[i] = s
		}
		return replaced
	}
	return scopesRule(replace(r.r.allOf), replace(r.r.anyOf))
}
