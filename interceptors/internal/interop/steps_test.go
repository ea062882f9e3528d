// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// startProgram builds and runs examples/cognito, and returns the lines that it prints.
func startProgram(t *testing.T, args ...string) (lines []string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "cognito")
	build := exec.Command("go", "build", "-o", program, "./examples/cognito")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(program, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	rest := make(chan error, 1)
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("to end the program: %v", err)
		}
		if err := errors.Join(<-rest, cmd.Wait()); err != nil || stderr.Len() > 0 {
			t.Errorf("the program ended with %v and said %q", err, stderr.String())
		}
	})
	scanner := bufio.NewScanner(stdout)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
		if strings.HasPrefix(scanner.Text(), "# ready: ") {
			break
		}
	}
	go func() {
		_, err := io.Copy(io.Discard, stdout)
		rest <- err
	}()
	if len(lines) == 0 || !strings.HasPrefix(lines[len(lines)-1], "# ready: ") {
		t.Fatalf("the program is not ready: %q", lines)
	}
	return lines
}

// awsCLIs are the versions of the AWS CLI that are installed, with the file that starts each.
func awsCLIs(t *testing.T) map[string]string {
	t.Helper()
	require(t, "REQUIRE_AWS", "aws", "the AWS CLI is not installed")
	require(t, "REQUIRE_AWS", "curl", "curl is not installed")
	files := make(map[string]string)
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		file := filepath.Join(dir, "aws")
		if _, err := exec.LookPath(file); err != nil {
			continue
		}
		out, err := exec.Command(file, "--version").Output()
		if err != nil {
			t.Fatalf("%s --version: %v", file, err)
		}
		version, _, _ := strings.Cut(string(out), " ") // aws-cli/2.9.19
		version = strings.ReplaceAll(version, "/", "-")
		if files[version] == "" {
			files[version] = file
		}
	}
	return files
}

// awsEnv is the environment of a shell in which aws is this CLI and means the emulator.
// Nothing of the machine's own settings reaches it.
func awsEnv(t *testing.T, cli, endpoint string) []string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(cli, filepath.Join(dir, "aws")); err != nil {
		t.Fatal(err)
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	return append(env, "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"), "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+filepath.Join(dir, "none"), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(dir, "none"),
		"AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER="+endpoint)
}

// deadProxy are the settings of a machine whose proxy does not reach the emulator.
func deadProxy() []string {
	var env []string
	for _, name := range []string{"http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		env = append(env, name+"=http://127.0.0.1:1")
	}
	return append(env, "no_proxy=", "NO_PROXY=")
}

// The script docs/cognito-steps.sh with each AWS CLI that is installed, and what the
// page docs/cognito.md shows of it.
func TestSteps(t *testing.T) {
	t.Parallel()
	clis := awsCLIs(t)
	lines := startProgram(t)
	endpoint := strings.TrimPrefix(lines[len(lines)-1], "# ready: ")
	shown := blocks(t, "docs/cognito.md")["steps"]
	for version, cli := range clis {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := patience(t)
			defer cancel()
			script := exec.CommandContext(ctx, "sh", "docs/cognito-steps.sh")
			script.Dir = root
			script.Env = append(awsEnv(t, cli, endpoint), "DOMAIN=s2s-test-"+regexp.MustCompile(`\D`).ReplaceAllString(version, ""))
			script.Env = append(script.Env, deadProxy()...)
			var stderr bytes.Buffer
			script.Stderr = &stderr
			out, err := script.Output()
			if err != nil || stderr.Len() > 0 {
				t.Fatalf("the script: %v\n%s%s", err, out, stderr.String())
			}
			checkSteps(t, string(out), endpoint)
			if got, want := stepsForm(string(out)), stepsForm(shown); got != want {
				t.Errorf("the script prints\n%s\ndocs/cognito.md shows\n%s", got, want)
			}
		})
	}
}

