// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/scopeauth/scopeauth/examples/fileserver/envflag"
	"github.com/scopeauth/scopeauth/examples/fileserver/files"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// config is what the command line and the environment say.
type config struct {
	addr, root                  string
	userPoolID, issuer, jwksURL string
	clients                     clientList
	tlsCert, tlsKey, caOut      string
	maxFileSize                 byteSize
	drainTimeout                duration
}

func (c *config) flags() *envflag.Set {
	c.maxFileSize = files.DefaultMaxFileSize
	c.drainTimeout = duration(10 * time.Second)
	s := envflag.New()
	s.String(&c.addr, "addr", "ADDR", "HOST:PORT", "127.0.0.1:8443", "Where to listen. Port 0 takes a free one.")
	s.String(&c.root, "root", "FILES_ROOT", "DIR", "", "The directory of the files. It must exist, and belong to this server alone. Required.")
	s.String(&c.userPoolID, "user-pool-id", "COGNITO_USER_POOL_ID", "ID", "", "The Cognito user pool whose tokens are accepted. Required, unless -issuer is given.")
	s.String(&c.issuer, "issuer", "COGNITO_ISSUER", "URL", "", "The iss claim of the tokens, if it is not the pool's own in Cognito.\nOnly for another place than Amazon Cognito, such as the embedded one.")
	s.String(&c.jwksURL, "jwks-url", "COGNITO_JWKS_URL", "URL", "", "Where that issuer's keys are. Only with -issuer; by default its URL with /.well-known/jwks.json.")
	s.Value(&c.clients, "clients", "COGNITO_CLIENTS", "LIST", "The app clients that may call: ID or NAME=ID, with commas between them.\nThe names show in the log. '*' lets every app client of the pool call, as far as its scopes go. Required.")
	s.String(&c.tlsCert, "tls-cert", "TLS_CERT", "FILE", "", "The server's certificate and what leads to its root, as PEM. Without it the server\nmakes a certificate for localhost, 127.0.0.1 and ::1, valid for 24 hours.")
	s.String(&c.tlsKey, "tls-key", "TLS_KEY", "FILE", "", "The certificate's private key, as PEM.")
	s.String(&c.caOut, "ca-out", "CA_OUT", "FILE", "", "Where to write the certificate that the server made, without its key, for the -ca of fileclient.")
	s.Value(&c.maxFileSize, "max-file-size", "MAX_FILE_SIZE", "BYTES", "The most that a file may have: bytes, or a number with KiB, MiB or GiB.")
	s.Value(&c.drainTimeout, "drain-timeout", "DRAIN_TIMEOUT", "DURATION", "How long calls may take to end after SIGTERM or SIGINT, before they are cut off.")
	return s
}

func help() string {
	return `fileserver serves the demonstration file store over gRPC. Callers need an access
token of a Cognito user pool, with the scopes that proto/demo/files/v1/files.proto
asks for.

Usage: fileserver -root DIR -user-pool-id ID -clients LIST [flags]

Each flag can be set by a variable of the environment too; the flag wins.

` + new(config).flags().Help() + `
The server prints "fileserver: listening on HOST:PORT" once it listens, and logs to
standard error. Its health service is open to callers without a token.

Exit codes: 0 after SIGTERM or SIGINT, 64 for a wrong command line or configuration,
69 if the issuer's keys cannot be fetched or the address is taken, 1 for anything else.
`
}

// parse reads the configuration. It returns flag.ErrHelp if help is asked for.
func parse(args []string, env func(string) string) (*config, error) {
	c := &config{}
	set := c.flags()
	if err := set.Parse(args, env); err != nil {
		return nil, err
	}
	if extra := set.Args(); len(extra) > 0 {
		return nil, fmt.Errorf("%q is no flag: there is nothing but flags", extra[0])
	}
	return c, c.check()
}

