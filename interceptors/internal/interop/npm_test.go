// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// require finds a program. Without it the test is skipped, but never where the
// environment variable is set, as CI does.
func require(t *testing.T, variable, found, missing string) {
	t.Helper()
	if _, err := exec.LookPath(found); err == nil {
		return
	}
	if os.Getenv(variable) != "" {
		t.Fatalf("%s is set: %s", variable, missing)
	}
	t.Skip("SKIPPED: " + missing)
}

// patience ends a program that hangs a little before the time of the test binary is over,
// so that the output says which it was. It is no measure of speed.
func patience(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	if end, ok := t.Deadline(); ok {
		return context.WithDeadline(t.Context(), end.Add(-10*time.Second))
	}
	return context.WithCancel(t.Context())
}

// The verifiers and OAuth clients of npm, among them Amazon's own verifier, with the
// embedded Cognito.
func TestNpm(t *testing.T) {
	t.Parallel()
	require(t, "REQUIRE_NPM", "node", "node is not installed")
	const installed = "npm/node_modules/.package-lock.json"
	if _, err := os.Stat(installed); err != nil {
		if os.Getenv("REQUIRE_NPM") != "" {
			t.Fatalf("REQUIRE_NPM is set: %v", err)
		}
		t.Skip("SKIPPED: the packages are not installed; run npm ci in interceptors/internal/interop/npm")
	}
	config, authority := newCertificate(t)
	fixture := newFixture(t, config)
	ctx, cancel := patience(t)
	defer cancel()
	node := exec.CommandContext(ctx, "node", "--test", "--test-reporter=tap")
	node.Dir = "npm"
	node.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+authority, "INTEROP_FIXTURE="+fixture)
	out, err := node.CombinedOutput()
	if err != nil {
		t.Fatalf("node --test: %v\n%s", err, out)
	}
	// None is left out: five packages, three forms of the issuer.
	passed := regexp.MustCompile(`(?m)^# pass (\d+)$`).FindSubmatch(out)
	if passed == nil || regexp.MustCompile(`(?m)^# (?:skipped|todo|cancelled|fail) [1-9]`).Match(out) {
		t.Fatalf("node --test left something out:\n%s", out)
	}
	if n, err := strconv.Atoi(string(passed[1])); err != nil || n < 180 {
		t.Errorf("node --test ran %s tests, want at least 180:\n%s", passed[1], out)
	}
}

// The packages are named by exact versions and by what is in them, and nothing says
// where to get them.
func TestNpmVersionsAreFixed(t *testing.T) {
	t.Parallel()
	for file, wrong := range map[string]string{"npm/package.json": `"[~^><*]|"latest"|://`, "npm/package-lock.json": `"resolved"|://registry`} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if found := regexp.MustCompile(`.*(` + wrong + `).*`).Find(regexp.MustCompile(`(?s)"engines": \{.*?\}`).ReplaceAll(text, nil)); found != nil {
			t.Errorf("%s has %s", file, found)
		}
	}
}

// newCertificate returns a certificate for the emulator and for the names of Cognito
// that it stands for, and the file to trust it by.
func newCertificate(t *testing.T) (config *tls.Config, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "embedded Cognito"},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:    []string{"*.auth.eu-central-1.amazoncognito.com", "cognito-idp.eu-central-1.amazonaws.com", "issuer-cognito-idp.eu-central-1.amazonaws.com"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, file
}

// issuerFixture is what the tests in npm/ get to know about one emulator.
type issuerFixture struct {
	Form     string         `json:"form"`
	Port     string         `json:"port"`
	Issuer   string         `json:"issuer"`
	JWKS     string         `json:"jwks"`
	TokenURL string         `json:"token_url"`
	PoolID   string         `json:"pool_id"`
	ClientID string         `json:"client_id"`
	Secret   string         `json:"secret"`
	Right    string         `json:"right"`
	Wrong    []tokenFixture `json:"wrong"`
}

type tokenFixture struct {
	What   string `json:"what"`
	Token  string `json:"token"`
	Reason string `json:"reason"`
}

// newFixture starts an emulator for each form of the issuer, and a server by which the
// tests in npm/ learn about them and rotate keys: the GET gives the fixtures, the POST
// rotates and gives a token of the new key.
func newFixture(t *testing.T, config *tls.Config) (url string) {
	t.Helper()
	var fixtures []issuerFixture
	pools := make(map[string]rotating)
	for _, form := range issuerForms {
		server, pool, other := newPools(t, form, cognitotest.WithTLS(config))
		fixtures = append(fixtures, describe(t, server, pool, other, form))
		pools[pool.ID()] = newRotating(t, pool)
	}
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := any(fixtures), error(nil)
		if r.Method == http.MethodPost {
			answer, err = pools[r.URL.Query().Get("pool")].rotate()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Errorf("the fixture: %v", err)
		}
	}))
	t.Cleanup(control.Close)
	return control.URL
}

func describe(t *testing.T, server *cognitotest.Server, pool, other *cognitotest.UserPool, form cognitotest.IssuerForm) issuerFixture {
	t.Helper()
	_, port, err := net.SplitHostPort(server.URL()[len("https://"):])
	if err != nil {
		t.Fatal(err)
	}
	right, err := pool.Mint(cognitotest.MintSpec{})
	if err != nil {
		t.Fatal(err)
	}
	app := pool.Client(appClient)
	out := issuerFixture{
		Form: string(form), Port: port, Issuer: pool.Issuer(), JWKS: pool.Issuer() + "/.well-known/jwks.json", TokenURL: pool.TokenURL(),
		PoolID: pool.ID(), ClientID: app.ID, Secret: app.Secret, Right: right,
	}
	for what, wrong := range wrongTokens(t, form, pool, other) {
		token, err := wrong.pool.Mint(wrong.spec)
		if err != nil {
			t.Fatal(err)
		}
		out.Wrong = append(out.Wrong, tokenFixture{what, token, wrong.want.Error()})
	}
	slices.SortFunc(out.Wrong, func(a, b tokenFixture) int { return strings.Compare(a.What, b.What) })
	return out
}

// rotating is a user pool and the keys that it gets next: one pair for each verifier
// that follows.
type rotating struct {
	pool *cognitotest.UserPool
	next chan cognitotest.KeyPair
}

func newRotating(t *testing.T, pool *cognitotest.UserPool) rotating {
	t.Helper()
	r := rotating{pool, make(chan cognitotest.KeyPair, 2)}
	r.next <- keyPair(t, 2)
	r.next <- keyPair(t, 3)
	return r
}

// rotate gives the pool other keys and returns a token signed with them. The public
// keys before them stay, as other tests use them at the same time.
func (r rotating) rotate() (any, error) {
	select {
	case pair := <-r.next:
		if err := r.pool.RotateKeysTo(pair, 2); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("no such pool, or it has no other keys")
	}
	token, err := r.pool.Mint(cognitotest.MintSpec{})
	return map[string]string{"token": token}, err
}
