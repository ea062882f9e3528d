// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package accesslist

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopeauth/scopeauth/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

const (
	issuer1 = "https://issuer.test/pool1"
	issuer2 = "https://issuer.test/pool2"

	deleteMethod = "/demo.files.v1.FileWriteService/DeleteFile"
	writeMethod  = "/demo.files.v1.FileWriteService/WriteFile"
	readMethod   = "/demo.files.v1.FileReadService/ReadFile"

	empty    = `{"deny": [], "allow": []}`
	deniesID = `{"deny": [{"clients": ["id1"]}]}`
	broken   = `{"deny": [{"clients": [`
)

// caller is one of issuer1 with a token id.
func caller(clientID string) Caller {
	return Caller{Issuer: issuer1, ClientID: clientID, TokenID: "jti"}
}

// file is a list's file in a directory of the test.
type file struct {
	t    *testing.T
	path string
}

func newFile(t *testing.T, content string) file {
	t.Helper()
	f := file{t, filepath.Join(t.TempDir(), "callers.json")}
	f.put(content)
	return f
}

// put renames a new file into place.
func (f file) put(content string) {
	f.t.Helper()
	if err := os.WriteFile(f.path+".new", []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		f.t.Fatal(err)
	}
}

// open opens the list, which is closed when the test ends.
func (f file) open(cfg Config) *List {
	f.t.Helper()
	l, err := Open(f.path, cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { l.Close() })
	return l
}

// refuses fails unless the file cannot be opened, for each of these reasons.
func (f file) refuses(reasons ...string) {
	f.t.Helper()
	l, err := Open(f.path, Config{})
	if l != nil || err == nil {
		f.t.Errorf("got %v, %v, want an error and no list", l, err)
		l.Close()
		return
	}
	for _, want := range append(reasons, "accesslist: "+f.path+": ") {
		if !strings.Contains(err.Error(), want) {
			f.t.Errorf("error\n got %v\nwant %s in it", err, want)
		}
	}
}

// wantVerdict fails unless the caller of that client id gets the verdict.
func wantVerdict(t *testing.T, l *List, clientID string, want Verdict) {
	t.Helper()
	if got := l.Decide(caller(clientID), readMethod); got.Verdict != want {
		t.Errorf("Decide(%s): got %+v, want %v", clientID, got, want)
	}
}

// sleep lets fake time pass, and then the polling goroutine finish what is due.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// logBuffer keeps what is logged. It has a lock, since the passing of fake time orders
// nothing for the race detector.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// onNewList returns a logger that calls f when it is told of a new list.
func onNewList(f func()) *slog.Logger { return slog.New(newListHandler{slog.DiscardHandler, f}) }

type newListHandler struct {
	slog.Handler

	told func()
}

func (newListHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h newListHandler) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "a new list is in effect") {
		h.told()
	}
	return nil
}

func (h newListHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// take returns the lines since the last call.
func (b *logBuffer) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := strings.TrimSpace(b.text.String())
	b.text.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
