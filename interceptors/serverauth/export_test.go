// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import "time"

// WithClock fixes the time by which tokens are checked.
func WithClock(now func() time.Time) VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) { cfg.now = now })
}
