// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// tapKey is for values that a user's own tap handle leaves in the context.
type tapKey struct{}

// tapCalls notes something for each call, in order.
type tapCalls struct {
	mu  sync.Mutex
	all []string
}

func (c *tapCalls) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, what)
}

func (c *tapCalls) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all
	c.all = nil
	return all
}

// A user's own tap handles run for the calls that pass, one after the other, and what they
// leave in the context arrives in the handler beside the caller.
func TestTapRunsTheUsersOwnHandles(t *testing.T) {
	t.Parallel()
	handles, handlers := &tapCalls{}, &tapCalls{}
	handle := func(name string) tap.ServerInHandle {
		return func(ctx context.Context, info *tap.Info) (context.Context, error) {
			if len(info.Header["authorization"]) > 1 {
				t.Errorf("%s got two authorization values", name)
			}
			handles.add(name + " " + info.FullMethodName)
			before, _ := ctx.Value(tapKey{}).(string)
			return context.WithValue(ctx, tapKey{}, before+name), nil
		}
	}
	l, _ := newHandlesLab(t, setup{server: []grpc.ServerOption{grpc.ChainUnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			left, _ := ctx.Value(tapKey{}).(string)
			caller, _ := serverauth.PrincipalFromContext(ctx)
			handlers.add(left + " " + caller.ClientID())
			return h(ctx, req)
		})}}, handle("a"), handle("b"))
	w := l.dialTap(t)
	defer w.close()
	for _, row := range []struct {
		method            string
		headers           []header
		handles, handlers []string
	}{
		{whoAmI, []header{bearer(l.issuer.good())}, []string{"a " + whoAmI, "b " + whoAmI}, []string{"ab " + clientID}},
		{version, nil, []string{"a " + version, "b " + version}, []string{"ab "}},
		{whoAmI, nil, nil, nil},
		{deleteFile, []header{bearer(l.issuer.good())}, nil, nil},
		{"/acme.Unknown/Do", nil, nil, nil},
	} {
		if row.handles == nil {
			w.refused(t, row.method, row.headers...)
		} else if got := w.passed(t, row.method, row.headers...); got.code != ok {
			t.Errorf("%s: got %v %s, want OK", row.method, got.code, got.message)
		}
		if got := handles.take(); !slices.Equal(got, row.handles) {
			t.Errorf("%s: handles ran %q, want %q", row.method, got, row.handles)
		}
		if got := handlers.take(); !slices.Equal(got, row.handlers) {
			t.Errorf("%s: handlers saw %q, want %q", row.method, got, row.handlers)
		}
	}
}

// The error of a user's handle ends the call, and the handles after it do not run.
func TestTapErrorOfTheUsersHandle(t *testing.T) {
	t.Parallel()
	busy := func(ctx context.Context, _ *tap.Info) (context.Context, error) {
		return ctx, status.Error(codes.ResourceExhausted, "too many calls")
	}
	second := func(ctx context.Context, _ *tap.Info) (context.Context, error) {
		t.Error("the handle after the one that refused ran")
		return ctx, nil
	}
	l, reports := newHandlesLab(t, setup{}, busy, second)
	w := l.dialTap(t)
	defer w.close()
	for _, method := range []string{whoAmI, version} {
		if got := w.refused(t, method, bearer(l.issuer.good())); got.code != codes.ResourceExhausted || got.message != "too many calls" {
			t.Errorf("%s: got %v %s, want the handle's own error", method, got.code, got.message)
		}
	}
	if got := w.refused(t, whoAmI); got.code != u {
		t.Errorf("no token: got %v %s, want UNAUTHENTICATED", got.code, got.message)
	}
	if d := reports.only(t); d.Reason != serverauth.ReasonTokenMissing {
		t.Errorf("got the decision %+v, want TOKEN_MISSING", d)
	}
}

// A handle that puts another context in the place of the call's loses what was decided,
// and the interceptors decide themselves.
func TestTapHandleThatDropsTheContext(t *testing.T) {
	t.Parallel()
	drop := func(context.Context, *tap.Info) (context.Context, error) { return context.Background(), nil }
	l, _ := newHandlesLab(t, setup{}, drop)
	w := l.dialTap(t)
	defer w.close()
	if got := w.passed(t, whoAmI, bearer(l.issuer.good())); got.code != p || got.reason != serverauth.ReasonTransportInsecure || l.files.ran.Load() != 0 {
		t.Errorf("got %v %s, want a refusal of a call that nothing is known of", got.code, got.reason)
	}
}

