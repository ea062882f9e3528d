// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package soak_test

import (
	"testing"

	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }
