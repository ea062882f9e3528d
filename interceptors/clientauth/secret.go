// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Secret is an app client's secret. Printed, logged or marshaled it shows as
// [redacted]. The zero Secret is no secret.
type Secret struct {
	value func() string
}

// NewSecret returns a secret, for a [SecretFunc] of one's own. One newline at the
// end is not part of the secret, wherever it comes from. A secret with other control
// characters is refused when it is read for a token request.
func NewSecret(value string) Secret {
	if line, ok := strings.CutSuffix(value, "\n"); ok {
		value = strings.TrimSuffix(line, "\r")
	}
	return Secret{value: func() string { return value }}
}

func (s Secret) reveal() string {
	if s.value == nil {
		return ""
	}
	return s.value()
}

var (
	errSecretEmpty = errors.New("it is empty")
	errSecretChars = errors.New("it has characters that no secret has: control characters, more than one newline at the end, a byte order mark, or bytes that are not UTF-8")
)

// check refuses what is no secret, such as the content of a file that is not written
// yet or of a wrong one.
func (s Secret) check() error {
	text := s.reveal()
	switch {
	case text == "":
		return errSecretEmpty
	case !utf8.ValidString(text), strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == '\ufeff' }):
		return errSecretChars
	}
	return nil
}

// String returns [redacted].
func (Secret) String() string { return redacted }

// GoString returns [redacted].
func (Secret) GoString() string { return redacted }

// Format writes [redacted] for every verb.
func (Secret) Format(f fmt.State, _ rune) { writeRedacted(f) }

// LogValue returns [redacted].
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns [redacted].
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns [redacted] as a JSON string.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// SecretFunc reads a secret. It is called for every request to the token endpoint,
// so that a changed secret is used without a restart. While the token endpoint refuses
// the client, or the secret cannot be read, calls and the timer of [KeepWarm] also have
// it called to see whether the secret has changed, at most once a second: a new secret is
// tried at once, and an old one costs no request.
//
// It must return when ctx ends, at the latest after the 5 s of one attempt; one that
// does not is left behind, and after four such calls for a set of scopes it is not
// called any more until one of them returns. ctx holds no values of any call. The first
// 300 characters of its error are part of the error that callers see: they must not
// hold the secret.
type SecretFunc func(ctx context.Context) (Secret, error)

// StaticSecret returns a secret that never changes. One newline at the end is not part
// of it.
func StaticSecret(value string) SecretFunc {
	secret := NewSecret(value)
	return func(context.Context) (Secret, error) { return secret, nil }
}

// SecretFromEnv reads the secret from an environment variable. One newline at the end
// is not part of the secret.
func SecretFromEnv(name string) SecretFunc {
	return func(context.Context) (Secret, error) {
		secret := NewSecret(os.Getenv(name))
		if secret.reveal() == "" {
			return Secret{}, usageErrorf("clientauth: the environment variable %s is empty or not set", name)
		}
		return secret, nil
	}
}
