// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/scopeauth/scopeauth/interceptors/clientauth"
)

const secretName = "prod/files/cognito"

// secretStore speaks the protocol of AWS Secrets Manager (AWS JSON 1.1; API reference,
// GetSecretValue) for one secret.
type secretStore struct {
	mu     sync.Mutex
	stages map[string]string
	fault  string // an error type
	calls  map[string]int
	wrong  []string // what was wrong with requests
}

func newSecretStore(stages map[string]string) *secretStore {
	return &secretStore{stages: stages, calls: map[string]int{}}
}

func (s *secretStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method != http.MethodPost || r.URL.Path != "/" || r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" ||
		r.Header.Get("Content-Type") != "application/x-amz-json-1.1" || !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=") {
		s.wrong = append(s.wrong, fmt.Sprint(r.Method, r.URL, r.Header))
	}
	var input struct{ SecretId, VersionStage string } //nolint:revive // the API's name
	if err := json.NewDecoder(r.Body).Decode(&input); err != nil {
		s.wrong = append(s.wrong, err.Error())
	}
	s.calls[input.VersionStage]++
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	value, ok := s.stages[input.VersionStage]
	switch {
	case s.fault != "":
		s.fail(w, s.fault, "Rate exceeded")
	case input.SecretId != secretName || !ok:
		s.fail(w, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: "+input.VersionStage)
	default:
		_, _ = fmt.Fprintf(w, `{"ARN":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:%[1]s","CreatedDate":1.8E9,"Name":%[1]q,"SecretString":%[2]q,"VersionId":"5048ba9c-0000-4000-8000-000000000000","VersionStages":[%[3]q]}`,
			secretName, value, input.VersionStage)
	}
}

func (s *secretStore) fail(w http.ResponseWriter, errorType, message string) {
	w.Header().Set("X-Amzn-Errortype", errorType)
	w.WriteHeader(http.StatusBadRequest)
	_, _ = fmt.Fprintf(w, `{"__type":%q,"Message":%q}`, errorType, message)
}

// Do is the way of a request without a network, for use in a bubble.
func (s *secretStore) Do(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

func (s *secretStore) client(url string, way secretsmanager.HTTPClient) *secretsmanager.Client {
	return secretsmanager.New(secretsmanager.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(url), HTTPClient: way,
		RetryMaxAttempts: 1, // the source repeats
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "example"}, nil
		}),
	})
}

func (s *secretStore) set(stages map[string]string, fault string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stages, s.fault = stages, fault
}

func (s *secretStore) count(stage string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[stage]
}

// secretEndpoint is a token endpoint that accepts one secret, in a Basic header.
type secretEndpoint struct {
	mu       sync.Mutex
	valid    string
	requests int
}

func newSecretEndpoint(valid string) *secretEndpoint { return &secretEndpoint{valid: valid} }

func (e *secretEndpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	_, password, _ := r.BasicAuth()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests++
	code, body := http.StatusOK, fmt.Sprintf(`{"access_token":"token-%d","expires_in":1000,"token_type":"Bearer"}`, e.requests)
	if password != e.valid {
		code, body = http.StatusBadRequest, `{"error":"invalid_client"}`
	}
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func (e *secretEndpoint) accept(valid string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.valid = valid
}

func (e *secretEndpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.requests
}

// newManagedSource is a source whose secrets are in the store.
func newManagedSource(t *testing.T, store *secretStore, endpoint *secretEndpoint, logs io.Writer) *clientauth.ClientCredentials {
	t.Helper()
	client := store.client("https://secretsmanager.eu-west-1.amazonaws.com", store)
	c, err := clientauth.NewClientCredentials(clientauth.Config{
		TokenURL: clientauth.TokenURL("files", "eu-west-1"), ClientID: "1example23456789",
		Secret: secretOf(client, secretName, "AWSCURRENT"), NextSecret: secretOf(client, secretName, "AWSPENDING"),
	}, clientauth.WithTransport(endpoint), clientauth.WithLogger(slog.New(slog.NewTextHandler(logs, nil))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if len(store.wrong) > 0 {
			t.Errorf("the store got wrong requests: %q", store.wrong)
		}
	})
	return c
}

// TestRotationInSecretsManager goes through a rotation, with the app client changed
// before the labels, and no call fails.
func TestRotationInSecretsManager(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newSecretStore(map[string]string{"AWSCURRENT": "old-secret"})
		endpoint, logs := newSecretEndpoint("old-secret"), &bytes.Buffer{}
		c := newManagedSource(t, store, endpoint, logs)
		step := func(name string, requests, pending int) {
			t.Helper()
			before, beforePending := endpoint.count(), store.count("AWSPENDING")
			if _, err := c.Token(t.Context(), clientauth.Request{}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := endpoint.count() - before; got != requests {
				t.Errorf("%s: got %d token requests, want %d", name, got, requests)
			}
			if got := store.count("AWSPENDING") - beforePending; got != pending {
				t.Errorf("%s: AWSPENDING was read %d times, want %d", name, got, pending)
			}
			time.Sleep(1100 * time.Second) // the token has ended
		}
		step("before", 1, 0)
		store.set(map[string]string{"AWSCURRENT": "old-secret", "AWSPENDING": "new-secret"}, "")
		step("pending", 1, 0)
		endpoint.accept("new-secret")
		step("the app client has the new one alone", 2, 1)
		step("the new one comes first", 1, 1)
		store.set(map[string]string{"AWSCURRENT": "new-secret", "AWSPREVIOUS": "old-secret"}, "")
		step("finished: no AWSPENDING any more", 1, 1)
		step("the current one comes first again", 1, 0)
		if text := logs.String(); strings.Contains(text, "old-secret") || strings.Contains(text, "new-secret") {
			t.Errorf("the log has a secret:\n%s", text)
		}
	})
}

