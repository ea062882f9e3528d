// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ClientSet says which app clients of an issuer may come. M2M tokens of Cognito
// have no audience, so this is what binds a token to a server. The zero value is
// no decision: constructors refuse it. What is wrong with a set, such as an empty id, is
// their error too. It is immutable, and safe for concurrent use.
type ClientSet struct {
	any   bool
	names map[string]string // id -> name, which may be ""
	err   error
}

// Clients allows the app clients with these ids, which are compared byte by byte with the
// client_id claim. At least one is needed, and none twice.
func Clients(ids ...string) ClientSet {
	s := ClientSet{names: make(map[string]string, len(ids))}
	if len(ids) == 0 {
		s.err = errors.New("Clients() has no client id: name the app clients that may call, or say AnyClient()")
	}
	for _, id := range ids {
		s.add(id, "")
	}
	return s
}

// NamedClients allows the app clients of the map, which goes from a name of your
// choice to the id. The names show beside the ids in logs, in [Decision.ClientName] and in
// [Principal.ClientName]. The map is copied.
func NamedClients(ids map[string]string) ClientSet {
	s := ClientSet{names: make(map[string]string, len(ids))}
	if len(ids) == 0 {
		s.err = errors.New("NamedClients has no client: name the app clients that may call, or say AnyClient()")
	}
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		if strings.TrimSpace(name) == "" {
			s.fail(fmt.Errorf("NamedClients has a blank name for the client id %q", ids[name]))
		}
		s.add(ids[name], name)
	}
	return s
}

// AnyClient allows every app client of the user pool: each client that anybody
// with access to the pool creates may call, as far as its scopes go.
func AnyClient() ClientSet { return ClientSet{any: true} }

func (s *ClientSet) add(id, name string) {
	switch {
	case strings.TrimSpace(id) != id || id == "":
		s.fail(fmt.Errorf("the client id %q%s is empty or has spaces around it: is its environment variable set?", id, ofName(name)))
	case s.has(id):
		s.fail(fmt.Errorf("the client id %q is given twice", id))
	}
	s.names[id] = name
}

func (s *ClientSet) has(id string) bool {
	_, ok := s.names[id]
	return ok
}

func (s *ClientSet) fail(err error) { s.err = errors.Join(s.err, err) }

func ofName(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(" of %q", name)
}

// check returns what is wrong with the set, including that there is none.
func (s *ClientSet) check() error {
	if s.err != nil {
		return s.err
	}
	if !s.any && len(s.names) == 0 {
		return errors.New("no decision about app clients: use Clients(ids...), NamedClients(...) or AnyClient()")
	}
	return nil
}

// allows returns the client's name, which may be "", and whether it may come.
func (s *ClientSet) allows(id string) (string, bool) {
	if s.any {
		return "", true
	}
	name, ok := s.names[id]
	return name, ok
}
