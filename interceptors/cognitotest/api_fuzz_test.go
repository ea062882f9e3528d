// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzManagementAPI sends any operation with any body to a small model: no panic,
// an answer of JSON, no secret in an error, and a model that still serves and is
// what its changes say.
func FuzzManagementAPI(f *testing.F) {
	for operation := range operations {
		f.Add(operation, `{`+inClient+`,"PoolName":"x","ClientName":"x","Domain":"x","Identifier":"x","Name":"x","MaxResults":1,"ClientSecretId":"x","Secret":"`+testSecret+`","Scopes":[{"ScopeName":"a","ScopeDescription":"b"}],"TokenValidityUnits":{"AccessToken":"days"},"AccessTokenValidity":1}`)
	}
	f.Add("CreateUserPool", `{"PoolName":null,"Policies":{},"UserPoolTags":{"a":"b"},"LambdaConfig":[[[[`)
	f.Add("CreateUserPoolDomain", `{`+inPool+`,"Domain":"auth.example.com","CustomDomainConfig":{"CertificateArn":"arn:aws:acm:us-east-1:123456789012:certificate/1"}}`)
	f.Add("GetClientToken", `{`+directCredentials+`,"Scopes":["demo/read.file"],"ClientMetadata":{"a":"b"}}`)
	f.Add("X", "\xff")
	start := apiPool().completed(DropScopes, 0).change(testNow)
	f.Fuzz(func(t *testing.T, operation, body string) {
		store := emptyStore()
		s := store.server
		if err := store.apply(start); err != nil {
			t.Fatal(err)
		}
		log := modelLines(t, store)
		store.recorder = recorderFunc(func(c change) error { log = append(log, encoded(t, c)); return nil })
		status, got := answered(t, s, operation, body)
		var out struct {
			Type string `json:"__type"` //nolint:tagliatelle // AWS names it so
		}
		if got != "" && (!utf8.ValidString(got) || json.Unmarshal([]byte(got), &out) != nil) {
			t.Fatalf("got %q, want JSON", got)
		}
		if (status == http.StatusOK) != (out.Type == "") || out.Type == "InternalErrorException" {
			t.Fatalf("got %d %s", status, got)
		}
		if status != http.StatusOK && strings.Contains(got, testSecret) && strings.Count(body, testSecret) < 2 {
			t.Fatalf("a secret is in %s", got)
		}
		if status, got := answered(t, s, "ListUserPools", `{"MaxResults":1}`); status != http.StatusOK {
			t.Fatalf("afterwards: got %d %s", status, got)
		}
		again := emptyStore()
		for _, line := range log {
			var c change
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatal(err)
			}
			if err := again.apply(c); err != nil {
				t.Fatal(err)
			}
		}
		if a, b := modelLines(t, again), modelLines(t, store); !slices.Equal(a, b) {
			t.Fatalf("replayed\n%s\nwant\n%s", a, b)
		}
	})
}

// modelLines is the model without its keys, which take long to encode.
func modelLines(tb testing.TB, s *store) (lines []string) {
	tb.Helper()
	for _, c := range s.snapshot() {
		c.Keys = nil
		lines = append(lines, encoded(tb, c))
	}
	return lines
}

// answered calls an operation without a transport.
func answered(tb testing.TB, s *Server, operation, body string) (int, string) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, s.url+"/", strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	req.Header = apiHeader(operation)
	rep, err := s.answer(tb.Context(), req, req.URL.Host)
	if err != nil {
		tb.Fatal(err)
	}
	return rep.status, string(rep.body)
}
