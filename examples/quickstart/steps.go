// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// tellSteps walks the steps that a team does once in Cognito, and the token request
// that clientauth does from then on, by hand.
func tellSteps(ctx context.Context, out io.Writer, w *world) error {
	app := w.pool.Client(appClient)
	fmt.Fprintf(out, "An embedded Amazon Cognito on %s\n\n", w.cognito.URL())
	fmt.Fprintf(out, "  3.1 user pool         %s  %s\n", w.pool.Name(), w.pool.ID())
	fmt.Fprintf(out, "  3.2 app clients       %s  %s\n", appClient, app.ID)
	fmt.Fprintf(out, "                        %s     %s\n", reader, w.pool.Client(reader).ID)
	fmt.Fprintf(out, "  3.3 domain            %s\n", w.pool.TokenURL())
	fmt.Fprintf(out, "  3.4 resource server   demo, \"Test API\": demo/read.file, demo/write.file\n")
	fmt.Fprintf(out, "  3.5 allowed scopes    %s: both; %s: demo/read.file\n", appClient, reader)

	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"demo/read.file demo/write.file"}}.Encode()
	fmt.Fprintf(out, "\n  4.1 POST %s\n", w.pool.TokenURL())
	fmt.Fprintf(out, "  4.2 Authorization: Basic [redacted]\n      Content-Type: application/x-www-form-urlencoded\n")
	fmt.Fprintf(out, "  4.3 %s\n", form)
	answer, err := postForm(ctx, w.pool.TokenURL(), app.ID, app.Secret, form)
	if err != nil {
		return err
	}
	claims, err := decodePayload(answer.AccessToken)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  4.4 {\"access_token\":\"[redacted]\",\"expires_in\":%d,\"token_type\":%q}\n", answer.ExpiresIn, answer.TokenType)
	fmt.Fprintf(out, "      the token's claims:\n%s\n", indent(claims))
	return nil
}

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"`
	TokenType   string `json:"token_type"`
}

// postForm is the token request of RFC 6749 section 4.4.2, as curl would do it.
func postForm(ctx context.Context, tokenURL, id, secret, form string) (tokenAnswer, error) {
	var answer tokenAnswer
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, tokenURL, strings.NewReader(form))
	if err != nil {
		return answer, err
	}
	req.SetBasicAuth(id, secret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("the token endpoint answered %s", resp.Status)
	}
	return answer, json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&answer)
}

var errNoToken = errors.New("the token endpoint's access_token is no JWT")

// decodePayload reads a token's claims for people to look at. It checks nothing: that
// is the server's work.
func decodePayload(token string) (json.RawMessage, error) {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, ok := strings.Cut(rest, ".")
	if !ok {
		return nil, errNoToken
	}
	return base64.RawURLEncoding.DecodeString(payload)
}

// scopesOf returns the scopes in a token, for the table.
func scopesOf(token string) (string, error) {
	payload, err := decodePayload(token)
	if err != nil {
		return "", err
	}
	var claims struct {
		Scope string `json:"scope"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return "", err
	}
	return strings.ReplaceAll(claims.Scope, "demo/", ""), nil
}

func indent(doc json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Indent(&b, doc, "        ", "  "); err != nil {
		return string(doc)
	}
	return "        " + b.String()
}
