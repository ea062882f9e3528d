// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTokenURL(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ prefix, region, want string }{
		{"files", "eu-west-1", testURL},
		{"", "eu-west-1", ""},
		{"files", "", ""},
		{"evil.example/", "eu-west-1", ""},
		{"https://files.auth.eu-west-1.amazoncognito.com", "eu-west-1", ""},
		{"files", "eu-west-1.evil.example", ""},
		{"Files", "eu-west-1", ""},
		{"files\n", "eu-west-1", ""},
	} {
		if got := TokenURL(test.prefix, test.region); got != test.want {
			t.Errorf("TokenURL(%q, %q): got %q, want %q", test.prefix, test.region, got, test.want)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	good := Config{TokenURL: testURL, ClientID: testClient, Secret: StaticSecret(testSecret)}
	with := func(change func(*Config)) Config { c := good; change(&c); return c }
	url := func(u string) Config { return with(func(c *Config) { c.TokenURL = u }) }
	tests := map[string]struct {
		cfg  Config
		opts []Option
		want string // "" is no error
	}{
		"good":                    {cfg: good},
		"http, loopback IPv4":     {cfg: url("http://127.0.0.1:9000/oauth2/token")},
		"http, loopback IPv6":     {cfg: url("http://[::1]:9000/oauth2/token")},
		"http, mapped loopback":   {cfg: url("http://[::ffff:127.0.0.1]:9000/oauth2/token")},
		"http, localhost":         {cfg: url("http://localhost:9000/oauth2/token")},
		"http, LOCALHOST":         {cfg: url("http://LOCALHOST:9000/oauth2/token")},
		"http, another host":      {cfg: url("http://example.com/oauth2/token"), want: "is not https"},
		"http, private address":   {cfg: url("http://10.0.0.1/oauth2/token"), want: "is not https"},
		"http, localhost.evil":    {cfg: url("http://localhost.example.com/"), want: "is not https"},
		"ftp":                     {cfg: url("ftp://127.0.0.1/"), want: "is not https"},
		"no scheme":               {cfg: url("files.auth.eu-west-1.amazoncognito.com/oauth2/token"), want: "no host"},
		"no host":                 {cfg: url("https:///oauth2/token"), want: "no host"},
		"opaque":                  {cfg: url("https:oauth2"), want: "no host"},
		"fragment":                {cfg: url("https://example.com/#x"), want: "fragment"},
		"password in the URL":     {cfg: url("https://me:" + testSecret + "@example.com/"), want: "user name or password"},
		"unparsable":              {cfg: url("https://" + testSecret + ":x%zz/"), want: "cannot be parsed"},
		"empty URL":               {cfg: url(""), want: "clientauth.TokenURL"},
		"empty label in front":    {cfg: url("https://.auth.eu-west-1.amazoncognito.com/oauth2/token"), want: "empty part"},
		"empty label inside":      {cfg: url("https://a..example.com/oauth2/token"), want: "empty part"},
		"empty label at the end":  {cfg: url("https://example.com./oauth2/token"), want: "empty part"},
		"empty port":              {cfg: url("https://example.com:/oauth2/token"), want: "empty port"},
		"Cognito without a path":  {cfg: url("https://files.auth.eu-west-1.amazoncognito.com"), want: "/oauth2/token"},
		"Cognito, another path":   {cfg: url("https://files.auth.eu-west-1.AmazonCognito.com/oauth2/authorize"), want: "/oauth2/token"},
		"another host, own path":  {cfg: url("https://auth.example.com/token")},
		"no client id":            {cfg: with(func(c *Config) { c.ClientID = "" }), want: "ClientID is empty"},
		"client id with LF":       {cfg: with(func(c *Config) { c.ClientID = "a\n" }), want: "printable ASCII"},
		"client id with a space":  {cfg: with(func(c *Config) { c.ClientID = "a b" }), want: "printable ASCII"},
		"client id with ü":        {cfg: with(func(c *Config) { c.ClientID = "aü" }), want: "printable ASCII"},
		"colon under Basic":       {cfg: with(func(c *Config) { c.ClientID = "a:b" }), opts: []Option{WithAuthStyle(AuthStyleBasic)}, want: "colon"},
		"colon, style by itself":  {cfg: with(func(c *Config) { c.ClientID = "a:b" })},
		"no secret":               {cfg: with(func(c *Config) { c.Secret = nil }), want: "Config.Secret is nil"},
		"unknown style":           {cfg: good, opts: []Option{WithAuthStyle(3)}, want: "unknown style"},
		"no scope set":            {cfg: good, opts: []Option{MaxScopeSets(0)}, want: "less than 1"},
		"nil transport":           {cfg: good, opts: []Option{WithTransport(nil)}, want: "transport is nil"},
		"option of a connection":  {cfg: good, opts: []Option{MetadataKey("x-auth")}, want: "option of a connection"},
		"plaintext for a source":  {cfg: good, opts: []Option{AllowInsecureTransport("test")}, want: "option of a connection"},
		"two errors at once":      {cfg: good, opts: []Option{MaxScopeSets(0), WithAuthStyle(-1)}, want: "unknown style"},
		"nil option is no option": {cfg: good, opts: []Option{nil}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := NewClientCredentials(test.cfg, test.opts...)
			if test.want == "" {
				if err != nil {
					t.Fatalf("got %v, want no error", err)
				}
				_ = c.Close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "clientauth: ") {
				t.Fatalf("got %v, want %q in it", err, test.want)
			}
			if strings.Contains(err.Error(), testSecret) {
				t.Errorf("the error has the secret: %v", err)
			}
		})
	}
}

