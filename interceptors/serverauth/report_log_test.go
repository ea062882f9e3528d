// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/status"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// What LogDecisions writes of calls over the wire.
func TestLogDecisions(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			log := &lockedBuffer{}
			options := []serverauth.Option{
				serverauth.ReportOnly(reportBoth(deleteFile)),
				serverauth.WithReporter(serverauth.LogDecisions(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))),
				serverauth.CheckRevoked(func(context.Context, *serverauth.Principal) (bool, error) {
					time.Sleep(20 * time.Millisecond)
					return false, nil
				}),
			}
			stage := "stage=call"
			if early {
				options = append(options, serverauth.RefuseBeforeDecoding())
				stage = "stage=header"
			}
			named := serverauth.NamedClients(map[string]string{"billing": clientID})
			l := newLab(t, setup{memory: true, options: options, clients: &named})
			good := l.issuer.good()
			for _, row := range []struct {
				name, method string
				headers      []header
				want         []string
				without      []string
			}{
				{
					"allowed", whoAmI,
					[]header{bearer(good)},
					[]string{"level=DEBUG msg=allowed", "method=" + whoAmI, "stage=call", "code=OK", "latency=20ms", "cached=false", "issuer=" + issuerURL, "client_id=" + clientID, "client=billing"},
					[]string{"reason="},
				},
				{"allowed again", whoAmI, []header{bearer(good)}, []string{"level=DEBUG msg=allowed", "cached=true"}, nil},
				{"public", version, nil, []string{"level=DEBUG msg=allowed", "stage=call", "latency=0s"}, []string{"issuer=", "client_id=", "client="}},
				{"denied", whoAmI, nil, []string{"level=INFO msg=denied", "code=Unauthenticated", "reason=TOKEN_MISSING", stage}, []string{"issuer=", "client_id="}},
				{
					"forged", whoAmI,
					[]header{bearer(sign(l.issuer.stranger, b64(goodHeader)+"."+b64(goodClaims)))},
					[]string{"level=INFO msg=denied", "reason=SIGNATURE_INVALID", stage},
					[]string{"issuer=", "client_id=", clientID},
				},
				{
					"would be denied", deleteFile,
					[]header{bearer(good)},
					[]string{"level=INFO msg=would_deny", "reason=INSUFFICIENT_SCOPE", "stage=call", "code=PermissionDenied", "client=billing", "latency=20ms"},
					nil,
				},
				{
					"a method that a stranger made up", "/x.Y/" + strings.Repeat("z", 1000), nil,
					[]string{"msg=denied"},
					[]string{strings.Repeat("z", 201)},
				},
			} {
				before := len(log.String())
				l.call(t, row.method, row.headers...)
				synctest.Wait()
				line := log.String()[before:]
				if row.method == "/x.Y/"+strings.Repeat("z", 1000) && line == "" && !early {
					continue // gRPC itself says UNIMPLEMENTED, and asks nobody
				}
				if strings.Count(line, "\n") != 1 {
					t.Errorf("%s: got the lines %q, want one", row.name, line)
				}
				for _, want := range row.want {
					if !strings.Contains(line, want) {
						t.Errorf("%s: the line lacks %s: %s", row.name, want, line)
					}
				}
				for _, other := range row.without {
					if strings.Contains(line, other) {
						t.Errorf("%s: the line has %s: %s", row.name, other, line)
					}
				}
			}
			for part := range strings.SplitSeq(good, ".") {
				if strings.Contains(log.String(), part) {
					t.Error("the log has a part of a token")
				}
			}
		})
	}
}

// A flood of one decision is no flood of lines; another decision is not kept out by it;
// and what was left out is counted, so that no decision is lost.
func TestLogDecisionsIsRateLimited(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		log := &lockedBuffer{}
		l := newLab(t, setup{memory: true, options: []serverauth.Option{
			serverauth.WithReporter(serverauth.LogDecisions(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))),
			serverauth.RefuseBeforeDecoding(), serverauth.WithLogger(nil), serverauth.ReportOnly(reportAuthentication(deleteFile)),
		}})
		client := filesv1.NewFileReadServiceClient(l.hooksConn(t))
		missing := func(n int) {
			for range n {
				if _, err := client.WhoAmI(t.Context(), &filesv1.WhoAmIRequest{}); status.Code(err) != u {
					t.Fatalf("got %v", err)
				}
			}
			synctest.Wait()
		}
		lines := func() int {
			return len(regexp.MustCompile("msg=denied .*reason=TOKEN_MISSING").FindAllString(log.String(), -1))
		}
		missing(300)
		if n := lines(); n != 10 {
			t.Errorf("a flood: got %d lines, want 10", n)
		}
		l.call(t, whoAmI, bearer("junk"))
		l.call(t, whoAmI, bearer(l.issuer.good()))
		l.call(t, deleteFile)
		synctest.Wait()
		if !strings.Contains(log.String(), "reason=TOKEN_MALFORMED") || !strings.Contains(log.String(), "msg=allowed") || !strings.Contains(log.String(), "msg=would_deny") {
			t.Errorf("other decisions during the flood are not logged:\n%s", log.String())
		}
		time.Sleep(3 * time.Second)
		missing(50)
		if n := lines(); n != 13 {
			t.Errorf("3 s later: got %d lines, want 13", n)
		}
		time.Sleep(time.Hour)
		missing(50)
		if n := lines(); n != 23 {
			t.Errorf("after an idle hour: got %d lines, want 23", n)
		}
		time.Sleep(time.Second)
		missing(1)
		total := lines()
		for _, left := range regexp.MustCompile(`same_not_logged=(\d+)`).FindAllStringSubmatch(log.String(), -1) {
			n, err := strconv.Atoi(left[1])
			if err != nil {
				t.Fatal(err)
			}
			total += n
		}
		if want := 300 + 50 + 50 + 1; total != want {
			t.Errorf("lines and what they say was left out: got %d, want %d", total, want)
		}
	})
}

