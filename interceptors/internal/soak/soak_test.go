// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package soak_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

var (
	soakFor = flag.Duration("soak", 0, "how long the soak runs at least, such as 60s; a short one runs without it")
	seed    = flag.Uint64("soak.seed", 1, "what the choices of the soak start from")
)

// config is how large a soak is.
type config struct {
	length  time.Duration
	minimum int // of each kind of event
	long    bool

	servers     int // beside the quiet one
	callers     int
	actors      int           // of each kind of event that takes its time
	turnEvery   time.Duration // a key of each issuer
	liveKeys    int           // of those that come and go
	shortLives  int           // seconds, the longest life of a short-lived token
	crowdEvery  int           // floods
	faultyStart bool          // the key server fails at the start too
}

func newConfig() config {
	if *soakFor == 0 {
		return config{
			length: 2 * time.Second, minimum: 1,
			servers: 4, callers: 6, actors: 1, turnEvery: 200 * time.Millisecond, liveKeys: 2, shortLives: 2, crowdEvery: 1 << 30,
		}
	}
	return config{
		length: *soakFor, long: true, minimum: max(1, int(100**soakFor/time.Minute)),
		servers: 12, callers: 20, actors: 6, turnEvery: 750 * time.Millisecond, liveKeys: 8, shortLives: 4, crowdEvery: 30, faultyStart: true,
	}
}

// soak is one run.
type soak struct {
	cfg   config
	begin time.Time
	dir   string

	serverTLS *tls.Config
	roots     *x509.CertPool
	keyServer *keyServer
	issuers   []*issuer
	servers   []*server
	pool      pool
	noise     []string
	logger    serverauth.VerifierOption

	events    *events
	log       logBuffer
	secrets   secrets
	delays    delays
	revocable sync.Map // token id -> *token
	kept      sync.Map // name -> *token
	ran       sync.Map // call -> true, handlers that ran
	late      sync.Map // call -> true, whose handlers may run late
	reasons   sync.Map // call -> why the server refused it
	tokens    atomic.Int64
	calls     atomic.Int64

	stop    chan struct{}
	workers sync.WaitGroup

	mu         sync.Mutex
	attempts   []*attempt
	violations int
	first      []string // of the violations
}

func TestSoak(t *testing.T) {
	cfg := newConfig()
	keys, err := signingKeys()
	if err != nil {
		t.Fatal(err)
	}
	goroutines, heap := runtime.NumGoroutine(), heapInUse()
	runSoak(t, cfg, keys, func() {
		deadline := time.Now().Add(settleWithin)
		for runtime.NumGoroutine() > goroutines && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
		if n := runtime.NumGoroutine(); n > goroutines {
			t.Errorf("%d goroutines at the end, %d at the start", n, goroutines)
		}
	})
	after := heapInUse()
	for deadline := time.Now().Add(settleWithin); after > heap+heapTolerance && time.Now().Before(deadline); after = heapInUse() {
		time.Sleep(100 * time.Millisecond) // what a timer holds goes with it
	}
	t.Logf("heap: %d KiB before, %d KiB after; goroutines: %d before, %d after", heap>>10, after>>10, goroutines, runtime.NumGoroutine())
	if after > heap+heapTolerance {
		t.Errorf("the heap has grown from %d to %d KiB, %d KiB are tolerated", heap>>10, after>>10, heapTolerance>>10)
	}
}

// settleWithin bounds how long goroutines and timers may take that are about to end. What
// leaks never ends.
const settleWithin = 20 * time.Second

// heapTolerance is for what gRPC, TLS and the runtime keep for good, once.
const heapTolerance = 4 << 20

