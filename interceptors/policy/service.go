// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	scopeauthv1 "github.com/scopeauth/scopeauth/gen/scopeauth/v1"
)

// service is a service and what its annotations say, in the names of the .proto
// file. It is not written after it is made.
type service struct {
	name, file string
	server     string // resource_server
	present    bool   // it or one of its methods has an option of our number
	imports    bool   // its file imports the schema
	usable     bool   // nothing is wrong above the level of methods
	fallback   *Rule  // default_policy; the zero Rule if it is faulty
	methods    []*method
	faults     []Fault
	uses       map[string]bool // the resource servers it names
}

type method struct {
	name    string
	foreign bool // not in the descriptor
	present bool // it has an option of our number
	rule    Rule
	faults  []Fault
}

func (s *service) fullMethod(m *method) string {
	return "/" + s.name + "/" + m.name
}

func (s *service) method(name string) *method {
	for _, m := range s.methods {
		if m.name == name {
			return m
		}
	}
	return nil
}

// listMethods returns the full names of the methods, for error texts.
func (s *service) listMethods() string {
	names := make([]string, len(s.methods))
	for i, m := range s.methods {
		names[i] = strconv.Quote(s.fullMethod(m))
	}
	return list(names)
}

// hasAnnotation reports whether the file says something about the method's rule,
// be it right or wrong.
func (s *service) hasAnnotation(m *method) bool {
	return !m.foreign && (m.present || s.fallback != nil)
}

// annotated returns the rule that the file gives the method: its own or, if it has
// none, the default of the service. An own rule that is faulty is not replaced by
// the default.
func (s *service) annotated(m *method) Rule {
	switch {
	case !s.usable || m.foreign:
		return Rule{}
	case m.present:
		return m.rule
	case s.fallback != nil:
		return *s.fallback
	default:
		return Rule{}
	}
}

func readService(d protoreflect.ServiceDescriptor, c *catalogue) *service {
	s := &service{name: string(d.FullName()), file: d.ParentFile().Path(), uses: map[string]bool{}}
	s.imports = importsSchema(d.ParentFile())
	reader := ruleReader{service: s, catalogue: c}
	option := serviceOption(d)
	s.present = option.present
	problems := option.problems
	if len(problems) > 0 {
		s.fallback = new(Rule{}) // a default may be among what was not understood
	} else if option.present {
		problems = reader.readOption(option.value)
	}
	for i := range d.Methods().Len() {
		m := reader.readMethod(d.Methods().Get(i))
		s.present = s.present || m.present
		s.methods = append(s.methods, m)
	}
	if s.present && !s.imports {
		problems = append(problems, foreignOption())
	}
	for _, p := range problems {
		s.faults = append(s.faults, Fault{Service: s.name, File: s.file, Problem: p.text, Fix: p.fix})
	}
	return s
}

func foreignOption() problem {
	return problem{
		text: fmt.Sprintf("it has an option of number %d, but the file does not import %s, so the option is somebody else's",
			scopeauthv1.E_Method.TypeDescriptor().Number(), schemaPath),
		fix: fmt.Sprintf("import %q, or give the other option another number", schemaPath),
	}
}

// ruleReader turns the options of one service and its methods into rules.
type ruleReader struct {
	service   *service
	catalogue *catalogue
}

func (r ruleReader) readOption(option *scopeauthv1.ServicePolicy) []problem {
	var problems []problem
	if server := option.GetResourceServer(); server != "" {
		r.service.server = server
		r.service.uses[server] = true
		if wrong := serverFault(server); wrong != "" {
			problems = append(problems, problem{
				text: "resource_server " + quote(server) + " " + wrong,
				fix:  "write the identifier that the resource server has in Cognito",
			})
		}
	}
	if option.GetDefaultPolicy() == nil {
		return problems
	}
	rule, wrong := r.rule(option.GetDefaultPolicy())
	if rule.Kind() == KindPublic {
		wrong = append(wrong, problem{
			text: "a default cannot be public, because new methods would be open unseen",
			fix:  "remove it, and write inside each rpc that is meant to be public\noption (scopeauth.v1.method) = { public: { reason: \"...\" } };",
		})
	}
	if len(wrong) > 0 {
		rule = Rule{}
	}
	r.service.fallback = &rule
	for _, p := range wrong {
		problems = append(problems, problem{text: "default_policy: " + p.text, fix: p.fix})
	}
	return problems
}

