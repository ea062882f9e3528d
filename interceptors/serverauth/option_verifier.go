// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// WithLogger sets where refusals, changes of keys and faults of the access file are
// logged; it is the one option that [NewVerifier] and [New] both take. Default:
// [slog.Default]; nil: nowhere. Each reason is logged once a second on average, after
// ten lines at once; a line says how many were left out. No token is ever logged.
//
// A call that the interceptors refuse waits until its line is written. Nothing else waits
// for the log: refusals on the header frame, the watch over open streams, the fetching of
// keys and the reading of the access file go on while it hangs. At most 64 lines of each
// wait meanwhile, and more are left out. The handler's Enabled must return at once.
func WithLogger(l *slog.Logger) VerifierOption {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return loggerOption{logger: l}
}

// loggerOption serves both sides: the authorizer logs refusals, the verifier what
// happens to the keys.
type loggerOption struct{ logger *slog.Logger }

func (o loggerOption) apply(cfg *config) {
	cfg.logger = o.logger
	cfg.verifier = append(cfg.verifier, o)
}

func (o loggerOption) applyVerifier(cfg *verifierConfig) { cfg.logger = o.logger }

// MaxTokenBytes sets the longest token that is looked at, in bytes; a longer one ends
// TOKEN_TOO_LARGE. Default: 8192; at most 30720, which fits into the headers that
// [Authorizer.ServerOptions] lets a call have.
func MaxTokenBytes(n int) VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) {
		if n < 1 || n > maxTokenBytesLimit {
			cfg.errs = append(cfg.errs, errors.New("MaxTokenBytes must be 1 to 30720"))
			return
		}
		cfg.maxTokenBytes = n
	})
}

// MaxTokenAge refuses tokens that were issued longer ago, whatever their exp says:
// cached ones and those of open streams too. They end TOKEN_EXPIRED. The age counts from
// the iat claim, and the clock skew is allowed for. Default: no bound but exp; Cognito
// lets a token live for 24 hours at most (CreateUserPoolClient, AccessTokenValidity).
func MaxTokenAge(d time.Duration) VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) {
		if d <= 0 {
			cfg.errs = append(cfg.errs, errors.New("MaxTokenAge must be more than 0: leave it out for tokens of any age"))
			return
		}
		cfg.maxTokenAge = d
	})
}

// ClockSkew sets by how much this machine's clock and the issuer's may differ when
// times are checked, which is how much longer and earlier than it says a token is taken.
// Default: 30 s; 0 to 5 min (RFC 7519 section 4.1.4 speaks of a few minutes).
func ClockSkew(d time.Duration) VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) {
		if d < 0 || d > maxClockSkew {
			cfg.errs = append(cfg.errs, errors.New("ClockSkew must be 0 to 5 minutes"))
			return
		}
		cfg.clockSkew = d
	})
}

// CacheLimits bounds how many verified tokens are remembered, and how many bytes they
// take. Default: 10,000 tokens, 64 MiB; at most 10,000,000 tokens. When either is
// reached, the client with most tokens loses one of its own; a token that is larger than
// maxBytes is verified anew by each call. Remembered tokens stay in memory, as gRPC keeps
// them for a connection anyway. Of CacheLimits and [WithoutCache] the one given last
// counts.
//
// The bytes are an estimate, and a bound for usual tokens: two times the token's length,
// 16 bytes for each scope in each of two lists (all that the token carries, and those that
// count), which is 32 bytes a scope, and 1 KiB. A list counts with the room that it has,
// which can be up to twice what it needs.
func CacheLimits(maxTokens int, maxBytes int64) VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) {
		if maxTokens < 1 || maxTokens > maxCacheEntries || maxBytes < 1 {
			cfg.errs = append(cfg.errs, errors.New("CacheLimits must be 1 to 10000000 tokens and 1 byte at least; to have no cache use WithoutCache"))
			return
		}
		cfg.cacheEntries, cfg.cacheBytes = maxTokens, maxBytes
	})
}

// WithoutCache verifies each call's token anew, at some 30 µs of CPU a call; calls that
// come at the same time with the same token still share one check.
func WithoutCache() VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) { cfg.cacheEntries = 0 })
}

// LazyStart lets [NewVerifier] and [ForUserPool] return before the keys are fetched.
// Until they are, calls that need a token end UNAVAILABLE, with KEYS_UNAVAILABLE, and
// [Verifier.Ready] is false. Without it, keys that cannot be fetched are an error at start.
func LazyStart() VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) { cfg.lazy = true })
}

// OnKeysRotated is told when an issuer's keys changed, with the sorted key ids that
// came and went; a key id whose key changed is in both. The first keys are no change. f
// is called by the goroutine that fetches the issuer's keys, so it must return soon, must
// not close the [Verifier], and must be safe for concurrent use if there are several
// issuers. Given more than once, each function is told, in that order.
func OnKeysRotated(f func(issuer string, added, removed []string)) VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) {
		if f == nil {
			cfg.errs = append(cfg.errs, errors.New("OnKeysRotated(nil): leave the option out"))
			return
		}
		cfg.onRotated = append(cfg.onRotated, f)
	})
}

// OnKeysRejected is told when an issuer answered with a document that is not an
// acceptable key set; the keys stay as they were. It is called as the function of
// [OnKeysRotated] is, and adds up as that does.
func OnKeysRejected(f func(issuer string, err error)) VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) {
		if f == nil {
			cfg.errs = append(cfg.errs, errors.New("OnKeysRejected(nil): leave the option out"))
			return
		}
		cfg.onRejected = append(cfg.onRejected, f)
	})
}

// WithHTTPClient fetches keys through the client's Transport, for a proxy or
// private roots, and for tests. Deadlines, body limit and the refusal of redirects
// stay those of this package. Default, also for nil: a transport that minds the proxy of
// the environment ([http.ProxyFromEnvironment]) and takes TLS 1.2 or later.
func WithHTTPClient(c *http.Client) VerifierOption {
	return verifierOptionFunc(func(cfg *verifierConfig) { cfg.client = c })
}
