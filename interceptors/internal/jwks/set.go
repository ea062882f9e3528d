// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/jose"
)

// The bounds of the package comment.
const (
	refreshInterval = 15 * time.Minute
	minMaxAge       = time.Minute
	maxMaxAge       = time.Hour
	maxStale        = 24 * time.Hour
	minRefetch      = 10 * time.Second
	maxWait         = 2 * time.Second
	maxWaiters      = 256
)

var (
	// ErrUnknownKey says that the issuer has no key of that kid. It is final for the
	// token: another token can help, another attempt cannot.
	ErrUnknownKey = errors.New("jwks: the issuer has no key of this kid")
	// ErrUnavailable says that the keys cannot be had at the moment. It is our side's
	// fault, not the token's. Errors that wrap it wrap the cause, too.
	ErrUnavailable = errors.New("jwks: keys unavailable")
)

// Causes of [ErrUnavailable] that are no failed fetch.
var (
	errClosed   = errors.New("the key set is closed")
	errCrowded  = fmt.Errorf("%d callers wait for a fetch already", maxWaiters)
	errTooSlow  = fmt.Errorf("the fetch took longer than %v", maxWait)
	errNoAnswer = errors.New("no answer yet")
	errTooSoon  = fmt.Errorf("a fetch for an unknown kid failed less than %v ago", minRefetch)
)

// errStatic is that of a Config whose static keys cannot be used.
var errStatic = errors.New("jwks: no usable static keys")

// Config says where an issuer's keys are. Only URL is required, and not even that if
// Offline is set.
type Config struct {
	// URL is the key set's address: https, or http on localhost or a loopback
	// address. It has no user information and no fragment. Offline ignores it.
	URL string
	// Client, if not nil, lends its Transport. Redirects, deadline and limits are
	// those of this package all the same.
	Client *http.Client
	// Static, if not nil, is a key set document; what an endpoint could not serve is
	// an error of New. Its keys serve until a fetch succeeds, which replaces all of
	// them: with Offline for ever, with Lazy from the start, else if New had no
	// success. Unless Offline is set, they live 24 hours from New.
	Static []byte
	// Offline makes the static keys, which it needs, the only ones: nothing is ever
	// fetched, they do not age, and a kid that is not among them is unknown at once.
	Offline bool
	// Lazy makes New return at once. Nobody gets a key before the first success,
	// unless there are static keys.
	Lazy bool
	// OnRotate, if not nil, is called after the set of keys changed, with the sorted
	// kids that came and went; a kid that came back with another key is in both. The
	// first set that serves is no change; that can be the static one. OnRotate and
	// OnReject are called by the fetching goroutine, without locks: like OnReady, they
	// must return soon, must not call Close, and can be called before New returns.
	OnRotate func(added, removed []string)
	// OnReject, if not nil, is called when the endpoint answered 200 with a document
	// that is not acceptable; the keys stay as they were.
	OnReject func(error)
	// OnReady, if not nil, is called after each change of what [Set.Ready] reports,
	// which is false before the first call. There is one call at a time, in the order
	// of the changes, so two calls in a row always differ; another hook can run beside
	// it. No method but Close waits for it, so it may call all others. Keys that New
	// waited for, and static ones, are told before New returns. A set that was ready
	// is told false before Close returns, and nothing is told afterwards.
	OnReady func(ready bool)
	// Logger gets failures, rejections and rotations; nil discards them.
	Logger *slog.Logger
}

// Set is the key set of one issuer. It is safe for concurrent use.
type Set struct {
	cfg    Config
	source *source // nil if offline
	log    *slog.Logger
	born   time.Time // when New was called, with its monotonic reading

	current atomic.Pointer[snapshot]
	kick    chan struct{} // capacity 1: wakes the fetching goroutine for a flight
	loaded  chan struct{} // closed by the first success, unless static keys came before
	stop    context.CancelFunc
	done    chan struct{} // closed when no goroutine fetches any more
	telling chan struct{} // capacity 1: filled while OnReady runs

	fetches, kidFetches, failures, rejected atomic.Uint64

	mu     sync.Mutex // guards the fields below and every store to current
	flight *flight    // the fetch that unknown kids wait for, wanted or running
	// kidFetchAt is when the last fetch that an unknown kid caused departed, with its
	// monotonic reading; zero if none did.
	kidFetchAt time.Time
	waiters    int
	fault      error // the last failure, while the set backs off; nil after a success
	closed     bool
	expiry     *time.Timer // turns current into a dead snapshot
	changes    []bool      // what OnReady has to be told, in this order

	expiring sync.WaitGroup // an armed or running expiry
}

// flight is one fetch that unknown kids caused.
type flight struct {
	kids map[string]int // how many wait for each; no more than there can be waiters
	done chan struct{}  // closed after err is set and the new snapshot is stored
	err  error
}

