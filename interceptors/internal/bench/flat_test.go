// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// BenchmarkPolicyLookup finds a method's rule and compares it with a token's scopes, of
// ten methods and of ten thousand: the same one each time, and all in turn.
func BenchmarkPolicyLookup(b *testing.B) {
	granted := []string{"demo/read.file", "demo/write.file"}
	var few batch
	for _, n := range []int{10, 10_000} {
		rules, methods := manyMethods(b, n)
		look := func(methods []string) batch {
			i := 0
			return func(times int) {
				for range times {
					rule, ok := rules.Rule(methods[i])
					if !ok || !rule.Permits(granted) {
						b.Fatal("refused")
					}
					if i++; i == len(methods) {
						i = 0
					}
				}
			}
		}
		one := look(methods[n/2 : n/2+1])
		if few == nil {
			few = one
		}
		for _, row := range []struct {
			name string
			look batch
		}{{"same", one}, {"in-turn", look(methods)}} {
			b.Run(fmt.Sprintf("methods=%d/%s", n, row.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					row.look(1)
				}
				b.ReportMetric(ratio(few, row.look), "x-ten-methods")
			})
		}
	}
}

// manyMethods returns a policy with n methods beside those that are linked, and their
// full names.
func manyMethods(b *testing.B, n int) (rules *policy.Policy, full []string) {
	b.Helper()
	const service = "acme.many.v1.ManyService"
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("Method%d", i))
		full = append(full, fmt.Sprintf("/%s/Method%d", service, i))
	}
	rules, err := policy.New(policy.WithService(service, names...), policy.WithRule(service, policy.AnyOf("demo/write.file")))
	must(b, err)
	return rules, full
}
