// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"strings"
	"sync"
)

// maxPermitted bounds what is noted of one token. Callers use few methods; for others
// the rule is looked up each time.
const maxPermitted = 5

// mayCall returns the method if it is noted that the token is permitted to call it, and
// else nil. Neither the token nor the rules ever change, so a note holds as long as the
// token does.
func (e *verified) mayCall(a *Authorizer, method string) *target {
	for i := range e.permitted {
		t := e.permitted[i].Load()
		if t == nil {
			return nil
		}
		if t.auth == a && t.method == method {
			return t
		}
	}
	return nil
}

// notePermitted notes that the token is permitted to call the method, if there is room.
func (e *verified) notePermitted(a *Authorizer, method string) {
	if e.issuer == nil || e.mayCall(a, method) != nil {
		return
	}
	t := a.noted.of(a, method)
	for i := range e.permitted {
		if e.permitted[i].CompareAndSwap(nil, t) {
			return
		}
	}
}

// notedMethods makes one target of each method. It is bounded by the methods that have a
// rule.
type notedMethods struct {
	mu      sync.Mutex
	methods map[string]*target
}

func (n *notedMethods) of(a *Authorizer, method string) *target {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.methods == nil {
		n.methods = make(map[string]*target)
	}
	t := n.methods[method]
	if t == nil {
		t = &target{a, strings.Clone(method)} // not the memory of a caller's header
		n.methods[method] = t
	}
	return t
}
