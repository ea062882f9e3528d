// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// strangePaths are names of methods that are near to those of a registered method.
var strangePaths = []struct{ id, path string }{
	{"E1", "demo.files.v1.FileReadService/WhoAmI"},
	{"E1", "demo.files.v1.FileReadService/Version"},
	{"E1", ""},
	{"E1", "WhoAmI"},
	{"E1", "*"},
	{"E2", "//demo.files.v1.FileReadService/WhoAmI"},
	{"E2", "//demo.files.v1.FileReadService/Version"},
	{"E2", "/demo.files.v1.FileReadService//WhoAmI"},
	{"E2", "/demo.files.v1.FileReadService/WhoAmI/"},
	{"E2", "/demo.files.v1.FileReadService/Version/"},
	{"E2", "/x/../demo.files.v1.FileReadService/WhoAmI"},
	{"E2", "/./demo.files.v1.FileReadService/WhoAmI"},
	{"E2", "/demo.files.v1.FileReadService/WhoAmI?a=b"},
	{"E2", "/demo.files.v1.FileReadService/Version?a=b"},
	{"E2", "/demo.files.v1.FileReadService/WhoAmI#x"},
	{"E2", "/demo.files.v1.FileReadService/Who%41mI"},
	{"E2", "/demo%2Efiles.v1.FileReadService/WhoAmI"},
	{"E2", "/demo.files.v1.FileReadService%2FWhoAmI"},
	{"E2", "/demo.files.v1.FileReadService/whoAmI"},
	{"E2", "/demo.files.v1.FileReadService/version"},
	{"E2", "/Demo.Files.V1.FileReadService/WhoAmI"},
	{"E2", "/demo.files.v1.FileReadService/WhoAmI\t"},
	{"E2", "/demo.files.v1.FileReadService/WhoAmI%00"},
	{"E4", "/demo.files.v1.FileReadService/Nope"},
	{"E4", "/demo.files.v1.FileReadService/"},
	{"E4", "/demo.files.v1.NoService/WhoAmI"},
	{"E4", "/demo.files.v1/WhoAmI"},
	{"E4", "/"},
}

// E1, E2 and E4: of names that are not registered gRPC itself says UNIMPLEMENTED, to
// everybody, and nobody is asked. RefuseBeforeDecoding hides which there are.
func TestE1E2E4NamesThatAreNotRegistered(t *testing.T) {
	t.Parallel()
	reports := &restReports{}
	l := newLab(t, setup{options: []serverauth.Option{serverauth.WithReporter(reports)}})
	defer l.fetchesNothing(t)()
	for _, row := range strangePaths {
		for name, headers := range map[string][]header{
			"no token": nil, "a good token": {bearer(l.issuer.good())}, "junk": {bearer("junk")}, "an unknown key": {bearer(l.issuer.token(strangeHeader, goodClaims))},
		} {
			got, err := l.tryCall(row.path, headers...)
			if err != nil || got.code != codes.Unimplemented || got.reason != "" {
				t.Errorf("%s %q with %s: got %v %s, %v, want gRPC's own UNIMPLEMENTED", row.id, row.path, name, got.code, got.reason, err)
			}
		}
	}
	if n := l.files.ran.Load() + int64(reports.count()); n != 0 {
		t.Errorf("%d times a handler ran or somebody decided", n)
	}
}

// E3: with a handler for unknown services the interceptors see such names, and refuse
// them, whatever the token opens.
func TestE3UnknownServiceHandler(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{server: []grpc.ServerOption{grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		t.Error("the handler of unknown services ran")
		return nil
	})}})
	defer l.fetchesNothing(t)()
	token := l.issuer.token(goodHeader, with("scope", `"demo/read.file demo/write.file echo/call echo/stream"`))
	for _, row := range strangePaths {
		got := l.call(t, row.path)
		if !strings.HasPrefix(row.path, "/") || strings.Count(row.path, "/") < 2 {
			if got.code != codes.Unimplemented { // gRPC's own answer to a malformed name
				t.Errorf("%s %q: got %v %s, want UNIMPLEMENTED", row.id, row.path, got.code, got.reason)
			}
			continue
		}
		if got.code != u || got.reason != serverauth.ReasonTokenMissing {
			t.Errorf("%s %q without a token: got %v %s, want UNAUTHENTICATED TOKEN_MISSING", row.id, row.path, got.code, got.reason)
		}
		got = l.call(t, row.path, bearer(token))
		if got.code != p || got.reason != serverauth.ReasonMethodNotAllowed {
			t.Errorf("%s %q with a good token: got %v %s, want PERMISSION_DENIED METHOD_NOT_ALLOWED", row.id, row.path, got.code, got.reason)
		}
	}
	if n := l.files.ran.Load(); n != 0 {
		t.Errorf("handlers ran %d times", n)
	}
}
