// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// What docs/cognito.md shows below /_emulator/, command by command, against the program.
func TestRehearsals(t *testing.T) {
	t.Parallel()
	require(t, "REQUIRE_AWS", "curl", "curl is not installed")
	commands := regexp.MustCompile(`(?m)^curl .*$`).FindAllString(blocks(t, "docs/cognito.md")["rehearsals"], -1)
	if len(commands) != 5 {
		t.Fatalf("the page shows %q, want five commands", commands)
	}
	lines := startProgram(t)
	value := func(name string) string {
		t.Helper()
		for _, line := range lines {
			if text, ok := strings.CutPrefix(line, "export "+name+"='"); ok {
				return strings.TrimSuffix(text, "'")
			}
		}
		t.Fatalf("the program does not print %s", name)
		return ""
	}
	run := func(command string) string {
		t.Helper()
		sh := exec.Command("sh", "-euc", command)
		sh.Env = append(os.Environ(), "POOL="+value("COGNITO_USER_POOL_ID"), "BASE="+value("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER"), "NO_PROXY=*", "no_proxy=*")
		out, err := sh.Output()
		if err != nil {
			failed, _ := errors.AsType[*exec.ExitError](err)
			t.Fatalf("%s: %v: %s%s", command, err, out, failed.Stderr)
		}
		return string(out)
	}
	token := func() error {
		config := clientcredentials.Config{ClientID: value("COGNITO_CLIENT_ID"), ClientSecret: value("COGNITO_CLIENT_SECRET"), TokenURL: value("COGNITO_TOKEN_URL"), AuthStyle: oauth2.AuthStyleInHeader}
		_, err := config.Token(context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}))
		return err
	}
	keys := func() []string { return slices.Collect(maps.Keys(publicKeys(t, value("COGNITO_JWKS_URL")))) }

	before := keys()
	run(commands[0])
	if got := keys(); len(got) != 4 || slices.ContainsFunc(before, func(kid string) bool { return !slices.Contains(got, kid) }) {
		t.Errorf("rotated: got keys %q, want two new ones beside %q", got, before)
	}
	run(commands[1])
	if got := keys(); len(got) != 2 || slices.ContainsFunc(before, func(kid string) bool { return slices.Contains(got, kid) }) {
		t.Errorf("the old ones dropped: got keys %q, want two other ones than %q", got, before)
	}
	run(commands[2])
	if e, ok := errors.AsType[*oauth2.RetrieveError](token()); !ok || e.Response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("with a fault: got %v, want status 503", e)
	}
	run(commands[3])
	if err := token(); err != nil {
		t.Errorf("without faults: %v", err)
	}
	var list struct {
		Requests []struct {
			Status int
			Fault  bool
		}
	}
	if err := json.Unmarshal([]byte(run(commands[4])), &list); err != nil || len(list.Requests) != 2 || !list.Requests[0].Fault || list.Requests[1].Status != http.StatusOK {
		t.Errorf("got token requests %+v, %v", list, err)
	}
}
