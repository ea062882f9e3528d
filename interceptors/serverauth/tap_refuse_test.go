// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/test/bufconn"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// Public methods pass, whatever the caller sends, and the handler sees no caller.
func TestTapPublicMethods(t *testing.T) {
	t.Parallel()
	l, reports := newTapLab(t, setup{})
	w := l.dialTap(t)
	defer w.close()
	for name, headers := range map[string][]header{
		"no token":    nil,
		"good token":  {bearer(l.issuer.good())},
		"junk":        {bearer("junk")},
		"two of them": {bearer("a"), bearer("b")},
	} {
		if got := w.passed(t, version, headers...); got.code != ok {
			t.Errorf("%s: got %v %s, want OK", name, got.code, got.message)
		}
		if caller := l.files.caller.Load(); caller != nil {
			t.Errorf("%s: the handler saw the caller %v", name, caller.ClientID())
		}
		if d := reports.only(t); d.Outcome != serverauth.OutcomeAllowed || d.ClientID != "" {
			t.Errorf("%s: got the decision %+v, want one that allows nobody in particular", name, d)
		}
	}
}

// What is known of a caller only after the signature was checked is refused on the header
// frame too, whether the token is new or remembered, for each kind of call.
func TestTapRefusesKnownCallers(t *testing.T) {
	t.Parallel()
	l, reports := newTapLab(t, setup{})
	plain := newLab(t, setup{})
	w := l.dialTap(t)
	defer w.close()
	for _, row := range []struct {
		method, scope, required, granted string
	}{
		{deleteFile, "demo/read.file", "demo/write.file", "demo/read.file"},
		{writeFile, "demo/read.file x/1", "demo/write.file", "demo/read.file x/1"},
		{appendFile, "demo/read.file x/2", "demo/read.file demo/write.file", "demo/read.file x/2"},
		{readFile, "demo/write.file x/3", "demo/read.file", "demo/write.file x/3"},
		{statFile, "", "demo/read.file | demo/write.file", ""},
	} {
		token := l.issuer.token(goodHeader, with("scope", fmt.Sprintf("%q", row.scope)))
		want := plain.call(t, row.method, bearer(token))
		for _, cached := range []bool{false, true, true} {
			got := w.refused(t, row.method, bearer(token))
			if got.code != p || got.reason != serverauth.ReasonInsufficientScope || got.message != want.message {
				t.Errorf("%s: got %v %s %q, want %q", row.method, got.code, got.reason, got.message, want.message)
			}
			if got.metadata["required"] != row.required || got.metadata["granted"] != row.granted || got.metadata["method"] != row.method {
				t.Errorf("%s: got %v, want required %q and granted %q", row.method, got.metadata, row.required, row.granted)
			}
			d := reports.only(t)
			if d.Stage != serverauth.StageHeader || d.Cached != cached || d.ClientID != clientID || d.Issuer != issuerURL {
				t.Errorf("%s: got the decision %+v, want one of the header stage with the caller and cached: %v", row.method, d, cached)
			}
			if !cached && d.Latency <= 0 {
				t.Errorf("%s: a signature was checked in %v", row.method, d.Latency)
			}
		}
	}
	if n := l.files.ran.Load(); n != 0 {
		t.Errorf("handlers ran %d times", n)
	}
}

// A remembered token whose time is over is refused with what everybody may know who had
// it: that it has expired.
func TestTapRefusesRememberedTokenThatExpired(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		t.Helper()
		l, reports := newTapLab(t, setup{memory: true})
		w := l.dialTap(t)
		defer w.close()
		if got := w.passed(t, whoAmI, bearer(l.issuer.good())); got.code != ok {
			t.Fatalf("got %v %s, want OK", got.code, got.message)
		}
		reports.take()
		time.Sleep(59*time.Minute + 30*time.Second) // the hour less what is over, and the clock skew
		got := w.refused(t, whoAmI, bearer(l.issuer.good()))
		if got.code != u || got.reason != serverauth.ReasonTokenExpired {
			t.Errorf("got %v %s, want TOKEN_EXPIRED", got.code, got.reason)
		}
		if d := reports.only(t); d.Stage != serverauth.StageHeader || d.Reason != serverauth.ReasonTokenExpired {
			t.Errorf("got the decision %+v, want TOKEN_EXPIRED of the header stage", d)
		}
		got = w.refused(t, whoAmI, bearer(l.issuer.good())) // forgotten by now
		if got.code != u || got.reason != invalid {
			t.Errorf("once more: got %v %s, want TOKEN_INVALID", got.code, got.reason)
		}
	})
}

