// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package accesslist

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// DefaultInterval is the default of [Config.Interval].
	DefaultInterval = time.Second
	// remindAfter is how often a fault that lasts is logged again.
	remindAfter = time.Minute
)

// errNoList is the state of a List that is nil, zero or closed.
var errNoList = errors.New("accesslist: no list is in effect: it was not opened, or it is closed")

// Config says how a [List] is kept. The zero value is good.
type Config struct {
	// Logger gets new lists (info) and faults of the file (error); nil discards them.
	Logger *slog.Logger
	// Interval is the time from one read of the file to the next. Default: 1 s. It
	// must not be negative.
	Interval time.Duration
	// KnownMethod, if not nil, reports whether the server has the method
	// ("/pkg.Svc/Method") or service ("pkg.Svc"). A file that names others is refused:
	// a misspelled name would close nothing. Open and the polling goroutine call it.
	// Nil checks nothing.
	KnownMethod func(name string) bool
	// KnownIssuer is the same for issuers.
	KnownIssuer func(issuer string) bool
}

// List is the list in a file. It is safe for concurrent use. A nil List and the zero
// List permit nothing.
type List struct {
	source source
	known  known
	log    *slog.Logger

	current atomic.Pointer[snapshot] // nil once closed
	content []byte                   // what current was made of; the polling goroutine's own

	stop context.CancelFunc
	done chan struct{} // closed when the polling goroutine has ended

	mu       sync.Mutex // guards the fields below; Decide does not take it
	fault    error      // of the last read; nil if it was good
	loggedAt time.Time  // when fault was logged last
}

// snapshot is a list in effect. It is immutable.
type snapshot struct {
	rules      *rules
	generation uint64
	loadedAt   time.Time // with its monotonic reading
	entries    int
}

// Open reads the file and starts the goroutine that reads it again. An error names
// the file and, if it is refused, the place in it; there is no list then. A List must
// be closed.
func Open(path string, cfg Config) (*List, error) {
	interval := cfg.Interval
	switch {
	case path == "":
		return nil, errors.New("accesslist: the path is empty: name the file, or open no list")
	case interval < 0:
		return nil, fmt.Errorf("accesslist: the interval %v is negative: use 0 for %v", interval, DefaultInterval)
	case interval == 0:
		interval = DefaultInterval
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l := &List{
		source: source{path: path},
		known:  known{method: cfg.KnownMethod, issuer: cfg.KnownIssuer},
		log:    log.With(slog.String("access_list", path)),
		done:   make(chan struct{}),
	}
	first, err := l.reload()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.publish(ctx, first)
	go l.run(ctx, time.NewTicker(interval))
	return l, nil
}

// Decide says whether the caller may call the method, which has the form
// "/pkg.Svc/Method". It takes no lock, reads no file and allocates nothing. A caller
// without issuer or client id, or a method of another form, is [Undecided].
func (l *List) Decide(c Caller, fullMethod string) Decision {
	snap := l.snapshot()
	if snap == nil {
		return Decision{Reason: "no access list is in effect"}
	}
	return snap.rules.decide(c, fullMethod)
}

// Generation returns a number that changes with every new list: 1 is the first, 0
// none. What was decided holds while the number that was read before Decide does.
func (l *List) Generation() uint64 {
	if snap := l.snapshot(); snap != nil {
		return snap.generation
	}
	return 0
}

// Stats says how a list is doing.
type Stats struct {
	Generation uint64
	LoadedAt   time.Time // when the list in effect was read; has a monotonic reading
	LastError  error     // why the last read of the file failed or was refused; nil if it was good
	Entries    int       // deny and allow entries of the list in effect
}

// Stats returns the present figures. Without a list they are zero, and LastError says
// so.
func (l *List) Stats() Stats {
	snap := l.snapshot()
	if snap == nil {
		return Stats{LastError: errNoList}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{
		Generation: snap.generation,
		LoadedAt:   snap.loadedAt,
		LastError:  l.fault,
		Entries:    snap.entries,
	}
}

// Close ends the polling goroutine and waits for it, also for a hook that it runs.
// From then on nothing is permitted, since the file would no longer count: stop the
// servers first. It can be called often; the error is always nil.
func (l *List) Close() error {
	if l == nil || l.stop == nil {
		return nil
	}
	l.stop()
	<-l.done // nobody publishes from here on
	l.current.Store(nil)
	return nil
}

// snapshot returns the list in effect, or nil.
func (l *List) snapshot() *snapshot {
	if l == nil {
		return nil
	}
	return l.current.Load()
}
