// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// program is a running program that has said that it is ready.
type program struct {
	comments []string
	env      map[string]string
	unset    []string
	stderr   *bytes.Buffer // to be read when the program has said or done something
	stop     func()        // ends it; may be called again
}

// start runs the program until the test ends.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	stderr := new(bytes.Buffer)
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, args, in, stderr)
		_ = in.Close()
	}()
	p := &program{stderr: stderr, stop: sync.OnceFunc(func() {
		cancel()
		go func() { _, _ = io.Copy(io.Discard, out) }()
		if got := <-code; got != exitOK {
			t.Errorf("exit status: got %d, want %d; stderr: %s", got, exitOK, stderr)
		}
	})}
	t.Cleanup(p.stop)
	if !p.read(t, out) {
		t.Fatalf("no ready line; stderr: %s", stderr)
	}
	return p
}

// read takes comments and assignments up to the ready line.
func (p *program) read(t *testing.T, out io.Reader) bool {
	t.Helper()
	p.env = make(map[string]string)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "# ready: ") {
			p.comments = append(p.comments, line)
			return true
		}
		if name, ok := strings.CutPrefix(line, "unset "); ok {
			p.unset = append(p.unset, name)
			delete(p.env, name)
			continue
		}
		if rest, ok := strings.CutPrefix(line, "export "); ok {
			name, quoted, _ := strings.Cut(rest, "=")
			if len(quoted) < 2 || quoted[0] != '\'' || quoted[len(quoted)-1] != '\'' {
				t.Fatalf("got line %q, want export NAME='value'", line)
			}
			p.env[name] = quoted[1 : len(quoted)-1]
			continue
		}
		if !strings.HasPrefix(line, "# ") {
			t.Errorf("got line %q, want an assignment or a comment", line)
		}
		p.comments = append(p.comments, line)
	}
	return false
}

// client makes each request on a connection of its own.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

type tokenAnswer struct {
	Status      int
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"`
	Error       string `json:"error"`
}

// token asks for one. Without a scope it asks for all of the client.
func token(t *testing.T, client *http.Client, endpoint, id, secret, scope string) tokenAnswer {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}}
	if scope != "" {
		form.Set("scope", scope)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(id, secret)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer := tokenAnswer{Status: resp.StatusCode}
	if err := json.Unmarshal(body, &answer); err != nil && resp.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("%q: %v", body, err)
	}
	return answer
}

// manage calls an operation of the management API. The test's own mistakes are
// errors; a program that has gone is none: then it reports false.
func manage(ctx context.Context, rt http.RoundTripper, api, operation, input string, output any) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, api, strings.NewReader(input))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService."+operation)
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return false, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return false, nil
	}
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("%s: status %d, %s", operation, resp.StatusCode, body)
	}
	if output == nil {
		return true, nil
	}
	return true, json.Unmarshal(body, output)
}

// token asks for one as the last client that was printed.
func (p *program) token(t *testing.T, scope string) tokenAnswer {
	t.Helper()
	return token(t, client, p.env["COGNITO_TOKEN_URL"], p.env["COGNITO_CLIENT_ID"], p.env["COGNITO_CLIENT_SECRET"], scope)
}

// verifies reports whether the signature is of one of the published keys.
func (p *program) verifies(t *testing.T, token string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.env["COGNITO_JWKS_URL"], nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var set struct{ Keys []struct{ N string } }
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	cut := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[cut+1:])
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(token[:cut]))
	for _, k := range set.Keys {
		n, err := base64.RawURLEncoding.DecodeString(k.N)
		if err != nil {
			t.Fatal(err)
		}
		key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil {
			return true
		}
	}
	return false
}
