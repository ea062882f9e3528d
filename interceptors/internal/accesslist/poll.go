// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package accesslist

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"
)

// run reads the file at each tick until ctx ends. It is the only goroutine of a List.
func (l *List) run(ctx context.Context, ticker *time.Ticker) {
	defer close(l.done)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.poll(ctx)
		}
	}
}

// poll is one read of the file with all its consequences.
func (l *List) poll(ctx context.Context) {
	next, err := l.reload()
	if err != nil {
		l.failed(ctx, err)
		return
	}
	if next != nil {
		l.publish(ctx, next)
	}
	if l.recovered() {
		l.log.InfoContext(ctx, "accesslist: the file is good again", slog.Uint64("generation", l.Generation()))
	}
}

// reload reads the file. It returns nil if the file is that of the list in effect. A
// refused file is read in full each time: what makes it refused can be outside of it.
func (l *List) reload() (*snapshot, error) {
	content, err := l.source.read()
	if err != nil {
		return nil, fmt.Errorf("accesslist: %s: %w", l.source.path, err)
	}
	if l.current.Load() != nil && bytes.Equal(content, l.content) {
		return nil, nil //nolint:nilnil // nothing new is no error
	}
	doc, err := parse(content, l.known)
	if err != nil {
		return nil, fmt.Errorf("accesslist: %s: %w", l.source.path, err)
	}
	compiled, err := compile(doc)
	if err != nil {
		return nil, fmt.Errorf("accesslist: %s: %w", l.source.path, err)
	}
	l.content = bytes.Clone(content)
	return &snapshot{
		rules:      compiled,
		generation: l.Generation() + 1,
		loadedAt:   time.Now(),
		entries:    len(doc.deny) + len(doc.allow),
	}, nil
}

// publish puts next into effect.
func (l *List) publish(ctx context.Context, next *snapshot) {
	l.current.Store(next)
	l.log.InfoContext(ctx, "accesslist: a new list is in effect",
		slog.Uint64("generation", next.generation), slog.Int("entries", next.entries))
}

// failed keeps the list and says so, unless it has just done that.
func (l *List) failed(ctx context.Context, err error) {
	if l.repeated(err) {
		return
	}
	l.log.ErrorContext(ctx, "accesslist: the file cannot be used, the last good list stays in effect",
		slog.Any("error", err), slog.Uint64("generation", l.Generation()))
}

// repeated keeps err as the fault and reports whether it was logged less than
// remindAfter ago.
func (l *List) repeated(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	same := l.fault != nil && l.fault.Error() == err.Error()
	l.fault = err
	if same && time.Since(l.loggedAt) < remindAfter {
		return true
	}
	l.loggedAt = time.Now()
	return false
}

// recovered takes the fault away and reports whether there was one.
func (l *List) recovered() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.fault != nil
	l.fault = nil
	return was
}
