// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/scopeauth/scopeauth/interceptors/policy"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

const (
	serving    = healthpb.HealthCheckResponse_SERVING
	notServing = healthpb.HealthCheckResponse_NOT_SERVING
)

// healthLab is a lab with a health service that follows its keys.
type healthLab struct {
	*lab

	checks *health.Server
	client healthpb.HealthClient
}

func newHealthLab(t *testing.T, s setup, services ...string) *healthLab {
	t.Helper()
	h := &healthLab{checks: health.NewServer()}
	s.memory = true
	s.options = append(s.options, serverauth.PublicHealth(), serverauth.HealthServer(h.checks, services...))
	s.register = func(srv *grpc.Server) { healthpb.RegisterHealthServer(srv, h.checks) }
	h.lab = newLab(t, s)
	h.client = healthpb.NewHealthClient(h.hooksConn(t))
	return h
}

func (h *healthLab) expect(t *testing.T, when, service string, want healthpb.HealthCheckResponse_ServingStatus) {
	t.Helper()
	got, err := h.client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
	if err != nil || got.GetStatus() != want {
		t.Errorf("%s: Check(%q): got %v, %v, want %v", when, service, got.GetStatus(), err, want)
	}
}

// watched is what a Watch was told.
type watched struct {
	mu   sync.Mutex
	list []healthpb.HealthCheckResponse_ServingStatus
}

func (h *healthLab) watch(t *testing.T) *watched {
	t.Helper()
	stream, err := h.client.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{}
	go func() {
		for {
			got, err := stream.Recv()
			if err != nil {
				return
			}
			w.mu.Lock()
			w.list = append(w.list, got.GetStatus())
			w.mu.Unlock()
		}
	}()
	return w
}

func (w *watched) expect(t *testing.T, when string, want ...healthpb.HealthCheckResponse_ServingStatus) {
	t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.list, want) {
		t.Errorf("%s: Watch told %v, want %v", when, w.list, want)
	}
}

// The health service says NOT_SERVING while no key can be used, and SERVING again when
// one can; to those who ask and to those who watch.
func TestHealthFollowsTheKeys(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := newHealthLab(t, setup{})
		w := h.watch(t)
		h.expect(t, "at start", "", serving)
		w.expect(t, "at start", serving)
		h.issuer.down.Store(true)
		time.Sleep(23*time.Hour + 40*time.Minute)
		h.expect(t, "after almost a day without the issuer", "", serving)
		time.Sleep(40 * time.Minute)
		h.expect(t, "after more than a day without the issuer", "", notServing)
		w.expect(t, "after more than a day without the issuer", serving, notServing)
		token := h.issuer.token(goodHeader, with(h.validFor(time.Hour)...))
		if got := h.call(t, whoAmI, bearer(token)); got.code != ua || got.reason != serverauth.ReasonKeysUnavailable {
			t.Errorf("a call at that time: got %v %s, want UNAVAILABLE KEYS_UNAVAILABLE", got.code, got.reason)
		}
		h.issuer.down.Store(false)
		time.Sleep(6 * time.Minute)
		h.expect(t, "the issuer is back", "", serving)
		w.expect(t, "the issuer is back", serving, notServing, serving)
		if got := h.call(t, whoAmI, bearer(token)); got.code != ok {
			t.Errorf("a call at that time: got %v %s, want OK", got.code, got.message)
		}
		// The keys go with their verifier.
		if err := h.verifier.Close(); err != nil {
			t.Fatal(err)
		}
		h.expect(t, "the verifier is closed", "", notServing)
		w.expect(t, "the verifier is closed", serving, notServing, serving, notServing)
	})
}

