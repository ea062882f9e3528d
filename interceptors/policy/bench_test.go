// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// methods returns a file with service acme.A and methods M0 to M(n-1).
func methods(tb testing.TB, n int) policy.Option {
	tb.Helper()
	all := make([]protoMethod, n)
	for i := range all {
		all[i] = protoMethod{name: fmt.Sprintf("M%d", i), option: `scopes { any_of: ["write.file", "read.file"] }`}
	}
	return files(tb, service(`resource_server: "demo"`, all...))
}

func BenchmarkRule(b *testing.B) {
	granted := []string{"demo/read.file"}
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("methods=%d", n), func(b *testing.B) {
			p := mustNew(b, methods(b, n))
			name := fmt.Sprintf("/acme.A/M%d", n/2)
			b.ReportAllocs()
			for b.Loop() {
				if r, ok := p.Rule(name); !ok || !r.Permits(granted) {
					b.Fatal("not permitted")
				}
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("methods=%d", n), func(b *testing.B) {
			option := methods(b, n)
			b.ReportAllocs()
			for b.Loop() {
				mustNew(b, option)
			}
		})
	}
}
