// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package bench

import (
	"errors"
	"time"
)

func cpuTime() (time.Duration, error) { return 0, errors.ErrUnsupported }

func readUsage() (usage, error) { return usage{}, errors.ErrUnsupported }

func beginPeakAnew() error { return errors.ErrUnsupported }
