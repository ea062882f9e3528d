// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Option changes what [New] and [Policy.With] build. The functions of this package
// make them.
type Option interface {
	apply(c *config)
}

type optionFunc func(c *config)

func (f optionFunc) apply(c *config) { f(c) }

// config is what the options say. It is checked when the policy is built, so that
// all errors come at once.
type config struct {
	files       []protoreflect.FileDescriptor
	fileOptions int // how often WithFiles was given
	rules       []goRule
	services    []declaredService
	servers     []serverMapping
}

// goRule is a rule that was given in Go.
type goRule struct {
	name     string // "/pkg.Svc/Method" or "pkg.Svc"
	rule     Rule
	override bool
}

// option returns the call that gave the rule, for error texts.
func (g goRule) option() string {
	if g.override {
		return fmt.Sprintf("WithRuleOverride(%q)", g.name)
	}
	return fmt.Sprintf("WithRule(%q)", g.name)
}

// declaredService is a service that has no descriptor, or more methods than its
// descriptor says.
type declaredService struct {
	name    string
	methods []string
}

type serverMapping struct {
	from, to string
}

// clone lets a derived policy add to its options without a trace in the first.
func (c config) clone() config {
	c.files = slices.Clone(c.files)
	c.rules = slices.Clone(c.rules)
	c.services = slices.Clone(c.services)
	c.servers = slices.Clone(c.servers)
	return c
}

// WithFiles takes the descriptors of these files and of all files they import,
// instead of those that are linked into the program. Each call adds files. It is
// an error in [Policy.With].
func WithFiles(files ...protoreflect.FileDescriptor) Option {
	files = slices.Clone(files)
	return optionFunc(func(c *config) {
		c.fileOptions++
		c.files = append(c.files, files...)
	})
}

// WithRule gives a rule to what cannot be annotated: to one method, as in
// "/grpc.health.v1.Health/Check", or to every method of a service, as in
// "grpc.health.v1.Health". A rule for a method beats one for its service. Only a
// method's can be [Public]: a service's would open methods that it gets later.
//
// It is an error if the name matches nothing (see [WithService]), if it is given
// twice, if r has an error, if r is public and the name that of a service, if r
// names a scope that its declared resource server lacks, and if a method it covers
// has an annotation (see [WithRuleOverride]).
func WithRule(fullMethodOrService string, r Rule) Option {
	return optionFunc(func(c *config) {
		c.rules = append(c.rules, goRule{name: fullMethodOrService, rule: r})
	})
}

// WithRuleOverride is like [WithRule], but what the .proto file says about the
// method or service no longer counts, not even its faults, and it replaces a
// WithRule of the same name. It is an error to give one name two overrides.
func WithRuleOverride(fullMethodOrService string, r Rule) Option {
	return optionFunc(func(c *config) {
		c.rules = append(c.rules, goRule{name: fullMethodOrService, rule: r, override: true})
	})
}

// WithService makes methods known that have no descriptor, for example those of a
// hand-made grpc.ServiceDesc, so that [WithRule] can name them. The service is a
// full name, the methods are names without it. Methods that have a descriptor are
// no error.
func WithService(service string, methods ...string) Option {
	methods = slices.Clone(methods)
	return optionFunc(func(c *config) {
		c.services = append(c.services, declaredService{name: service, methods: methods})
	})
}

// MapResourceServer replaces the identifier of a resource server in every scope of
// every rule, also of those given in Go: with MapResourceServer("demo",
// "demo-staging") a rule that says "demo/read.file" needs "demo-staging/read.file".
// All mappings apply at once, none to the result of another. To map an identifier
// to itself changes nothing.
//
// It is an error to map an identifier that nobody uses, to map one twice, and to
// map one to another that is used itself: two resource servers never become one.
func MapResourceServer(from, to string) Option {
	return optionFunc(func(c *config) {
		c.servers = append(c.servers, serverMapping{from: from, to: to})
	})
}
