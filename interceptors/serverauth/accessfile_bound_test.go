// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// The bounds of docs/access-file.md.
const (
	unaryBound  = 2 * time.Second
	streamBound = 3 * time.Second
)

// C25: on a running server, a call with a remembered token is refused 2 seconds after
// the file has changed, whatever the change is and whenever it comes.
func TestC25SecondsFromChangeToLastAcceptedCall(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, content string
		code          codes.Code
	}{
		{"a client", `{"deny": [{"clients": ["` + clientID + `"]}]}`, u},
		{"a token", `{"deny": [{"token_ids": ["8dcf56f9-0000-4000-8000-000000000000"]}]}`, u},
		{"a method", `{"deny": [{"clients": ["` + clientID + `"], "methods": ["` + echoOnce + `"]}]}`, p},
		{"no longer allowed", `{"allow": [{"clients": ["` + clientID + `"], "methods": ["` + whoAmI + `"]}]}`, p},
	} {
		for _, after := range []time.Duration{0, time.Millisecond, 500 * time.Millisecond, 999 * time.Millisecond} {
			for _, early := range []bool{false, true} {
				bubble(t, func(t *testing.T) {
					name := fmt.Sprintf("%s, %v after a read, header frames decided early: %v", row.name, after, early)
					path := newAccessFile(t, `{}`)
					options := []serverauth.Option{serverauth.AccessFile(path)}
					if early {
						options = append(options, serverauth.RefuseBeforeDecoding())
					}
					l := newLab(t, setup{memory: true, options: options})
					client, ctx := l.hooksEcho(t), carrying(t, l.echoToken())
					call := func() error {
						_, err := client.Echo(ctx, &echov1.EchoRequest{})
						return err
					}
					time.Sleep(5*time.Second + after)
					if err := call(); err != nil {
						t.Fatalf("%s: before the change: %v", name, err)
					}
					replaceFile(t, path, row.content)
					changed := time.Now()
					var lastAccepted time.Duration
					refused := false
					for time.Since(changed) <= 4*time.Second {
						began := time.Since(changed)
						switch err := call(); {
						case err == nil && refused:
							t.Fatalf("%s: accepted again %v after the change", name, began)
						case err == nil:
							lastAccepted = began
						case status.Code(err) != row.code:
							t.Fatalf("%s: got %v, want %v", name, err, row.code)
						default:
							refused = true
						}
						time.Sleep(50 * time.Millisecond)
					}
					if !refused || lastAccepted >= unaryBound {
						t.Errorf("%s: the last accepted call began %v after the change, want less than %v", name, lastAccepted, unaryBound)
					}
				})
			}
		}
	}
}

// C25: an open stream delivers no message 3 seconds after the change, in any direction.
func TestC25SecondsFromChangeToLastMessageOfAStream(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, content string
		code          codes.Code
		reason        string
	}{
		{"a client", `{"deny": [{"clients": ["` + clientID + `"]}]}`, u, "revoked"},
		{"the service", `{"deny": [{"methods": ["demo.echo.v1.EchoService"]}]}`, p, "not allowed here"},
	} {
		// The file is read at whole seconds, and a stream is looked at whole seconds after
		// its start.
		for _, after := range []struct{ start, change time.Duration }{
			{time.Millisecond, time.Millisecond},
			{time.Millisecond, 999 * time.Millisecond},
			{500 * time.Millisecond, time.Millisecond},
			{999 * time.Millisecond, 1001 * time.Millisecond}, // the worst: just too late for both
		} {
			bubble(t, func(t *testing.T) {
				path := newAccessFile(t, `{}`)
				l := newLab(t, setup{memory: true, options: []serverauth.Option{serverauth.AccessFile(path)}})
				client, ctx := l.hooksEcho(t), carrying(t, l.echoToken())
				time.Sleep(5*time.Second + after.start)
				// messages are when a stream delivered one, and last what it ended with.
				type ended struct {
					messages []time.Time
					last     error
				}
				watch := func(one func() error) <-chan ended {
					done := make(chan ended, 1)
					go func() {
						var e ended
						for e.last == nil {
							if e.last = one(); e.last == nil {
								e.messages = append(e.messages, time.Now())
							}
						}
						done <- e
					}()
					return done
				}
				down, err := client.Repeat(ctx, &echov1.RepeatRequest{})
				if err != nil {
					t.Fatal(err)
				}
				both, err := client.Chat(ctx)
				if err != nil {
					t.Fatal(err)
				}
				streams := map[string]<-chan ended{
					"server stream": watch(func() error { _, err := down.Recv(); return err }),
					"both ways": watch(func() error {
						time.Sleep(50 * time.Millisecond)
						_ = both.Send(&echov1.ChatRequest{}) // Recv tells why it failed
						_, err := both.Recv()
						return err
					}),
				}
				idle, err := client.Chat(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if err := idle.Send(&echov1.ChatRequest{}); err != nil {
					t.Fatal(err)
				}
				if _, err := idle.Recv(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2*time.Second + after.change - after.start)
				replaceFile(t, path, row.content)
				changed := time.Now()
				for name, done := range streams {
					e := <-done
					if status.Code(e.last) != row.code || !strings.Contains(e.last.Error(), row.reason) {
						t.Errorf("%s, %s: ended with %v, want %v", row.name, name, e.last, row.code)
					}
					last := e.messages[len(e.messages)-1].Sub(changed)
					if last >= streamBound {
						t.Errorf("%s, %s, %v: the last message came %v after the change, want less than %v", row.name, name, after, last, streamBound)
					}
					if after.change > time.Second && last < 900*time.Millisecond {
						t.Errorf("%s, %s, %v: the last message came %v after the change: this is not the worst case", row.name, name, after, last)
					}
				}
				// A stream on which nothing happened meanwhile.
				time.Sleep(streamBound - min(streamBound, time.Since(changed)))
				_ = idle.Send(&echov1.ChatRequest{})
				if _, err := idle.Recv(); status.Code(err) != row.code {
					t.Errorf("%s, idle: got %v, want %v", row.name, err, row.code)
				}
			})
		}
	}
}

