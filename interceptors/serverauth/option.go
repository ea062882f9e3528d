// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/tap"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// Option changes what [ForUserPool] and [New] make. What is wrong with options is an
// error of the constructor, which names all of it at once.
//
// Of an option that is given twice nothing is lost in silence. One that switches
// something on, or sets a number, a name, the logger or the HTTP client, counts as it was
// given last.
// [WithReporter], [HealthServer], [OnKeysRotated] and [OnKeysRejected] add up. To give
// another one twice is an error.
type Option interface {
	apply(cfg *config)
}

// VerifierOption changes what [NewVerifier] makes. [ForUserPool] takes it too,
// since it makes a verifier; [New], which is given one, refuses all but [WithLogger].
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

	metadataKey    string
	ownScopes      *ownScopes
	reportOnly     *policy.ReportOnly
	reporters      []Reporter
	checkCall      CheckCallFunc
	revoked        RevokedFunc
	accessFile     string
	early          *earlyRefusal
	cutIdle        bool
	recheckStreams time.Duration
	health         []healthTarget

	errs []error
}

func newConfig(opts []Option) *config {
	cfg := &config{logger: slog.Default(), refusalsBurst: refusalsBurst, metadataKey: authorizationKey}
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
	maxTokenAge   time.Duration // 0: any
	cacheEntries  int           // 0: no cache
	cacheBytes    int64
	lazy          bool
	onRotated     []func(issuer string, added, removed []string)
	onRejected    []func(issuer string, err error)
	logger        *slog.Logger
	now           func() time.Time
	exactClock    bool // for tests that move the clock
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
		cacheEntries:  defaultCacheEntries,
		cacheBytes:    defaultCacheBytes,
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
		switch {
		case p == nil:
			cfg.errs = append(cfg.errs, errors.New("WithPolicy(nil): give a policy or leave the option out"))
		case cfg.policy != nil:
			cfg.errs = append(cfg.errs, errors.New("WithPolicy is given twice: make one policy, which can have the files and rules of both"))
		default:
			cfg.policy = p
		}
	})
}

// AllowInsecureTransport lets calls with tokens come in plaintext from other
// machines. Use it only where something else ends TLS before this server, such as
// a sidecar in the same pod, and say so in reason. Without it such calls end with
// PERMISSION_DENIED, TRANSPORT_INSECURE; loopback, Unix sockets and in-memory connections are always
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

// MetadataKey reads the token from another metadata key than "authorization", for
// services whose authorization metadata carries a user's token: nothing in that counts
// then. The value stays "Bearer TOKEN", in one value. It is the counterpart of the
// client's option of the same name. A name has a-z, 0-9, '-', '_' and '.' only, and is
// none that gRPC or the transport use.
func MetadataKey(name string) Option {
	return optionFunc(func(cfg *config) {
		if err := checkMetadataKey(name); err != nil {
			cfg.errs = append(cfg.errs, err)
			return
		}
		cfg.metadataKey = name
	})
}

// checkMetadataKey refuses keys that gRPC or the transport use or change.
func checkMetadataKey(name string) error {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return fmt.Errorf("MetadataKey %q is no metadata key: use a-z, 0-9, '-', '_' and '.'", clip(name))
		}
	}
	switch {
	case name == "":
		return errors.New("MetadataKey is empty")
	case strings.HasPrefix(name, "grpc-"), strings.HasSuffix(name, "-bin"):
		return fmt.Errorf("MetadataKey %q: gRPC reserves grpc-... and encodes ...-bin", clip(name))
	case slices.Contains([]string{"content-type", "te", "user-agent", "host", "connection"}, name):
		return fmt.Errorf("MetadataKey %q belongs to the transport", name)
	default:
		return nil
	}
}

// OwnScopesOnly refuses tokens that carry scopes of resource servers that are not this
// server's, with PERMISSION_DENIED, FOREIGN_SCOPE: M2M tokens of Cognito have no audience, and a token that
// opens several servers can be used by each of them at the others. Clients that ask for
// the scopes they need, as clientauth.ForMethods does, are not affected. Together with
// [ReportOnly] it only reports.
//
// The server's own resource servers are those that the rules of its registered services
// name, learnt by the first [Authorizer.Serve] or [Authorizer.CheckServer]; or those that
// are given here. While they are not known, every token is refused.
func OwnScopesOnly(resourceServers ...string) Option {
	return optionFunc(func(cfg *config) {
		if cfg.ownScopes != nil {
			cfg.errs = append(cfg.errs, errors.New("OwnScopesOnly is given twice: name all resource servers in one"))
			return
		}
		cfg.ownScopes = &ownScopes{}
		if len(resourceServers) == 0 {
			return
		}
		for _, s := range resourceServers {
			if strings.TrimSpace(s) == "" {
				cfg.errs = append(cfg.errs, errors.New("OwnScopesOnly has an empty resource server: is its environment variable set?"))
			}
		}
		own := slices.Clone(resourceServers)
		cfg.ownScopes.servers.Store(&own)
	})
}

