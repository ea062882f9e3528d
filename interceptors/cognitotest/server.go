// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// memoryURL is the URL of a server without a listener. The domain is reserved
// (RFC 6761): it never resolves, so a client without the transport cannot send secrets anywhere.
const memoryURL = "https://cognito.invalid"

// Server is a running emulator. Its methods are safe for concurrent use.
type Server struct {
	url          string
	host         string // of url, see hostKey
	listens      net.IP // nil without a listener
	clock        func() time.Time
	answers      Answers
	trigger      preTokenGeneration // nil: none
	cacheControl string
	lifetime     time.Duration // of all tokens, or zero
	scopes       ScopeHandling // of new pools
	store        *store
	throttle     *throttle
	faults       faultBook
	stats        stats // over all pools, also those that are gone
	requests     requestLog
	console      string // names this start; empty without the console

	http   *http.Server  // nil without a listener
	served chan struct{} // closed when http has stopped accepting
	life   inflight

	journal *journal // nil without a state file
	notices []string
}

// NewServer checks the configuration, opens the listener and serves. All
// problems of the configuration are in one error. End the server with [Server.Close].
func NewServer(opts ...Option) (*Server, error) {
	var o options
	for _, opt := range opts {
		opt.apply(&o)
	}
	pools, err := o.resolve()
	if err != nil {
		return nil, err
	}
	s := &Server{
		url:          memoryURL,
		clock:        o.clock,
		answers:      o.answers,
		trigger:      o.trigger,
		cacheControl: o.cacheControl,
		lifetime:     o.lifetime,
		scopes:       o.scopes,
		throttle:     newThrottle(o.throttle),
	}
	s.store = newStore(s)
	var listener net.Listener
	if !o.noListener {
		if listener, err = listen(&o); err != nil {
			return nil, err
		}
		s.url, s.listens = listenerURL(listener, o.tls != nil), listensOn(listener)
	}
	if err := s.load(&o, pools); err != nil {
		if listener != nil {
			err = errors.Join(err, listener.Close())
		}
		return nil, err
	}
	if o.url != "" {
		s.url = strings.TrimSuffix(o.url, "/")
	}
	if u, err := url.Parse(s.url); err == nil { // checked in resolve
		s.host = hostKey(u.Scheme, u.Host)
	}
	if o.console {
		s.console = newUUID()
	}
	if listener != nil {
		s.serve(listener, &o)
	}
	return s, nil
}

// seed puts the configured pools into the store.
func (s *Server) seed(pools []Pool) error {
	now := s.clock()
	for _, p := range pools {
		if err := s.store.commit(func() (change, error) { return p.change(now), nil }); err != nil {
			return err
		}
	}
	return nil
}

func listen(o *options) (net.Listener, error) {
	ln, err := net.Listen("tcp", o.addr) //nolint:noctx // listening on an own address does not wait
	if err != nil {
		return nil, fmt.Errorf("cognitotest: %w", err)
	}
	// The name was checked before; what it resolved to is checked now.
	if addr, ok := ln.Addr().(*net.TCPAddr); o.tls == nil && !o.plainAnywhere && (!ok || !addr.IP.IsLoopback()) {
		return nil, errors.Join(failf("%s", plaintextProblem(o.addr)), ln.Close())
	}
	return ln, nil
}

func listenerURL(ln net.Listener, secure bool) string {
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	addr := ln.Addr().String()
	if tcp, ok := ln.Addr().(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		addr = net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	return scheme + addr
}

func (s *Server) serve(ln net.Listener, o *options) {
	s.served = make(chan struct{})
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.handle),
		TLSConfig:         o.tls.Clone(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // a development server has nothing to say about broken connections
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.life.connection(1)
			case http.StateClosed, http.StateHijacked:
				s.life.connection(-1)
			case http.StateActive, http.StateIdle:
			}
		},
	}
	go func() {
		defer close(s.served)
		if o.tls != nil {
			_ = s.http.ServeTLS(ln, "", "")
		} else {
			_ = s.http.Serve(ln)
		}
	}()
}

// handle answers a request that came over the network.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	ctx, answered, end, err := s.life.begin(r.Context())
	if err != nil {
		abort()
	}
	defer answered()
	defer end()
	rep, err := s.answer(ctx, r, r.Host)
	if err != nil {
		abort() // the caller has gone or the server is closing
	}
	rep.write(ctx, w, r)
}

