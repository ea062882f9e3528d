// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/tap"

	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// An option whose first use the second would take away is an error, which says what to do.
func TestOptionsThatAreGivenOnce(t *testing.T) {
	t.Parallel()
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	pass := func(ctx context.Context, _ *tap.Info) (context.Context, error) { return ctx, nil }
	path := newAccessFile(t, "{}")
	for name, row := range map[string]struct {
		option serverauth.Option
		want   string
	}{
		"RefuseBeforeDecoding with handles": {serverauth.RefuseBeforeDecoding(pass), "RefuseBeforeDecoding is given twice: give all tap handles to one"},
		"RefuseBeforeDecoding":              {serverauth.RefuseBeforeDecoding(), "RefuseBeforeDecoding is given twice"},
		"OwnScopesOnly":                     {serverauth.OwnScopesOnly("demo"), "OwnScopesOnly is given twice: name all resource servers in one"},
		"WithPolicy":                        {serverauth.WithPolicy(rules), "WithPolicy is given twice"},
		"CheckCall":                         {serverauth.CheckCall(func(context.Context, string, *serverauth.Principal, any) error { return nil }), "CheckCall needs one function, once"},
		"CheckRevoked":                      {serverauth.CheckRevoked(func(context.Context, *serverauth.Principal) (bool, error) { return false, nil }), "CheckRevoked needs one function, once"},
		"AccessFile":                        {serverauth.AccessFile(path), "AccessFile needs one path, once"},
		"ReportOnly":                        {serverauth.ReportOnly(reportBoth(deleteFile)), "ReportOnly is given twice"},
	} {
		_, err := serverauth.ForUserPool(t.Context(), poolID, serverauth.AnyClient(), row.option, row.option, noNetwork())
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, row.want)
		}
	}
	for name, option := range map[string]serverauth.VerifierOption{
		"OnKeysRotated(nil)": serverauth.OnKeysRotated(nil), "OnKeysRejected(nil)": serverauth.OnKeysRejected(nil),
	} {
		_, err := serverauth.NewVerifier(t.Context(), []serverauth.Issuer{{URL: issuerURL, Clients: serverauth.AnyClient()}}, option, noNetwork())
		if err == nil || !strings.Contains(err.Error(), name+": leave the option out") {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
}

// Each function that wants to hear of keys is told, in the order in which they were given,
// and none can change what the next is told.
func TestFunctionsToldOfKeysAddUp(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var (
			mu   sync.Mutex
			told []string
		)
		rotated := func(name string) serverauth.VerifierOption {
			return serverauth.OnKeysRotated(func(issuer string, added, removed []string) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, name+" "+issuer+" +"+added[0]+" -"+strings.Join(removed, ","))
				added[0], removed[0] = "changed", "changed"
			})
		}
		rejected := func(name string) serverauth.VerifierOption {
			return serverauth.OnKeysRejected(func(issuer string, err error) {
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					t.Error("rejected without an error")
				}
				told = append(told, name+" "+issuer)
			})
		}
		l := newLab(t, setup{memory: true, verifier: []serverauth.VerifierOption{
			rotated("first"), rotated("second"), rejected("third"), rejected("fourth"),
		}})
		l.issuer.publish("new", l.issuer.access)
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		l.issuer.publish()
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		keys := []string{goodKeyID, otherKeyID}
		slices.Sort(keys)
		rest := " " + issuerURL + " +new -" + strings.Join(keys, ",")
		if len(told) < 4 || told[0] != "first"+rest || told[1] != "second"+rest || told[2] != "third "+issuerURL || told[3] != "fourth "+issuerURL {
			t.Errorf("told:\n%s", strings.Join(told, "\n"))
		}
	})
}

// What sets a number, a name, the logger or the HTTP client counts as given last.
func TestOptionsThatCountAsGivenLast(t *testing.T) {
	t.Parallel()
	log := &lockedBuffer{}
	unused := func(what string) *http.Client {
		return &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			t.Errorf("%s was used", what)
			return nil, errNoNetwork
		})}
	}
	issuer := newTestIssuer(t)
	l := newLab(t, setup{
		issuers: func(base serverauth.Issuer) []serverauth.Issuer {
			base.JWKSURL = issuer.server.URL + "/keys"
			return []serverauth.Issuer{base}
		},
		verifier: []serverauth.VerifierOption{
			serverauth.WithHTTPClient(unused("the first client")), serverauth.WithHTTPClient(issuer.server.Client()),
			serverauth.WithoutCache(), serverauth.CacheLimits(5, 1<<20),
			serverauth.MaxTokenBytes(10), serverauth.MaxTokenBytes(8192),
			serverauth.MaxTokenAge(time.Second), serverauth.MaxTokenAge(time.Hour),
		},
		options: []serverauth.Option{
			serverauth.MetadataKey("service-token"), serverauth.MetadataKey("other-token"),
			serverauth.WithLogger(nil), serverauth.WithLogger(textLogger(log)),
		},
	})
	if got := l.call(t, whoAmI, header{"other-token", "Bearer " + l.issuer.good()}); got.code != ok {
		t.Errorf("got %v %s, want OK", got.code, got.message)
	}
	if n := l.verifier.Stats().Cache.Entries; n != 1 {
		t.Errorf("%d tokens are remembered, want 1", n)
	}
	if got := l.call(t, whoAmI, header{"service-token", "Bearer " + l.issuer.good()}); got.code != u {
		t.Errorf("the first metadata key: got %v %s, want UNAUTHENTICATED", got.code, got.message)
	}
	if text := log.String(); !strings.Contains(text, "refused TOKEN_MISSING") {
		t.Errorf("the last log lacks the refusal:\n%s", text)
	}
	if text := l.log.String(); strings.Contains(text, "refused") {
		t.Errorf("an earlier log has it:\n%s", text)
	}
}
