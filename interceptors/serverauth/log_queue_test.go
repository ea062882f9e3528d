// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// A log that never returns costs one goroutine of each log and a bounded number of lines,
// however long refusals on the header frame go on; no call waits for it; and when it
// returns, lines flow again and every decision is counted.
func TestALogThatNeverReturnsIsBounded(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		refusals, decided := &hangingLog{}, &hangingLog{}
		l, _ := newTapLab(t, setup{memory: true, options: []serverauth.Option{
			serverauth.WithLogger(refusals.logger()), serverauth.WithReporter(serverauth.LogDecisions(decided.logger())),
			serverauth.WithReporter(panicky{}),
		}})
		w := l.dialTap(t)
		defer w.close()
		for _, log := range []*hangingLog{refusals, decided} {
			log.hang()
			defer log.release()
		}
		rows := map[serverauth.Reason][]header{
			serverauth.ReasonTokenMissing:      nil,
			serverauth.ReasonTokenMalformed:    {bearer("junk")},
			serverauth.ReasonSchemeUnsupported: {{"authorization", "Basic eDp5"}},
			serverauth.ReasonInsufficientScope: {bearer(l.of("demo/other"))},
		}
		const seconds = 300
		begin := time.Now()
		for range seconds {
			for _, headers := range rows {
				w.refused(t, deleteFile, headers...)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			for name, log := range map[string]*hangingLog{"refusals": refusals, "decisions": decided} {
				if n := log.inside.Load(); n != 1 {
					t.Fatalf("%d goroutines are in the log of %s, want 1", n, name)
				}
			}
		}
		if took := time.Since(begin); took != seconds*time.Second {
			t.Errorf("the calls took %v, so they waited", took-seconds*time.Second)
		}
		if text := refusals.String() + decided.String(); text != "" {
			t.Fatalf("the log did not hang:\n%s", text)
		}
		refusals.release()
		decided.release()
		synctest.Wait()
		if n := refusals.inside.Load() + decided.inside.Load(); n != 0 {
			t.Errorf("%d goroutines are in logs that have returned, want none", n)
		}
		const bound = 64 + 1 // and the line that was being written
		for name, log := range map[string]*hangingLog{"refusals": refusals, "decisions": decided} {
			if n := strings.Count(log.String(), "\n"); n != bound {
				t.Errorf("%d lines of %s had waited, want %d", n, name, bound)
			}
			if first, _, _ := strings.Cut(log.String(), " "); first != begin.Format(time.RFC3339) {
				t.Errorf("the first line of %s has the time %s, want that of the refusal, %s", name, first, begin.Format(time.RFC3339))
			}
		}
		for range 2 {
			for _, headers := range rows {
				w.refused(t, deleteFile, headers...)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		for reason := range rows {
			for name, text := range map[string]string{refusals.String(): "refused " + string(reason), decided.String(): "reason=" + string(reason)} {
				if all := counted(t, name, text); all != seconds+2 {
					t.Errorf("the lines with %q stand for %d refusals, want %d", text, all, seconds+2)
				}
			}
		}
		w.refused(t, deleteFile) // panics of one second share a line, so one more is needed to count them
		synctest.Wait()
		if all := counted(t, refusals.String(), "a Reporter panicked"); all != (seconds+2)*len(rows)+1 {
			t.Errorf("the lines about panics stand for %d, want %d", all, (seconds+2)*len(rows)+1)
		}
	})
}

// panickingLog is a handler that panics as long as it is told to.
type panickingLog struct {
	slog.Handler

	panics *atomic.Bool
}

func (h panickingLog) Handle(ctx context.Context, r slog.Record) error {
	if h.panics.Load() {
		panic("a bug in the log")
	}
	return h.Handler.Handle(ctx, r)
}

// A log that panics where nobody else could catch it does not end the process, nor the
// lines that follow.
func TestALogThatPanicsBesideCalls(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		log, panics := &lockedBuffer{}, &atomic.Bool{}
		broken := slog.New(panickingLog{slog.NewTextHandler(log, nil), panics})
		l, _ := newTapLab(t, setup{memory: true, options: []serverauth.Option{
			serverauth.WithLogger(broken), serverauth.WithReporter(serverauth.LogDecisions(broken)),
		}})
		panics.Store(true)
		l.call(t, whoAmI)
		synctest.Wait()
		panics.Store(false)
		l.call(t, whoAmI)
		synctest.Wait()
		if text := log.String(); strings.Count(text, "refused TOKEN_MISSING") != 1 || strings.Count(text, "msg=denied") != 1 {
			t.Errorf("got\n%s\nwant the lines of the second call", text)
		}
	})
}

