// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// What the tests of a server's own checks share.

const ua = codes.Unavailable

// hooksConn is a connection of a real gRPC client to the lab's server.
func (l *lab) hooksConn(t testing.TB) *grpc.ClientConn {
	t.Helper()
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if l.tls != nil {
		options[0] = grpc.WithTransportCredentials(credentials.NewTLS(l.tls))
	}
	if l.memory != nil {
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return l.memory.DialContext(ctx)
		}))
	}
	conn, err := grpc.NewClient("passthrough:///"+l.addr, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return conn
}

func (l *lab) hooksEcho(t testing.TB) echov1.EchoServiceClient {
	t.Helper()
	return echov1.NewEchoServiceClient(l.hooksConn(t))
}

// carrying returns a context for calls that carry the token.
func carrying(t testing.TB, token string) context.Context {
	t.Helper()
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
}

// of returns a token with these scopes, and with other claims replaced as by with.
func (l *lab) of(scopes string, pairs ...string) string {
	return l.issuer.token(goodHeader, with(append([]string{"scope", `"` + scopes + `"`}, pairs...)...))
}

// startCustom starts a server on a TokenVerifier of the user's own.
func startCustom(t testing.TB, v serverauth.TokenVerifier, s setup) *lab {
	t.Helper()
	rules := s.policy
	if rules == nil {
		var err error
		if rules, err = policy.New(); err != nil {
			t.Fatal(err)
		}
	}
	l := &lab{files: &files{}, log: &lockedBuffer{}}
	a, err := serverauth.New(v, rules, append([]serverauth.Option{serverauth.WithLogger(textLogger(l.log))}, s.options...)...)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	l.auth = a
	l.serve(t, s)
	return l
}

// decisions keeps what a Reporter is told.
type decisions struct {
	mu   sync.Mutex
	list []serverauth.Decision
}

// Report implements serverauth.Reporter.
func (d *decisions) Report(_ context.Context, decision serverauth.Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, decision)
}

// take returns what came since the last take.
func (d *decisions) take() []serverauth.Decision {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.list
	d.list = nil
	return list
}

// untimed is take without the latencies, which must not be negative, and nothing where a
// stream ends.
func (d *decisions) untimed(t testing.TB) []serverauth.Decision {
	t.Helper()
	list := d.take()
	for i := range list {
		if list[i].Latency < 0 || list[i].Stage == serverauth.StageStream && list[i].Latency != 0 {
			t.Errorf("a latency of %v", list[i].Latency)
		}
		list[i].Latency = 0
	}
	return list
}

// expect compares what a Reporter was told since the last time with want.
func (d *decisions) expect(t testing.TB, name string, want ...serverauth.Decision) {
	t.Helper()
	if got := d.untimed(t); !slices.Equal(got, want) {
		t.Errorf("%s: the reporter was told\n\t%+v\nwant\n\t%+v", name, got, want)
	}
}

// newAccessFile returns the path of a file with this content.
func newAccessFile(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "access.json")
	replaceFile(t, path, content)
	return path
}

// replaceFile renames a new file into place.
func replaceFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// eventually waits in fake time until done says so, for a minute at most.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for range 6000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("it never came: %s", what)
}

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// ofContext reports whether a code is that of a context that has ended. At a call's
// deadline gRPC also cancels it: either code can come first.
func ofContext(c codes.Code) bool { return c == codes.DeadlineExceeded || c == codes.Canceled }

// startPlaintext starts a second server of the lab, without TLS, whose callers seem to
// be on another machine.
func startPlaintext(t testing.TB, l *lab) *lab {
	t.Helper()
	srv := grpc.NewServer(l.auth.ServerOptions()...)
	other := &lab{files: &files{}}
	filesv1.RegisterFileReadServiceServer(srv, other.files)
	lis := listen(t)
	other.addr = lis.Addr().String()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(fromAfar{lis}) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return other
}

// validFor are the claims of a token that is issued now, by the lab's clock.
func (l *lab) validFor(d time.Duration) []string {
	now := l.now()
	return []string{"iat", strconv.FormatInt(now.Unix(), 10), "exp", strconv.FormatInt(now.Add(d).Unix(), 10)}
}

// lastWord is finish for a call that must have ended: a message fails the test at once.
func (c *rawCall) lastWord(t testing.TB) answer {
	t.Helper()
	if c.recv(t) {
		t.Fatal("a message came instead of the end of the call")
	}
	return c.finish(t)
}
