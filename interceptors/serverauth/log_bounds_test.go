// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"strings"
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// Whatever a token says, before its signature is checked or after, its refusal is one
// short line of the log, and nothing in it looks like another line.
func TestRefusalIsOneShortLineWhateverTheTokenSays(t *testing.T) {
	t.Parallel()
	const forged = `\nlevel=ERROR\tmsg=forged` // no space, which would part two scopes
	long := forged + strings.Repeat("y", 4000)
	for name, row := range map[string]struct {
		header, payload string
		fine            serverauth.Reason
	}{
		"iss":       {goodHeader, with("iss", `"`+long+`"`), serverauth.ReasonIssuerMismatch},
		"token_use": {goodHeader, with("token_use", `"`+long+`"`), serverauth.ReasonTokenUseMismatch},
		"client_id": {goodHeader, with("client_id", `"`+long+`"`), serverauth.ReasonClientNotAllowed},
		"scope":     {goodHeader, with("scope", `"foreign/`+long+`"`), serverauth.ReasonForeignScope},
		"kid":       {`{"kid":"` + forged + strings.Repeat("y", 230) + `","alg":"RS256"}`, goodClaims, serverauth.ReasonKeyNotFound},
	} {
		l := newLab(t, setup{options: []serverauth.Option{serverauth.OwnScopesOnly("demo")}})
		l.call(t, whoAmI, bearer(l.issuer.token(row.header, row.payload)))
		if refusal := l.lastRefusal(); refusal == nil || refusal.Reason() != row.fine {
			t.Errorf("%s: got %v, want %s", name, refusal, row.fine)
		}
		var refused []string
		for text := range strings.Lines(l.log.String()) { // that of new keys may come late
			if !strings.HasPrefix(text, "time=") {
				t.Errorf("%s: the log has a line that is none:\n%s", name, text)
			}
			if strings.Contains(text, " msg=\"refused ") {
				refused = append(refused, text)
			}
		}
		line := strings.Join(refused, "")
		if len(refused) != 1 || len(line) > 1000 {
			t.Errorf("%s: got %d lines of %d bytes, want one short one:\n%s", name, len(refused), len(line), line)
		}
		if n := strings.Count(line, "y"); n < 100 || n > 220 { // some in other words
			t.Errorf("%s: the log shows %d bytes of the value, want 200 at most:\n%s", name, n, line)
		}
	}
}