// CutIdleStreams needs a tap handle too. Alone it refuses nothing there, and together with
// RefuseBeforeDecoding the decision is handed over to a stream that is cut at its token's
// end.
func TestTapAndCutIdleStreams(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		t.Helper()
		alone, both := &tapReports{}, &tapReports{}
		for _, row := range []struct {
			reports *tapReports
			options []serverauth.Option
		}{
			{alone, []serverauth.Option{serverauth.CutIdleStreams(), serverauth.WithReporter(alone)}},
			{both, []serverauth.Option{serverauth.CutIdleStreams(), serverauth.WithReporter(both), serverauth.RefuseBeforeDecoding()}},
		} {
			l := newLab(t, setup{memory: true, options: row.options})
			w := l.dialTap(t)
			defer w.close()
			id := w.header(t, chat, bearer(l.echoToken()), header{"grpc-timeout", "3H"})
			if got := w.end(t, id); got.code != codes.Canceled {
				t.Errorf("got %v %s, want CANCELED at the token's end", got.code, got.message)
			}
			synctest.Wait() // gRPC tells the caller in Recv, before the handler returns
			all := row.reports.take()
			if len(all) != 2 || all[0].Outcome != serverauth.OutcomeAllowed || all[0].Cached || all[1].Stage != serverauth.StageStream {
				t.Errorf("got the decisions %+v, want one that allows and one that ends the stream", all)
			}
			if row.reports == both {
				w.refused(t, whoAmI)
			} else if got := w.passed(t, whoAmI, header{"grpc-timeout", "3H"}); got.code != u || len(got.challenge) != 1 {
				t.Errorf("no token: got %v %q, want the interceptor's refusal", got.code, got.challenge)
			}
			if n := l.auth.Stats().HeldRefusals; n != 0 {
				t.Errorf("%d calls are held, want none", n)
			}
		}
	})
}

// tapStuck is a log that does not come back.
type tapStuck struct {
	slog.Handler

	entered chan string
	release chan struct{}
}

func (s tapStuck) Handle(_ context.Context, r slog.Record) error {
	s.entered <- r.Message
	<-s.release
	return nil
}

// A log that blocks does not keep the connection's other calls from being answered.
func TestTapDoesNotWaitForTheLog(t *testing.T) {
	t.Parallel()
	stuck := tapStuck{Handler: slog.NewTextHandler(&lockedBuffer{}, nil), entered: make(chan string, 8), release: make(chan struct{})}
	l, _ := newTapLab(t, setup{}, serverauth.WithLogger(slog.New(stuck)), serverauth.WithReporter(serverauth.LogDecisions(slog.New(stuck))))
	defer close(stuck.release)
	w := l.dialTap(t)
	defer w.close()
	w.refused(t, whoAmI)
	lines := []string{<-stuck.entered, <-stuck.entered}
	slices.Sort(lines)
	if !slices.Equal(lines, []string{"denied", "refused TOKEN_MISSING"}) {
		t.Errorf("got the lines %q", lines)
	}
	if got := w.passed(t, whoAmI, bearer(l.issuer.good())); got.code != ok {
		t.Errorf("a good call: got %v %s, want OK", got.code, got.message)
	}
	if got := w.refused(t, whoAmI); got.code != u {
		t.Errorf("another bad call: got %v, want UNAUTHENTICATED", got.code)
	}
}

// What is held for refused calls with a deadline is bounded, and goes with the deadlines.
// Beyond the bound the interceptors refuse.
func TestTapHoldsABoundedNumberOfRefusals(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		t.Helper()
		l, reports := newTapLab(t, setup{memory: true})
		w := l.dialTap(t)
		defer w.close()
		hour, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if n := l.auth.HoldRefusals(hour, serverauth.MaxHeldRefusals-2); n != serverauth.MaxHeldRefusals-2 {
			t.Fatalf("held %d, want %d", n, serverauth.MaxHeldRefusals-2)
		}
		held := func(want int) {
			t.Helper()
			if n := l.auth.Stats().HeldRefusals; n != want {
				t.Errorf("held %d, want %d", n, want)
			}
		}
		limit := func(text string) header { return header{"grpc-timeout", text} }
		w.refused(t, whoAmI, limit("10M"))
		held(serverauth.MaxHeldRefusals - 1)
		w.refused(t, whoAmI, limit("20M"))
		held(serverauth.MaxHeldRefusals)
		reports.take()
		for range 3 {
			got := w.passed(t, whoAmI, limit("1S"))
			if got.code != u || got.reason != serverauth.ReasonTokenMissing || len(got.challenge) != 1 {
				t.Errorf("beyond the bound: got %v %s %q, want the interceptor's refusal", got.code, got.reason, got.challenge)
			}
			if d := reports.only(t); d.Stage != serverauth.StageCall {
				t.Errorf("beyond the bound: got the decision %+v, want one of the interceptor", d)
			}
		}
		held(serverauth.MaxHeldRefusals)
		w.refused(t, whoAmI) // without a deadline nothing is left behind
		held(serverauth.MaxHeldRefusals)

		time.Sleep(10*time.Minute - 1)
		w.passed(t, whoAmI, limit("1S"))
		time.Sleep(time.Nanosecond)
		w.refused(t, whoAmI, limit("1H")) // in the place of the one whose time is over
		held(serverauth.MaxHeldRefusals)
		w.passed(t, whoAmI, limit("1S"))
		time.Sleep(10 * time.Minute)
		held(serverauth.MaxHeldRefusals - 1)
		time.Sleep(40 * time.Minute)
		if n := l.auth.ForgottenAtOnce(hour); n != 16 {
			t.Errorf("one call forgot %d at once, want 16", n)
		}
		held(1) // the one of an hour after the first ten minutes
		time.Sleep(time.Hour)
		held(0)
	})
}
