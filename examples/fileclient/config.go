// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/scopeauth/scopeauth/examples/fileserver/envflag"
	"github.com/scopeauth/scopeauth/interceptors/clientauth"
)

// keepaliveTime is after how much silence the server is asked whether it is there still.
const keepaliveTime = 30 * time.Second

// secretVariable holds the app client's secret. There is no flag for it: other
// users of the machine can read a command line.
const secretVariable = "COGNITO_CLIENT_SECRET"

// config is what the command line and the environment say.
type config struct {
	addr, ca             string
	tokenURL, api        string // one of the two
	clientID             string
	secretFile, password string // where the secret is, or the secret itself
	command              command
	args                 []string // after the command
}

func (c *config) flags() *envflag.Set {
	s := envflag.New()
	s.String(&c.addr, "addr", "ADDR", "HOST:PORT", "127.0.0.1:8443", "The fileserver.")
	s.String(&c.ca, "ca", "CA", "FILE", "", "The certificates to trust instead of the system's, as PEM, such as -ca-out of fileserver writes.")
	s.String(&c.tokenURL, "token-url", "COGNITO_TOKEN_URL", "URL", "", "The token endpoint, such as https://PREFIX.auth.REGION.amazoncognito.com/oauth2/token.")
	s.String(&c.api, "user-pool-api", "COGNITO_USER_POOL_API", "URL", "", "In place of the token endpoint, for a user pool without a domain: Cognito's API,\nsuch as https://cognito-idp.REGION.amazonaws.com.")
	s.String(&c.clientID, "client-id", "COGNITO_CLIENT_ID", "ID", "", "The app client's id.")
	s.String(&c.secretFile, "client-secret-file", "COGNITO_CLIENT_SECRET_FILE", "FILE", "", "A file with the app client's secret.")
	s.Env(secretVariable, "The app client's secret, if there is no file with it.")
	return s
}

func help() string {
	var b strings.Builder
	b.WriteString("fileclient reads and writes the files of a fileserver.\n\nUsage: fileclient [flags] COMMAND\n\nCommands:\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %s\n        %s\n", c.usage, strings.ReplaceAll(c.summary, "\n", "\n        "))
	}
	b.WriteString("\nThe token of a command has the scopes that its method needs, and no others.\n" +
		"Flags come before the command. Each can be set by a variable of the environment\ntoo; the flag wins.\n\n")
	b.WriteString(new(config).flags().Help())
	b.WriteString(`
Exit codes: 0 when done, 64 for a wrong command line or configuration, 69 if the server
or the token endpoint cannot be reached, 77 if the call was refused for want of a scope
or for who called, 78 if the app client or its token was not accepted, 1 for anything else.
`)
	return b.String()
}

// parse reads the configuration and the command. It returns flag.ErrHelp if help is asked for.
func parse(args []string, env func(string) string) (*config, error) {
	c := &config{}
	set := c.flags()
	if err := set.Parse(args, env); err != nil {
		return nil, err
	}
	rest := set.Args()
	if len(rest) == 0 {
		return nil, errors.New("no command")
	}
	found := false
	for _, known := range commands() {
		if known.name == rest[0] {
			c.command, found = known, true
		}
	}
	if !found {
		return nil, fmt.Errorf("no command is called %q", rest[0])
	}
	c.args = rest[1:]
	if len(c.args) < c.command.min || len(c.args) > c.command.max {
		return nil, fmt.Errorf("wrong number of arguments for %s (flags come before the command): usage is %q", c.command.name, c.command.usage)
	}
	c.password = env(secretVariable)
	return c, c.check()
}

func (c *config) check() error {
	if c.addr == "" {
		return errors.New("-addr (or ADDR) is empty: give HOST:PORT")
	}
	if c.command.access == noToken {
		return nil
	}
	switch {
	case c.tokenURL == "" && c.api == "":
		return errors.New("-token-url (or COGNITO_TOKEN_URL) is not set: give the token endpoint of the user pool's domain, or -user-pool-api if it has none")
	case c.tokenURL != "" && c.api != "":
		return errors.New("-token-url (or COGNITO_TOKEN_URL) and -user-pool-api (or COGNITO_USER_POOL_API) are both set: leave one of them out")
	case c.clientID == "":
		return errors.New("-client-id (or COGNITO_CLIENT_ID) is not set: give the app client's id")
	case c.secretFile == "" && c.password == "":
		return errors.New("the app client has no secret: give -client-secret-file (or COGNITO_CLIENT_SECRET_FILE), or set " + secretVariable)
	case c.secretFile != "" && c.password != "":
		return errors.New("-client-secret-file (or COGNITO_CLIENT_SECRET_FILE) and " + secretVariable + " are both set: leave one of them out")
	}
	return nil
}

// connect returns a connection whose calls carry the token that the command needs,
// and the function that ends its token source. It makes no request.
func connect(ctx context.Context, c *config) (*grpc.ClientConn, func() error, error) {
	options, err := c.dialOptions()
	if err != nil {
		return nil, nil, usageError{err}
	}
	if c.command.access == noToken {
		conn, err := grpc.NewClient(c.addr, options...)
		if err != nil {
			return nil, nil, usageError{err}
		}
		return conn, func() error { return nil }, nil
	}
	secret := clientauth.StaticSecret(c.password)
	if c.secretFile != "" {
		secret = clientauth.SecretFromFile(c.secretFile)
	}
	if _, err := secret(ctx); err != nil {
		return nil, nil, usageError{err}
	}
	// What goes wrong is in the error of the call, so the source has nothing to log.
	tokens, err := clientauth.NewClientCredentials(
		clientauth.Config{TokenURL: c.tokenURL, UserPoolAPI: c.api, ClientID: c.clientID, Secret: secret},
		clientauth.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, nil, usageError{err}
	}
	selection := clientauth.ForMethods(c.command.method)
	if c.command.access == allScopes {
		selection = clientauth.AllClientScopes()
	}
	conn, err := clientauth.NewClient(c.addr, tokens, selection, options...) //nolint:contextcheck // each call has its own context
	if err != nil {
		return nil, nil, errors.Join(usageError{err}, tokens.Close())
	}
	return conn, tokens.Close, nil
}

func (c *config) dialOptions() ([]grpc.DialOption, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca) //nolint:gosec // the user's own file
		if err != nil {
			return nil, fmt.Errorf("-ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("-ca: %s holds no PEM certificate", c.ca)
		}
	}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime}),
	}, nil
}
