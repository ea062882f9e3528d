// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// optionError is something wrong with the options of a policy.
type optionError string

func (e optionError) Error() string { return "policy: " + string(e) }

func joinErrors(errs []error) error { return errors.Join(errs...) }

// resolveRules returns the rules given in Go by full method name.
func resolveRules(rules []goRule, src *source, errs *[]error) map[string]Rule {
	fail := func(g goRule, format string, args ...any) {
		*errs = append(*errs, optionError(g.option()+": "+fmt.Sprintf(format, args...)))
	}
	byName := map[string]goRule{}
	seen := map[string]bool{}
	for _, g := range rules {
		if wrong := g.rule.fault(); wrong != "" {
			fail(g, "%s", wrong)
			continue
		}
		if s := src.byName[g.name]; s != nil && g.rule.Kind() == KindPublic {
			// It would open methods that the service gets later, unseen. A default_policy
			// cannot be public for the same reason.
			fail(g, "a rule for a whole service cannot be public, because new methods would be open unseen; name the methods that are meant to be public: %s", s.listMethods())
			continue
		}
		if wrong := src.catalogue.undeclaredIn(g.rule); wrong != "" {
			fail(g, "%s", wrong)
		}
		if seen[g.option()] {
			fail(g, "given twice; remove one of the two")
			continue
		}
		seen[g.option()] = true
		if !byName[g.name].override {
			byName[g.name] = g
		}
	}
	given := map[string]Rule{}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		// "/" sorts before letters: rules of methods come first and stay.
		g := byName[name]
		s, methods, wrong := src.match(name)
		if wrong != "" {
			fail(g, "%s", wrong)
			continue
		}
		for _, m := range methods {
			full := s.fullMethod(m)
			if _, closer := given[full]; closer {
				continue
			}
			given[full] = g.rule
			if !g.override && s.hasAnnotation(m) {
				fail(g, "%s has an annotation in %s; remove one of the two, or use WithRuleOverride", strings.TrimPrefix(full, "/"), s.file)
			}
		}
	}
	return given
}

// match returns the methods that a name stands for, or what is wrong with it.
func (src *source) match(name string) (*service, []*method, string) {
	svc, methodName, isMethod := name, "", false
	if strings.HasPrefix(name, "/") {
		svc, methodName, isMethod = strings.Cut(name[1:], "/")
	}
	s := src.byName[svc]
	switch {
	case strings.Contains(svc, "/") || (strings.HasPrefix(name, "/") && !isMethod):
		return nil, nil, "write \"/package.Service/Method\" for a method, \"package.Service\" for a service"
	case s == nil:
		return nil, nil, "no service " + strconv.Quote(svc) + " is known; if it has no descriptor, add WithService(" + strconv.Quote(svc) + ", methods...)"
	case !isMethod:
		return s, s.methods, ""
	}
	if m := s.method(methodName); m != nil {
		return s, []*method{m}, ""
	}
	names := make([]string, len(s.methods))
	for i, m := range s.methods {
		names[i] = m.name
	}
	return nil, nil, "service " + svc + " has no method " + quote(methodName) + "; it has " + list(names)
}

// undeclaredIn returns what is wrong with scopes of declared resource servers in
// a rule given in Go, or "".
func (c *catalogue) undeclaredIn(r Rule) string {
	var faults []string
	for _, alternative := range r.Alternatives() {
		for _, scope := range alternative {
			id, name, _ := splitScope(scope)
			if p := c.undeclared(id, name); p != nil && !slices.Contains(faults, p.text) {
				faults = append(faults, p.text)
			}
		}
	}
	return strings.Join(faults, "; ")
}

// resolveServers checks the mappings and returns them.
func resolveServers(mappings []serverMapping, src *source, given map[string]Rule, errs *[]error) map[string]string {
	if len(mappings) == 0 {
		return nil
	}
	users := src.serverUsers(given)
	servers := map[string]string{}
	from := map[string]string{}
	for _, m := range mappings {
		fail := func(format string, args ...any) {
			*errs = append(*errs, optionError(fmt.Sprintf("MapResourceServer(%s, %s): ", quote(m.from), quote(m.to))+fmt.Sprintf(format, args...)))
		}
		if wrong := serverFault(m.to); wrong != "" {
			fail("the new identifier %s", wrong)
		}
		if users[m.from] == "" {
			fail("no rule uses %s; in use: %s", quote(m.from), cmp.Or(list(slices.Sorted(maps.Keys(users))), "none"))
		}
		if to, twice := servers[m.from]; twice {
			fail("%s is mapped to %s as well", quote(m.from), quote(to))
			continue
		}
		if other, taken := from[m.to]; taken {
			fail("%s is mapped to it as well, and two resource servers never become one", quote(other))
		}
		servers[m.from], from[m.to] = m.to, m.from
	}
	for _, m := range mappings {
		if _, mapped := servers[m.to]; !mapped && users[m.to] != "" {
			*errs = append(*errs, optionError(fmt.Sprintf("MapResourceServer(%s, %s): %s is used itself, by %s, and two resource servers never become one; name %s there, the mapping applies to it",
				quote(m.from), quote(m.to), quote(m.to), users[m.to], quote(m.from))))
		}
	}
	src.checkLengths(servers, given, errs)
	return servers
}

// serverUsers returns every resource server that is declared or named in a rule,
// and one place that does so.
func (src *source) serverUsers(given map[string]Rule) map[string]string {
	users := map[string]string{}
	for _, full := range slices.Backward(slices.Sorted(maps.Keys(given))) {
		given[full].servers(func(id string) { users[id] = "the rule of " + full })
	}
	for _, s := range slices.Backward(src.services) {
		for id := range s.uses {
			users[id] = s.name
		}
	}
	for id, s := range src.catalogue.servers {
		users[id] = "a declaration in " + s.file
	}
	return users
}

// checkLengths finds scopes that a mapping makes too long.
func (src *source) checkLengths(servers map[string]string, given map[string]Rule, errs *[]error) {
	seen := map[string]bool{}
	check := func(r Rule) {
		for _, alternative := range r.withServers(servers).Alternatives() {
			for _, scope := range alternative {
				if wrong := scopeLengthFault(scope); wrong != "" && !seen[scope] {
					seen[scope] = true
					*errs = append(*errs, optionError("MapResourceServer: "+wrong))
				}
			}
		}
	}
	for _, full := range slices.Sorted(maps.Keys(given)) {
		check(given[full])
	}
	for _, s := range src.services {
		for _, m := range s.methods {
			check(s.annotated(m))
		}
	}
}