// heapInUse is what is left after a few collections: pools lose what they hold with the
// second.
func heapInUse() uint64 {
	for range 4 {
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// runSoak leaves nothing behind. Once all is closed it calls settle, which waits for the
// goroutines: one may still write a line of the log.
func runSoak(t *testing.T, cfg config, keys map[string]*signingKey, settle func()) {
	t.Helper()
	s := &soak{cfg: cfg, dir: t.TempDir(), events: newEvents(cfg.minimum, cfg.long), stop: make(chan struct{}), noise: makeNoise(256), begin: time.Now()}
	s.logger = serverauth.WithLogger(slog.New(slog.NewTextHandler(&s.log, nil)))
	for _, signature := range s.noise {
		s.secrets.add(signature)
	}
	if err := s.build(keys); err != nil {
		t.Fatal(err)
	}
	s.run()
	elapsed := time.Since(s.begin)
	s.readStats()
	if err := s.close(); err != nil {
		t.Errorf("close: %v", err)
	}
	end := time.Now()
	settle()
	for _, missing := range s.events.missing() {
		t.Errorf("too few events in %v: %s", elapsed, missing)
	}
	s.checkLog()
	report := s.judge(end)
	t.Logf("seed %d, %v\n%s\n%s", *seed, elapsed.Round(time.Millisecond), s.events, report)
	for _, v := range s.first {
		t.Error(v)
	}
	if s.violations > 0 {
		t.Errorf("%d violations", s.violations)
	}
}

func (s *soak) build(keys map[string]*signingKey) error {
	var err error
	if s.serverTLS, s.roots, err = certificate(); err != nil {
		return err
	}
	if s.keyServer, err = newKeyServer(s, s.serverTLS, s.roots); err != nil {
		return err
	}
	for n := range 2 {
		s.issuers = append(s.issuers, newIssuer(n, s.cfg.liveKeys, keys))
	}
	var (
		wg   sync.WaitGroup
		errs = make([]error, s.cfg.servers+1)
	)
	s.servers = make([]*server, len(errs))
	for n := range s.servers {
		wg.Go(func() { s.servers[n], errs[n] = s.newServer(n, n == s.cfg.servers) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.fillPool()
	return nil
}

// run lets everything happen at once, until it was long enough and often enough.
func (s *soak) run() {
	s.start()
	enough := func() bool {
		s.readStats()
		return time.Since(s.begin) >= s.cfg.length && len(s.events.missing()) == 0
	}
	deadline := time.Now().Add(s.cfg.length + 2*patience)
	for !enough() && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond)
	}
	close(s.stop)
	s.workers.Wait()
}

// readStats asks for the figures while everything runs.
func (s *soak) readStats() {
	evicted := 0
	for _, srv := range s.servers {
		now := time.Now()
		stats := srv.auth.Stats().Verifier
		evicted += int(stats.Cache.Evicted)
		for n, seen := range srv.model.Issuers {
			seen.Keys.NotYet(int(stats.Issuers[n].KIDFetches), now) // both sorted by the URL
		}
	}
	s.events.set(cacheEvicts, evicted)
}

func (s *soak) close() error {
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, srv.close())
	}
	s.keyServer.close()
	return errors.Join(errs...)
}

func (s *soak) running() bool {
	select {
	case <-s.stop:
		return false
	default:
		return true
	}
}

// rest reports whether the soak still runs after the time has passed.
func (s *soak) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return s.running()
	case <-s.stop:
		return false
	}
}

// violate notes what is wrong.
func (s *soak) violate(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.violations++; s.violations <= violationsShown {
		s.first = append(s.first, what)
	}
}

const violationsShown = 30

// keep is for a call that has ended.
func (s *soak) keep(a *attempt) {
	if k := a.token.kind; k != "" && (k != underScoped || a.outcome.Reason == "INSUFFICIENT_SCOPE") {
		s.events.add(k)
	}
	if a.ran {
		s.events.add(passing[a.method])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts = append(s.attempts, a)
}

// loop runs f again and again, each time with the same source of choices, n of them.
func (s *soak) loop(n int, f func(rng *rand.Rand)) {
	for range n {
		rng := rand.New(rand.NewPCG(*seed, uint64(s.tokens.Add(1))))
		s.workers.Go(func() {
			for s.running() {
				f(rng)
			}
		})
	}
}

// logBuffer keeps what the servers log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements [io.Writer].
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns what was logged so far.
func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// secrets are the signatures of the tokens of a run.
type secrets struct {
	mu   sync.Mutex
	list []string
}

func (s *secrets) add(signature string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, signature)
}

// shown is how much of a signature in a row is too much.
const shown = 16

// checkLog looks for signatures and tokens in all that the servers logged: a run of
// characters that is long enough is compared with every part of every signature.
func (s *soak) checkLog() {
	text := s.log.String()
	if strings.Contains(text, "eyJ") {
		s.violate("the log has a part of a token: it contains eyJ")
	}
	if !strings.Contains(text, "refused") {
		s.violate("the log has no refusal: nothing was captured")
	}
	seen := make(map[string]bool)
	for _, run := range strings.FieldsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) {
		if len(run) < shown || seen[run] {
			continue
		}
		seen[run] = true
		for at := 0; at+shown <= len(run); at += shown {
			for _, signature := range s.secrets.list {
				if strings.Contains(signature, run[at:at+shown]) {
					s.violate(fmt.Sprintf("the log has %d bytes of a signature", len(run)))
				}
			}
		}
	}
}

// delays are how long the servers took until something was in force, for the report.
type delays struct {
	mu      sync.Mutex
	longest map[string]time.Duration
}

func (d *delays) note(what string, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.longest == nil {
		d.longest = make(map[string]time.Duration)
	}
	d.longest[what] = max(d.longest[what], took)
}
