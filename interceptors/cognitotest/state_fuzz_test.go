// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"bytes"
	"slices"
	"testing"
)

// FuzzState has a journal with any lines. What a server starts with can be
// written and read back.
func FuzzState(f *testing.F) {
	pool := testPool()
	pool.Keys = KeyPair{} // long, and slow to minimize
	f.Add([]byte(encoded(f, pool.completed(DropScopes, 0).change(testNow))))
	f.Add([]byte(`{"pool":"eu-west-1_a","put":{"id":"eu-west-1_a","domains":[{"name":"a"},{"name":"b.c"}]}}` + "\n" + `{"pool":"eu-west-1_a","delete":true}`))
	f.Add([]byte(`{"pool":"eu-west-1_a","put":{"id":"eu-west-1_a"},"clients":[{"id":"","secrets":[{}],"validity":9223372036854775807,"validity_unit":"days"}]}`))
	f.Add([]byte(`{"pool":"eu-west-1_a","put":{"id":"eu-west-1_a"},"clients":[null],"resource_servers":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := bytes.Split(data, []byte("\n"))
		file, _, err := encodeJournal(lines)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parseJournal(file)
		if err != nil {
			t.Fatal(err)
		}
		s := emptyStore()
		for _, e := range parsed.entries {
			if s.replay(e.payload) != nil {
				return
			}
		}
		payloads, err := s.payloads()
		if err != nil {
			t.Fatalf("a state that cannot be written: %v", err)
		}
		again := emptyStore()
		for _, p := range payloads {
			if err := again.replay(p); err != nil {
				t.Fatalf("a state that cannot be read back: %s: %v", p, err)
			}
		}
		got, err := again.payloads()
		if err != nil || !slices.EqualFunc(got, payloads, bytes.Equal) {
			t.Fatalf("read back: got %q, %v, want %q", got, err, payloads)
		}
	})
}
