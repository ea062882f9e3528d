// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
)

// ClientCredentials is a [TokenSource] that gets tokens with the client_credentials
// grant and keeps one for each set of scopes.
//
// A token is renewed after 75 to 85 % of its life, in the background, by the first
// call that comes then; calls go on with the old token meanwhile, and also while
// the token endpoint is down, until shortly before it ends. A source that is not
// used fetches nothing; see [KeepWarm] for renewals by a timer. A token that has ended
// by the machine's time of day alone, as after its sleep, is renewed while calls wait up
// to 1 s, and then used: the time may be wrong.
//
// There is at most one fetch per set of scopes at a time, and all who wait share its
// outcome, also a failure; after a failure callers without a token fail at once until the
// next try is due, in 0.5 to 10 s for what may pass, in up to 33 s if the token endpoint
// asks for it, and in 30 s to 5.5 min for a refusal. A [SecretFunc] that returns another secret ends the pause after a refusal and after a
// secret that could not be read.
//
// [WithReporter] tells each fetch, and [ClientCredentials.Stats] counts.
//
// A ClientCredentials is safe for concurrent use. Call [ClientCredentials.Close]
// when it is no longer needed.
type ClientCredentials struct {
	exchange   exchange
	secrets    secrets
	preferNext atomic.Bool // the second secret is the one that worked last
	cfg        *config
	clock      clock
	closed     atomic.Bool
	closing    chan struct{}

	// sets is replaced whole, so that readers need no lock.
	sets atomic.Pointer[map[string]*tokenSet]

	mu      sync.Mutex
	flights map[*flight]struct{} // those that run

	counts counts
}

// NewClientCredentials returns a source for one app client. It makes no request.
func NewClientCredentials(cfg Config, opts ...Option) (*ClientCredentials, error) {
	options, err := newConfig(forSource, opts)
	if err != nil {
		return nil, err
	}
	target, err := cfg.endpoint(options)
	if err != nil {
		return nil, err
	}
	if err := checkClientID(cfg.ClientID, options.authStyle); err != nil {
		return nil, err
	}
	if cfg.Secret == nil {
		return nil, usageError("clientauth: Config.Secret is nil: use StaticSecret, SecretFromEnv, SecretFromFile or a function")
	}
	functions := []SecretFunc{cfg.Secret}
	if cfg.NextSecret != nil {
		functions = append(functions, cfg.NextSecret)
	}
	if options.transport == nil {
		options.transport = newTransport()
	}
	c := &ClientCredentials{
		exchange: exchange{
			endpoint: target, clientID: cfg.ClientID, style: options.authStyle, transport: options.transport,
			api: cfg.UserPoolAPI != "", untyped: options.untypedTokens,
		},
		secrets: secrets{funcs: functions},
		cfg:     options,
		closing: make(chan struct{}),
		flights: map[*flight]struct{}{},
	}
	c.clock.begin(time.Now())
	c.sets.Store(&map[string]*tokenSet{})
	return c, nil
}

// endpoint checks where the tokens come from.
func (cfg Config) endpoint(options *config) (endpoint, error) {
	switch {
	case cfg.UserPoolAPI == "" && isUserPoolAPI(cfg.TokenURL):
		return endpoint{}, usageError("clientauth: Config.TokenURL is the Cognito API of a region: set Config.UserPoolAPI instead, or TokenURL to the token endpoint of the user pool's domain")
	case cfg.UserPoolAPI == "":
		return newEndpoint(cfg.TokenURL)
	case cfg.TokenURL != "":
		return endpoint{}, usageError("clientauth: Config.TokenURL and Config.UserPoolAPI are both set: tokens come from one of them")
	case options.authStyle != AuthStyleAuto:
		return endpoint{}, usageError("clientauth: WithAuthStyle is for a token endpoint: GetClientToken of Config.UserPoolAPI has one form")
	}
	return newAPIEndpoint(cfg.UserPoolAPI)
}

func checkClientID(id string, style AuthStyle) error {
	if id == "" {
		return usageError("clientauth: Config.ClientID is empty")
	}
	for _, b := range []byte(id) {
		if b <= ' ' || b > '~' {
			return usageError("clientauth: Config.ClientID has characters other than printable ASCII without spaces")
		}
	}
	if style == AuthStyleBasic && strings.Contains(id, ":") {
		return usageError("clientauth: Config.ClientID has a colon, which a Basic header cannot carry: use AuthStyleBody")
	}
	return nil
}

// Token returns a token for req.Scopes: at once if one is at hand, else it waits
// for the token endpoint until ctx ends.
//
// If req.Rejected is the token that is held now, one fetch is forced. Other callers
// keep using the held token meanwhile: a server with a broken check must not stop
// the calls to all others. There is at most one forced fetch in 60 s for each set of
// scopes; in between the answer is an error with [ReasonRejected].
//
// Every error is an [Error].
func (c *ClientCredentials) Token(ctx context.Context, req Request) (Token, error) {
	set, err := c.set(req.Scopes)
	if err != nil {
		return Token{}, err
	}
	return c.tokenOf(ctx, set, req.Rejected)
}

