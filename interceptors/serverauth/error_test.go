// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// What a refusal says about the scopes of a token is bounded in number and length.
func TestScopesInARefusalAreBounded(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	numbered := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("x/%02d", i))
		}
		return strings.Join(all, " ")
	}
	long := func(bytes int) string { return "x/" + strings.Repeat("a", bytes-len("x/")) }
	for name, row := range map[string]struct{ scope, granted string }{
		"20 scopes":                {numbered(20), numbered(20)},
		"21 scopes":                {numbered(21), numbered(20) + " and more"},
		"1,024 bytes":              {"x/0 " + long(1020), "x/0 " + long(1020)},
		"1,025 bytes":              {"x/0 " + long(1021), "x/0 and more"},
		"one scope of 1,025 bytes": {long(1025), "and more"},
		"a long one among many":    {numbered(10) + " " + long(1000) + " x/1 x/2", numbered(10) + " and more"},
	} {
		got := l.call(t, deleteFile, bearer(l.issuer.token(goodHeader, with("scope", fmt.Sprintf("%q", row.scope)))))
		if got.metadata["granted"] != row.granted {
			t.Errorf("%s: got %q, want %q", name, got.metadata["granted"], row.granted)
		}
		if want := deleteFile + " needs demo/write.file; the token has " + row.granted; got.message != want {
			t.Errorf("%s: got the message %q, want %q", name, got.message, want)
		}
	}
}

// The log names a caller whose signature was checked as its operator does.
func TestRefusalNamesTheClientInTheLog(t *testing.T) {
	t.Parallel()
	named, plain := serverauth.NamedClients(map[string]string{"billing": clientID}), serverauth.Clients(clientID)
	for want, clients := range map[string]*serverauth.ClientSet{
		"client_id=" + clientID + " client=billing": &named,
		"client_id=" + clientID:                     &plain,
	} {
		l := newLab(t, setup{clients: clients})
		l.call(t, deleteFile, bearer(l.issuer.good()))
		log := l.log.String()
		if !strings.Contains(log, want) || clients == &plain && strings.Contains(log, "client=") {
			t.Errorf("the log is\n%swant %q, and no name but that", log, want)
		}
	}
}

// An error that no interceptor has seen names no method.
func TestErrorWithoutAMethod(t *testing.T) {
	t.Parallel()
	details := serverauth.NewError(serverauth.ReasonTokenRevoked, nil).GRPCStatus().Details()
	if len(details) != 1 {
		t.Fatalf("got the details %v, want one", details)
	}
	if info, isInfo := details[0].(*errdetails.ErrorInfo); !isInfo || info.GetReason() != "TOKEN_REVOKED" || len(info.GetMetadata()) != 0 {
		t.Errorf("got %v, want TOKEN_REVOKED and no metadata", details[0])
	}
}
