// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"
)

// lineQueue writes log lines for places that must not wait for a log: the reader of a
// connection, the watch over a stream, and what reads keys and the access file. The lines
// are written one after the other, by one goroutine, which lives as long as there are any:
// so a log that never returns costs one goroutine and maxLines lines, and goes on where
// it stopped if it does return. The zero value is ready for use.
type lineQueue struct {
	mu    sync.Mutex
	lines []func()
	done  chan struct{} // closed when the goroutine ends; nil if there is none
}

// maxLines bounds the lines that wait. Each keeps the context of a call alive, with
// its headers.
const maxLines = 64

// add leaves a line to the goroutine, and reports false if too many wait already. It
// never waits for the log.
func (q *lineQueue) add(write func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) >= maxLines {
		return false
	}
	q.lines = append(q.lines, write)
	if q.done == nil {
		q.done = make(chan struct{})
		go q.run()
	}
	return true
}

func (q *lineQueue) run() {
	for write := q.next(); write != nil; write = q.next() {
		contain(write)
	}
}

// next returns the line to write now, or nil if none is left: then the goroutine ends.
func (q *lineQueue) next() func() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) == 0 {
		close(q.done)
		q.lines, q.done = nil, nil
		return nil
	}
	write := q.lines[0]
	q.lines[0] = nil
	q.lines = q.lines[1:]
	return write
}

// settleTimeout bounds how long a Close waits for lines.
const settleTimeout = time.Second

// settle waits until the lines that are there are written, unless the log hangs.
func (q *lineQueue) settle() {
	q.mu.Lock()
	done := q.done
	q.mu.Unlock()
	if done == nil {
		return
	}
	timer := time.NewTimer(settleTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// contain keeps a handler that panics from ending the process: here nobody else could
// catch it. Its line is lost, and there is no place to say so.
func contain(write func()) {
	defer func() { _ = recover() }()
	write()
}

// at returns how the lines of a stage are written: those of a call before it goes on, and
// the others, which are of a connection's reader or of the watch over a stream, by add.
func (q *lineQueue) at(s Stage) (put func(write func()) bool) {
	if s == StageCall {
		return atOnce
	}
	return q.add
}

func atOnce(write func()) bool {
	write()
	return true
}

// newRecord makes a line with the present time, which it keeps if it has to wait.
func newRecord(level slog.Level, text string, attrs []slog.Attr) slog.Record {
	var caller [1]uintptr
	runtime.Callers(2, caller[:]) // for handlers that show the source
	r := slog.NewRecord(time.Now(), level, text, caller[0])
	r.AddAttrs(attrs...)
	return r
}

// logger returns a logger whose lines go through the queue. Lines beyond its bound are
// left out: what they say is in the figures of Stats too.
func (q *lineQueue) logger(l *slog.Logger) *slog.Logger {
	return slog.New(queuedHandler{l.Handler(), q})
}

// queuedHandler is the handler of such a logger.
type queuedHandler struct {
	slog.Handler

	queue *lineQueue
}

var errLeftOut = errors.New("serverauth: the log does not return, a line is left out")

// Handle implements [slog.Handler].
func (h queuedHandler) Handle(ctx context.Context, r slog.Record) error {
	r = r.Clone()
	if !h.queue.add(func() { _ = h.Handler.Handle(ctx, r) }) {
		return errLeftOut
	}
	return nil
}

// WithAttrs implements [slog.Handler].
func (h queuedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return queuedHandler{h.Handler.WithAttrs(attrs), h.queue}
}

// WithGroup implements [slog.Handler].
func (h queuedHandler) WithGroup(name string) slog.Handler {
	return queuedHandler{h.Handler.WithGroup(name), h.queue}
}
