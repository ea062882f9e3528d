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

// Config says where an issuer's keys are. Only URL is required.
type Config struct {
	// URL is the key set's address: https, or http on localhost or a loopback
	// address. It has no user information and no fragment.
	URL string
	// Client, if not nil, lends its Transport. Redirects, deadline and limits are
	// those of this package all the same.
	Client *http.Client
	// OnRotate, if not nil, is called after the set of keys changed, with the sorted
	// kids that came and went; a kid that came back with another key is in both. The
	// first set is no change. Hooks are called by the fetching goroutine, without
	// locks: they must return soon, and must not call Close.
	OnRotate func(added, removed []string)
	// OnReject, if not nil, is called when the endpoint answered 200 with a document
	// that is not acceptable; the keys stay as they were.
	OnReject func(error)
	// Logger gets failures, rejections and rotations; nil discards them.
	Logger *slog.Logger
}

// Set is the key set of one issuer. It is safe for concurrent use.
type Set struct {
	cfg    Config
	source *source
	log    *slog.Logger

	current atomic.Pointer[snapshot]
	kick    chan struct{} // capacity 1: wakes the fetching goroutine for a flight
	loaded  chan struct{} // closed by the first success
	stop    context.CancelFunc
	done    chan struct{} // closed when the fetching goroutine has ended

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

	expiring sync.WaitGroup // an armed or running expiry
}

// flight is one fetch that unknown kids caused.
type flight struct {
	kids map[string]int // how many wait for each; no more than there can be waiters
	done chan struct{}  // closed after err is set and the new snapshot is stored
	err  error
}

// New fetches the key set, again and again with back-off, until a fetch succeeds or
// ctx ends. ctx bounds this first fetch and nothing later; give it a deadline. The
// error wraps [ErrUnavailable], the last failure and the context's error. A Set
// must be closed.
func New(ctx context.Context, cfg Config) (*Set, error) {
	source, err := newSource(cfg.URL, cfg.Client)
	if err != nil {
		return nil, err
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	running, stop := context.WithCancel(context.Background())
	s := &Set{
		cfg:    cfg,
		source: source,
		log:    log.With(slog.String("jwks_url", cfg.URL)),
		kick:   make(chan struct{}, 1),
		loaded: make(chan struct{}),
		stop:   stop,
		done:   make(chan struct{}),
	}
	s.current.Store(&snapshot{dead: fmt.Errorf("%w: %w", ErrUnavailable, errNoAnswer)})
	go s.run(running) //nolint:contextcheck // ctx ends with New, the goroutine with Close
	select {
	case <-s.loaded:
		return s, nil
	case <-ctx.Done():
		if s.Ready() {
			return s, nil // both at once
		}
	}
	cause := s.lastFault()
	_ = s.Close() // always nil
	return nil, fmt.Errorf("%w: no keys from %s: %w (%w): check the URL, and that this machine may reach it",
		ErrUnavailable, cfg.URL, cause, context.Cause(ctx))
}

// Lookup returns the key of kid, and false if there is none now or the keys are too
// old. It never waits and never causes a fetch.
func (s *Set) Lookup(kid string) (*jose.Key, bool) {
	snap := s.current.Load()
	if snap.dead != nil {
		return nil, false
	}
	k, ok := snap.keys[kid]
	return k, ok
}

// Generation returns a number that changes when, and only when, the set of keys
// changes. What was verified with a key holds while the generation stays.
func (s *Set) Generation() uint64 {
	return s.current.Load().generation
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
	return s.unknown(ctx, kid)
}

// Ready reports whether known kids get their keys: there was a success, it is not
// too old, and the set is not closed.
func (s *Set) Ready() bool {
	return s.current.Load().dead == nil
}

// Close ends the fetching goroutine and waits for it. From then on no key is found.
// It can be called often; the error is always nil.
func (s *Set) Close() error {
	s.stop()
	<-s.done
	s.expiring.Wait()
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
