// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// The token is read from the named key alone; authorization then belongs to somebody
// else and does not count, neither for the call nor against it.
func TestMetadataKey(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		options := []serverauth.Option{serverauth.MetadataKey("x-service-auth")}
		if early {
			options = append(options, serverauth.RefuseBeforeDecoding())
		}
		l := newLab(t, setup{options: options})
		good := "Bearer " + l.issuer.good()
		for _, row := range []struct {
			name    string
			headers []header
			code    codes.Code
			reason  serverauth.Reason
		}{
			{"the token where it belongs", []header{{"x-service-auth", good}}, ok, ""},
			{"a user's token beside it", []header{{"authorization", "Bearer eyJ.user.token"}, {"x-service-auth", good}}, ok, ""},
			{"junk beside it", []header{{"authorization", "\xe9 junk, junk"}, {"x-service-auth", good}}, ok, ""},
			{"two values beside it", []header{{"authorization", good}, {"authorization", "Basic eDp5"}, {"x-service-auth", good}}, ok, ""},
			{"an empty value beside it", []header{{"authorization", ""}, {"x-service-auth", good}}, ok, ""},
			{"the token in authorization", []header{{"authorization", good}}, u, serverauth.ReasonTokenMissing},
			{"nothing", nil, u, serverauth.ReasonTokenMissing},
			{"two values", []header{{"x-service-auth", good}, {"x-service-auth", good}}, u, serverauth.ReasonAuthorizationDuplicated},
			{"a good and a bad one", []header{{"x-service-auth", good}, {"x-service-auth", "Bearer junk"}}, u, serverauth.ReasonAuthorizationDuplicated},
			{"the bare token", []header{{"x-service-auth", l.issuer.good()}}, u, serverauth.ReasonSchemeUnsupported},
			{"a bad token beside a good one in authorization", []header{{"authorization", good}, {"x-service-auth", "Bearer junk"}}, u, serverauth.ReasonTokenMalformed},
			{"a key that only begins like it", []header{{"x-service-auth-2", good}}, u, serverauth.ReasonTokenMissing},
			{"the binary key", []header{{"x-service-auth-bin", "QmVhcmVyIHg"}}, u, serverauth.ReasonTokenMissing},
		} {
			before := l.files.ran.Load()
			got := l.call(t, whoAmI, row.headers...)
			if got.code != row.code || got.reason != row.reason || (l.files.ran.Load() != before) != (row.code == ok) {
				t.Errorf("%s, header frames decided early: %v: got %v %s, want %v %s", row.name, early, got.code, got.reason, row.code, row.reason)
			}
		}
	}
}

func TestMetadataKeyNames(t *testing.T) {
	t.Parallel()
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"":               "MetadataKey is empty",
		"X-Service-Auth": "is no metadata key",
		"x auth":         "is no metadata key",
		"x-äuth":         "is no metadata key",
		":authority":     "is no metadata key",
		"x-auth\n":       "is no metadata key",
		"grpc-auth":      "gRPC reserves",
		"x-auth-bin":     "gRPC reserves",
		"content-type":   "belongs to the transport",
		"te":             "belongs to the transport",
		"user-agent":     "belongs to the transport",
		"host":           "belongs to the transport",
		"connection":     "belongs to the transport",
	} {
		if _, err := serverauth.New(noVerifier(t), rules, serverauth.MetadataKey(name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", name, err, want)
		}
	}
	for _, name := range []string{"authorization", "x-service-auth", "x_auth.2", "a", "te2"} {
		a, err := serverauth.New(noVerifier(t), rules, serverauth.MetadataKey(name))
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

// plaintextFrom is a connection that claims to come from another machine.
type plaintextFrom struct {
	net.Conn

	from net.Addr
}

func (c plaintextFrom) RemoteAddr() net.Addr { return c.from }

// fromAfar makes every connection one from another machine.
type fromAfar struct{ net.Listener }

func (l fromAfar) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return plaintextFrom{conn, &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 40000}}, nil
}

// C26: calls in plaintext from another machine are refused, unless a reason was given.
// Public methods are not concerned.
func TestC26AllowInsecureTransport(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		for _, allowed := range []bool{false, true} {
			var options []serverauth.Option
			if early {
				options = append(options, serverauth.RefuseBeforeDecoding())
			}
			code, reason := p, serverauth.ReasonTransportInsecure
			if allowed {
				options = append(options, serverauth.AllowInsecureTransport("the sidecar ends TLS"))
				code, reason = ok, ""
			}
			l := newLab(t, setup{options: options})
			other := startPlaintext(t, l)
			got := other.call(t, whoAmI, bearer(l.issuer.good()))
			if got.code != code || got.reason != reason || (other.files.ran.Load() == 1) != allowed {
				t.Errorf("early %v, allowed %v: got %v %s, want %v %s", early, allowed, got.code, got.reason, code, reason)
			}
			if got := other.call(t, version); got.code != ok {
				t.Errorf("early %v, allowed %v: a public method: got %v, want OK", early, allowed, got.code)
			}
			if allowed { // and nothing else is
				if got := other.call(t, whoAmI); got.code != u || got.reason != serverauth.ReasonTokenMissing {
					t.Errorf("early %v: no token: got %v %s, want UNAUTHENTICATED TOKEN_MISSING", early, got.code, got.reason)
				}
			}
		}
	}
}
