// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"sync"
	"time"
)

// Span is the time from one instant to another. Both belong to it.
type Span struct{ From, To time.Time }

// At is the span of one instant.
func At(t time.Time) Span { return Span{t, t} }

// History is what a thing was, when. It is safe for concurrent use. The zero History
// has no value at any time.
type History[T any] struct {
	mu      sync.RWMutex
	changes []*Change[T]
}

// Change is one change of a [History].
type Change[T any] struct {
	history *History[T]
	value   T
	before  time.Time
	after   time.Time // zero: not known to be in force yet
}

// NewHistory returns the history of a thing that was first from the beginning.
func NewHistory[T any](first T) *History[T] {
	h := &History[T]{}
	h.Begin(first, time.Time{}).Done(time.Time{}.Add(1))
	return h
}

// Begin notes that the thing becomes value at before or later. [Change.Done] says when
// it has. Changes begin in the order in which they take place.
func (h *History[T]) Begin(value T, before time.Time) *Change[T] {
	c := &Change[T]{history: h, value: value, before: before}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, c)
	return c
}

// Done notes that the change took place at after or earlier.
func (c *Change[T]) Done(after time.Time) {
	c.history.mu.Lock()
	defer c.history.mu.Unlock()
	c.after = after
}

// Value is what the thing became.
func (c *Change[T]) Value() T { return c.value }

// During returns all that the thing may have been at an instant of the span, the
// latest first.
func (h *History[T]) During(s Span) []T {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var values []T
	for _, c := range slices.Backward(h.changes) {
		if !c.before.After(s.To) {
			values = append(values, c.value)
		}
		if !c.after.IsZero() && !c.after.After(s.From) {
			break // the change had taken place, so nothing earlier counts
		}
	}
	return values
}
