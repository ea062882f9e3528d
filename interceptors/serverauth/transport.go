// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"net"
	"net/netip"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// transportIsSafe reports whether a token could come over the call's connection
// without being read on the way: over TLS (or another handshake that gRPC counts
// as private), or without leaving this machine.
func transportIsSafe(ctx context.Context) bool {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return false
	}
	return isPrivate(p.AuthInfo) || isLocal(p.Addr)
}

// isPrivate is stricter than credentials.CheckSecurityLevel, which lets a handshake
// pass that says nothing about its level.
func isPrivate(info credentials.AuthInfo) bool {
	leveled, ok := info.(interface {
		GetCommonAuthInfo() credentials.CommonAuthInfo
	})
	return ok && leveled.GetCommonAuthInfo().SecurityLevel == credentials.PrivacyAndIntegrity
}

func isLocal(addr net.Addr) bool {
	switch addr := addr.(type) {
	case nil:
		return false
	case *net.TCPAddr: // without a string for each call
		return addr != nil && addr.IP.IsLoopback()
	}
	switch addr.Network() {
	case "unix", "unixpacket", "bufconn", "pipe":
		return true
	default:
	}
	ap, err := netip.ParseAddrPort(addr.String())
	return err == nil && ap.Addr().IsLoopback()
}