// hangingReporter does not return from the decisions of streams while it hangs.
type hangingReporter struct {
	may   chan struct{}
	waits atomic.Int64
}

// Report implements serverauth.Reporter.
func (h *hangingReporter) Report(_ context.Context, d serverauth.Decision) {
	if d.Stage != serverauth.StageStream {
		return
	}
	h.waits.Add(1)
	<-h.may
}

// A log or a Reporter that hangs while it is told that a stream's end is only reported
// does not end the watch over the stream: who is denied then still gets nothing more.
func TestAStreamIsWatchedWhileItsReportHangs(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"log", "reporter"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				log, reporter := &hangingLog{}, &hangingReporter{may: make(chan struct{})}
				free := sync.OnceFunc(func() { log.release(); close(reporter.may) })
				defer free()
				path := newAccessFile(t, `{}`)
				options := []serverauth.Option{
					serverauth.AccessFile(path), serverauth.ReportOnly(reportAuthentication(chat)), serverauth.WithLogger(log.logger()),
				}
				if what == "reporter" {
					options = append(options, serverauth.WithReporter(reporter))
				}
				l := newLab(t, setup{memory: true, options: options})
				streams := make([]*rawCall, 3)
				for i := range streams {
					streams[i] = l.dial(t)
					defer streams[i].close()
					streams[i].open(t, chat, bearer(l.echoToken()))
				}
				hanging := int64(len(streams)) // a Reporter is called for each
				if what == "log" {
					log.hang()
					hanging = 1 // the lines wait for the first
				}
				time.Sleep(2 * time.Hour) // beyond the token's end
				if n := log.inside.Load() + reporter.waits.Load(); n != hanging {
					t.Fatalf("%d goroutines hang, want %d", n, hanging)
				}
				for _, c := range streams {
					c.send(t, nil)
					if !c.recv(t) {
						t.Fatalf("the stream ended: %+v", c.finish(t))
					}
				}
				replaceFile(t, path, `{"deny": [{"clients": ["`+clientID+`"]}]}`)
				time.Sleep(3 * time.Second)
				for _, c := range streams {
					c.send(t, nil)
				}
				synctest.Wait()
				free()
				for _, c := range streams {
					if got := c.lastWord(t); got.code != u || got.reason != serverauth.ReasonTokenRevoked {
						t.Errorf("got %v %s, want UNAUTHENTICATED TOKEN_REVOKED", got.code, got.reason)
					}
				}
			})
		})
	}
}

// A log that hangs does not keep a list of denied callers from taking effect, nor the end
// of the access file's reading.
func TestTheAccessFileIsReadWhileTheLogHangs(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		log := &hangingLog{}
		defer log.release()
		path := newAccessFile(t, `{}`)
		l := newLab(t, setup{memory: true, options: []serverauth.Option{
			serverauth.AccessFile(path), serverauth.WithLogger(nil), serverauth.WithLogger(log.logger()),
		}})
		synctest.Wait()
		log.hang()
		replaceFile(t, path, `{"deny": []}`) // a new list, and a line that is never written
		time.Sleep(3 * time.Second)
		if n := log.inside.Load(); n != 1 {
			t.Fatalf("%d goroutines are in the log, want 1", n)
		}
		replaceFile(t, path, `{"deny": [{"token_ids": ["other"]}, {"methods": ["`+whoAmI+`"]}]}`)
		time.Sleep(3 * time.Second)
		if n := l.auth.Stats().AccessFile.Entries; n != 2 {
			t.Errorf("the list in effect has %d entries, want the 2 of the last file", n)
		}
		if err := l.auth.Close(); err != nil { // returns
			t.Errorf("Close: %v", err)
		}
		log.release()
		synctest.Wait()
		if n := strings.Count(log.String(), "a new list is in effect"); n != 3 {
			t.Errorf("the log tells of %d lists, want 3:\n%s", n, log.String())
		}
	})
}

