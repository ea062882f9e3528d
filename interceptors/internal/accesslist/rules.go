// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package accesslist

import (
	"fmt"
	"strings"
)

// MaxPairs bounds the pairs of a client and a method that all entries name together.
// Each takes some 50 bytes of memory, and a file of MaxBytes could name billions.
const MaxPairs = 1 << 18

// rules is a document in the form in which calls are decided. It is immutable.
type rules struct {
	tokens  map[string]*origin      // by token id
	methods methodSet               // closed to everybody
	clients map[string]*clientRules // by client id
}

// clientRules is what the entries of one client id say.
type clientRules struct {
	everywhere callerRules // entries without an issuer
	byIssuer   map[string]*callerRules
}

// callerRules is what the entries of one client id say for every issuer, or for one.
type callerRules struct {
	everything *origin   // denies every method, unless nil
	denied     methodSet // denies some
	restricted *origin   // the first allow entry; nil permits what is not denied
	allowed    methodSet
}

// methodSet holds full methods, and services for all their methods. The two cannot be
// mistaken for each other, as only a method begins with a slash.
type methodSet map[string]*origin

// origin is the entry that a rule comes from.
type origin struct {
	place, reason string
}

// compile turns a document into rules.
func compile(doc *document) (*rules, error) {
	var pairs int64 // an int of 32 bits could overflow
	for _, list := range [][]entry{doc.deny, doc.allow} {
		for i := range list {
			pairs += int64(len(list[i].clients)) * int64(len(list[i].methods))
			if pairs > MaxPairs {
				return nil, fmt.Errorf("%s: from here on the file names more than %d pairs of a client and a method: write services instead of methods",
					list[i].place, MaxPairs)
			}
		}
	}
	r := &rules{tokens: map[string]*origin{}, clients: map[string]*clientRules{}}
	for i := range doc.deny {
		r.deny(&doc.deny[i])
	}
	for i := range doc.allow {
		r.allow(&doc.allow[i])
	}
	return r, nil
}

func (r *rules) deny(e *entry) {
	from := &origin{e.place, e.reason}
	for _, id := range e.tokenIDs {
		r.tokens[id] = from
	}
	if e.clients == nil {
		r.methods = r.methods.with(e.methods, from)
	}
	for _, id := range e.clients {
		caller := r.caller(id, e.issuer)
		if e.methods == nil {
			caller.everything = from
		} else {
			caller.denied = caller.denied.with(e.methods, from)
		}
	}
}

func (r *rules) allow(e *entry) {
	from := &origin{e.place, e.reason}
	for _, id := range e.clients {
		caller := r.caller(id, e.issuer)
		if caller.restricted == nil {
			caller.restricted = from
		}
		caller.allowed = caller.allowed.with(e.methods, from)
	}
}

// caller returns the rules of a client, to be added to. An issuer of "" is every issuer.
func (r *rules) caller(id, issuer string) *callerRules {
	client := r.clients[id]
	if client == nil {
		client = &clientRules{}
		r.clients[id] = client
	}
	if issuer == "" {
		return &client.everywhere
	}
	if client.byIssuer == nil {
		client.byIssuer = map[string]*callerRules{}
	}
	if client.byIssuer[issuer] == nil {
		client.byIssuer[issuer] = &callerRules{}
	}
	return client.byIssuer[issuer]
}

// with adds to the set, and makes one of nil.
func (s methodSet) with(names []string, from *origin) methodSet {
	if s == nil {
		s = make(methodSet, len(names))
	}
	for _, name := range names {
		s[name] = from
	}
	return s
}

// find returns where the method comes from, or nil if it is not in the set.
func (s methodSet) find(fullMethod, service string) *origin {
	if from := s[fullMethod]; from != nil {
		return from
	}
	return s[service]
}

// noRules are those of a client that no entry names.
var noRules callerRules

// decide is [List.Decide].
func (r *rules) decide(c Caller, fullMethod string) Decision {
	service, ok := serviceOf(fullMethod)
	switch {
	case c.ClientID == "" || c.Issuer == "":
		return Decision{Reason: "the caller has no client id or no issuer"}
	case !ok:
		return Decision{Reason: "the method is not of the form /pkg.Service/Method"}
	}
	if from := r.tokens[c.TokenID]; from != nil {
		return from.says(TokenDenied)
	}
	everywhere, here := &noRules, &noRules
	if client := r.clients[c.ClientID]; client != nil {
		everywhere = &client.everywhere
		if own := client.byIssuer[c.Issuer]; own != nil {
			here = own
		}
	}
	if from := first(everywhere.everything, here.everything); from != nil {
		return from.says(TokenDenied)
	}
	if from := first(r.methods.find(fullMethod, service),
		first(everywhere.denied.find(fullMethod, service), here.denied.find(fullMethod, service))); from != nil {
		return from.says(MethodDenied)
	}
	restricted := first(everywhere.restricted, here.restricted)
	if restricted == nil || everywhere.allowed.find(fullMethod, service) != nil || here.allowed.find(fullMethod, service) != nil {
		return Decision{Verdict: Permitted}
	}
	return restricted.says(MethodDenied)
}

func (o *origin) says(v Verdict) Decision {
	return Decision{Verdict: v, Entry: o.place, Reason: o.reason}
}

// first returns a, or b if a is nil.
func first(a, b *origin) *origin {
	if a != nil {
		return a
	}
	return b
}

// serviceOf returns the service of "/service/method", and false for another form: a
// name that no entry can have must not be a way around the entries.
func serviceOf(fullMethod string) (string, bool) {
	path, ok := strings.CutPrefix(fullMethod, "/")
	service, method, _ := strings.Cut(path, "/")
	return service, ok && service != "" && method != "" && !strings.Contains(method, "/")
}
