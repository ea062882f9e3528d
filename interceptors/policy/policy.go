// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"iter"
	"maps"
	"slices"
)

// Policy holds the rule of every known method. It never changes, and any number
// of goroutines may use it. [New] makes it. The zero Policy is safe: it has read no
// file and knows no method, so it permits nothing, and [Policy.Check] reports every
// service as unknown.
type Policy struct {
	config  config
	source  *source         // nil in the zero Policy; see descriptors
	given   map[string]Rule // full method -> rule given in Go, before the mapping of resource servers
	rules   map[string]Rule // full method -> rule in effect
	methods []string        // the keys of rules, sorted
}

// New reads the annotations of all linked files (protoregistry.GlobalFiles), or of
// those that [WithFiles] names, and adds what the options say.
//
// The error joins everything that is wrong with the options. A malformed
// annotation is no error here: its method permits nothing, [Policy.Faults] tells
// of it, and [Policy.Check] refuses if the service is one that the program serves.
func New(opts ...Option) (*Policy, error) {
	c, errs := config{}.with(opts)
	files, fileErrs := c.sourceFiles()
	errs = append(errs, fileErrs...)
	src, srcErrs := read(files)
	errs = append(errs, srcErrs...)
	return build(c, src, errs)
}

// With returns a new policy that has the options of p and these. The descriptors
// are those that p has read, of which the zero Policy has none; p does not change.
func (p *Policy) With(opts ...Option) (*Policy, error) {
	c, errs := p.config.clone().with(opts)
	if c.fileOptions != p.config.fileOptions {
		errs = append(errs, optionError("WithFiles: give it to New; With keeps the descriptors of the policy"))
	}
	return build(c, p.descriptors(), errs)
}

// descriptors returns what the policy has read: nothing if it is the zero Policy.
func (p *Policy) descriptors() *source {
	if p.source == nil {
		return newSource()
	}
	return p.source
}

// Rule returns the rule of a method, which is named as gRPC names it:
// "/demo.files.v1.FileReadService/ReadFile". The second result says whether the
// method is known at all. A known method without a usable rule has the zero Rule,
// which permits nothing. Rule does not allocate.
func (p *Policy) Rule(fullMethod string) (Rule, bool) {
	r, ok := p.rules[fullMethod]
	return r, ok
}

// Methods returns every known method and its rule, sorted by name. Methods without
// a usable rule have the zero Rule.
func (p *Policy) Methods() iter.Seq2[string, Rule] {
	return func(yield func(string, Rule) bool) {
		for _, name := range p.methods {
			if !yield(name, p.rules[name]) {
				return
			}
		}
	}
}

func (c config) with(opts []Option) (config, []error) {
	var errs []error
	for _, o := range opts {
		if o == nil {
			errs = append(errs, optionError("an option is nil"))
			continue
		}
		o.apply(&c)
	}
	return c, errs
}

// build makes the table. The rule of a method is the one given in Go for the
// method, else the one given in Go for its service, else what the file says.
func build(c config, src *source, errs []error) (*Policy, error) {
	src = src.withServices(c.services, &errs)
	given := resolveRules(c.rules, src, &errs)
	servers := resolveServers(c.servers, src, given, &errs)
	if len(errs) > 0 {
		return nil, joinErrors(errs)
	}
	rules := make(map[string]Rule, src.size())
	for _, s := range src.services {
		for _, m := range s.methods {
			full := s.fullMethod(m)
			r, ok := given[full]
			if !ok {
				r = s.annotated(m)
			}
			rules[full] = r.withServers(servers)
		}
	}
	return &Policy{
		config:  c,
		source:  src,
		given:   given,
		rules:   rules,
		methods: slices.Sorted(maps.Keys(rules)),
	}, nil
}
