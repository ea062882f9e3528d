// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// Secret is an app client's secret. Printed, logged or marshaled it shows as
// [redacted]. The zero Secret is no secret.
type Secret struct {
	value func() string
}

// NewSecret returns a secret, for a [SecretFunc] of one's own. Newlines at the end
// are not part of the secret, wherever it comes from.
func NewSecret(value string) Secret {
	value = strings.TrimRight(value, "\r\n")
	return Secret{value: func() string { return value }}
}

func (s Secret) reveal() string {
	if s.value == nil {
		return ""
	}
	return s.value()
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
// so that a changed secret is used without a restart. It must return when ctx
// ends, at the latest after the 5 s of one attempt; one that does not is left behind,
// and after four such calls for a set of scopes it is not called any more until one of
// them returns. ctx holds no values of any call. The first 300 characters of its
// error are part of the error that callers see: they must not hold the secret.
type SecretFunc func(ctx context.Context) (Secret, error)

// StaticSecret returns a secret that never changes. Newlines at the end are not part
// of it.
func StaticSecret(value string) SecretFunc {
	secret := NewSecret(value)
	return func(context.Context) (Secret, error) { return secret, nil }
}

// SecretFromEnv reads the secret from an environment variable. Newlines at the end
// are not part of the secret.
func SecretFromEnv(name string) SecretFunc {
	return func(context.Context) (Secret, error) {
		secret := NewSecret(os.Getenv(name))
		if secret.reveal() == "" {
			return Secret{}, usageErrorf("clientauth: the environment variable %s is empty or not set", name)
		}
		return secret, nil
	}
}

// maxSecretFile bounds a secret file, in bytes. Cognito's secrets have 64
// characters at most (API reference, AddUserPoolClientSecret).
const maxSecretFile = 4096

// SecretFromFile reads the secret from a file at every request, as it is mounted
// from a Kubernetes secret, for example. Newlines at the end are not part of the
// secret. Errors name the path and never the content.
func SecretFromFile(path string) SecretFunc {
	return func(context.Context) (Secret, error) {
		content, err := readSecretFile(path)
		secret := NewSecret(content)
		if err == nil && secret.reveal() == "" {
			err = errSecretFileEmpty
		}
		if err != nil {
			return Secret{}, fmt.Errorf("clientauth: secret file %s: %w", path, err)
		}
		return secret, nil
	}
}

var (
	errSecretFileIrregular = errors.New("it is not a regular file")
	errSecretFileTooLarge  = fmt.Errorf("it is larger than %d bytes, so it is no client secret", maxSecretFile)
	errSecretFileEmpty     = errors.New("it is empty")
)

func readSecretFile(path string) (string, error) {
	// Opening a pipe would block for as long as nobody writes to it.
	info, err := os.Stat(path) //nolint:gosec // the path is the operator's configuration
	if err != nil {
		return "", withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return "", errSecretFileIrregular
	}
	file, err := os.Open(path) //nolint:gosec // the path is the operator's configuration
	if err != nil {
		return "", withoutPath(err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err != nil {
		return "", withoutPath(err)
	}
	if len(content) > maxSecretFile {
		return "", errSecretFileTooLarge
	}
	return string(content), nil
}

// withoutPath drops the path from an error whose text is put behind the path.
func withoutPath(err error) error {
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		return pathErr.Err
	}
	return err
}
