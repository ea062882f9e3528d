// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hangingLog is a log that does not return while it hangs. It counts the goroutines that
// are in it.
type hangingLog struct {
	lockedBuffer

	inside atomic.Int64
	mu     sync.Mutex
	gate   chan struct{} // not nil while it hangs
}

func (h *hangingLog) hang() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gate = make(chan struct{})
}

// release ends that. It can be called often.
func (h *hangingLog) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gate != nil {
		close(h.gate)
		h.gate = nil
	}
}

func (h *hangingLog) Write(p []byte) (int, error) {
	h.mu.Lock()
	gate := h.gate
	h.mu.Unlock()
	h.inside.Add(1)
	defer h.inside.Add(-1)
	if gate != nil {
		<-gate
	}
	return h.lockedBuffer.Write(p)
}

// logger has a handler without a lock of its own, so that all who write are seen inside.
func (h *hangingLog) logger() *slog.Logger { return slog.New(linesHandler{h, nil}) }

// linesHandler writes the message of a record and its attributes.
type linesHandler struct {
	to    *hangingLog
	attrs []slog.Attr
}

// Enabled implements slog.Handler.
func (linesHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (l linesHandler) Handle(_ context.Context, r slog.Record) error {
	line := []string{r.Time.Format(time.RFC3339), r.Message}
	for _, a := range l.attrs {
		line = append(line, a.String())
	}
	r.Attrs(func(a slog.Attr) bool {
		line = append(line, strings.ReplaceAll(a.String(), "\n", " ")) // of a stack
		return true
	})
	_, err := fmt.Fprintln(l.to, strings.Join(line, " "))
	return err
}

// WithAttrs implements slog.Handler.
func (l linesHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return linesHandler{l.to, slices.Concat(l.attrs, attrs)}
}

// WithGroup implements slog.Handler.
func (l linesHandler) WithGroup(string) slog.Handler { return l }

// counted returns how many decisions the lines with this text stand for, with those that
// they say were left out.
func counted(t testing.TB, log, text string) (all int) {
	t.Helper()
	for line := range strings.Lines(log) {
		if !strings.Contains(line, text) {
			continue
		}
		all++
		if left := regexp.MustCompile(`(?:same_reason|same)_not_logged=(\d+)`).FindStringSubmatch(line); left != nil {
			n, err := strconv.Atoi(left[1])
			if err != nil {
				t.Fatal(err)
			}
			all += n
		}
	}
	return all
}
