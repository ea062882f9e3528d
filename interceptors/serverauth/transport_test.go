// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// address is a net.Addr of any network.
type address struct{ network, text string }

func (a address) Network() string { return a.network }
func (a address) String() string  { return a.text }

// level is what a handshake says about its connection.
type level struct{ credentials.CommonAuthInfo }

func (level) AuthType() string { return "test" }

// silent is a handshake that says nothing about its level.
type silent struct{}

func (silent) AuthType() string { return "silent" }

func private() credentials.AuthInfo {
	return level{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
}

func plain() credentials.AuthInfo {
	return level{credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}}
}

func signedOnly() credentials.AuthInfo {
	return level{credentials.CommonAuthInfo{SecurityLevel: credentials.IntegrityOnly}}
}

// C26: a token that came in plaintext over a network is not even read.
func TestPlaintext(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{})
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 50051} }
	for _, row := range []struct {
		name string
		peer *peer.Peer
		safe bool
	}{
		{"TLS from another machine", &peer.Peer{Addr: tcp("192.0.2.1"), AuthInfo: private()}, true},
		{"plaintext from another machine", &peer.Peer{Addr: tcp("192.0.2.1"), AuthInfo: plain()}, false},
		{"signed but readable", &peer.Peer{Addr: tcp("192.0.2.1"), AuthInfo: signedOnly()}, false},
		{"a handshake that does not tell its level", &peer.Peer{Addr: tcp("192.0.2.1"), AuthInfo: silent{}}, false},
		{"a handshake with the zero level", &peer.Peer{Addr: tcp("192.0.2.1"), AuthInfo: level{}}, false},
		{"private network, 10/8", &peer.Peer{Addr: tcp("10.0.0.1")}, false},
		{"private network, 192.168/16", &peer.Peer{Addr: tcp("192.168.1.1")}, false},
		{"private network, 172.16/12", &peer.Peer{Addr: tcp("172.16.0.1")}, false},
		{"unique local", &peer.Peer{Addr: tcp("fd00::1")}, false},
		{"link-local", &peer.Peer{Addr: address{"tcp", "[fe80::1%eth0]:1"}}, false},
		{"unspecified", &peer.Peer{Addr: tcp("0.0.0.0")}, false},
		{"virtual machine socket", &peer.Peer{Addr: address{"vsock", "host(2):1024"}}, false},
		{"datagrams", &peer.Peer{Addr: address{"udp", "192.0.2.1:1"}}, false},
		{"no handshake, another machine", &peer.Peer{Addr: tcp("192.0.2.1")}, false},
		{"no handshake, IPv6", &peer.Peer{Addr: tcp("2001:db8::1")}, false},
		{"loopback", &peer.Peer{Addr: tcp("127.0.0.1")}, true},
		{"loopback, IPv6", &peer.Peer{Addr: tcp("::1"), AuthInfo: plain()}, true},
		{"loopback, mapped", &peer.Peer{Addr: address{"tcp", "[::ffff:127.0.0.1]:1"}}, true},
		{"loopback, with a zone", &peer.Peer{Addr: address{"tcp", "[::1%lo]:1"}}, true},
		{"an address that only starts like loopback", &peer.Peer{Addr: address{"tcp", "127.0.0.1.evil.example:1"}}, false},
		{"Unix socket", &peer.Peer{Addr: address{"unix", "@"}}, true},
		{"Unix socket of packets", &peer.Peer{Addr: address{"unixpacket", "@"}}, true},
		{"pipe", &peer.Peer{Addr: address{"pipe", "pipe"}}, true},
		{"in memory", &peer.Peer{Addr: address{"bufconn", "bufconn"}}, true},
		{"an unknown network", &peer.Peer{Addr: address{"serial", "ttyS0"}}, false},
		{"no address", &peer.Peer{}, false},
		{"no peer", nil, false},
	} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+l.issuer.good()))
		if row.peer != nil {
			ctx = peer.NewContext(ctx, row.peer)
		}
		ran := false
		_, err := l.auth.UnaryServerInterceptor()(ctx, nil, &grpc.UnaryServerInfo{FullMethod: whoAmI}, func(context.Context, any) (any, error) {
			ran = true
			return struct{}{}, nil
		})
		if ran != row.safe {
			t.Errorf("%s: the handler ran: %v, want %v (%v)", row.name, ran, row.safe, err)
		}
		if row.safe {
			continue
		}
		refusal, isError := errors.AsType[*serverauth.Error](err)
		if !isError || refusal.Reason() != serverauth.ReasonTransportInsecure || refusal.Code() != codes.PermissionDenied {
			t.Errorf("%s: got %v, want PERMISSION_DENIED TRANSPORT_INSECURE", row.name, err)
		}
	}
}

func TestAllowInsecureTransport(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{options: []serverauth.Option{serverauth.AllowInsecureTransport("the sidecar ends TLS")}})
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+l.issuer.good()))
	ctx = peer.NewContext(ctx, &peer.Peer{Addr: &net.TCPAddr{IP: net.ParseIP("192.0.2.1")}})
	if _, err := l.auth.UnaryServerInterceptor()(ctx, nil, &grpc.UnaryServerInfo{FullMethod: whoAmI}, func(context.Context, any) (any, error) {
		return struct{}{}, nil
	}); err != nil {
		t.Errorf("got %v, want the call to pass", err)
	}
}

// A real plaintext connection over loopback works, as in development.
func TestPlaintextLoopbackConnection(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{insecure: true})
	conn, err := grpc.NewClient(l.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+l.issuer.good())
	if _, err := filesv1.NewFileReadServiceClient(conn).WhoAmI(ctx, &filesv1.WhoAmIRequest{}); err != nil {
		t.Errorf("got %v, want OK", err)
	}
}
