// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"

	scopeauthv1 "github.com/scopeauth/scopeauth/gen/scopeauth/v1"
)

// catalogue holds the resource servers that the files declare. It is not written
// after all files are read.
type catalogue struct {
	servers map[string]*server
	byFile  map[string][]string // file -> the servers it declares, in order
	faults  []*declarationFault
}

// server is a declared resource server. If declarations differ, it has the scopes
// of all of them, and a fault says so.
type server struct {
	file   string // where it is declared first
	scopes []string
	first  string // the first declaration, to compare others with
}

// declarationFault is a fault in a file's declarations. It concerns the services of
// that file and all services that use the resource server.
type declarationFault struct {
	fault   Fault
	servers []string
}

func newCatalogue() *catalogue {
	return &catalogue{servers: map[string]*server{}, byFile: map[string][]string{}}
}

// concerning returns the faults that concern s, which uses these resource servers.
func (c *catalogue) concerning(s *service, uses map[string]bool) []*declarationFault {
	return slices.DeleteFunc(slices.Clone(c.faults), func(f *declarationFault) bool {
		own := s.present && f.fault.File == s.file
		return !own && !f.concerns(uses)
	})
}

// using returns the faults that concern whoever uses these resource servers.
func (c *catalogue) using(uses map[string]bool) []*declarationFault {
	return slices.DeleteFunc(slices.Clone(c.faults), func(f *declarationFault) bool { return !f.concerns(uses) })
}

func (f *declarationFault) concerns(uses map[string]bool) bool {
	return slices.ContainsFunc(f.servers, func(id string) bool { return uses[id] })
}

// read adds the declarations of f.
func (c *catalogue) read(f protoreflect.FileDescriptor) {
	option := fileOption(f)
	if !option.present {
		return
	}
	if !importsSchema(f) {
		c.add(f.Path(), nil, foreignOption()) // whatever it says, it is not for us
		return
	}
	var declared []string
	for _, rs := range option.value.GetResourceServer() {
		declared = append(declared, rs.GetIdentifier())
		c.readServer(f.Path(), rs)
	}
	for _, p := range option.problems {
		c.add(f.Path(), declared, p)
	}
}

func (c *catalogue) add(file string, servers []string, p problem) {
	c.faults = append(c.faults, &declarationFault{
		fault:   Fault{File: file, Problem: p.text, Fix: p.fix},
		servers: servers,
	})
}

// displayName is Cognito's pattern for the name of a resource server (Amazon
// Cognito API reference, CreateResourceServer).
var displayName = regexp.MustCompile(`^[\w\s+=,.@-]+$`)

func (c *catalogue) readServer(file string, rs *scopeauthv1.ResourceServer) {
	id := rs.GetIdentifier()
	fault := func(fix, format string, args ...any) {
		c.add(file, []string{id}, problem{
			text: "resource server " + quote(id) + ": " + fmt.Sprintf(format, args...), fix: fix,
		})
	}
	if wrong := serverFault(id); wrong != "" {
		fault("write the identifier that the resource server has in Cognito", "its identifier %s", wrong)
	}
	name := rs.GetName()
	if name == "" {
		name = id
	}
	if len(name) > maxNameLength || !displayName.MatchString(name) {
		fault("write a name of at most 256 letters, digits, spaces and _+=,.@-", "Cognito does not take the name %s", quote(name))
	}
	if n := len(rs.GetScopes()); n > maxScopesPerServer {
		fault("split it in two resource servers", "it has %d scopes, Cognito takes %d", n, maxScopesPerServer)
	}
	scopes := map[string]string{}
	for _, s := range rs.GetScopes() {
		c.readScope(s, id, scopes, fault)
	}
	c.merge(file, id, name, scopes, rs.GetScopes(), fault)
}

func (c *catalogue) readScope(s *scopeauthv1.Scope, id string, scopes map[string]string, fault func(fix, format string, args ...any)) {
	scope, description := s.GetName(), s.GetDescription()
	if wrong := scopeNameFault(scope); wrong != "" {
		fault("write the name without the resource server, as in \"read.file\"", "the name of scope %s %s", quote(scope), wrong)
	} else if wrong := scopeLengthFault(joinScope(id, scope)); wrong != "" {
		fault("shorten the name of the scope or of the resource server", "%s", wrong)
	}
	if _, twice := scopes[scope]; twice {
		fault("remove one of the two", "scope %s is declared twice", quote(scope))
	}
	switch n := utf8.RuneCountInString(description); {
	case n == 0:
		fault("add a description, Cognito insists on one", "scope %s has no description", quote(scope))
	case n > maxDescriptionLength:
		fault("shorten it", "the description of scope %s has %d characters, Cognito takes %d", quote(scope), n, maxDescriptionLength)
	}
	scopes[scope] = description
}

func (c *catalogue) merge(file, id, name string, scopes map[string]string, order []*scopeauthv1.Scope, fault func(fix, format string, args ...any)) {
	parts := []string{strconv.Quote(name)}
	for _, scope := range slices.Sorted(maps.Keys(scopes)) {
		parts = append(parts, fmt.Sprintf("%q: %q", scope, scopes[scope]))
	}
	content := strings.Join(parts, "\n")
	c.byFile[file] = append(c.byFile[file], id)
	known, again := c.servers[id]
	if !again {
		known = &server{file: file, first: content}
		c.servers[id] = known
	} else if known.first != content {
		fault("declare it in one file, or the same way in both", "it is declared differently in %s", known.file)
	}
	for _, s := range order {
		if !slices.Contains(known.scopes, s.GetName()) {
			known.scopes = append(known.scopes, s.GetName())
		}
	}
}

// undeclared returns the problem of a scope that a declared resource server lacks,
// or nil.
func (c *catalogue) undeclared(id, scope string) *problem {
	s, declared := c.servers[id]
	if !declared || slices.Contains(s.scopes, scope) {
		return nil
	}
	fix := "declare it there"
	if len(s.scopes) > 0 {
		fix = "write " + singular(len(s.scopes), "", "one of ") + list(s.scopes) + ", or declare it there"
	}
	return &problem{
		text: "scope " + quote(joinScope(id, scope)) + " is not declared for " + quote(id) + " in " + s.file,
		fix:  fix,
	}
}

// suggestServer returns a resource server to show to someone who has named none in
// a file.
func (c *catalogue) suggestServer(file string) string {
	if ids := c.byFile[file]; len(ids) > 0 {
		return ids[0]
	}
	if ids := slices.Sorted(maps.Keys(c.servers)); len(ids) > 0 {
		return ids[0]
	}
	return "demo"
}

// maxListed bounds how many scopes an error text lists.
const maxListed = 10

func list(scopes []string) string {
	if n := len(scopes) - maxListed; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(scopes[:maxListed], ", "), n)
	}
	return strings.Join(scopes, ", ")
}
