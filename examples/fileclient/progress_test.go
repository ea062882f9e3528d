// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// record keeps each drawing with its time.
type record struct {
	draws []string
	times []time.Time
}

func (r *record) Write(p []byte) (int, error) {
	r.draws, r.times = append(r.draws, string(p)), append(r.times, time.Now())
	return len(p), nil
}

func TestProgressOfALongTransfer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r record
		begin := time.Now()
		p := newProgress(&r, true, 400<<20)
		for range 400 { // 4 s
			time.Sleep(10 * time.Millisecond)
			p.add(1 << 20)
		}
		p.clear()
		p.clear()
		last := len(r.draws) - 1
		if r.draws[last] != "\r\x1b[K" || strings.Contains(strings.Join(r.draws[:last], ""), "\r\x1b[K") {
			t.Errorf("got %q last, want the bar taken away once", r.draws[last])
		}
		if first := r.times[0].Sub(begin); first < time.Second {
			t.Errorf("drawn after %v, want nothing before a second", first)
		}
		for i := range last {
			if i > 0 && r.times[i].Sub(r.times[i-1]) < 100*time.Millisecond {
				t.Errorf("drawing %d came %v after the one before, want 100 ms at least", i, r.times[i].Sub(r.times[i-1]))
			}
			if !strings.HasPrefix(r.draws[i], "\r") || !strings.HasSuffix(r.draws[i], "\x1b[K") || len(r.draws[i]) > 80 {
				t.Errorf("drawing %d is %q, want one short line that replaces the one before", i, r.draws[i])
			}
		}
		if got, want := r.draws[0], " 25% [#######.......................] 400.0 MiB  100.0 MiB/s"; got != "\r"+want+"\x1b[K" {
			t.Errorf("first drawing: got %q, want %q", got, want)
		}
		if last < 25 || last > 31 {
			t.Errorf("got %d drawings in 3 s, want about 30", last)
		}
	})
}

func TestProgressOfUnknownSize(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, total := range []int64{-1, 0} {
			var r record
			p := newProgress(&r, true, total)
			time.Sleep(2 * time.Second)
			p.add(5 << 20)
			if len(r.draws) != 1 || r.draws[0] != "\r5.0 MiB  2.5 MiB/s\x1b[K" {
				t.Errorf("of %d: got %q, want the amount and the speed", total, r.draws)
			}
		}
	})
}

func TestNoProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var short, plain record
		p, q := newProgress(&short, true, 100), newProgress(&plain, false, 100)
		p.add(100)
		p.clear()
		time.Sleep(time.Minute)
		q.add(100)
		q.clear()
		if len(short.draws) != 0 || len(plain.draws) != 0 {
			t.Errorf("got %q for a short transfer and %q without a terminal, want nothing", short.draws, plain.draws)
		}
	})
}

func TestIsTerminal(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	device, err := os.Open(os.DevNull) // opened for reading, and only looked at
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	if !isTerminal(device) {
		t.Error("a character device is not taken for a terminal")
	}
	for name, writer := range map[string]io.Writer{"buffer": new(bytes.Buffer), "file": file, "pipe": w} {
		if isTerminal(writer) {
			t.Errorf("a %s is taken for a terminal", name)
		}
	}
}