// A domain that does not become active in five minutes ends the script. It is written
// for programs of this machine that answer at once: its aws knows one answer, its sleep
// only counts.
func TestStepsWithoutADomain(t *testing.T) {
	t.Parallel()
	for status, sleeps := range map[string]int{"CREATING": 59, "ACTIVE": 0} {
		dir := t.TempDir()
		for name, text := range map[string]string{"aws": "echo " + status, "sleep": `echo "$@" >>` + dir + "/slept", "curl": "echo no answer"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		script := exec.Command("sh", "docs/cognito-steps.sh")
		script.Dir = root
		script.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"), "DOMAIN=mine")
		out, err := script.CombinedOutput()
		slept, _ := os.ReadFile(filepath.Join(dir, "slept")) // or it did not
		// Without an answer it fails in the end.
		if got := strings.Count(string(slept), "5\n"); err == nil || got != sleeps {
			t.Errorf("%s: got %v after %d pauses, want an error after %d: %s", status, err, got, sleeps, out)
		}
		refused, went := strings.Contains(string(out), "no token endpoint: domain mine is CREATING"), strings.Contains(string(out), "3.3 token endpoint")
		if waits := status == "CREATING"; refused != waits || went == waits {
			t.Errorf("%s: got %s", status, out)
		}
	}
}

// checkSteps reads what the script printed, the decoded token at its end.
func checkSteps(t *testing.T, out, endpoint string) {
	t.Helper()
	value := func(step string) string {
		m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(step) + ` +(.*)$`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("the script does not print %q:\n%s", step, out)
		}
		return m[1]
	}
	_, token, _ := strings.Cut(out, value("4.4 answer")+"\n")
	var header struct{ Alg, Kid string }
	var claims struct {
		accessClaims

		Version int `json:"version"`
	}
	decoder := json.NewDecoder(strings.NewReader(token))
	if err := errors.Join(decoder.Decode(&header), decoder.Decode(&claims)); err != nil || decoder.More() {
		t.Fatalf("the end of the output is no decoded token: %v\n%s", err, out)
	}
	client, issuer := value("3.2 app client"), endpoint+"/"+value("3.1 user pool")
	if err := claims.check(client); err != nil || claims.Subject != client || claims.Issuer != issuer ||
		claims.Scope != "demo/read.file demo/write.file" || claims.Version != 2 || claims.ExpiresAt.Sub(claims.IssuedAt.Time) != time.Hour {
		t.Errorf("got claims %+v, want those of client %s from %s", claims, client, issuer)
	}
	if header.Alg != "RS256" || len(header.Kid) != 44 {
		t.Errorf("got header %+v", header)
	}
	if secret := regexp.MustCompile(`[0-9a-v]{52}`).FindString(out); secret != "" {
		t.Errorf("the output has the client secret")
	}
}

// stepsForm is the output of the script without what is new with each run.
func stepsForm(out string) string {
	for _, r := range [][2]string{
		{`127\.0\.0\.1:\d+`, "HOST"},
		{`us-east-1_\w{9}`, "POOL"},
		{`s2s-test-\d+`, "DOMAIN"},
		{`\b[0-9a-v]{26}\b`, "CLIENT"},
		{`"kid":"[\w+/]{43}="`, "KID"},
		{`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`, "UUID"},
		{`\b\d{10}\b`, "TIME"},
	} {
		out = regexp.MustCompile(r[0]).ReplaceAllString(out, r[1])
	}
	return out
}

// The configurations that docs/cognito.md shows.
func TestConfigOfThePage(t *testing.T) {
	t.Parallel()
	for block, clients := range map[string][]string{"config": {"reporting", "importer"}, "answers": {"sts-test-app-client"}} {
		file := filepath.Join(t.TempDir(), block+".json")
		if err := os.WriteFile(file, []byte(blocks(t, "docs/cognito.md")[block]), 0o600); err != nil {
			t.Fatal(err)
		}
		server, err := cognitotest.NewServer(cognitotest.WithConfigFile(file), cognitotest.WithoutListener())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		if got := server.Pool("s2s-test").ClientNames(); !slices.Equal(got, clients) {
			t.Errorf("%s: got app clients %q, want %q", block, got, clients)
		}
	}
}