// New fetches the key set, again and again with back-off, until a fetch succeeds or
// ctx ends. ctx bounds this first fetch and nothing later; give it a deadline. If
// none succeeded and there are no static keys, the error wraps [ErrUnavailable], the
// last failure and the context's error. With Offline or Lazy, New does not wait. A
// Set must be closed.
func New(ctx context.Context, cfg Config) (*Set, error) {
	s, static, err := newSet(cfg)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	s.stop = stop
	switch {
	case cfg.Offline:
		s.serveStatic(ctx, static)
		close(s.done)
	case cfg.Lazy:
		s.serveStatic(ctx, static)
		go s.run(running) //nolint:contextcheck // ctx ends with New, the goroutine with Close
	default:
		go s.run(running) //nolint:contextcheck // as above
		if err := s.boot(ctx, static); err != nil {
			_ = s.Close() // always nil
			return nil, err
		}
	}
	s.tell()
	return s, nil
}

// newSet returns a Set that does nothing yet, and the static keys or nil.
func newSet(cfg Config) (*Set, *jose.KeySet, error) {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Set{
		cfg:     cfg,
		log:     log,
		born:    time.Now(),
		kick:    make(chan struct{}, 1),
		loaded:  make(chan struct{}),
		done:    make(chan struct{}),
		telling: make(chan struct{}, 1),
	}
	s.current.Store(&snapshot{dead: fmt.Errorf("%w: %w", ErrUnavailable, errNoAnswer)})
	static, err := cfg.static()
	if err != nil || cfg.Offline {
		return s, static, err
	}
	s.source, err = newSource(cfg.URL, cfg.Client)
	s.log = log.With(slog.String("jwks_url", cfg.URL))
	return s, static, err
}

// boot waits for the first success until ctx ends, and then falls back on the
// static keys.
func (s *Set) boot(ctx context.Context, static *jose.KeySet) error {
	select {
	case <-s.loaded:
		return nil
	case <-ctx.Done():
	}
	cause := s.lastFault()
	switch {
	case s.serveStatic(ctx, static):
		s.log.WarnContext(ctx, "jwks: no fetch has succeeded, the static keys serve until one does or they are too old",
			slog.Any("error", cause), slog.Duration("lifetime", maxStale))
		return nil
	case s.Ready():
		return nil // a success and the end of ctx at once
	default:
		return fmt.Errorf("%w: no keys from %s: %w (%w): check the URL, and that this machine may reach it",
			ErrUnavailable, s.cfg.URL, cause, context.Cause(ctx))
	}
}

// Lookup returns the key of kid, and false if there is none now or the keys are too
// old. It never waits and never causes a fetch.
func (s *Set) Lookup(kid string) (*jose.Key, bool) {
	k, _, ok := s.LookupWithGeneration(kid)
	return k, ok
}

// LookupWithGeneration is [Set.Lookup] together with the generation of the keys that
// it looked into, also if ok is false. Two calls, Lookup and Generation, could see
// different keys.
func (s *Set) LookupWithGeneration(kid string) (k *jose.Key, generation uint64, ok bool) {
	snap := s.current.Load()
	if snap.dead != nil {
		return nil, snap.generation, false
	}
	k, ok = snap.keys[kid]
	return k, snap.generation, ok
}

// Generation returns a number that changes when, and only when, the set of keys
// changes. What was verified with a key holds while [Set.Current] says so.
func (s *Set) Generation() uint64 {
	return s.current.Load().generation
}

// Current reports whether known kids get their keys and the keys are still those of
// the generation. It is for the path of each call: one load, no lock, no clock.
func (s *Set) Current(generation uint64) bool {
	snap := s.current.Load()
	return snap.dead == nil && snap.generation == generation
}

// Key returns the key of kid. If the kid is unknown, it follows the rule of the
// package comment: the error then wraps [ErrUnknownKey], [ErrUnavailable] or ctx's
// error. A kid that no key set can hold, empty or too long, is never looked up.
func (s *Set) Key(ctx context.Context, kid string) (*jose.Key, error) {
	if kid == "" || len(kid) > jose.MaxKeyIDBytes {
		return nil, ErrUnknownKey
	}
	snap := s.current.Load()
	if snap.dead != nil {
		return nil, snap.dead
	}
	if k, ok := snap.keys[kid]; ok {
		return k, nil
	}
	if s.cfg.Offline {
		return nil, ErrUnknownKey
	}
	return s.unknown(ctx, kid)
}

// Ready reports whether known kids get their keys: there are keys, they are not too
// old, and the set is not closed.
func (s *Set) Ready() bool {
	return s.current.Load().dead == nil
}

// Close ends the fetching goroutine and waits for it. From then on no key is found
// and no hook is called. It can be called often; the error is always nil.
func (s *Set) Close() error {
	s.stop()
	<-s.done
	s.shut()
	s.expiring.Wait()
	s.tell()
	return nil
}

func (s *Set) lastFault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil {
		return errNoAnswer
	}
	return s.fault
}
