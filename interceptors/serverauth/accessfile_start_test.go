// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/health"

	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// What is wrong with an access file at start is an error of the constructor that says
// where it is. In a bubble no goroutine is left behind, or the test fails.
func TestAccessFileThatCannotBeUsedAtStart(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, content string
		want          []string
	}{
		{"a misspelled method", `{"deny": [{"methods": ["/demo.files.v1.FileReadService/ReadFiles"]}]}`, []string{"deny[0].methods[0]", "/demo.files.v1.FileReadService/ReadFiles"}},
		{"a misspelled service", `{"allow": [{"clients": ["a"], "methods": ["demo.files.v1.FileReader"]}]}`, []string{"allow[0].methods[0]", "demo.files.v1.FileReader"}},
		{"a misspelled issuer", `{"deny": [{"clients": ["a"], "issuer": "` + issuerURL + `x"}]}`, []string{"deny[0].issuer"}},
		{"a misspelled member", `{"deny": [{"client": ["a"]}]}`, []string{"deny[0]", `"client"`}},
		{"no JSON", `deny: a`, []string{"line 1"}},
		{"nothing", ``, []string{"line 1"}},
	} {
		bubble(t, func(t *testing.T) {
			l := newLab(t, setup{memory: true})
			rules, err := policy.New()
			if err != nil {
				t.Fatal(err)
			}
			path := newAccessFile(t, row.content)
			_, err = serverauth.New(l.verifier, rules, serverauth.AccessFile(path))
			for _, want := range append(row.want, "serverauth: AccessFile: ", path) {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %v, want an error with %q", row.name, err, want)
				}
			}
		})
	}
	bubble(t, func(t *testing.T) {
		l := newLab(t, setup{memory: true})
		rules, err := policy.New()
		if err != nil {
			t.Fatal(err)
		}
		missing := filepath.Join(t.TempDir(), "missing.json")
		if _, err := serverauth.New(l.verifier, rules, serverauth.AccessFile(missing)); err == nil || !strings.Contains(err.Error(), "missing.json") {
			t.Errorf("a missing file: got %v, want an error that names it", err)
		}
		one := newAccessFile(t, `{}`)
		for name, options := range map[string][]serverauth.Option{
			"no path":   {serverauth.AccessFile("")},
			"two paths": {serverauth.AccessFile(one), serverauth.AccessFile(one)},
		} {
			if _, err := serverauth.New(l.verifier, rules, options...); err == nil || !strings.Contains(err.Error(), "AccessFile needs one path, once") {
				t.Errorf("%s: got %v, want an error", name, err)
			}
		}
	})
}

// A constructor that fails for another reason leaves no reader of the file behind: in a
// bubble that would fail the test.
func TestNothingIsHalfOpenAfterAFailedStart(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		rules, err := policy.New()
		if err != nil {
			t.Fatal(err)
		}
		path := newAccessFile(t, `{}`)
		custom := stubVerifier(func(context.Context, string) (*serverauth.Principal, error) { return nil, errNoNetwork })
		if _, err := serverauth.New(custom, rules, serverauth.AccessFile(path), serverauth.HealthServer(health.NewServer()), serverauth.WithLogger(nil)); err == nil || !strings.Contains(err.Error(), "HealthServer needs a Verifier") {
			t.Errorf("a health server without a Verifier: got %v, want an error", err)
		}
		if _, err := serverauth.New(custom, rules, serverauth.AccessFile(path), serverauth.HealthServer(nil)); err == nil || !strings.Contains(err.Error(), "HealthServer(nil)") {
			t.Errorf("no health server: got %v, want an error", err)
		}
		// The keys cannot be fetched.
		if _, err := serverauth.ForUserPool(t.Context(), poolID, serverauth.AnyClient(), serverauth.AccessFile(path), noNetwork(), serverauth.WithLogger(nil)); !errors.Is(err, errNoNetwork) {
			t.Errorf("no keys: got %v, want the fault of the network", err)
		}
		// The keys are there, and then the file is not: the verifier is closed.
		keys := serverauth.WithHTTPClient(&http.Client{Transport: newMemoryIssuer()})
		if _, err := serverauth.ForUserPool(t.Context(), poolID, serverauth.AnyClient(), serverauth.AccessFile(path+"x"), keys, serverauth.WithLogger(nil)); err == nil || !strings.Contains(err.Error(), "AccessFile") {
			t.Errorf("no file: got %v, want an error", err)
		}
	})
}
