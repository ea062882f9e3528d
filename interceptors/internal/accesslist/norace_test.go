// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package accesslist

const raceEnabled = false
