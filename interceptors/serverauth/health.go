// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"errors"
	"slices"
	"sync"

	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// healthTarget is a health server to keep informed.
type healthTarget struct {
	server   *health.Server
	services []string
}

// HealthServer keeps the server's health status: NOT_SERVING while no issuer has
// usable keys, so that load balancers send calls elsewhere, and SERVING when one has.
// services are the names to set; default: "", which stands for the server as a whole.
// Whoever else sets the same names is overruled at the next change. Close of the
// [Authorizer], after which nobody keeps the status, leaves it NOT_SERVING. The
// authorizer's own [Verifier] is needed for it.
func HealthServer(h *health.Server, services ...string) Option {
	return optionFunc(func(cfg *config) {
		if h == nil {
			cfg.errs = append(cfg.errs, errors.New("HealthServer(nil): give the server's health.Server"))
			return
		}
		if len(services) == 0 {
			services = []string{""}
		}
		cfg.health = append(cfg.health, healthTarget{server: h, services: slices.Clone(services)})
	})
}

var errHealthNeedsVerifier = errors.New("serverauth: HealthServer needs a Verifier of this package: a TokenVerifier of your own must set the health status itself")

func (a *Authorizer) tellHealth(cfg *config) error {
	if len(cfg.health) == 0 {
		return nil
	}
	if a.own == nil {
		return errHealthNeedsVerifier
	}
	a.stopHealth = a.own.readiness.watch(func(ready bool) {
		status := healthpb.HealthCheckResponse_NOT_SERVING
		if ready {
			status = healthpb.HealthCheckResponse_SERVING
		}
		for _, target := range cfg.health {
			for _, service := range target.services {
				target.server.SetServingStatus(service, status)
			}
		}
	})
	return nil
}

// readiness tells watchers whether any issuer has usable keys. The zero value has none.
type readiness struct {
	mu       sync.Mutex
	issuers  map[*trustedIssuer]bool
	watchers map[int]func(ready bool)
	next     int
}

// watch calls f now and at each change, one call after the other, until stop is called:
// then it calls f with false, once.
func (r *readiness) watch(f func(ready bool)) (stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watchers == nil {
		r.watchers = make(map[int]func(bool))
	}
	id := r.next
	r.next++
	r.watchers[id] = f
	f(r.ready())
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if _, ok := r.watchers[id]; ok {
			delete(r.watchers, id)
			f(false)
		}
	}
}

// set notes an issuer's state.
func (r *readiness) set(i *trustedIssuer, ready bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ready()
	if r.issuers == nil {
		r.issuers = make(map[*trustedIssuer]bool)
	}
	r.issuers[i] = ready
	if now := r.ready(); now != before {
		for _, f := range r.watchers {
			f(now)
		}
	}
}

func (r *readiness) ready() bool {
	for _, ready := range r.issuers {
		if ready {
			return true
		}
	}
	return false
}
