// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package accesslist

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// manyEntries returns a file with n entries of all kinds.
func manyEntries(n int) string {
	kinds := []string{
		`{"clients": ["out%d"]}`,
		`{"clients": ["narrow%d"], "methods": ["/demo.files.v1.FileWriteService/DeleteFile"]}`,
		`{"token_ids": ["5d1a2c3e-0000-4000-8000-%012d"]}`,
		`{"methods": ["/acme.v1.Service%d/Purge"]}`,
	}
	deny, allow := make([]string, n/2), make([]string, n-n/2)
	for i := range deny {
		deny[i] = fmt.Sprintf(kinds[i%len(kinds)], i)
	}
	for i := range allow {
		allow[i] = fmt.Sprintf(`{"clients": ["reader%d"], "methods": ["demo.files.v1.FileReadService"]}`, i)
	}
	return `{"deny": [` + strings.Join(deny, ",") + `], "allow": [` + strings.Join(allow, ",") + `]}`
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		path := filepath.Join(b.TempDir(), "callers.json")
		if err := os.WriteFile(path, []byte(manyEntries(n)), 0o600); err != nil {
			b.Fatal(err)
		}
		l, err := Open(path, Config{})
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		for _, row := range []struct {
			client string
			want   Verdict
		}{{"unnamed", Permitted}, {"reader1", Permitted}, {"narrow1", Permitted}, {"out0", TokenDenied}} {
			b.Run(fmt.Sprintf("entries=%d/client=%s", n, row.client), func(b *testing.B) {
				c := Caller{issuer1, row.client, "5d1a2c3e-1111-4000-8000-000000000001"}
				b.ReportAllocs()
				for b.Loop() {
					if l.Decide(c, readMethod).Verdict != row.want {
						b.Fatal("another verdict")
					}
				}
			})
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			content := []byte(manyEntries(n))
			b.ReportAllocs()
			for b.Loop() {
				doc, err := parse(content, known{method: func(string) bool { return true }})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := compile(doc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
