// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// cli is one version of the AWS CLI.
type cli struct {
	t        *testing.T
	env      []string
	endpoint string
	flags    []string
}

// run calls "aws cognito-idp" and returns what it printed, as text.
func (c cli) run(args ...string) (stdout, stderr string, ok bool) {
	c.t.Helper()
	ctx, cancel := patience(c.t)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `exec aws "$@"`, "sh", "cognito-idp", "--endpoint-url", c.endpoint, "--output", "text"}, append(slices.Clone(c.flags), args...)...)...)
	cmd.Env = c.env
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	return strings.TrimSpace(out.String()), strings.TrimSpace(errOut.String()), err == nil
}

func (c cli) must(args ...string) string {
	c.t.Helper()
	out, problem, ok := c.run(args...)
	if !ok {
		c.t.Fatalf("aws cognito-idp %s: %s", strings.Join(args, " "), problem)
	}
	return out
}

func (c cli) expect(want string, args ...string) {
	c.t.Helper()
	if got := c.must(args...); got != want {
		c.t.Errorf("aws cognito-idp %s: got %q, want %q", strings.Join(args, " "), got, want)
	}
}

// refused expects the error type, with which the CLI's own text begins.
func (c cli) refused(kind, operation, text string, args ...string) {
	c.t.Helper()
	want := "An error occurred (" + kind + ") when calling the " + operation + " operation: " + text
	if _, problem, ok := c.run(args...); ok || !strings.Contains(problem, want) {
		c.t.Errorf("aws cognito-idp %s: got %q, want %q", strings.Join(args, " "), problem, want)
	}
}

// eachCLI runs a test with each AWS CLI that is installed, in another region each.
func eachCLI(t *testing.T, test func(c cli, server *cognitotest.Server)) {
	t.Helper()
	for version, file := range awsCLIs(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			server := newCognito(t)
			env := append(awsEnv(t, file, server.URL()), "AWS_DEFAULT_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any", "AWS_PAGER=", "NO_PROXY=*", "no_proxy=*")
			test(cli{t: t, env: env, endpoint: server.URL()}, server)
		})
	}
}

