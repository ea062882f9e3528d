// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"encoding/base64"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// isForm reports whether the body is declared to be a form.
func isForm(h http.Header) bool {
	values := h.Values("Content-Type")
	if len(values) != 1 {
		return false
	}
	t, _, err := mime.ParseMediaType(values[0])
	return err == nil && t == "application/x-www-form-urlencoded"
}

var (
	errForm  = errors.New("not a form, or a parameter is there twice")
	errBasic = errors.New("not Basic credentials")
)

// parseForm reads an application/x-www-form-urlencoded body. A parameter that
// is there twice is an error (RFC 6749, section 3.2).
func parseForm(body []byte) (map[string]string, error) {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errForm
	}
	form := make(map[string]string, len(values))
	for name, v := range values {
		if len(v) != 1 {
			return nil, errForm
		}
		form[name] = v[0]
	}
	return form, nil
}

// parseBasic reads id and secret from an Authorization header. They are taken
// as they are after Base64: AWS documents Base64(client_id:client_secret)
// without the form encoding of RFC 6749, section 2.3.1.
func parseBasic(value string) (id, secret string, err error) {
	scheme, rest, ok := strings.Cut(value, " ")
	if !ok || !strings.EqualFold(scheme, "Basic") {
		return "", "", errBasic
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(rest))
	if err != nil {
		return "", "", errBasic
	}
	id, secret, ok = strings.Cut(string(raw), ":")
	if !ok {
		return "", "", errBasic
	}
	return id, secret, nil
}