// slowHandler is a slog.Handler that does not come back before it may.
type slowHandler struct {
	slog.Handler

	may chan struct{}
}

func (h slowHandler) Handle(ctx context.Context, r slog.Record) error {
	<-h.may
	return h.Handler.Handle(ctx, r)
}

// A log that hangs does not hold up the reader of a connection: refusals on the header
// frame are answered meanwhile, and logged in the end.
func TestASlowLogDoesNotHoldUpHeaderFrames(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		log, may := &lockedBuffer{}, make(chan struct{})
		slow := slog.New(slowHandler{slog.NewTextHandler(log, nil), may})
		l := newLab(t, setup{memory: true, options: []serverauth.Option{
			serverauth.RefuseBeforeDecoding(), serverauth.WithReporter(serverauth.LogDecisions(slow)),
			serverauth.WithReporter(panicky{}), serverauth.WithLogger(slow),
		}})
		for range 3 {
			if got := l.call(t, whoAmI); got.code != u {
				t.Errorf("got %v, want UNAUTHENTICATED", got.code)
			}
		}
		if log.String() != "" {
			t.Errorf("the log did not wait:\n%s", log.String())
		}
		close(may)
		synctest.Wait()
		for _, want := range []string{"msg=denied", `msg="refused TOKEN_MISSING"`, `msg="scopeauth: a Reporter panicked"`} {
			if n := strings.Count(log.String(), want); n != 3 {
				t.Errorf("the log has %s %d times, want 3:\n%s", want, n, log.String())
			}
		}
	})
}

// While a level is off, its decisions are not counted as left out.
func TestLogDecisionsAtALevelThatChanges(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		log, level := &lockedBuffer{}, &slog.LevelVar{}
		l := newLab(t, setup{memory: true, options: []serverauth.Option{
			serverauth.WithReporter(serverauth.LogDecisions(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level})))),
		}})
		for range 30 {
			l.call(t, version)
		}
		if log.String() != "" {
			t.Errorf("at level INFO:\n%s", log.String())
		}
		level.Set(slog.LevelDebug)
		l.call(t, version)
		if text := log.String(); strings.Count(text, "msg=allowed") != 1 || strings.Contains(text, "same_not_logged") {
			t.Errorf("at level DEBUG: got %q, want one line", text)
		}
	})
}

// brokenHandler is a slog.Handler that cannot write.
type brokenHandler struct{ slog.Handler }

func (brokenHandler) Handle(context.Context, slog.Record) error {
	return errors.New("the disk is full")
}

// A level that is off costs nothing and keeps no account, and a log that fails does not
// concern calls.
func TestLogDecisionsWithoutALog(t *testing.T) {
	t.Parallel()
	info := &lockedBuffer{}
	l := newLab(t, setup{options: []serverauth.Option{
		serverauth.WithReporter(serverauth.LogDecisions(nil)),
		serverauth.WithReporter(serverauth.LogDecisions(textLogger(info))),
		serverauth.WithReporter(serverauth.LogDecisions(slog.New(brokenHandler{slog.NewTextHandler(&lockedBuffer{}, nil)}))),
	}})
	if got := l.call(t, whoAmI, bearer(l.issuer.good())); got.code != ok {
		t.Errorf("got %v %s, want OK", got.code, got.message)
	}
	if got := l.call(t, whoAmI); got.code != u {
		t.Errorf("got %v %s, want UNAUTHENTICATED", got.code, got.message)
	}
	if strings.Contains(l.log.String(), "panicked") {
		t.Errorf("a log panicked:\n%s", l.log.String())
	}
	if text := info.String(); strings.Contains(text, "allowed") || strings.Count(text, "\n") != 1 {
		t.Errorf("at level INFO: got %q, want the denial alone", text)
	}
}
