// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package serverauth_test

// tapRace says that the race detector is at work.
const tapRace = false