// TestQueryIsNotShown: it may hold a key. The request has it.
func TestQueryIsNotShown(t *testing.T) {
	t.Parallel()
	var asked string
	transport := roundTripper(func(req *http.Request) (*http.Response, error) {
		asked = req.URL.String()
		return nil, errReset
	})
	const url = "https://auth.example.com/token?key=hidden"
	c, err := NewClientCredentials(Config{TokenURL: url, ClientID: testClient, Secret: StaticSecret(testSecret)}, WithTransport(transport))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, failed := c.exchange.fetch(t.Context(), NewSecret(testSecret), nil)
	if failed == nil || asked != url {
		t.Fatalf("got %v from %s, want an error from %s", failed, asked, url)
	}
	if text := fmt.Sprint(failed, c); strings.Contains(text, "hidden") || !strings.Contains(text, "https://auth.example.com/token") {
		t.Errorf("got %q, want the URL without its query", text)
	}
}

// TestFromEnv is not parallel: it sets the environment.
func TestFromEnv(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	if err := os.WriteFile(file, []byte("from-file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		url, api, id, secret, file string
		want                       []string // in the error
		sent                       string
	}{
		"secret":            {url: testURL, id: "a", secret: "from-env\n", sent: "from-env"},
		"file":              {url: testURL, id: "a", file: file, sent: "from-file"},
		"both":              {url: testURL, id: "a", secret: "x", file: file, want: []string{"COGNITO_CLIENT_SECRET and COGNITO_CLIENT_SECRET_FILE are both set"}},
		"URL and API":       {url: testURL, api: testAPI, id: "a", secret: "x", want: []string{"COGNITO_TOKEN_URL and COGNITO_USER_POOL_API are both set"}},
		"bad API":           {api: "http://example.com", id: "a", secret: "x", want: []string{"UserPoolAPI", "not https"}},
		"nothing":           {want: []string{"set COGNITO_TOKEN_URL", "or COGNITO_USER_POOL_API", "set COGNITO_CLIENT_ID", "set COGNITO_CLIENT_SECRET to", "or COGNITO_CLIENT_SECRET_FILE"}},
		"secret of newline": {url: testURL, id: "a", secret: "\n", want: []string{"COGNITO_CLIENT_SECRET is empty"}},
		"file is missing":   {url: testURL, id: "a", file: dir + "/none", want: []string{dir + "/none", "no such file", "COGNITO_CLIENT_SECRET_FILE"}},
		"file is a folder":  {url: testURL, id: "a", file: dir, want: []string{"not a regular file"}},
		"bad URL":           {url: "http://example.com", id: "a", secret: "x", want: []string{"is not https"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("COGNITO_TOKEN_URL", test.url)
			t.Setenv("COGNITO_USER_POOL_API", test.api)
			t.Setenv("COGNITO_CLIENT_ID", test.id)
			t.Setenv("COGNITO_CLIENT_SECRET", test.secret)
			t.Setenv("COGNITO_CLIENT_SECRET_FILE", test.file)
			endpoint := &fakeEndpoint{}
			c, err := FromEnv(WithTransport(endpoint), WithLogger((&logBuffer{}).logger()))
			if len(test.want) > 0 {
				for _, want := range test.want {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("got %v, want %q in it", err, want)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			// The program may clear it, so that no child of its gets it.
			t.Setenv("COGNITO_CLIENT_SECRET", "")
			value(t, c)
			_, got, _ := (&http.Request{Header: endpoint.all()[0].header}).BasicAuth()
			if got != test.sent {
				t.Errorf("secret: got %q, want %q", got, test.sent)
			}
		})
	}
}

// TestOneNewlineIsNoPartOfASecret, wherever it comes from.
func TestOneNewlineIsNoPartOfASecret(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"a": "a", "a\n": "a", "a\r\n": "a", "a\r\n\n": "a\r\n", "a\n\n": "a\n", "a\r": "a\r", "\n": "", "\r\na": "\r\na"} {
		static, err := StaticSecret(text)(t.Context())
		if err != nil || static.reveal() != want || NewSecret(text).reveal() != want {
			t.Errorf("%q: got %q and %q, want %q", text, static.reveal(), NewSecret(text).reveal(), want)
		}
	}
}

func TestSecretFromEnv(t *testing.T) {
	t.Setenv("SCOPEAUTH_TEST_SECRET", "value\n")
	got, err := SecretFromEnv("SCOPEAUTH_TEST_SECRET")(context.Background())
	if err != nil || got.reveal() != "value" {
		t.Errorf("got %q, %v, want value", got.reveal(), err)
	}
	_, err = SecretFromEnv("SCOPEAUTH_TEST_NOT_SET")(context.Background())
	if err == nil || !strings.Contains(err.Error(), "SCOPEAUTH_TEST_NOT_SET") {
		t.Errorf("got %v, want the variable's name in it", err)
	}
}
