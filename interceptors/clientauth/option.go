// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// Option changes a token source or a connection. Each says which of the two it is
// for; a constructor refuses the options of the other.
type Option interface {
	apply(cfg *config) error
}

type optionFunc func(cfg *config) error

func (f optionFunc) apply(cfg *config) error { return f(cfg) }

// config is what options set: for a source the first part, for a connection the
// second.
type config struct {
	use    use
	logger *slog.Logger

	transport     http.RoundTripper
	authStyle     AuthStyle
	requireScopes bool
	maxScopeSets  int
	reporters     []Reporter
	spreadWarm    time.Duration
	keepWarm      bool
	waitInBackoff bool
	// untypedTokens takes answers without token_type.
	untypedTokens bool

	policy         *policy.Policy
	insecureReason string
	metadataKey    string
	calls          callConfig
}

// use is what a config is for.
type use string

const (
	forSource     use = "a token source (FromEnv, NewClientCredentials)"
	forConnection use = "a connection (DialOptions, UnaryClientInterceptor, StreamClientInterceptor, PerRPCCredentials)"
)

func newConfig(u use, opts []Option) (*config, error) {
	cfg := &config{use: u, maxScopeSets: defaultMaxScopeSets, metadataKey: "authorization"}
	var errs []error
	for _, opt := range opts {
		if opt != nil {
			errs = append(errs, opt.apply(cfg))
		}
	}
	return cfg, errors.Join(errs...)
}

func option(name string, u use, set func(cfg *config) error) Option {
	return optionFunc(func(cfg *config) error {
		if cfg.use != u {
			// Ignoring it would leave the user with less than was asked for.
			return usageErrorf("clientauth: %s is an option of %s", name, u)
		}
		if err := set(cfg); err != nil {
			return fmt.Errorf("clientauth: %s: %w", name, err)
		}
		return nil
	})
}

// log returns the logger at the time of use, so that a default that the program
// sets later counts.
func (cfg *config) log() *slog.Logger {
	if cfg.logger != nil {
		return cfg.logger
	}
	return slog.Default()
}

// WithLogger sets the logger of a source or a connection. The default is
// slog.Default(). A source logs failed fetches, answers that lack a scope that was
// asked for, missing lifetimes and tokens over 6 KiB: at most one record per fetch and
// finding. It also logs secret files that cannot be used, once for each change. See
// [LogFetches] for a record of each fetch.
func WithLogger(logger *slog.Logger) Option {
	return optionFunc(func(cfg *config) error {
		cfg.logger = logger
		return nil
	})
}

// WithTransport sets what carries a source's token requests, in place of one that
// uses TLS 1.2 or later and the proxy that the environment names. Deadlines, the
// limit of the body and the refusal of redirects stay. The transport must end a
// request when its context ends.
func WithTransport(transport http.RoundTripper) Option {
	return option("WithTransport", forSource, func(cfg *config) error {
		if transport == nil {
			return usageError("the transport is nil")
		}
		cfg.transport = transport
		return nil
	})
}

// AuthStyle is where the client's id and secret go in a token request (RFC 6749,
// section 2.3.1). It is never found out by trial: that doubles the requests and
// hides the first error.
type AuthStyle int

const (
	// AuthStyleAuto sends a Basic header if id and secret consist of 0-9, A-Z,
	// a-z, "_" and "-", as generated ones do, and else puts them in the body. It is
	// the default. In a Basic header other characters are ambiguous: RFC 6749 wants
	// them percent-encoded, the Cognito documentation does not.
	AuthStyleAuto AuthStyle = iota
	// AuthStyleBasic sends base64(id:secret) in the Authorization header, with
	// nothing percent-encoded, as the Cognito documentation, "Token endpoint", says.
	AuthStyleBasic
	// AuthStyleBody sends client_id and client_secret in the body.
	AuthStyleBody
)

// WithAuthStyle fixes where a source's id and secret go. The default is [AuthStyleAuto].
func WithAuthStyle(style AuthStyle) Option {
	return option("WithAuthStyle", forSource, func(cfg *config) error {
		if style < AuthStyleAuto || style > AuthStyleBody {
			return usageErrorf("unknown style %d", style)
		}
		cfg.authStyle = style
		return nil
	})
}

// RequireGrantedScopes makes it an error of a source when a token lacks a scope
// that was asked for, or when its scopes cannot be read. Without it the source logs
// a warning and uses the token. Cognito leaves out what the app client may not
// have, without an error.
func RequireGrantedScopes() Option {
	return option("RequireGrantedScopes", forSource, func(cfg *config) error {
		cfg.requireScopes = true
		return nil
	})
}

// AllowMissingTokenType makes a source take an answer without token_type, which RFC
// 6749, section 5.1, requires and Cognito sends. One with another type than Bearer stays
// an error.
func AllowMissingTokenType() Option {
	return option("AllowMissingTokenType", forSource, func(cfg *config) error {
		cfg.untypedTokens = true
		return nil
	})
}

// defaultMaxScopeSets bounds the tokens, each of which costs money.
const defaultMaxScopeSets = 16

// MaxScopeSets sets for how many different sets of scopes a source keeps a token.
// The default is 16. One set more is an error.
func MaxScopeSets(n int) Option {
	return option("MaxScopeSets", forSource, func(cfg *config) error {
		if n < 1 {
			return usageErrorf("%d is less than 1", n)
		}
		cfg.maxScopeSets = n
		return nil
	})
}

// WithPolicy sets the access rules by which a connection chooses scopes. The
// default is policy.New(): the rules in all linked descriptors.
func WithPolicy(p *policy.Policy) Option {
	return option("WithPolicy", forConnection, func(cfg *config) error {
		if p == nil {
			return usageError("the policy is nil")
		}
		cfg.policy = p
		return nil
	})
}

// AllowInsecureTransport lets a connection send tokens in plaintext, where anybody
// on the way can take them. The reason, such as "the sidecar encrypts", is logged
// as a warning when the connection is made.
func AllowInsecureTransport(reason string) Option {
	return option("AllowInsecureTransport", forConnection, func(cfg *config) error {
		if strings.TrimSpace(reason) == "" {
			return usageError("say why plaintext is safe here")
		}
		cfg.insecureReason = reason
		return nil
	})
}

// MetadataKey makes a connection send the token under another metadata key than
// "authorization". The value stays "Bearer TOKEN".
func MetadataKey(name string) Option {
	return option("MetadataKey", forConnection, func(cfg *config) error {
		if err := checkMetadataKey(name); err != nil {
			return err
		}
		cfg.metadataKey = name
		return nil
	})
}

func checkMetadataKey(name string) error {
	if name == "" {
		return usageError("the key is empty")
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return usageErrorf("%q is no metadata key: use a-z, 0-9, '-', '_' and '.'", printable(name, 64))
		}
	}
	switch {
	case strings.HasPrefix(name, "grpc-"), strings.HasSuffix(name, "-bin"):
		return usageErrorf("%q: gRPC reserves grpc-... and encodes ...-bin", name)
	case name == "content-type", name == "te", name == "user-agent", name == "host", name == "connection":
		return usageErrorf("%q belongs to the transport", name)
	}
	return nil
}
