// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package loopback_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopeauth/scopeauth/examples/fileserver/loopback"
	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// verify checks the server's certificate as a TLS client does, now.
func verify(server, client *tls.Config, name string) error {
	leaf := server.Certificates[0].Leaf
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: client.RootCAs})
	return err
}

func TestNames(t *testing.T) {
	t.Parallel()
	cert, err := loopback.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		want bool
	}{
		{"localhost", true},
		{"127.0.0.1", true},
		{"::1", true},
		{"127.0.0.2", false},
		{"files.internal", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := verify(cert.ServerConfig(), cert.ClientConfig(), tt.name); (err == nil) != tt.want {
				t.Errorf("verify for %s: got error %v, want success %v", tt.name, err, tt.want)
			}
		})
	}
}

func TestOnlyItsOwnKeyIsTrusted(t *testing.T) {
	t.Parallel()
	cert, err := loopback.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	other, err := loopback.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(other.ServerConfig(), cert.ClientConfig(), "localhost"); err == nil {
		t.Error("verify another server's certificate: got success, want an error")
	}
}

func TestPEM(t *testing.T) {
	t.Parallel()
	cert, err := loopback.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(cert.PEM), "PRIVATE") {
		t.Error("PEM holds a private key, want the certificate only")
	}
	block, rest := pem.Decode(cert.PEM)
	if block == nil || len(rest) != 0 {
		t.Fatalf("PEM has %d bytes after the first block, want one block", len(rest))
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.IsCA {
		t.Error("the certificate is an authority, want one that signs no others")
	}
	if !leaf.NotAfter.Equal(cert.NotAfter) {
		t.Errorf("NotAfter: got %v, want the certificate's %v", cert.NotAfter, leaf.NotAfter)
	}
}

func TestLifetime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cert, err := loopback.NewCertificate()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(loopback.Lifetime - time.Minute)
		if err := verify(cert.ServerConfig(), cert.ClientConfig(), "localhost"); err != nil {
			t.Errorf("verify a minute before the end: got error %v, want none", err)
		}
		time.Sleep(2 * time.Minute)
		if err := verify(cert.ServerConfig(), cert.ClientConfig(), "localhost"); err == nil {
			t.Error("verify a minute after the end: got success, want an error")
		}
	})
}
