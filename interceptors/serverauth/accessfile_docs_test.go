// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// The example of docs/access-file.md is a good file and does what the page says.
func TestAccessFileOfTheDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/access-file.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, found := strings.Cut(string(page), "<!-- test: access file -->\n```json\n")
	example, _, closed := strings.Cut(example, "```")
	if !found || !closed {
		t.Fatal("the page has no example")
	}
	const issuer = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123"
	l := newLab(t, setup{
		issuers: func(base serverauth.Issuer) []serverauth.Issuer {
			base.URL, base.Clients = issuer, serverauth.AnyClient()
			return []serverauth.Issuer{base}
		},
		options: []serverauth.Option{serverauth.AccessFile(newAccessFile(t, example))},
	})
	for _, row := range []struct {
		client, jti, method string
		code                codes.Code
		reason              serverauth.Reason
	}{
		{"5example23456789abcdefghij", "x", whoAmI, u, serverauth.ReasonTokenRevoked},
		{"6example23456789abcdefghij", "x", deleteFile, p, serverauth.ReasonClientNotAllowed},
		{"6example23456789abcdefghij", "x", writeFile, ok, ""},
		{"7example23456789abcdefghij", "x", whoAmI, u, serverauth.ReasonTokenRevoked},
		{"somebody", "x", chat, p, serverauth.ReasonClientNotAllowed},
		{"somebody", "8dcf56f9-1234-4000-8000-000000000000", whoAmI, u, serverauth.ReasonTokenRevoked},
		{"somebody", "x", deleteFile, ok, ""},
		{"8example23456789abcdefghij", "x", readFile, ok, ""},
		{"8example23456789abcdefghij", "x", deleteFile, p, serverauth.ReasonClientNotAllowed},
	} {
		token := l.of("demo/read.file demo/write.file echo/call echo/stream",
			"client_id", `"`+row.client+`"`, "jti", `"`+row.jti+`"`, "iss", `"`+issuer+`"`)
		if got := l.call(t, row.method, bearer(token)); got.code != row.code || got.reason != row.reason {
			t.Errorf("%s, %s: got %v %s, want %v %s", row.client, row.method, got.code, got.reason, row.code, row.reason)
		}
	}
	if want := `why="secret found in a build log, 2027-01-15"`; !strings.Contains(l.log.String(), "refused TOKEN_REVOKED") || !strings.Contains(l.log.String(), "access_file=deny[0] "+want) {
		t.Errorf("the log is not as the page shows it:\n%s", l.log.String())
	}
}