// A server that starts before its keys are there says so.
func TestHealthOfALazyStart(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		issuer := newMemoryIssuer()
		issuer.down.Store(true)
		h := newHealthLab(t, setup{verifier: []serverauth.VerifierOption{
			serverauth.LazyStart(), serverauth.WithHTTPClient(&http.Client{Transport: issuer}),
		}})
		w := h.watch(t)
		h.expect(t, "without keys", "", notServing)
		time.Sleep(time.Hour)
		h.expect(t, "without keys for an hour", "", notServing)
		issuer.down.Store(false)
		time.Sleep(6 * time.Minute)
		h.expect(t, "with keys", "", serving)
		w.expect(t, "with keys", notServing, serving)
	})
}

// One issuer with keys is enough: some callers can come.
func TestHealthOfSeveralIssuers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		p := newPools()
		h := newHealthLab(t, p.setup(setup{}))
		w := h.watch(t)
		p.second.down.Store(true)
		time.Sleep(25 * time.Hour)
		h.expect(t, "the second issuer is away", "", serving)
		p.first.down.Store(true)
		time.Sleep(25 * time.Hour)
		h.expect(t, "both are away", "", notServing)
		p.second.down.Store(false)
		time.Sleep(6 * time.Minute)
		h.expect(t, "the second is back", "", serving)
		p.first.down.Store(false)
		time.Sleep(6 * time.Minute)
		w.expect(t, "in all", serving, notServing, serving)
	})
}

// The named services are set, and no other.
func TestHealthOfNamedServices(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		const files, echo = "demo.files.v1.FileReadService", "demo.echo.v1.EchoService"
		more := health.NewServer()
		names := []string{"of another server"}
		h := newHealthLab(t, setup{options: []serverauth.Option{serverauth.HealthServer(more, names...)}}, files, echo)
		names[0] = "changed by who gave it"
		h.checks.SetServingStatus("", notServing) // somebody else's
		h.expect(t, "at start", files, serving)
		h.expect(t, "at start", echo, serving)
		if _, err := h.client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "demo.files.v1.FileWriteService"}); status.Code(err) != codes.NotFound {
			t.Errorf("a service that was not named: got %v, want NOT_FOUND", err)
		}
		h.issuer.down.Store(true)
		time.Sleep(25 * time.Hour)
		h.expect(t, "without keys", files, notServing)
		h.expect(t, "without keys", echo, notServing)
		if got, err := more.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "of another server"}); err != nil || got.GetStatus() != notServing {
			t.Errorf("without keys, the second health server: got %v, %v, want NOT_SERVING", got, err)
		}
		h.issuer.down.Store(false)
		time.Sleep(6 * time.Minute)
		h.expect(t, "with keys", files, serving)
		h.expect(t, "with keys", "", notServing)
	})
}

// After Close nobody keeps the status: it is left at NOT_SERVING, whatever the keys do.
func TestHealthAfterClose(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		h := newHealthLab(t, setup{})
		w := h.watch(t)
		synctest.Wait() // Watch tells the latest status only: let it tell each
		h.expect(t, "before Close", "", serving)
		if err := h.auth.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		h.expect(t, "after Close", "", notServing)
		h.checks.SetServingStatus("", serving) // by hand: it stays
		synctest.Wait()
		if err := h.auth.Close(); err != nil {
			t.Fatal(err)
		}
		h.expect(t, "after a second Close", "", serving)
		h.issuer.down.Store(true)
		time.Sleep(25 * time.Hour)
		h.issuer.down.Store(false)
		time.Sleep(time.Hour)
		w.expect(t, "in all", serving, notServing, serving)
	})
}

// A verifier of the user's own has no keys to follow.
func TestHealthNeedsAVerifierOfThisPackage(t *testing.T) {
	t.Parallel()
	rules, err := policy.New()
	if err != nil {
		t.Fatal(err)
	}
	custom := stubVerifier(func(context.Context, string) (*serverauth.Principal, error) { return nil, errNoNetwork })
	if _, err := serverauth.New(custom, rules, serverauth.HealthServer(health.NewServer())); err == nil {
		t.Error("got no error")
	}
}
