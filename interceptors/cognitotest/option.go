// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"crypto/tls"
	"time"
)

// Option configures [NewServer].
type Option interface{ apply(o *options) }

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

type options struct {
	addr          string
	url           string
	noListener    bool
	tls           *tls.Config
	plainAnywhere bool
	pools         []Pool
	files         []string
	poolsGiven    bool // by option or file; set when the options are resolved
	keys          []KeyPair
	lifetime      time.Duration
	lifetimeSet   bool
	clock         func() time.Time
	scopes        ScopeHandling
	throttle      int
	cacheControl  string
	state         string
	stateErrors   func(error)

	answers Answers
	trigger preTokenGeneration
	console bool
}

// WithAddr sets the address to listen on. The default is 127.0.0.1:0, a free
// port. An address that is not loopback needs [WithTLS] or
// [WithPlaintextOnNonLoopbackAddress].
func WithAddr(addr string) Option {
	return optionFunc(func(o *options) { o.addr = addr })
}

// WithTLS serves HTTPS with the given certificates. The configuration is cloned.
func WithTLS(cfg *tls.Config) Option {
	return optionFunc(func(o *options) { o.tls = cfg })
}

// WithPlaintextOnNonLoopbackAddress allows an address that other machines can
// reach although secrets and tokens then cross the network readable. It is for
// containers whose port is published on the host's loopback only.
func WithPlaintextOnNonLoopbackAddress() Option {
	return optionFunc(func(o *options) { o.plainAnywhere = true })
}

// WithURL sets what [Server.URL] returns and what all URLs of the server start with, for
// a server that is reached under another name or port than it listens on.
// No path. The default is made from the listener's address.
func WithURL(url string) Option {
	return optionFunc(func(o *options) { o.url = url })
}

// WithoutListener opens no socket: the server is reached through
// [Server.Transport] only. This is the way inside a testing/synctest bubble,
// where a goroutine that waits for network connections would hold the clock.
// The URL is https://cognito.invalid unless [WithURL] says otherwise.
func WithoutListener() Option {
	return optionFunc(func(o *options) { o.noListener = true })
}

// WithPool adds a user pool. It can be given several times; together with
// [WithConfigFile] the file's pools come at the option's place. Without any
// pool the server has [DemoPool].
func WithPool(p Pool) Option {
	return optionFunc(func(o *options) { o.pools = append(o.pools, p) })
}

// WithConfigFile adds the pools of a JSON file, and chooses the answers that it
// names and [WithAnswers] and files before it do not. See the package comment for its form.
func WithConfigFile(path string) Option {
	return optionFunc(func(o *options) { o.files = append(o.files, path) })
}

// WithKeys gives ready signing keys to the pools that have none of their own,
// in the order of the pools. Together with [GenerateKeys], called once for a
// test binary, it makes starting a server take less than a millisecond.
func WithKeys(pairs ...KeyPair) Option {
	return optionFunc(func(o *options) { o.keys = append(o.keys, pairs...) })
}

// WithTokenLifetime sets the validity of all access tokens, of every client,
// in whole seconds from 1 second to 24 hours. Unlike Cognito's own setting it
// may be shorter than 5 minutes, for tests of expiry; it is not in the config file.
func WithTokenLifetime(d time.Duration) Option {
	return optionFunc(func(o *options) { o.lifetime, o.lifetimeSet = d, true })
}

// WithClock sets the clock of tokens and of the throttle. The default is
// time.Now. It must be safe for concurrent use. Waiting in faults uses real time.
func WithClock(now func() time.Time) Option {
	return optionFunc(func(o *options) { o.clock = now })
}

// WithDisallowedScopes sets what pools do with disallowed scopes unless they
// say it themselves. The default is [DropScopes].
func WithDisallowedScopes(h ScopeHandling) Option {
	return optionFunc(func(o *options) { o.scopes = h })
}

// WithThrottle refuses token requests beyond perSecond with status 429 (see [Answers]), over
// all pools together as Cognito's ClientAuthentication quota does (150 there), and
// GetClientToken with TooManyRequestsException. Both count for both.
// It follows the clock of [WithClock]. The default is no throttle.
func WithThrottle(perSecond int) Option {
	return optionFunc(func(o *options) { o.throttle = perSecond })
}

// WithJWKSCacheControl sets the Cache-Control header of JWKS answers. The
// default is none: nothing is documented about it.
func WithJWKSCacheControl(value string) Option {
	return optionFunc(func(o *options) { o.cacheControl = value })
}
