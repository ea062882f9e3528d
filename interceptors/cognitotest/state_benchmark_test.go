// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"fmt"
	"os"
	"testing"
)

// BenchmarkRestart starts a server on the state of 1000 pools with 10 clients
// each; with keys is the state of pools that have all issued a token.
func BenchmarkRestart(b *testing.B) {
	for _, withKeys := range []bool{false, true} {
		b.Run(fmt.Sprint("keys=", withKeys), func(b *testing.B) {
			path := stateIn(b)
			var pools []Option
			for i := range 1000 {
				p := DemoPool()
				p.Name, p.Domain = fmt.Sprint("pool-", i), fmt.Sprint("pool-", i)
				for j := range 9 {
					p.Clients = append(p.Clients, Client{Name: fmt.Sprint("client-", j), AllowedOAuthScopes: []string{"demo/read.file"}})
				}
				if withKeys {
					p.Keys = testKeys()[i%3]
				}
				pools = append(pools, WithPool(p))
			}
			closeServer(b, startOn(b, path, pools...))
			info, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				closeServer(b, startOn(b, path))
			}
			b.ReportMetric(float64(info.Size())/1e6, "MB")
		})
	}
}
