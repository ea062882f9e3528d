// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import "sync"

// permitted stands for a method that an authorizer's rules permit to a token. Neither
// the token nor the rules ever change, so it holds as long as the token does. There is
// one for each method, which all tokens share.
type permitted struct {
	auth   *Authorizer
	method string
}

// maxPermitted bounds what is noted of one token. Callers use few methods; for others
// the rule is looked up each time.
const maxPermitted = 6

// mayCall reports whether it is noted that the token permits the method.
func (e *verified) mayCall(a *Authorizer, method string) bool {
	for i := range e.permitted {
		p := e.permitted[i].Load()
		if p == nil {
			return false
		}
		if p.auth == a && p.method == method {
			return true
		}
	}
	return false
}

// notePermitted notes it, if there is room.
func (e *verified) notePermitted(a *Authorizer, method string) {
	if e.issuer == nil || e.mayCall(a, method) {
		return
	}
	p := a.noted.of(a, method)
	for i := range e.permitted {
		if e.permitted[i].CompareAndSwap(nil, p) {
			return
		}
	}
}

// notedMethods makes one permitted of each method. It is bounded by the methods that
// have a rule.
type notedMethods struct {
	mu      sync.Mutex
	methods map[string]*permitted
}

func (n *notedMethods) of(a *Authorizer, method string) *permitted {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.methods == nil {
		n.methods = make(map[string]*permitted)
	}
	p := n.methods[method]
	if p == nil {
		p = &permitted{a, method}
		n.methods[method] = p
	}
	return p
}