func TestTapRefusesClientThatIsNoLongerAllowed(t *testing.T) {
	t.Parallel()
	l, reports := newTapLab(t, setup{})
	w := l.dialTap(t)
	defer w.close()
	if got := w.passed(t, whoAmI, bearer(l.issuer.good())); got.code != ok {
		t.Fatalf("got %v %s, want OK", got.code, got.message)
	}
	reports.take()
	if err := l.verifier.SetClients(issuerURL, serverauth.Clients("another")); err != nil {
		t.Fatal(err)
	}
	if got := w.refused(t, whoAmI, bearer(l.issuer.good())); got.code != p || got.reason != serverauth.ReasonClientNotAllowed {
		t.Errorf("got %v %s, want CLIENT_NOT_ALLOWED", got.code, got.reason)
	}
	if d := reports.only(t); d.Stage != serverauth.StageHeader || d.ClientID != clientID {
		t.Errorf("got the decision %+v, want one of the header stage", d)
	}
}

// C25: callers that the access file denies, with new and remembered tokens, and from the
// moment on at which it does.
func TestC25TapAsksTheAccessFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.json")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"deny": [
		{"token_ids": ["revoked-one"]},
		{"clients": ["` + clientID + `"], "issuer": "` + issuerURL + `", "methods": ["` + statFile + `"]}
	]}`)
	bubble(t, func(t *testing.T) {
		t.Helper()
		l, reports := newTapLab(t, setup{memory: true}, serverauth.AccessFile(path))
		w := l.dialTap(t)
		defer w.close()
		revoked := bearer(l.issuer.token(goodHeader, with("jti", `"revoked-one"`)))
		for _, cached := range []bool{false, true} {
			if got := w.refused(t, whoAmI, revoked); got.code != u || got.reason != serverauth.ReasonTokenRevoked {
				t.Errorf("a revoked token: got %v %s, want TOKEN_REVOKED", got.code, got.reason)
			}
			if d := reports.only(t); d.Stage != serverauth.StageHeader || d.Reason != serverauth.ReasonTokenRevoked || d.Cached != cached {
				t.Errorf("a revoked token: got the decision %+v, want TOKEN_REVOKED of the header stage, cached: %v", d, cached)
			}
			if got := w.refused(t, statFile, bearer(l.issuer.good())); got.code != p || got.reason != serverauth.ReasonClientNotAllowed {
				t.Errorf("a method that the client is denied: got %v %s, want CLIENT_NOT_ALLOWED", got.code, got.reason)
			}
			reports.take()
		}
		if got := w.passed(t, whoAmI, bearer(l.issuer.good())); got.code != ok {
			t.Errorf("another method: got %v %s, want OK", got.code, got.message)
		}
		write(`{"deny": [{"clients": ["` + clientID + `"], "issuer": "` + issuerURL + `"}]}`)
		time.Sleep(2 * time.Second)
		if got := w.refused(t, whoAmI, bearer(l.issuer.good())); got.code != u || got.reason != serverauth.ReasonTokenRevoked {
			t.Errorf("after the change: got %v %s, want TOKEN_REVOKED", got.code, got.reason)
		}
	})
}

// tapElsewhere makes connections look as if they came from another machine.
type tapElsewhere struct{ net.Listener }

func (e tapElsewhere) Accept() (net.Conn, error) {
	conn, err := e.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tapElsewhereConn{conn}, nil
}

type tapElsewhereConn struct{ net.Conn }

func (tapElsewhereConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711}
}

// serveElsewhere starts a plaintext server whose callers are on other machines.
func serveElsewhere(t *testing.T, auth *serverauth.Authorizer) *lab {
	t.Helper()
	l := &lab{files: &files{}, memory: bufconn.Listen(1 << 16), addr: "elsewhere"}
	srv := grpc.NewServer(auth.ServerOptions()...)
	filesv1.RegisterFileReadServiceServer(srv, l.files)
	filesv1.RegisterFileWriteServiceServer(srv, l.files)
	done := make(chan error, 1)
	go func() { done <- auth.Serve(srv, tapElsewhere{l.memory}) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	return l
}

// C26: a token that came in plaintext over a network is refused on the header frame.
func TestC26TapPlaintext(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		t.Helper()
		l, reports := newTapLab(t, setup{memory: true})
		w := serveElsewhere(t, l.auth).dialTap(t)
		defer w.close()
		remembered := l.issuer.token(goodHeader, with("jti", `"remembered"`))
		for range 2 { // and it is known that it may call the method
			if got := l.call(t, whoAmI, bearer(remembered)); got.code != ok {
				t.Fatalf("from this machine: got %v %s, want OK", got.code, got.reason)
			}
		}
		reports.take()
		for name, headers := range map[string][]header{
			"a good token": {bearer(l.issuer.good())}, "a remembered one": {bearer(remembered)}, "no token": nil,
		} {
			if got := w.refused(t, whoAmI, headers...); got.code != p || got.reason != serverauth.ReasonTransportInsecure {
				t.Errorf("%s: got %v %s, want TRANSPORT_INSECURE", name, got.code, got.reason)
			}
			if d := reports.only(t); d.Stage != serverauth.StageHeader || d.Reason != serverauth.ReasonTransportInsecure {
				t.Errorf("%s: got the decision %+v, want TRANSPORT_INSECURE of the header stage", name, d)
			}
		}
		if got := w.passed(t, version); got.code != ok {
			t.Errorf("a public method: got %v %s, want OK", got.code, got.message)
		}
	})
}

func TestTapAllowInsecureTransport(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		t.Helper()
		l, _ := newTapLab(t, setup{memory: true}, serverauth.AllowInsecureTransport("the sidecar ends TLS"))
		w := serveElsewhere(t, l.auth).dialTap(t)
		defer w.close()
		if got := w.passed(t, whoAmI, bearer(l.issuer.good())); got.code != ok {
			t.Errorf("a good token: got %v %s, want OK", got.code, got.message)
		}
		if got := w.refused(t, whoAmI); got.reason != serverauth.ReasonTokenMissing {
			t.Errorf("no token: got %v %s, want TOKEN_MISSING", got.code, got.reason)
		}
	})
}

// The options about tokens count on the header frame as they do in the interceptors.
func TestTapFollowsTheOptions(t *testing.T) {
	t.Parallel()
	l, reports := newTapLab(t, setup{
		verifier: []serverauth.VerifierOption{serverauth.MaxTokenBytes(2000), serverauth.MaxTokenAge(30 * time.Minute)},
		options:  []serverauth.Option{serverauth.MetadataKey("service-token"), serverauth.OwnScopesOnly()},
	})
	w := l.dialTap(t)
	defer w.close()
	token := func(pairs ...string) []header {
		return []header{{"service-token", "Bearer " + l.issuer.token(goodHeader, with(pairs...))}}
	}
	for _, row := range []struct {
		name    string
		headers []header
		fine    serverauth.Reason
	}{
		{"the usual key", []header{bearer(l.issuer.good())}, serverauth.ReasonTokenMissing},
		{"a long token", token("pad", `"`+strings.Repeat("a", 1000)+`"`), serverauth.ReasonTokenTooLarge},
		{"an old token", token("iat", at(-1800-30)), serverauth.ReasonTokenExpired},
		{"a scope of another server", token("scope", `"demo/read.file other/x"`), serverauth.ReasonForeignScope},
	} {
		w.refused(t, whoAmI, row.headers...)
		if d := reports.only(t); d.Stage != serverauth.StageHeader || d.Reason != row.fine {
			t.Errorf("%s: got the decision %+v, want %s of the header stage", row.name, d, row.fine)
		}
	}
	if got := w.passed(t, whoAmI, append(token(), header{"authorization", "Basic dXNlcg"})...); got.code != ok {
		t.Errorf("the configured key beside another: got %v %s, want OK", got.code, got.message)
	}
}

// A rule for a service that this server has not registered does not turn gRPC's answer
// into another, for callers with a good token.
func TestTapLeavesUnregisteredMethodsToGRPC(t *testing.T) {
	t.Parallel()
	const elsewhere = "/acme.v1.ElsewhereService/Do"
	rules, err := policy.New(policy.WithService("acme.v1.ElsewhereService", "Do"), policy.WithRule(elsewhere, policy.AllOf("acme/do")))
	if err != nil {
		t.Fatal(err)
	}
	l, _ := newTapLab(t, setup{policy: rules})
	w := l.dialTap(t)
	defer w.close()
	if got := w.end(t, w.header(t, elsewhere, bearer(l.issuer.good()))); got.code != codes.Unimplemented {
		t.Errorf("a good token without the scope: got %v %s, want UNIMPLEMENTED", got.code, got.reason)
	}
	if got := w.refused(t, elsewhere); got.reason != serverauth.ReasonTokenMissing {
		t.Errorf("no token: got %v %s, want TOKEN_MISSING", got.code, got.reason)
	}
}

// A13: the message of a refused call is not read, however large it says it is.
func TestA13TapDoesNotReadTheMessage(t *testing.T) {
	t.Parallel()
	l, _ := newTapLab(t, setup{server: []grpc.ServerOption{grpc.MaxRecvMsgSize(8 << 20)}})
	w := l.dialTap(t)
	defer w.close()
	beginning := make([]byte, 5)
	binary.BigEndian.PutUint32(beginning[1:], 4<<20)
	for range 100 {
		id := w.header(t, whoAmI)
		if err := w.framer.WriteData(id, false, beginning); err != nil {
			t.Fatal(err)
		}
		if got := w.onHeader(t, id); got == nil || got.code != u || got.reason != serverauth.ReasonTokenMissing {
			t.Fatalf("got %+v, want TOKEN_MISSING at once", got)
		}
	}
	if got := w.passed(t, whoAmI, bearer(l.issuer.good())); got.code != ok {
		t.Errorf("a good call afterwards: got %v %s, want OK", got.code, got.message)
	}
}

// A call whose time is over when it arrives is answered as well, leaves nothing behind,
// and reaches no handler.
func TestTapCallWhoseTimeIsOver(t *testing.T) {
	t.Parallel()
	l, reports := newTapLab(t, setup{})
	w := l.dialTap(t)
	defer w.close()
	over := header{"grpc-timeout", "0n"}
	if got := w.refused(t, whoAmI, over); got.code != u || got.reason != serverauth.ReasonTokenMissing {
		t.Errorf("without a token: got %v %s, want TOKEN_MISSING", got.code, got.reason)
	}
	reports.only(t)
	for _, method := range []string{whoAmI, chat} {
		token := bearer(l.issuer.token(goodHeader, with("scope", `"echo/call echo/stream"`)))
		if got := w.refused(t, method, over, token); got.code != codes.DeadlineExceeded {
			t.Errorf("%s with a good token: got %v %s, want gRPC's own DEADLINE_EXCEEDED", method, got.code, got.reason)
		}
	}
	if n := l.auth.Stats().HeldRefusals; n != 0 {
		t.Errorf("%d refused calls left something behind", n)
	}
	if n := l.files.ran.Load(); n != 0 {
		t.Errorf("handlers ran %d times", n)
	}
}
