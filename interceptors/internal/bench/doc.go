// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package bench holds benchmarks of the two paths beside what others do in the same
// place, so that one run shows the ratio. It is a module of its own so that the
// library does not depend on them. Repeat a row with
//
//	cd interceptors/internal/bench && go test -run '^$' -bench Verify -count 6 | tee new.txt
//
// and compare runs with benchstat, which `make tools` builds.
package bench
