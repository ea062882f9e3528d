// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const (
	// progressDelay keeps short transfers free of a bar.
	progressDelay = time.Second
	// progressInterval is the shortest time between two drawings.
	progressInterval = 100 * time.Millisecond
	barWidth         = 30
)

// progress is a bar on a terminal. It draws only when something moves, and it is
// not safe for concurrent use.
type progress struct {
	w         io.Writer // nil draws nothing
	total     int64     // -1 if not known
	done      int64
	begin     time.Time
	lastDrawn time.Time
	visible   bool
}

func newProgress(w io.Writer, terminal bool, total int64) *progress {
	if !terminal {
		w = nil
	}
	return &progress{w: w, total: total, begin: time.Now()}
}

// add counts n bytes more.
func (p *progress) add(n int) {
	p.done += int64(n)
	now := time.Now()
	if p.w == nil || now.Sub(p.begin) < progressDelay || now.Sub(p.lastDrawn) < progressInterval {
		return
	}
	p.lastDrawn, p.visible = now, true
	fmt.Fprintf(p.w, "\r%s\x1b[K", p.line(now.Sub(p.begin)))
}

// line is shorter than the narrowest usual terminal.
func (p *progress) line(elapsed time.Duration) string {
	speed := mebibytes(int64(float64(p.done)/elapsed.Seconds())) + "/s"
	if p.total <= 0 {
		return mebibytes(p.done) + "  " + speed
	}
	part := min(float64(p.done)/float64(p.total), 1)
	filled := int(part * barWidth)
	return fmt.Sprintf("%3.0f%% [%s%s] %s  %s", part*100,
		strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled), mebibytes(p.total), speed)
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// clear takes the bar away, so that what is printed next starts on an empty line.
func (p *progress) clear() {
	if p.visible {
		p.visible = false
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// isTerminal reports whether w is a character device, which is what a terminal is.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
