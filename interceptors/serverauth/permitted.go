// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

// permitted notes that a token's scopes permit a method. Neither the token nor the
// authorizer's rules ever change, so it holds as long as the token does.
type permitted struct {
	auth   *Authorizer
	method string
}

// maxPermitted bounds what is noted of one token. Callers use few methods; for others
// the rule is looked up each time.
const maxPermitted = 8

// mayCall reports whether it is noted that the token permits the method.
func (e *verified) mayCall(a *Authorizer, method string) bool {
	list := e.permitted.Load()
	if list == nil {
		return false
	}
	for i := range *list {
		if p := &(*list)[i]; p.auth == a && p.method == method {
			return true
		}
	}
	return false
}

// notePermitted notes it, copying on write. Of two at the same time one may be lost: it
// is noted the next time.
func (e *verified) notePermitted(a *Authorizer, method string) {
	old := e.permitted.Load()
	var list []permitted
	if old != nil {
		if len(*old) >= maxPermitted || e.mayCall(a, method) {
			return
		}
		list = append(list, *old...)
	}
	list = append(list, permitted{a, method})
	e.permitted.CompareAndSwap(old, &list)
}
