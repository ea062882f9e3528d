// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interceptors_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/clientauth"
	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// The code of the README's first screen, compiled. What stands between the marks is
// what stands there.

func serve(ctx context.Context, lis net.Listener, certificate *tls.Config, billingClientID string) error {
	// readme: server
	auth, err := serverauth.ForUserPool(ctx, os.Getenv("COGNITO_USER_POOL_ID"),
		serverauth.NamedClients(map[string]string{"billing": billingClientID}), serverauth.PublicHealth())
	if err != nil {
		return err
	}
	defer auth.Close()
	srv := grpc.NewServer(append(auth.ServerOptions(), grpc.Creds(credentials.NewTLS(certificate)))...)
	filesv1.RegisterFileReadServiceServer(srv, files{})
	return auth.Serve(srv, lis) // every registered method has a rule, or the server does not start
	// readme: end
}

func dial() error {
	// readme: client
	tokens, err := clientauth.FromEnv() // COGNITO_TOKEN_URL, COGNITO_CLIENT_ID, COGNITO_CLIENT_SECRET or ..._FILE
	if err != nil {
		return err
	}
	defer tokens.Close()
	conn, err := clientauth.NewClient("files.internal:8443", tokens,
		clientauth.ForMethods(filesv1.FileReadService_ReadFile_FullMethodName)) // TLS; the token carries just what this needs
	if err != nil {
		return err
	}
	defer conn.Close()
	// readme: end
	return nil
}

func handlerTest(ctx context.Context) context.Context {
	// readme: handler
	ctx = serverauth.ContextWithPrincipal(ctx, serverauth.NewPrincipal(
		serverauth.PrincipalSpec{ClientID: "billing", Scopes: []string{"demo/read.file"}}))
	// readme: end
	return ctx
}

func embedded(keys cognitotest.KeyPair) error {
	// readme: cognito
	cognito, err := cognitotest.NewServer(cognitotest.WithKeys(keys))
	if err != nil {
		return err
	}
	defer cognito.Close()
	// readme: end
	return nil
}

var _ = []any{serve, dial, handlerTest, embedded}

var (
	mark   = regexp.MustCompile(`(?ms)^\t// readme: (\w+)\n(.*?)^\t// readme: end\n`)
	quoted = regexp.MustCompile("(?s)<!-- code: (\\w+) -->\n```go\n(.*?)```")
	link   = regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)
)

// The README shows the code above, and nothing else.
func TestReadmeCode(t *testing.T) {
	t.Parallel()
	want := make(map[string]string)
	for _, m := range mark.FindAllStringSubmatch(read(t, "interceptors/readme_test.go"), -1) {
		want[m[1]] = strings.ReplaceAll(strings.TrimPrefix(m[2], "\t"), "\n\t", "\n")
	}
	shown := quoted.FindAllStringSubmatch(read(t, "README.md"), -1)
	if len(shown) != len(want) {
		t.Errorf("the README shows %d pieces of code, want %d", len(shown), len(want))
	}
	for _, m := range shown {
		if want[m[1]] != m[2] {
			t.Errorf("the README's %s differs from readme_test.go:\n%s\nwant\n%s", m[1], m[2], want[m[1]])
		}
	}
}

// The .proto code of the README stands in the demo's .proto file, line by line.
func TestReadmeProto(t *testing.T) {
	t.Parallel()
	block := regexp.MustCompile("(?s)```proto\n(.*?)```").FindStringSubmatch(read(t, "README.md"))
	if block == nil {
		t.Fatal("the README shows no .proto code")
	}
	source := read(t, "proto/demo/files/v1/files.proto")
	for line := range strings.Lines(block[1]) {
		code, _, _ := strings.Cut(line, "//")
		if code = strings.TrimSpace(code); code != "" && code != "..." && !strings.Contains(source, code) {
			t.Errorf("%q is not in files.proto", code)
		}
	}
}

// Links between the pages of the repository lead somewhere.
func TestLinks(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, more...) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
	}
}

// Every reason that a peer can see is explained in the README's table, and the other
// way round.
func TestReadmeReasons(t *testing.T) {
	t.Parallel()
	readme := read(t, "README.md")
	for _, r := range []serverauth.Reason{
		serverauth.ReasonTokenMissing, serverauth.ReasonSchemeUnsupported, serverauth.ReasonAuthorizationDuplicated,
		serverauth.ReasonTokenTooLarge, serverauth.ReasonTokenMalformed, serverauth.ReasonTokenInvalid,
		serverauth.ReasonClientNotAllowed, serverauth.ReasonInsufficientScope, serverauth.ReasonMethodNotAnnotated,
		serverauth.ReasonMethodNotAllowed, serverauth.ReasonKeysUnavailable, serverauth.ReasonTransportInsecure,
	} {
		if !strings.Contains(readme, fmt.Sprintf("`%s`", r)) {
			t.Errorf("the README does not explain %s", r)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