// WithReporter adds a [Reporter], which is told each decision. Several are told one after
// the other, in the order in which they were given.
func WithReporter(r Reporter) Option {
	return optionFunc(func(cfg *config) {
		if r == nil {
			cfg.errs = append(cfg.errs, errors.New("WithReporter(nil): leave the option out"))
			return
		}
		cfg.reporters = append(cfg.reporters, r)
	})
}

// CheckCall adds a check of the server's own, after scopes: see [CheckCallFunc]. It is
// not asked about public methods.
func CheckCall(f CheckCallFunc) Option {
	return optionFunc(func(cfg *config) {
		if f == nil || cfg.checkCall != nil {
			cfg.errs = append(cfg.errs, errors.New("CheckCall needs one function, once"))
			return
		}
		cfg.checkCall = f
	})
}

// CheckRevoked asks f about the caller of each call that needs a token, remembered
// tokens included. A revoked token ends TOKEN_REVOKED, an error REVOCATION_UNAVAILABLE:
// nothing passes that f did not let pass. Open streams are asked about with
// [RecheckStreams].
func CheckRevoked(f RevokedFunc) Option {
	return optionFunc(func(cfg *config) {
		if f == nil || cfg.revoked != nil {
			cfg.errs = append(cfg.errs, errors.New("CheckRevoked needs one function, once"))
			return
		}
		cfg.revoked = f
	})
}

// AccessFile reads a list of denied and allowed callers from a file, which may be
// changed while the server runs: see docs/access-file.md. The file is read every second.
// A call that begins 2 seconds after a change is decided by the new list, remembered
// tokens included, and a stream that the new list denies delivers no message 3 seconds
// after it. A file that cannot be used is an error at start; later the last good list
// stays, and [Stats] says why. A principal that a [TokenVerifier] of the user's own made
// is refused with REVOCATION_UNAVAILABLE if it has no issuer, since the list could not
// name it. Close the [Authorizer] at the end.
func AccessFile(path string) Option {
	return optionFunc(func(cfg *config) {
		if path == "" || cfg.accessFile != "" {
			cfg.errs = append(cfg.errs, errors.New("AccessFile needs one path, once"))
			return
		}
		cfg.accessFile = path
	})
}

// RefuseBeforeDecoding answers calls without a good token, or without a scope, on
// their header frame: before gRPC reads and decodes the message. It is recommended for
// servers that strangers can reach. What would have to wait (an unknown key, a function
// of the user's, a TokenVerifier of another kind) is left to the interceptors.
//
// Such a refusal has no www-authenticate trailer and is not seen by stats handlers; a
// [Reporter] is told. gRPC takes one tap handle only: give your own here, all of them at
// once and in their order, and they are run for the calls that pass.
//
// A call that is refused so keeps about 300 bytes of memory until its deadline, which the
// caller chooses: gRPC does not end its context. 65,536 such calls are the bound, see
// [Stats]. A stranger who holds so many, with deadlines years ahead, turns
// early refusal off for calls with a deadline until those deadlines pass, or the server
// starts anew: the interceptors then refuse such calls, after their message was read and
// decoded. Nothing passes by it. Calls without a deadline hold nothing and are still
// refused early.
func RefuseBeforeDecoding(then ...tap.ServerInHandle) Option {
	return optionFunc(func(cfg *config) {
		if cfg.early != nil {
			cfg.errs = append(cfg.errs, errors.New("RefuseBeforeDecoding is given twice: give all tap handles to one, in the order in which they shall run"))
			return
		}
		for _, handle := range then {
			if handle == nil {
				cfg.errs = append(cfg.errs, errors.New("RefuseBeforeDecoding was given a nil handle"))
			}
		}
		cfg.early = &earlyRefusal{then: slices.Clone(then)}
	})
}

// CutIdleStreams wakes a stream whose token's time is over although no message comes:
// its context ends, Recv returns. gRPC then tells the caller CANCELED, with the reason
// in the trailer "scopeauth-reason". Without it the next message ends the stream, with
// UNAUTHENTICATED. It has no effect behind [grpc.Server.ServeHTTP].
func CutIdleStreams() Option {
	return optionFunc(func(cfg *config) { cfg.cutIdle = true })
}

// RecheckStreams looks at each open stream this often: whether the key of its token is
// still published, its client still allowed, and its token not revoked. A stream that
// fails ends as if its token's time were over. Each look takes about a microsecond. The
// function of [CheckRevoked] is asked beside it, once at a time, and has 5 s: then the
// stream ends with REVOCATION_UNAVAILABLE. Default: no look but for the token's time;
// with [AccessFile] every second, and the file is asked every second whatever is set
// here. At least 100 ms.
func RecheckStreams(every time.Duration) Option {
	return optionFunc(func(cfg *config) {
		if every < minRecheck {
			cfg.errs = append(cfg.errs, errors.New("RecheckStreams must be 100 ms at least"))
			return
		}
		cfg.recheckStreams = every
	})
}

const (
	minRecheck     = 100 * time.Millisecond
	defaultRecheck = time.Second
)
