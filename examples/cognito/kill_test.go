// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// childArgs tells TestProgram to be the program, with these arguments, one a line.
const childArgs = "COGNITO_TEST_ARGS"

func TestProgram(t *testing.T) {
	args := os.Getenv(childArgs)
	if args == "" {
		t.Skip("only runs inside of TestKilledProgram")
	}
	os.Exit(run(context.Background(), strings.Split(args, "\n"), os.Stdout, os.Stderr))
}

// startProcess runs the program as a process of its own. kill is kill -9.
func startProcess(t *testing.T, args ...string) (p *program, kill func()) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProgram$")
	child.Env = append(os.Environ(), childArgs+"="+strings.Join(args, "\n"))
	var stderr strings.Builder
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = child.Process.Kill()
		if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("program: got %v, want that it was killed; stderr: %s", err, &stderr)
		}
	})
	t.Cleanup(kill)
	p = new(program)
	if !p.read(t, out) {
		kill()
		t.Fatalf("no ready line; stderr: %s", &stderr)
	}
	return p, kill
}

type appClient struct{ ClientID, ClientName, ClientSecret string }

// TestKilledProgram kills the program while clients are created. What was
// answered is there when it starts again, and earlier tokens verify.
func TestKilledProgram(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state")
	const rounds, writers = 5, 4
	var acknowledged []appClient
	var tokens []string
	for round := range rounds + 1 {
		p, kill := startProcess(t, "-addr", "127.0.0.1:0", "-state", state)
		for _, c := range acknowledged {
			got := token(t, client, p.env["COGNITO_TOKEN_URL"], c.ClientID, c.ClientSecret, "demo/read.file")
			if got.Status != http.StatusOK {
				t.Fatalf("round %d: client %s: got %+v, want a token", round, c.ClientName, got)
			}
			if c.ClientName == acknowledged[len(acknowledged)-1].ClientName {
				tokens = append(tokens, got.AccessToken)
			}
		}
		tokens = append(tokens, p.token(t, "").AccessToken) // the first one makes the keys
		for i, token := range tokens {
			if !p.verifies(t, token) {
				t.Errorf("round %d: token %d does not verify", round, i)
			}
		}
		if want := fmt.Sprintf("sts-test-app-client=%s,", p.env["COGNITO_CLIENT_ID"]); round == 0 && p.env["COGNITO_CLIENTS"]+"," != want {
			t.Fatalf("round 0: got clients %s, want the seed alone", p.env["COGNITO_CLIENTS"])
		}
		if round == rounds {
			return
		}
		created := make(chan appClient)
		var work sync.WaitGroup
		for w := range writers {
			work.Go(func() {
				for i := 0; ; i++ {
					input := fmt.Sprintf(`{"UserPoolId": %q, "ClientName": "r%d-w%d-%d", "GenerateSecret": true,
						"AllowedOAuthFlowsUserPoolClient": true, "AllowedOAuthFlows": ["client_credentials"],
						"AllowedOAuthScopes": ["demo/read.file"]}`, p.env["COGNITO_USER_POOL_ID"], round, w, i)
					var output struct{ UserPoolClient appClient }
					done, err := manage(t.Context(), client.Transport, p.env["AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER"], "CreateUserPoolClient", input, &output)
					if err != nil {
						t.Error(err)
					}
					if !done {
						return
					}
					created <- output.UserPoolClient
				}
			})
		}
		go func() { work.Wait(); close(created) }()
		before := len(acknowledged)
		for c := range created {
			acknowledged = append(acknowledged, c)
			if len(acknowledged) == before+5+7*round {
				kill()
			}
		}
		if len(acknowledged) < before+5 {
			t.Fatalf("round %d: got %d clients", round, len(acknowledged)-before)
		}
	}
}

// TestStateFileThatIsDeleted refuses changes, and the program says why.
func TestStateFileThatIsDeleted(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state")
	p := start(t, "-addr", "127.0.0.1:0", "-state", state)
	if err := os.Remove(state); err != nil {
		t.Fatal(err)
	}
	_, err := manage(t.Context(), client.Transport, p.env["AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER"], "CreateUserPool", `{"PoolName": "x"}`, nil)
	if err == nil || !strings.Contains(err.Error(), "Nothing was changed") {
		t.Errorf("got %v, want that nothing was changed", err)
	}
	p.stop()
	if got := p.stderr.String(); !strings.Contains(got, "was deleted or replaced while the server had it; nothing is kept any more, restart the server") {
		t.Errorf("got stderr %q, want why", got)
	}
}