// TestSecretsManagerFails: the error tells the type and no secret, costs no token
// request, and ends with the repair.
func TestSecretsManagerFails(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]string{"missing": "", "throttled": "ThrottlingException", "no permission": "AccessDeniedException", "internal": "InternalServiceError"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := newSecretStore(nil)
				store.set(nil, fault)
				endpoint, logs := newSecretEndpoint("the-secret"), &bytes.Buffer{}
				c := newManagedSource(t, store, endpoint, logs)
				_, err := c.Token(t.Context(), clientauth.Request{})
				if fault == "" {
					fault = "ResourceNotFoundException"
				}
				e, ok := errors.AsType[*clientauth.Error](err)
				if !ok || e.Reason() != clientauth.ReasonSecret || !strings.Contains(err.Error(), fault) {
					t.Errorf("got %v, want %s with %s in it", err, clientauth.ReasonSecret, fault)
				}
				store.set(map[string]string{"AWSCURRENT": "the-secret"}, "")
				time.Sleep(time.Second)
				if _, err := c.Token(t.Context(), clientauth.Request{}); err != nil {
					t.Errorf("after the repair: %v", err)
				}
				if got := endpoint.count(); got != 1 {
					t.Errorf("got %d token requests, want 1", got)
				}
			})
		})
	}
}

// TestRepairInSecretsManager: a refusal ends with the change in the store.
func TestRepairInSecretsManager(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newSecretStore(map[string]string{"AWSCURRENT": "wrong"})
		endpoint := newSecretEndpoint("right")
		c := newManagedSource(t, store, endpoint, io.Discard)
		for range 100 {
			if _, err := c.Token(t.Context(), clientauth.Request{}); err == nil {
				t.Fatal("got no error")
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := endpoint.count(); got != 1 {
			t.Errorf("got %d token requests in 10 s, want 1", got)
		}
		if got := store.count("AWSCURRENT"); got > 12 {
			t.Errorf("the store was asked %d times in 10 s, want about once a second", got)
		}
		store.set(map[string]string{"AWSCURRENT": "right"}, "")
		time.Sleep(time.Second)
		if _, err := c.Token(t.Context(), clientauth.Request{}); err != nil {
			t.Errorf("after the repair: %v", err)
		}
	})
}

// TestAnotherSecretInSecretsManager: its name reaches the store, and its absence the
// error.
func TestAnotherSecretInSecretsManager(t *testing.T) {
	t.Parallel()
	store := newSecretStore(map[string]string{"AWSCURRENT": "the-secret"})
	_, err := secretOf(store.client("https://secretsmanager.eu-west-1.amazonaws.com", store), "another", "AWSCURRENT")(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException") {
		t.Errorf("got %v, want that it is not found", err)
	}
}

// TestSecretsManagerInTheDocs: what docs/secrets.md shows is what is tested here.
func TestSecretsManagerInTheDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/secrets.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("secretsmanager_example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, found := strings.Cut(string(page), "<!-- test: secrets manager -->\n```go\n")
	shown, _, closed := strings.Cut(shown, "```")
	if !found || !closed || !strings.Contains(string(code), shown) {
		t.Errorf("docs/secrets.md shows\n%s\nwhich is not in the tested file", shown)
	}
}