// A file that is bad, or gone, changes nothing: the last good list stays in effect. A
// good one counts again.
func TestAccessFileGoesBadAndComesBack(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		first := `{"deny": [{"clients": ["client-a"]}]}`
		path := newAccessFile(t, first)
		l := newLab(t, setup{memory: true, issuers: twoIssuers, options: []serverauth.Option{serverauth.AccessFile(path)}})
		token := map[string]string{}
		for _, client := range []string{"client-a", "client-b"} {
			token[client] = l.of("", "client_id", `"`+client+`"`)
		}
		expect := func(when string, a, b codes.Code, entries int, fault string) {
			t.Helper()
			time.Sleep(unaryBound)
			if got := l.call(t, whoAmI, bearer(token["client-a"])); got.code != a {
				t.Errorf("%s: client-a got %v, want %v", when, got.code, a)
			}
			if got := l.call(t, whoAmI, bearer(token["client-b"])); got.code != b {
				t.Errorf("%s: client-b got %v, want %v", when, got.code, b)
			}
			stats := l.auth.Stats().AccessFile
			if stats.Entries != entries || (stats.LastError != nil) != (fault != "") || fault != "" && !strings.Contains(stats.LastError.Error(), fault) {
				t.Errorf("%s: Stats: got %+v, want %d entries and the error %q", when, stats, entries, fault)
			}
			if fault != "" && !strings.Contains(l.log.String(), fault) {
				t.Errorf("%s: the log lacks %q:\n%s", when, fault, l.log.String())
			}
		}
		expect("at start", u, ok, 1, "")
		for name, bad := range map[string]string{
			"junk":              `{"deny": [`,
			"half written":      first[:len(first)/2],
			"empty":             ``,
			"a typo":            `{"denied": []}`,
			"an unknown issuer": `{"deny": [{"clients": ["client-b"], "issuer": "https://issuer.example/pool"}]}`,
			"an unknown method": `{"deny": [{"clients": ["client-b"], "methods": ["/demo.files.v1.FileReadService/WhoAmi"]}]}`,
		} {
			replaceFile(t, path, bad)
			expect(name, u, ok, 1, "access.json")
		}
		if age := l.auth.Stats().AccessFile.Age; age < 14*time.Second || age > 15*time.Second {
			t.Errorf("Stats: the list is %v old, want 14 s", age)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		expect("gone", u, ok, 1, "no such file")
		replaceFile(t, path, `{"deny": [{"clients": ["client-b"]}, {"token_ids": ["x"]}]}`)
		expect("good again", ok, u, 2, "")
		if age := l.auth.Stats().AccessFile.Age; age > unaryBound {
			t.Errorf("Stats: the new list is %v old", age)
		}
		// In place, and to the same size: no rename, and perhaps no other time of change.
		if err := os.WriteFile(path, []byte(`{"deny": [{"clients": ["client-a"]}, {"token_ids": ["x"]}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		expect("overwritten", u, ok, 2, "")
	})
}
