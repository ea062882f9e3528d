// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// Option changes what [ForUserPool] and [New] make.
type Option interface {
	apply(cfg *config)
}

// VerifierOption changes what [NewVerifier] makes. [ForUserPool] takes it too,
// since it makes a verifier; [New] refuses it, since it is given one.
type VerifierOption interface {
	Option
	applyVerifier(cfg *verifierConfig)
}

type config struct {
	policy        *policy.Policy
	publicHealth  bool
	allowInsecure string // the reason; not empty if plaintext is allowed
	logger        *slog.Logger
	verifier      []VerifierOption
	refusalsBurst int  // lines of one reason at once
	verifierOnly  bool // an option was given that only a verifier can follow
	errs          []error
}

func newConfig(opts []Option) *config {
	cfg := &config{logger: slog.Default(), refusalsBurst: refusalsBurst}
	for _, o := range opts {
		if o == nil {
			cfg.errs = append(cfg.errs, errNilOption)
			continue
		}
		o.apply(cfg)
	}
	return cfg
}

type verifierConfig struct {
	client        *http.Client
	maxTokenBytes int
	clockSkew     time.Duration
	maxLifetime   time.Duration
	logger        *slog.Logger
	now           func() time.Time
	errs          []error
}

const (
	defaultClockSkew = 30 * time.Second
	maxClockSkew     = 5 * time.Minute
	// maxTokenBytesLimit leaves room for the other headers of a call.
	maxTokenBytesLimit = 30 << 10
	// maxLifetime is the longest access token validity that Cognito can be set to
	// (CreateUserPoolClient, AccessTokenValidity).
	maxLifetime = 24 * time.Hour
)

func newVerifierConfig(opts []VerifierOption) verifierConfig {
	cfg := verifierConfig{
		maxTokenBytes: jose.DefaultMaxBytes,
		clockSkew:     defaultClockSkew,
		maxLifetime:   maxLifetime,
		logger:        slog.Default(),
		now:           time.Now,
	}
	for _, o := range opts {
		if o == nil {
			cfg.errs = append(cfg.errs, errNilOption)
			continue
		}
		o.applyVerifier(&cfg)
	}
	return cfg
}

var errNilOption = errors.New("an option is nil: leave it out")

type optionFunc func(*config)

func (f optionFunc) apply(cfg *config) { f(cfg) }

type verifierOptionFunc func(*verifierConfig)

func (f verifierOptionFunc) apply(cfg *config) {
	cfg.verifier = append(cfg.verifier, f)
	cfg.verifierOnly = true
}

func (f verifierOptionFunc) applyVerifier(cfg *verifierConfig) { f(cfg) }

// loggerOption serves both sides: the authorizer logs refusals, the verifier what
// happens to the keys.
type loggerOption struct{ logger *slog.Logger }

func (o loggerOption) apply(cfg *config) {
	cfg.logger = o.logger
	cfg.verifier = append(cfg.verifier, o)
}

func (o loggerOption) applyVerifier(cfg *verifierConfig) { cfg.logger = o.logger }

// PublicHealth opens Check and Watch of grpc.health.v1.Health, and nothing else, to
// callers without a token: load balancers and kubelets have none. List needs any
// valid token, since it names the server's services.
func PublicHealth() Option {
	return optionFunc(func(cfg *config) { cfg.publicHealth = true })
}

// WithPolicy gives [ForUserPool] the access rules. Default: [policy.New] with the
// descriptors that are linked into the program.
func WithPolicy(p *policy.Policy) Option {
	return optionFunc(func(cfg *config) {
		if p == nil {
			cfg.errs = append(cfg.errs, errors.New("WithPolicy(nil): give a policy or leave the option out"))
			return
		}
		cfg.policy = p
	})
}

// WithLogger sets where refusals and changes of keys are logged. Default:
// [slog.Default]; nil: nowhere. Each reason is logged once a second on average, after
// ten lines at once; a line says how many were left out. No token is ever logged.
func WithLogger(l *slog.Logger) VerifierOption {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return loggerOption{logger: l}
}

// AllowInsecureTransport lets calls with tokens come in plaintext from other
// machines. Use it only where something else ends TLS before this server, such as
// a sidecar in the same pod, and say so in reason. Without it such calls end with
// TRANSPORT_INSECURE; loopback, Unix sockets and in-memory connections are always
// allowed (a Unix socket behind ServeHTTP does not show as one). Handshakes that do not
// tell gRPC their security level count as plaintext.
func AllowInsecureTransport(reason string) Option {
	return optionFunc(func(cfg *config) {
		if strings.TrimSpace(reason) == "" {
			cfg.errs = append(cfg.errs, errors.New(`AllowInsecureTransport needs a reason, such as "the sidecar ends TLS"`))
		}
		cfg.allowInsecure = reason
	})
}

// MaxTokenBytes sets the longest token that is looked at. Default: 8192; at most
// 30720, which fits into the headers that [Authorizer.ServerOptions] lets a call have.
func MaxTokenBytes(n int) VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) {
		if n < 1 || n > maxTokenBytesLimit {
			cfg.errs = append(cfg.errs, errors.New("MaxTokenBytes must be 1 to 30720"))
			return
		}
		cfg.maxTokenBytes = n
	})
}

// ClockSkew sets by how much this machine's clock and the issuer's may differ when
// times are checked. Default: 30 s; at most 5 min (RFC 7519 section 4.1.4 speaks of
// a few minutes).
func ClockSkew(d time.Duration) VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) {
		if d < 0 || d > maxClockSkew {
			cfg.errs = append(cfg.errs, errors.New("ClockSkew must be 0 to 5 minutes"))
			return
		}
		cfg.clockSkew = d
	})
}

// WithHTTPClient fetches keys through the client's Transport, for a proxy or
// private roots, and for tests. Deadlines, body limit and the refusal of redirects
// stay those of this package.
func WithHTTPClient(c *http.Client) VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) { cfg.client = c })
}
