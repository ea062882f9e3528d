// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"cmp"
	"slices"
)

// ordered is a map that keeps the order in which its keys came. Look-ups cost
// the same whatever its size, and a walk over pages goes on at the right place
// although entries come and go meanwhile. It has no lock of its own.
type ordered[V any] struct {
	byKey map[string]*orderedEntry[V]
	list  []*orderedEntry[V] // ascending numbers
	last  uint64
}

type orderedEntry[V any] struct {
	number uint64 // never used again
	value  V
}

func (o *ordered[V]) len() int { return len(o.list) }

func (o *ordered[V]) get(key string) (V, bool) {
	e := o.byKey[key]
	if e == nil {
		var none V
		return none, false
	}
	return e.value, true
}

// put replaces the value in its place, or adds it at the end.
func (o *ordered[V]) put(key string, value V) {
	if e := o.byKey[key]; e != nil {
		e.value = value
		return
	}
	if o.byKey == nil {
		o.byKey = make(map[string]*orderedEntry[V])
	}
	o.last++
	e := &orderedEntry[V]{number: o.last, value: value}
	o.byKey[key] = e
	o.list = append(o.list, e)
}

func (o *ordered[V]) remove(key string) {
	e := o.byKey[key]
	if e == nil {
		return
	}
	delete(o.byKey, key)
	at, _ := o.search(e.number)
	o.list = slices.Delete(o.list, at, at+1)
}

func (o *ordered[V]) search(number uint64) (int, bool) {
	return slices.BinarySearchFunc(o.list, number, func(e *orderedEntry[V], n uint64) int { return cmp.Compare(e.number, n) })
}

// page returns at most limit values that came after the entry with a number, and
// the number to go on after; that is 0 if nothing is left. If keep is given, only
// what it keeps is counted.
func (o *ordered[V]) page(after uint64, limit int, keep func(V) bool) (values []V, next uint64) {
	from, found := o.search(after)
	if found {
		from++
	}
	last := uint64(0)
	for _, e := range o.list[from:] {
		switch {
		case keep != nil && !keep(e.value):
		case len(values) == limit:
			return values, last
		default:
			values, last = append(values, e.value), e.number
		}
	}
	return values, 0
}

func (o *ordered[V]) all() []V {
	values := make([]V, len(o.list))
	for i, e := range o.list {
		values[i] = e.value
	}
	return values
}