// A log that hangs does not keep keys that the issuer withdraws in use, nor Close from
// returning.
func TestKeysAreFetchedWhileTheLogHangs(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		log := &hangingLog{}
		defer log.release()
		l := newLab(t, setup{memory: true, verifier: []serverauth.VerifierOption{serverauth.WithLogger(log.logger())}})
		synctest.Wait()
		log.hang()
		l.issuer.publish(goodKeyID, l.issuer.access) // a change, and a line that is never written
		time.Sleep(20 * time.Minute)
		if n := log.inside.Load(); n != 1 {
			t.Fatalf("%d goroutines are in the log, want 1", n)
		}
		if got := l.call(t, whoAmI, bearer(l.issuer.good())); got.code != ok {
			t.Errorf("got %v %s, want OK", got.code, got.message)
		}
		l.issuer.publish("new", l.issuer.stranger)
		time.Sleep(20 * time.Minute)
		if got := l.call(t, whoAmI, bearer(l.issuer.good())); got.code != u {
			t.Errorf("a key that was withdrawn: got %v %s, want UNAUTHENTICATED", got.code, got.message)
		}
		if err := l.verifier.Close(); err != nil { // returns
			t.Errorf("Close: %v", err)
		}
		log.release()
		synctest.Wait()
		if n := strings.Count(log.String(), "issuer="+issuerURL); n < 3 {
			t.Errorf("the log has %d lines of the issuer, want 3 at least:\n%s", n, log.String())
		}
	})
}

// Close waits for the lines that are still to be written, a second at most for each log
// that hangs.
func TestCloseWaitsForLines(t *testing.T) {
	t.Parallel()
	for _, takes := range []time.Duration{900 * time.Millisecond, time.Hour} {
		bubble(t, func(t *testing.T) {
			refusals, decided, keys, list := &hangingLog{}, &hangingLog{}, &hangingLog{}, &hangingLog{}
			logs := []*hangingLog{refusals, decided, keys}
			path := newAccessFile(t, `{}`)
			l, _ := newTapLab(t, setup{memory: true, options: []serverauth.Option{
				serverauth.WithLogger(refusals.logger()), serverauth.WithReporter(serverauth.LogDecisions(decided.logger())),
			}, verifier: []serverauth.VerifierOption{serverauth.WithLogger(keys.logger())}})
			rules, err := policy.New()
			if err != nil {
				t.Fatal(err)
			}
			listed, err := serverauth.New(l.verifier, rules, serverauth.AccessFile(path), serverauth.WithLogger(list.logger()))
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			for _, log := range append(logs, list) {
				log.hang()
				defer log.release()
				time.AfterFunc(20*time.Minute+takes, log.release)
			}
			l.issuer.publish("new", l.issuer.access)
			replaceFile(t, path, `{"deny": []}`)
			time.Sleep(20 * time.Minute)
			l.call(t, whoAmI)
			for name, row := range map[string]struct {
				closes interface{ Close() error }
				logs   []*hangingLog
			}{"the file's": {listed, []*hangingLog{list}}, "the verifier's": {l.verifier, []*hangingLog{keys}}, "the authorizer's": {l.auth, []*hangingLog{refusals, decided}}} {
				begin := time.Now()
				if err := row.closes.Close(); err != nil {
					t.Errorf("%s: Close: %v", name, err)
				}
				if took := time.Since(begin); takes > time.Minute && took != time.Duration(len(row.logs))*time.Second {
					t.Errorf("%s: Close took %v with %d logs that hang", name, took, len(row.logs))
				}
				for _, log := range row.logs {
					if n := log.inside.Load(); (n != 0) != (takes > time.Minute) {
						t.Errorf("%s: after Close %d goroutines are in the log, which takes %v", name, n, takes)
					}
				}
			}
		})
	}
}