// tokenOf is Token for a set of scopes that was looked up.
func (c *ClientCredentials) tokenOf(ctx context.Context, set *tokenSet, rejected Token) (Token, error) {
	if err := c.refuse(ctx); err != nil {
		return Token{}, err
	}
	held := set.current.Load()
	mono, wall := c.clock.hands()
	if held != nil && mono < held.refreshAt && wall < held.over && rejected.IsZero() {
		return held.use(), nil
	}
	held, err := c.obtain(ctx, set, want{rejected: rejected})
	if err != nil {
		return Token{}, err
	}
	return held.use(), nil
}

// refuse returns the error of a call that gets no token, or nil.
func (c *ClientCredentials) refuse(ctx context.Context) error {
	if c.closed.Load() {
		return closedError()
	}
	if err := ctx.Err(); err != nil {
		return contextError(err)
	}
	return nil
}

// obtain returns a token that is usable, which may have to be fetched.
func (c *ClientCredentials) obtain(ctx context.Context, set *tokenSet, w want) (*entry, error) {
	held := set.current.Load()
	mono, wall := c.clock.hands()
	switch {
	case held == nil || mono >= held.hardAt:
		return c.await(ctx, set, w)
	case !w.rejected.IsZero() && held.token.same(w.rejected):
		return c.await(ctx, set, w)
	case wall >= held.over:
		held, err := c.replaceSuspect(ctx, set, held)
		if err != nil || c.clock.mono() < held.hardAt {
			return held, err
		}
		return c.await(ctx, set, w)
	case mono >= held.refreshAt && int64(mono) >= set.quietUntil.Load():
		c.renew(set) //nolint:contextcheck // a flight has no context of a caller
	}
	return held, nil
}

// closePatience is how long Close waits for requests that it gave up.
const closePatience = 2 * time.Second

// Close gives up the token requests that are under way and waits up to 2 s for them,
// their log records and reports. Those who wait for a token, and all who ask later, get
// CANCELED. Close may be called again; it is an error only if something has still not
// ended, because a secret function or a transport of the user's own does not heed its
// context, or a log handler or [Reporter] hangs or has called Close itself.
func (c *ClientCredentials) Close() error {
	c.mu.Lock()
	if !c.closed.Swap(true) {
		close(c.closing)
	}
	var running []*flight
	for f := range c.flights {
		running = append(running, f)
	}
	c.mu.Unlock()

	for _, set := range *c.sets.Load() {
		set.silence()
	}
	for _, f := range running {
		f.cancel()
	}
	patience := time.NewTimer(closePatience)
	defer patience.Stop()
	for _, f := range running {
		select {
		case <-f.over:
		case <-patience.C:
			return errStillRunning
		}
	}
	return nil
}

var errStillRunning = fmt.Errorf("clientauth: a token request did not end within %v of Close: its secret function or transport ignores its context, or a log handler or Reporter hangs", closePatience)

// Format writes the endpoint and the client id, whatever the verb.
func (c *ClientCredentials) Format(f fmt.State, _ rune) {
	if c == nil {
		_, _ = f.Write([]byte("clientauth.ClientCredentials(nil)"))
		return
	}
	_, _ = fmt.Fprintf(f, "clientauth.ClientCredentials(%s, client %s)", c.exchange.endpoint.shown, c.exchange.clientID)
}

// set returns the state for a set of scopes, whose order does not matter.
func (c *ClientCredentials) set(scopes []string) (*tokenSet, error) {
	if !sortedSet(scopes) {
		scopes = slices.Compact(slices.Sorted(slices.Values(scopes)))
	}
	// A key of the usual size stays on the stack.
	var space [256]byte
	key := appendKey(space[:0], scopes)
	if set, ok := (*c.sets.Load())[string(key)]; ok {
		return set, nil
	}
	return c.addSet(string(key), scopes)
}

func (c *ClientCredentials) addSet(key string, scopes []string) (*tokenSet, error) {
	for _, scope := range scopes {
		if !validScope(scope) {
			return nil, &Error{
				reason: ReasonScopes, code: codes.Internal,
				text: fmt.Sprintf("%q is no scope: RFC 6749, section 3.3, allows printable ASCII without space, quote and backslash", printable(scope, 100)),
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	sets := *c.sets.Load()
	if set, ok := sets[key]; ok {
		return set, nil
	}
	if len(sets) >= c.cfg.maxScopeSets {
		return nil, &Error{
			reason: ReasonScopeSets, code: codes.Internal,
			text: fmt.Sprintf("there are tokens for %d different sets of scopes already", len(sets)),
			hint: "let connections share a set, or raise MaxScopeSets; each set is a stream of paid tokens",
		}
	}
	more := maps.Clone(sets)
	set := &tokenSet{scopes: slices.Clone(scopes)}
	more[key] = set
	c.sets.Store(&more)
	return set, nil
}

// sortedSet reports whether the names are sorted and different.
func sortedSet(names []string) bool {
	for i := 1; i < len(names); i++ {
		if names[i-1] >= names[i] {
			return false
		}
	}
	return true
}

// appendKey writes a name for a set of scopes. Lengths keep {"a b"} and {"a", "b"} apart.
func appendKey(key []byte, scopes []string) []byte {
	for _, scope := range scopes {
		key = binary.AppendUvarint(key, uint64(len(scope)))
		key = append(key, scope...)
	}
	return key
}

// validScope checks a scope-token of RFC 6749, section 3.3.
func validScope(scope string) bool {
	for _, c := range []byte(scope) {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return scope != ""
}
