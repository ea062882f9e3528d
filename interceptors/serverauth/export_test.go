// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"math"
	"time"
)

// WithUnlimitedLog logs every refusal, so that a test can look for secrets in all lines.
func WithUnlimitedLog() Option {
	return optionFunc(func(cfg *config) { cfg.refusalsBurst = math.MaxInt })
}

// WithClock fixes the time by which tokens are checked.
func WithClock(now func() time.Time) VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) { cfg.now = now })
}