// What people do with the CLI beside the steps of docs/cognito-steps.sh.
func TestCLI(t *testing.T) {
	t.Parallel()
	eachCLI(t, func(c cli, server *cognitotest.Server) {
		t := c.t
		pool := c.must("create-user-pool", "--pool-name", "files", "--deletion-protection", "ACTIVE", "--query", "UserPool.Id")
		if !strings.HasPrefix(pool, "eu-west-1_") {
			t.Errorf("got pool %q, want it in the region for which the request is signed", pool)
		}
		c.must("create-user-pool", "--pool-name", "second")
		// One page after the other, by the CLI and by hand.
		c.expect("s2s-test\tfiles\tsecond", "list-user-pools", "--max-results", "60", "--query", "UserPools[].Name")
		page := strings.Fields(c.must("list-user-pools", "--max-results", "2", "--query", "[UserPools[1].Name,NextToken]"))
		if len(page) != 2 || page[0] != "files" {
			t.Fatalf("got %q, want the second user pool and a token", page)
		}
		c.expect("second\tNone", "list-user-pools", "--max-results", "2", "--next-token", page[1], "--query", "[UserPools[0].Name,NextToken]")
		c.must("create-resource-server", "--user-pool-id", pool, "--identifier", "demo", "--name", "Test API", "--scopes", "ScopeName=read.file,ScopeDescription=Read")
		var ids []string
		for _, name := range []string{"one", "two", "three"} {
			ids = append(ids, c.must("create-user-pool-client", "--user-pool-id", pool, "--client-name", name, "--generate-secret",
				"--allowed-o-auth-flows-user-pool-client", "--allowed-o-auth-flows", "client_credentials", "--allowed-o-auth-scopes", "demo/read.file", "--query", "UserPoolClient.ClientId"))
		}
		var first struct {
			UserPoolClients []struct{ ClientName string }
			NextToken       string
		}
		out := c.must("list-user-pool-clients", "--user-pool-id", pool, "--max-items", "2", "--page-size", "1", "--output", "json")
		if err := json.Unmarshal([]byte(out), &first); err != nil || len(first.UserPoolClients) != 2 || first.NextToken == "" {
			t.Fatalf("got %v and %s, want the first two and a token", err, out)
		}
		c.expect("three", "list-user-pool-clients", "--user-pool-id", pool, "--starting-token", first.NextToken, "--page-size", "1", "--query", "UserPoolClients[].ClientName")

		// The update that resets.
		in := []string{"--user-pool-id", pool, "--client-id", ids[0]}
		c.expect("True\tdemo/read.file", append([]string{"describe-user-pool-client", "--query", "UserPoolClient.[AllowedOAuthFlowsUserPoolClient,AllowedOAuthScopes[0]]"}, in...)...)
		c.expect("600", append([]string{"update-user-pool-client", "--access-token-validity", "600", "--token-validity-units", "AccessToken=seconds", "--query", "UserPoolClient.AccessTokenValidity"}, in...)...)
		c.expect("one\tFalse\tNone", append([]string{"describe-user-pool-client", "--query", "UserPoolClient.[ClientName,AllowedOAuthFlowsUserPoolClient,AllowedOAuthScopes]"}, in...)...)

		// Refusals.
		c.refused("ResourceNotFoundException", "DescribeUserPoolClient", "User pool client "+ids[1]+"0 does not exist.", "describe-user-pool-client", "--user-pool-id", pool, "--client-id", ids[1]+"0")
		c.refused("ScopeDoesNotExistException", "UpdateUserPoolClient", "Invalid scope requested: demo/write.file", append([]string{
			"update-user-pool-client", "--allowed-o-auth-flows-user-pool-client", "--allowed-o-auth-flows", "client_credentials", "--allowed-o-auth-scopes", "demo/write.file",
		}, in...)...)
		c.refused("InvalidParameterException", "DeleteUserPool", "The user pool cannot be deleted because deletion protection is activated.", "delete-user-pool", "--user-pool-id", pool)
		c.must("update-user-pool", "--user-pool-id", pool, "--deletion-protection", "INACTIVE")
		c.must("create-user-pool-domain", "--user-pool-id", pool, "--domain", "cli-files")
		c.expect("cli-files\tINACTIVE", "describe-user-pool", "--user-pool-id", pool, "--query", "UserPool.[Domain,DeletionProtection]")
		c.refused("InvalidParameterException", "DeleteUserPool", "User pool cannot be deleted. It has a domain configured that should be deleted first.", "delete-user-pool", "--user-pool-id", pool)
		c.must("delete-user-pool-domain", "--user-pool-id", pool, "--domain", "cli-files")
		c.must("delete-user-pool-client", "--user-pool-id", pool, "--client-id", ids[2])
		c.must("delete-resource-server", "--user-pool-id", pool, "--identifier", "demo")
		c.expect("", "list-resource-servers", "--user-pool-id", pool, "--max-results", "50", "--query", "ResourceServers[].Identifier")
		c.must("delete-user-pool", "--user-pool-id", pool)
		if server.Pool(pool) != nil {
			t.Error("the deleted pool is still there")
		}
		// Without a signature.
		c.flags = []string{"--no-sign-request"}
		c.expect("s2s-test", "describe-user-pool", "--user-pool-id", server.Pool("s2s-test").ID(), "--query", "UserPool.Name")
	})
}

// The rotation of a secret, where the CLI has its operations.
func TestCLISecrets(t *testing.T) {
	t.Parallel()
	eachCLI(t, func(c cli, server *cognitotest.Server) {
		demo := server.Pool("s2s-test")
		in := []string{"--user-pool-id", demo.ID(), "--client-id", demo.Client(appClient).ID}
		if _, problem, _ := c.run("add-user-pool-client-secret", "help"); strings.Contains(problem, "Invalid choice") {
			c.t.Skip("SKIPPED: this AWS CLI is older than these operations")
		}
		secret := c.must(append([]string{"add-user-pool-client-secret", "--query", "ClientSecretDescriptor.ClientSecretValue"}, in...)...)
		if len(secret) != 52 {
			c.t.Errorf("got a secret of %d characters", len(secret))
		}
		c.refused("LimitExceededException", "AddUserPoolClientSecret", "", append([]string{"add-user-pool-client-secret"}, in...)...)
		ids := strings.Fields(c.must(append([]string{"list-user-pool-client-secrets", "--query", "ClientSecrets[].ClientSecretId"}, in...)...))
		if len(ids) != 2 {
			c.t.Fatalf("got secrets %q", ids)
		}
		c.must(append([]string{"delete-user-pool-client-secret", "--client-secret-id", ids[0]}, in...)...)
		if got := demo.Client(appClient).Secret; got != secret {
			c.t.Error("the secret that is left is not the new one")
		}
	})
}