// Close ends all connections and requests, waits for them and releases the
// listener. Later calls do nothing and return nil. Requests after Close fail.
func (s *Server) Close() error {
	if !s.life.close() {
		s.life.wait()
		return nil
	}
	var err error
	if s.http != nil {
		err = s.http.Close()
		<-s.served
	}
	s.life.wait()
	if err != nil {
		err = fmt.Errorf("cognitotest: %w", err)
	}
	if s.journal != nil {
		err = errors.Join(err, s.journal.close())
	}
	return err
}

// URL returns the address of the server without a path, for example
// "http://127.0.0.1:40213".
func (s *Server) URL() string { return s.url }

// TokenURL returns the token endpoint of the first pool: the oldest that there
// is now. Empty: there is no pool any more, or it has no domain.
func (s *Server) TokenURL() string { return s.ofFirst((*UserPool).TokenURL) }

// Issuer returns the issuer of the first pool. Empty: there is no pool any more.
func (s *Server) Issuer() string { return s.ofFirst((*UserPool).Issuer) }

// JWKSURL returns the address of the first pool's public keys. Empty: there is
// no pool any more.
func (s *Server) JWKSURL() string { return s.ofFirst((*UserPool).JWKSURL) }

func (s *Server) ofFirst(address func(*UserPool) string) string {
	p, n := s.store.first()
	if n == 0 {
		return ""
	}
	return address(p)
}

// Pool returns the pool with this name or id, or nil if there is none. Names
// of pools that were created while the server ran need not be unique; then it is the oldest.
func (s *Server) Pool(nameOrID string) *UserPool {
	if p, ok := s.store.pool(nameOrID); ok {
		return p
	}
	for _, p := range s.store.all() {
		if p.Name() == nameOrID {
			return p
		}
	}
	return nil
}

// Pools returns the pools that there are now: those of the configuration in its
// order, then those that were created later.
func (s *Server) Pools() []*UserPool { return s.store.all() }

// SetFault makes an endpoint of all pools answer wrongly. Several faults are met one
// after the other, each for its number of requests. SetFault replaces what was
// set before; without faults the endpoint works again.
// A fault of one pool ([UserPool.SetFault]) comes before the server's.
func (s *Server) SetFault(e Endpoint, faults ...Fault) { s.faults.set(e, faults) }

// ClearFaults removes all faults, also those of single pools.
func (s *Server) ClearFaults() {
	s.faults.clear()
	for _, p := range s.store.all() {
		p.faults.clear()
	}
}

// Counts returns what the server was asked so far, over all pools, also those
// that have been deleted.
func (s *Server) Counts() Counts { return s.stats.counts() }

// TokenRequests returns the most recent token requests, oldest first, at most
// 1000. They hold no secrets and no tokens.
func (s *Server) TokenRequests() []TokenRequest { return s.requests.all() }

// inflight knows what runs, so that Close can end it and wait for it. It is a
// counter and not a sync.WaitGroup, because requests of the in-memory transport
// may come from other synctest bubbles than the one that made the server.
type inflight struct {
	mu      sync.Mutex
	closed  bool
	running int
	idle    chan struct{} // made by wait, closed when nothing runs
	cancels map[*context.CancelFunc]struct{}
}

var errClosed = errors.New("cognitotest: the server is closed")

// begin registers a request. Its context ends with the parent, with end, or
// with Close. Close waits for answered, but not for end: a caller that forgets
// to close a body must not hold it.
func (f *inflight) begin(parent context.Context) (ctx context.Context, answered, end func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, nil, nil, errClosed
	}
	ctx, cancel := context.WithCancel(parent)
	if f.cancels == nil {
		f.cancels = make(map[*context.CancelFunc]struct{})
	}
	f.cancels[&cancel] = struct{}{}
	f.running++
	return ctx, func() { f.connection(-1) }, func() {
		cancel()
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.cancels, &cancel)
	}, nil
}

func (f *inflight) connection(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addLocked(n)
}

func (f *inflight) addLocked(n int) {
	f.running += n
	if f.running == 0 && f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
}

// close ends all requests. It reports whether this was the first call.
func (f *inflight) close() bool {
	f.mu.Lock()
	first := !f.closed
	f.closed = true
	cancels := f.cancels
	f.cancels = nil
	f.mu.Unlock()
	for cancel := range cancels {
		(*cancel)()
	}
	return first
}

// wait returns when nothing runs any more.
func (f *inflight) wait() {
	f.mu.Lock()
	if f.running == 0 {
		f.mu.Unlock()
		return
	}
	if f.idle == nil {
		f.idle = make(chan struct{})
	}
	idle := f.idle
	f.mu.Unlock()
	<-idle
}
