// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Check returns nil if every method of these services has a rule and nothing is
// wrong with the annotations that the services use, else a [*CheckError] with all
// faults. Services are full names, as "demo.files.v1.FileReadService"; order and
// repetition do not matter.
func (p *Policy) Check(services ...string) error {
	names := slices.Compact(slices.Sorted(slices.Values(services)))
	var faults []Fault
	concerned := map[Fault][]string{} // fault in a file -> the services it concerns
	var outside []Fault
	for _, name := range names {
		s := p.descriptors().byName[name]
		if s == nil {
			faults = append(faults, p.unknown(name))
			continue
		}
		causes := p.causes(s)
		for _, c := range causes {
			if _, known := concerned[c.fault]; !known {
				outside = append(outside, c.fault)
			}
			concerned[c.fault] = append(concerned[c.fault], name)
		}
		faults = append(faults, p.serviceFaults(s, len(causes) > 0)...)
	}
	slices.SortStableFunc(outside, func(a, b Fault) int { return strings.Compare(a.File, b.File) })
	for i, f := range outside {
		outside[i].Problem += "; this concerns " + list(concerned[f])
	}
	if faults = append(outside, faults...); len(faults) > 0 {
		return &CheckError{Faults: faults}
	}
	return nil
}

// Faults returns every fault in the annotations of the files that the policy has
// read, also of services that the program does not serve. Their methods permit
// nothing. Methods without a rule are not in it: who only calls a service need not
// know its rules.
func (p *Policy) Faults() []Fault {
	src := p.descriptors()
	faults := slices.Clone(src.strangers)
	for _, f := range src.catalogue.faults {
		faults = append(faults, f.fault)
	}
	for _, s := range src.services {
		faults = append(faults, s.faults...)
		for _, m := range s.methods {
			faults = append(faults, m.faults...)
		}
	}
	return faults
}

// replaced reports whether rules given in Go stand for all methods of s, so that
// what its file says does not matter.
func (p *Policy) replaced(s *service) bool {
	for _, m := range s.methods {
		if _, ok := p.given[s.fullMethod(m)]; !ok {
			return false
		}
	}
	return len(s.methods) > 0
}

// causes returns the faults outside of s that concern it.
func (p *Policy) causes(s *service) []*declarationFault {
	uses := map[string]bool{}
	for _, m := range s.methods {
		p.given[s.fullMethod(m)].servers(func(id string) { uses[id] = true })
	}
	if p.replaced(s) {
		return p.source.catalogue.using(uses)
	}
	maps.Copy(uses, s.uses)
	return p.source.causes(s, uses)
}

// serviceFaults returns what is wrong in s itself. excused says that a fault
// outside of it is the reason why annotated methods have no rule.
func (p *Policy) serviceFaults(s *service, excused bool) []Fault {
	var faults []Fault
	if !p.replaced(s) {
		faults = append(faults, s.faults...)
		excused = excused || len(faults) > 0
	}
	for _, m := range s.methods {
		full := s.fullMethod(m)
		if _, ok := p.given[full]; ok {
			continue
		}
		faults = append(faults, m.faults...)
		explained := len(m.faults) > 0 || (excused && s.hasAnnotation(m))
		if p.rules[full].Kind() == KindNone && !explained {
			faults = append(faults, p.missing(s, m))
		}
	}
	return faults
}

// missing is the fault of a method without a rule. It suggests one that the file's
// declarations allow.
func (p *Policy) missing(s *service, m *method) Fault {
	f := Fault{Service: s.name, Method: m.name, File: s.file, Problem: NoRule}
	if m.foreign {
		f.Fix = fmt.Sprintf("add policy.WithRule(%q, policy.AnyOf(...))", s.fullMethod(m))
		return f
	}
	id, prefix := s.server, ""
	if id == "" {
		id = p.source.catalogue.suggestServer(s.file)
		prefix = id + "/"
	}
	scope, hint := "read", "      the name is <resource server>/<scope>"
	if declared := p.source.catalogue.servers[id]; declared != nil && len(declared.scopes) > 0 {
		scope = declared.scopes[0]
		hint = fmt.Sprintf("      declared for %q: %s", id, list(declared.scopes))
	}
	f.Fix = fmt.Sprintf("write inside the rpc\noption (scopeauth.v1.method).scope = %q;%s", prefix+scope, hint)
	if !s.imports {
		f.Fix += fmt.Sprintf("\nand import %q in the file; if the file is not yours, add policy.WithRule(%q, ...)", schemaPath, s.fullMethod(m))
	}
	return f
}

// unknown is the fault of a service of which nothing is known.
func (p *Policy) unknown(name string) Fault {
	if p.source == nil {
		return Fault{Service: name, Problem: NoRule, Fix: "the policy is the zero Policy, which knows no service; make it with policy.New"}
	}
	return Fault{
		Service: name,
		Problem: NoRule,
		Fix:     fmt.Sprintf("it has no descriptor; link its generated code, or add\npolicy.WithService(%q, methods...) and policy.WithRule(%q, policy.AnyOf(...))", name, name),
	}
}
