// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestEverythingTogether lets the management API, the token endpoint, the control
// paths of the console and the Go API change a server with a state file at the
// same time, and closes it in the middle. What was acknowledged is in the state.
func TestEverythingTogether(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	s := newServer(t, WithPool(testPool()), WithConsole(), WithStateFile(path))
	network := transports(t, s)["network"]
	ask := func(method, at, body string, header http.Header) (string, error) {
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, s.URL()+at, strings.NewReader(body))
		if err != nil {
			return "", err
		}
		req.Header = header
		resp, err := network.RoundTrip(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = failf("%s %s: %d %s", method, at, resp.StatusCode, text)
		}
		return string(text), err
	}
	control := http.Header{"Content-Type": {"application/json"}}

	const wanted = 12
	enough := make(chan struct{})
	stop := sync.OnceFunc(func() { close(enough) })
	var mu sync.Mutex
	clients := make(map[string]string) // id and name of those that were acknowledged
	acknowledged := func(body string) error {
		var made struct {
			UserPoolClient struct{ ClientID, ClientName string }
		}
		if err := json.Unmarshal([]byte(body), &made); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		clients[made.UserPoolClient.ClientID] = made.UserPoolClient.ClientName
		if len(clients) == wanted {
			stop()
		}
		return nil
	}
	pool, pairs := s.Pool(testPoolID), testKeys()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var work sync.WaitGroup
	for name, step := range map[string]func(n int) error{
		"clients": func(n int) error {
			body, err := ask(http.MethodPost, "/", fmt.Sprintf(`{`+inPool+`,"ClientName":"c%d","GenerateSecret":true}`, n), apiHeader("CreateUserPoolClient"))
			if err != nil {
				return err
			}
			return acknowledged(body)
		},
		"pools": func(int) error {
			body, err := ask(http.MethodPost, "/", `{"PoolName":"short-lived"}`, apiHeader("CreateUserPool"))
			if err != nil {
				return err
			}
			var made struct{ UserPool struct{ ID string } }
			if err := json.Unmarshal([]byte(body), &made); err != nil {
				return err
			}
			_, err = ask(http.MethodPost, "/", `{"UserPoolId":"`+made.UserPool.ID+`"}`, apiHeader("DeleteUserPool"))
			return err
		},
		"tokens": func(int) error {
			_, err := ask(http.MethodPost, "/my-prefix/oauth2/token", cc, basic())
			return err
		},
		"rotations": func(n int) error { return pool.RotateKeysTo(pairs[(n+1)%3], 1) },
		"settings": func(n int) error {
			_, err := ask(http.MethodPost, "/_emulator/pools/"+testPoolID+"/settings", fmt.Sprintf(`{"disallowed_scopes":%q}`, []ScopeHandling{DropScopes, RejectScopes}[n%2]), control)
			return err
		},
		"faults": func(int) error {
			_, err := ask(http.MethodPost, "/_emulator/faults", `{"pool":"`+testPoolID+`","endpoint":"jwks","faults":[{"stale_keys":true,"times":1}]}`, control)
			if err == nil {
				_, err = ask(http.MethodPost, "/_emulator/faults/clear", `{}`, control)
			}
			return err
		},
		"page": func(int) error {
			for _, at := range []string{"/", "/_emulator/token-requests", "/_emulator/faults?pool=" + testPoolID, "/_emulator/pools/" + testPoolID, "/" + testPoolID + "/.well-known/jwks.json"} {
				if _, err := ask(http.MethodGet, at, "", http.Header{}); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		work.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := step(n); err != nil {
					select {
					case <-enough: // the server may have been closed
					default:
						t.Errorf("%s: %v", name, err)
						stop()
					}
					return
				}
			}
		})
	}
	<-enough
	closeServer(t, s)
	cancel()
	work.Wait()

	again := startOn(t, path).Pool(testPoolID)
	for id, name := range clients {
		if c := again.client(id); c == nil || c.name != name {
			t.Errorf("client %s is not in the state", name)
		}
	}
	if keys, err := again.keys.all(); err != nil || len(keys) == 0 || len(keys) > 2 {
		t.Errorf("got %d key pairs, error %v, want those of the last rotation", len(keys), err)
	}
}