// check returns everything that is wrong, a line each.
func (c *config) check() error {
	var faults []error
	fault := func(wrong bool, text string) {
		if wrong {
			faults = append(faults, errors.New(text))
		}
	}
	fault(c.addr == "", "-addr (or ADDR) is empty: give HOST:PORT")
	fault(c.root == "", "-root (or FILES_ROOT) is not set: give the directory of the files")
	fault(!c.clients.decided(), "-clients (or COGNITO_CLIENTS) is not set: no decision about who may call. List the app clients, as ID or NAME=ID, or give '*' for every app client of the user pool")
	fault(c.userPoolID == "" && c.issuer == "", "-user-pool-id (or COGNITO_USER_POOL_ID) is not set: give the user pool whose tokens are accepted")
	fault(c.jwksURL != "" && c.issuer == "", "-jwks-url (or COGNITO_JWKS_URL) needs -issuer (or COGNITO_ISSUER): for Amazon Cognito give neither")
	fault(c.userPoolID != "" && c.issuer != "" && !strings.HasSuffix(c.issuer, "/"+c.userPoolID), "-user-pool-id and -issuer name different user pools: an issuer ends with \"/\" and the pool's id")
	fault((c.tlsCert == "") != (c.tlsKey == ""), "-tls-cert and -tls-key (or TLS_CERT and TLS_KEY) go together: give both, or neither")
	fault(c.caOut != "" && c.tlsCert != "", "-ca-out (or CA_OUT) is for the certificate that the server makes: leave it out with -tls-cert")
	return errors.Join(faults...)
}

// clientList is the value of -clients.
type clientList struct {
	text  string
	any   bool
	names map[string]string // name -> id; the name of an id without one is the id
}

func (l *clientList) decided() bool  { return l.any || len(l.names) > 0 }
func (l *clientList) String() string { return l.text }

// Set parses the list. Faults are errors; nothing is dropped or guessed.
func (l *clientList) Set(text string) error {
	list := clientList{text: text, names: make(map[string]string)}
	ids := make(map[string]bool)
	if strings.TrimSpace(text) == "*" {
		*l = clientList{text: text, any: true}
		return nil
	}
	for item := range strings.SplitSeq(text, ",") {
		name, id, named := strings.Cut(strings.TrimSpace(item), "=")
		if !named {
			id = name
		}
		switch {
		case name == "" || id == "":
			return fmt.Errorf("%q: an app client is ID or NAME=ID", item)
		case strings.Contains(id, "*"), strings.Contains(name, "*"):
			return errors.New("'*' stands for every app client, so it stands alone")
		case strings.ContainsAny(id, "= \t\r\n"), strings.TrimSpace(name) != name:
			return fmt.Errorf("%q: an app client is ID or NAME=ID, without spaces", item)
		case ids[id]:
			return fmt.Errorf("the app client id %q is given twice", id)
		case list.names[name] != "":
			return fmt.Errorf("the name %q is given to two app clients", name)
		}
		ids[id] = true
		list.names[name] = id
	}
	*l = list
	return nil
}

// set returns the decision in the shape that the library takes.
func (l *clientList) set() serverauth.ClientSet {
	if l.any {
		return serverauth.AnyClient()
	}
	return serverauth.NamedClients(l.names)
}

// byteSize is a positive number of bytes.
type byteSize int64

var units = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

func (b *byteSize) String() string {
	for _, u := range units {
		if n := int64(*b); n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(*b), 10)
}

func (b *byteSize) Set(text string) error {
	number, factor := text, int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(text, u.name); ok {
			number, factor = rest, u.bytes
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/factor {
		return errors.New("want bytes, such as 1048576, or a number with KiB, MiB or GiB, such as 8GiB; one byte or more")
	}
	*b = byteSize(n * factor)
	return nil
}

// duration is a positive time.
type duration time.Duration

func (d *duration) String() string { return time.Duration(*d).String() }

func (d *duration) Set(text string) error {
	v, err := time.ParseDuration(text)
	if err != nil || cmp.Compare(v, 0) <= 0 {
		return errors.New("want a time such as 500ms or 10s, more than nothing")
	}
	*d = duration(v)
	return nil
}
