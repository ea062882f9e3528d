// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// keysFaults are the ways in which an endpoint can fail.
var keysFaults = map[string]roundTripper{
	"503": func(r *http.Request) (*http.Response, error) {
		return keysAnswer(r, http.StatusServiceUnavailable, strings.NewReader("later"))
	},
	"404": func(r *http.Request) (*http.Response, error) {
		return keysAnswer(r, http.StatusNotFound, strings.NewReader("<html>"))
	},
	"refused": keysFail(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}),
	"DNS":     keysFail(&net.DNSError{Err: "no such host", Name: "keys.test", IsNotFound: true}),
	"TLS":     keysFail(x509.UnknownAuthorityError{}),
	"hanging": keysHang,
}

// D1: without keys a server does not start, unless it is told to; then calls that need
// a token end UNAVAILABLE, load balancers are told, and all is well with the first keys.
func TestD1NoKeysAtStart(t *testing.T) {
	t.Parallel()
	for name, fault := range keysFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				e := newKeysEndpoint()
				e.now(fault)
				issuer := serverauth.Issuer{URL: issuerURL, JWKSURL: "https://keys.test/keys", Clients: serverauth.AnyClient()}
				begin := time.Now()
				_, err := serverauth.NewVerifier(t.Context(), []serverauth.Issuer{issuer},
					serverauth.WithHTTPClient(&http.Client{Transport: e}), serverauth.WithLogger(nil))
				if err == nil || !strings.Contains(err.Error(), issuerURL) {
					t.Errorf("NewVerifier: got %v, want an error that names the issuer", err)
				}
				if took := time.Since(begin); took > 10*time.Second {
					t.Errorf("NewVerifier took %v, want 10 s at most", took)
				}
				s := e.setup()
				s.verifier = append(s.verifier, serverauth.LazyStart())
				checks := health.NewServer()
				s.register = func(srv *grpc.Server) { healthpb.RegisterHealthServer(srv, checks) }
				s.options = []serverauth.Option{serverauth.PublicHealth(), serverauth.HealthServer(checks)}
				l := keysLab{newLab(t, s), e}
				time.Sleep(3 * time.Second) // the first fetch fails by then
				l.unavailableAnyway(t, e.good())
				if l.verifier.Ready() || l.health(t) != healthpb.HealthCheckResponse_NOT_SERVING {
					t.Error("the server is said to be ready")
				}
				if got := l.call(t, version); got.code != ok {
					t.Errorf("a public method: got %v, want OK", got.code)
				}
				if got := l.call(t, whoAmI, bearer("junk")); got.code != u {
					t.Errorf("junk: got %v, want UNAUTHENTICATED", got.code)
				}
				e.well()
				time.Sleep(6 * time.Minute) // the longest back-off, and some
				l.passes(t, "with keys", e.good(), 0)
				if !l.verifier.Ready() || l.health(t) != healthpb.HealthCheckResponse_SERVING {
					t.Error("the server is said not to be ready")
				}
			})
		})
	}
}

// health asks the server for its status, as a load balancer does.
func (l keysLab) health(t *testing.T) healthpb.HealthCheckResponse_ServingStatus {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return l.memory.Dial() }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	resp, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Errorf("health: %v", err)
	}
	return resp.GetStatus()
}

// D2 and D3: an endpoint that fails later, in whatever way, does no harm to tokens of
// known keys, and nobody waits for it who has one. After 24 hours nothing passes.
func TestD2D3EndpointFailsLater(t *testing.T) {
	t.Parallel()
	for name, fault := range keysFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				e := newKeysEndpoint()
				l := newKeysLab(t, e)
				e.now(fault)
				const life = 24 * 3600
				lasts := l.issuer.token(goodHeader, with("iat", at(life-3600), "exp", at(life+3600)))
				for hour := range 23 {
					token := l.issuer.token(goodHeader, with("iat", at(int64(hour*3600)), "exp", at(int64(hour*3600+1800))))
					begin := time.Now()
					if got := l.call(t, whoAmI, bearer(token)); got.code != ok {
						t.Errorf("after %d hours: got %v %s, want OK", hour, got.code, got.reason)
					}
					if took := time.Since(begin); took != 0 {
						t.Errorf("after %d hours: a call of a known key took %v", hour, took)
					}
					time.Sleep(time.Hour)
				}
				time.Sleep(time.Hour - time.Second)
				if got := l.call(t, whoAmI, bearer(lasts)); got.code != ok {
					t.Errorf("in the last second: got %v %s, want OK", got.code, got.reason)
				}
				if age := l.verifier.Stats().Issuers[0].KeyAge; age != 24*time.Hour-time.Second {
					t.Errorf("the keys' age: got %v", age)
				}
				time.Sleep(2 * time.Second)
				l.unavailableAnyway(t, lasts)
				if got := l.call(t, whoAmI, bearer("junk")); got.code != u {
					t.Errorf("junk: got %v, want UNAUTHENTICATED", got.code)
				}
				e.well()
				time.Sleep(6 * time.Minute) // the longest back-off, and some
				l.passes(t, "when keys are back", lasts, 0)
			})
		})
	}
}

// D3: an unknown key is waited for, 2 seconds at most, and only by who needs it.
func TestD3OnlyTheUnknownKeyWaits(t *testing.T) {
	t.Parallel()
	drip := func(r *http.Request) (*http.Response, error) {
		return keysAnswer(r, http.StatusOK, dripping{r.Context()})
	}
	for name, fault := range map[string]roundTripper{"hanging": keysHang, "dripping": drip} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				e := newKeysEndpoint()
				l := newKeysLab(t, e)
				e.now(fault)
				begin := time.Now()
				waiting := l.dial(t)
				defer waiting.close()
				waiting.open(t, readFile, bearer(e.newToken()))
				waiting.send(t, nil)
				waiting.closeSend(t)
				synctest.Wait()
				for range 20 {
					l.passes(t, "a known key meanwhile", l.issuer.good(), 0)
				}
				if took := time.Since(begin); took != 0 {
					t.Errorf("calls of a known key took %v", took)
				}
				got := waiting.finish(t)
				if took := time.Since(begin); got.code != codes.Unavailable || got.reason != serverauth.ReasonKeysUnavailable || took != 2*time.Second {
					t.Errorf("an unknown key: got %v %s after %v, want UNAVAILABLE KEYS_UNAVAILABLE after 2 s", got.code, got.reason, took)
				}
				time.Sleep(time.Second + time.Nanosecond) // the fetch has failed by now
				if s := l.verifier.Stats().Issuers[0]; s.Failures != 1 || s.KIDFetches != 1 {
					t.Errorf("%d failures and %d fetches for an unknown kid, want one of one, after 3 s", s.Failures, s.KIDFetches)
				}
			})
		})
	}
}

// dripping is a body that gives a byte each second.
type dripping struct{ ctx context.Context }

func (d dripping) Read(b []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return copy(b[:1], "{"), nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}
