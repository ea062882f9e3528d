// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

// Package loopback makes a TLS certificate for this machine's own addresses, so
// that the examples run over TLS with nothing to prepare. It is no way to serve
// anybody else: clients must be handed the certificate.
package loopback

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"time"
)

// Lifetime is how long a certificate of [NewCertificate] is valid.
const Lifetime = 24 * time.Hour

// Certificate is a self-signed certificate with its key. It is not a certificate
// authority: who trusts it trusts this one server, and the key signs no others.
type Certificate struct {
	// PEM is the certificate without the key: what a client needs to trust the server.
	PEM []byte
	// NotAfter is when the certificate ends.
	NotAfter time.Time

	pair tls.Certificate
}

// NewCertificate makes a new ECDSA P-256 key and a certificate for localhost,
// 127.0.0.1 and ::1 that is valid for [Lifetime] from now. The key stays in memory.
func NewCertificate() (*Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("loopback: make a key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		// Without a serial number CreateCertificate picks a random one.
		Subject:               pkix.Name{CommonName: "scopeauth example on loopback"},
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:             now.Add(-time.Minute), // a client's clock may be a little behind
		NotAfter:              now.Add(Lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("loopback: make a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("loopback: read the new certificate: %w", err)
	}
	return &Certificate{
		PEM:      pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		NotAfter: leaf.NotAfter,
		pair:     tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
	}, nil
}

// ServerConfig returns a new TLS configuration for a server with this certificate.
func (c *Certificate) ServerConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c.pair}, MinVersion: tls.VersionTLS12}
}

// ClientConfig returns a new TLS configuration for a client that trusts this
// certificate and no other.
func (c *Certificate) ClientConfig() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(c.pair.Leaf)
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}