func (r ruleReader) readMethod(d protoreflect.MethodDescriptor) *method {
	option := methodOption(d)
	m := &method{name: string(d.Name()), present: option.present}
	problems := option.problems
	if len(problems) == 0 && option.present {
		m.rule, problems = r.rule(option.value)
	}
	for _, p := range problems {
		m.faults = append(m.faults, Fault{Service: r.service.name, Method: m.name, File: r.service.file, Problem: p.text, Fix: p.fix})
	}
	return m
}

// rule returns the rule that option means. If there is a problem, it is the zero
// Rule.
func (r ruleReader) rule(option *scopeauthv1.MethodPolicy) (Rule, []problem) {
	const one = "set exactly one of scope, scopes, authenticated and public"
	set := make([]string, 0, 4)
	if option.Scope != nil {
		set = append(set, "scope")
	}
	if option.GetScopes() != nil {
		set = append(set, "scopes")
	}
	if option.GetAuthenticated() != nil {
		set = append(set, "authenticated")
	}
	if option.GetPublic() != nil {
		set = append(set, "public")
	}
	switch {
	case len(set) == 0:
		return Rule{}, []problem{{text: "the rule is empty", fix: one}}
	case len(set) > 1:
		return Rule{}, []problem{{text: strings.Join(set, " and ") + " are set together", fix: one}}
	case option.Scope != nil:
		return r.scopes(nil, []string{option.GetScope()})
	case option.GetScopes() != nil:
		return r.scopes(option.GetScopes().GetAllOf(), option.GetScopes().GetAnyOf())
	case option.GetAuthenticated() != nil:
		return Authenticated(), nil
	default:
		return Rule{r: &rule{kind: KindPublic, reason: option.GetPublic().GetReason()}}, nil
	}
}

func (r ruleReader) scopes(allOf, anyOf []string) (Rule, []problem) {
	if len(allOf)+len(anyOf) == 0 {
		return Rule{}, []problem{{
			text: "scopes names no scope",
			fix:  "fill all_of or any_of; if any valid token will do, write authenticated: {}",
		}}
	}
	each, problems := r.expandList("all_of", allOf)
	one, more := r.expandList("any_of", anyOf)
	problems = append(problems, more...)
	for _, s := range one {
		if slices.Contains(each, s) {
			problems = append(problems, problem{
				text: "scope " + quote(s) + " is in all_of and in any_of, so any_of asks for nothing",
				fix:  "remove it from one of the two",
			})
		}
	}
	if len(problems) > 0 {
		return Rule{}, problems
	}
	return scopesRule(each, one), nil
}

// expandList returns the full names of the scopes that have no problem.
func (r ruleReader) expandList(name string, scopes []string) (full []string, problems []problem) {
	for _, s := range scopes {
		expanded, p := r.expand(s)
		switch {
		case p != nil:
			problems = append(problems, *p)
		case slices.Contains(full, expanded):
			problems = append(problems, problem{
				text: name + " names scope " + quote(expanded) + " twice",
				fix:  "remove one of the two",
			})
		default:
			full = append(full, expanded)
		}
	}
	return full, problems
}

// expand returns the full name of a scope and notes that its resource server is
// used.
func (r ruleReader) expand(scope string) (string, *problem) {
	server, name, full := splitScope(scope)
	if !full {
		server = r.service.server
	}
	switch wrong := scopeNameFault(name); {
	case scope == "":
		return "", &problem{text: "a scope is empty", fix: "write its name, or remove it"}
	case wrong != "":
		return "", &problem{text: "scope " + quote(scope) + ": the name " + wrong, fix: "write the name that the scope has in Cognito"}
	case !full && server == "":
		return "", &problem{
			text: "scope " + quote(scope) + " has no \"/\", and the service has no resource server",
			fix:  "write inside the service\noption (scopeauth.v1.service).resource_server = \"" + r.catalogue.suggestServer(r.service.file) + "\";",
		}
	}
	if wrong := serverFault(server); full && wrong != "" {
		return "", &problem{text: "scope " + quote(scope) + ": the resource server " + wrong, fix: "write <identifier of the resource server>/<name of the scope>"}
	}
	expanded := joinScope(server, name)
	if wrong := scopeLengthFault(expanded); wrong != "" {
		return "", &problem{text: wrong, fix: "shorten the name of the scope or of the resource server"}
	}
	r.service.uses[server] = true
	if p := r.catalogue.undeclared(server, name); p != nil {
		return "", p
	}
	return expanded, nil
}
