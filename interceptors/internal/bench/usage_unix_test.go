// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package bench

import (
	"errors"
	"fmt"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cpuTime returns what this process has used of the processor, user and system.
func cpuTime() (time.Duration, error) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0, err
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()), nil
}

func readUsage() (usage, error) {
	cpu, err := cpuTime()
	if err != nil {
		return usage{}, err
	}
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return usage{}, err
	}
	rss, errRSS := statusBytes(string(text), "VmRSS:")
	peak, errPeak := statusBytes(string(text), "VmHWM:")
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	return usage{CPU: cpu, RSS: rss, Peak: peak, Heap: int64(heap[0].Value.Uint64())}, errors.Join(errRSS, errPeak)
}

func statusBytes(text, name string) (int64, error) {
	_, rest, _ := strings.Cut(text, name)
	fields := strings.Fields(rest)
	if len(fields) < 2 || fields[1] != "kB" {
		return 0, fmt.Errorf("/proc/self/status has no %s in kB", name)
	}
	kilobytes, err := strconv.ParseInt(fields[0], 10, 64)
	return kilobytes << 10, err
}

// beginPeakAnew makes VmHWM what VmRSS is (Linux, proc(5), clear_refs).
func beginPeakAnew() error { return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }
