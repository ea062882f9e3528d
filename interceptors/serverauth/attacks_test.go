// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// The table of attacks. Each row goes as raw HTTP/2 frames over TLS to a real
// grpc.Server and names the status code, the fine reason that stays on the server,
// and the reason that crosses the wire.

const (
	whoAmI     = "/demo.files.v1.FileReadService/WhoAmI"      // any valid token
	statFile   = "/demo.files.v1.FileReadService/StatFile"    // read.file or write.file
	readFile   = "/demo.files.v1.FileReadService/ReadFile"    // read.file
	version    = "/demo.files.v1.FileReadService/Version"     // public
	deleteFile = "/demo.files.v1.FileWriteService/DeleteFile" // write.file
	writeFile  = "/demo.files.v1.FileWriteService/WriteFile"  // write.file
	appendFile = "/demo.files.v1.FileWriteService/AppendFile" // read.file and write.file
)

const (
	ok = codes.OK
	u  = codes.Unauthenticated
	p  = codes.PermissionDenied
)

type attack struct {
	id, name string
	headers  func(i *testIssuer) []header
	method   string // default WhoAmI
	code     codes.Code
	fine     serverauth.Reason
	wire     serverauth.Reason // default: fine
	fetches  int64             // of keys, caused by the call
	cause    string            // a part of what the server's log says, where the reason alone is too coarse
}

//nolint:tparallel // the rows share a server whose fetches of keys they count
func TestAttacks(t *testing.T) {
	t.Parallel()
	for _, rows := range [][]attack{metadataAttacks, jwsAttacks, claimAttacks} {
		l := newLab(t, setup{options: []serverauth.Option{serverauth.WithUnlimitedLog()}})
		for _, row := range rows {
			t.Run(row.id+"/"+row.name, func(t *testing.T) { row.run(t, l) })
		}
	}
}

func (row attack) run(t *testing.T, l *lab) {
	t.Helper()
	if row.fetches > 0 { // a fetch for an unknown kid quiets the next ones: take a new server
		l = newLab(t, setup{options: []serverauth.Option{serverauth.WithUnlimitedLog()}})
	}
	method := row.method
	if method == "" {
		method = whoAmI
	}
	headers := row.headers(l.issuer)
	ran, fetched := l.files.ran.Load(), l.issuer.fetches.Load()
	got := l.call(t, method, headers...)
	if got.code != row.code {
		t.Fatalf("code: got %v (%s, %s), want %v", got.code, got.reason, got.message, row.code)
	}
	if n := l.issuer.fetches.Load() - fetched; n != row.fetches {
		t.Errorf("fetches of keys: got %d, want %d", n, row.fetches)
	}
	wantRuns := int64(0)
	if row.code == ok {
		wantRuns = 1
	}
	if n := l.files.ran.Load() - ran; n != wantRuns {
		t.Errorf("the handler ran %d times, want %d", n, wantRuns)
	}
	if row.code == ok {
		return
	}
	row.checkRefusal(t, l, got)
	row.checkWire(t, got, method)
	checkSilence(t, l, headers, got)
}

func (row attack) checkRefusal(t *testing.T, l *lab, got answer) {
	t.Helper()
	wire := row.wire
	if wire == "" {
		wire = row.fine
	}
	if got.reason != wire {
		t.Errorf("wire reason: got %s, want %s", got.reason, wire)
	}
	if refusal := l.lastRefusal(); refusal == nil || refusal.Reason() != row.fine {
		t.Errorf("fine reason: got %v, want %s", refusal, row.fine)
	}
	if refusal := l.lastRefusal(); row.cause != "" && !strings.Contains(fmt.Sprint(errors.Unwrap(refusal)), row.cause) {
		t.Errorf("cause: got %v, want it to say %q", errors.Unwrap(refusal), row.cause)
	}
	want := `Bearer error="invalid_token"`
	switch row.fine {
	case serverauth.ReasonTokenMissing:
		want = "Bearer"
	case serverauth.ReasonSchemeUnsupported, serverauth.ReasonAuthorizationDuplicated:
		want = `Bearer error="invalid_request"`
	case serverauth.ReasonInsufficientScope:
		want = `Bearer error="insufficient_scope", scope="`
	case serverauth.ReasonClientNotAllowed:
		want = ""
	}
	if want == "" != (len(got.challenge) == 0) || want != "" && (len(got.challenge) != 1 || !strings.HasPrefix(got.challenge[0], want)) {
		t.Errorf("www-authenticate: got %q, want one value that starts with %q", got.challenge, want)
	}
	if row.fine == serverauth.ReasonTokenMissing && !slices.Equal(got.challenge, []string{"Bearer"}) {
		t.Errorf("www-authenticate: got %q, want no more than the scheme (RFC 6750 section 3.1)", got.challenge)
	}
}

// checkSilence looks for parts of the token in everything that was written and answered.
func checkSilence(t *testing.T, l *lab, headers []header, got answer) {
	t.Helper()
	log := l.log.String()
	if !strings.Contains(log, "refused ") {
		t.Error("the log was not captured")
	}
	for _, h := range headers {
		if len(h.value) < 100 {
			continue
		}
		for _, part := range []string{h.value[len(h.value)-40:], h.value[20:60], h.value[len(h.value)/2:][:40]} {
			if strings.Contains(log, part) || strings.Contains(got.trailer, part) {
				t.Error("the log or the answer holds a part of the token")
			}
		}
	}
}

// texts is what a peer reads for each wire reason, word for word.
var texts = map[serverauth.Reason]string{
	"TOKEN_MISSING":            "a bearer token is needed in the authorization metadata",
	"SCHEME_UNSUPPORTED":       "the authorization metadata must have the form: Bearer TOKEN",
	"AUTHORIZATION_DUPLICATED": "the call has more than one authorization value",
	"TOKEN_TOO_LARGE":          "the token is too large",
	"TOKEN_MALFORMED":          "the token is malformed",
	"TOKEN_INVALID":            "invalid token",
	"CLIENT_NOT_ALLOWED":       "this client is not allowed here",
}

// checkWire expects nothing on the wire but what everybody may know.
func (row attack) checkWire(t *testing.T, got answer, method string) {
	t.Helper()
	keys := []string{"content-type", ":status", "grpc-status", "grpc-message", "grpc-status-details-bin", "www-authenticate"}
	for _, key := range got.keys {
		if !slices.Contains(keys, key) {
			t.Errorf("the answer has a field %q", key)
		}
	}
	if got.metadata["method"] != method {
		t.Errorf("ErrorInfo names the method %q, want %q", got.metadata["method"], method)
	}
	if row.fine == serverauth.ReasonInsufficientScope {
		return // its text depends on the token: TestInsufficientScopeTellsWhatIsNeeded
	}
	if got.message != texts[got.reason] || got.message == "" {
		t.Errorf("message of %s: got %q, want %q", got.reason, got.message, texts[got.reason])
	}
	if len(got.metadata) != 1 {
		t.Errorf("ErrorInfo metadata: got %v, want the method alone", got.metadata)
	}
}

// fetchesNothing returns what expects that no keys were fetched since.
func (l *lab) fetchesNothing(t *testing.T) (check func()) {
	t.Helper()
	before := l.issuer.fetches.Load()
	return func() {
		t.Helper()
		if n := l.issuer.fetches.Load() - before; n != 0 {
			t.Errorf("keys were fetched %d times, want never", n)
		}
	}
}

func manyScopes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strconv.FormatInt(int64(i), 36) + " ")
	}
	return b.String()
}

func TestAttackTableIsComplete(t *testing.T) {
	t.Parallel()
	have := map[string]bool{}
	for _, rows := range [][]attack{metadataAttacks, jwsAttacks, claimAttacks} {
		for _, row := range rows {
			have[row.id] = true
		}
	}
	want := map[byte][]int{
		'A': {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 14},
		'B': {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22},
		'C': {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 27},
	}
	for letter, numbers := range want {
		for _, n := range numbers {
			if id := fmt.Sprintf("%c%d", letter, n); !have[id] {
				t.Errorf("row %s is missing", id)
			}
		}
	}
}
