// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/scopeauth/scopeauth/interceptors/policy"
)

// Serve checks that every registered method has a sound access rule and then
// serves, as [grpc.Server.Serve] does. If one has none it closes the listener and
// returns an error that names all of them and says what to write (a
// [policy.CheckError]). It does not start either if [Authorizer.ServerOptions], or both
// interceptors, were never asked for. Register all services before: gRPC allows no
// registration afterwards, so the check is complete.
func (a *Authorizer) Serve(srv *grpc.Server, lis net.Listener) error {
	if err := a.checkProtected(); err != nil {
		return errors.Join(err, lis.Close())
	}
	if err := a.CheckServer(srv); err != nil {
		return errors.Join(err, lis.Close())
	}
	return srv.Serve(lis)
}

var errNotProtected = errors.New("scopeauth: not started, nothing protects the server: pass what ServerOptions returns to grpc.NewServer")

// checkProtected finds a server whose author forgot the interceptors. It cannot see
// which server they were given to, since gRPC does not tell.
func (a *Authorizer) checkProtected() error {
	if !a.handedOut.unary.Load() || !a.handedOut.stream.Load() {
		return errNotProtected
	}
	return nil
}

// CheckServer returns nil if every method of every registered service has a sound
// access rule, and otherwise one error with all that is missing or wrong
// (a [policy.CheckError]). [Authorizer.Serve] calls it. A server that is started
// otherwise, such as behind [grpc.Server.ServeHTTP], calls it before: the methods that it
// sees are those that [RefuseBeforeDecoding], [CutIdleStreams] and [OwnScopesOnly] take
// for the server's.
func (a *Authorizer) CheckServer(srv interface {
	GetServiceInfo() map[string]grpc.ServiceInfo
},
) error {
	services := srv.GetServiceInfo()
	a.learn(services)
	names := slices.Sorted(maps.Keys(services))
	check := &policy.CheckError{}
	if err := a.policy.Check(names...); err != nil {
		found, ok := errors.AsType[*policy.CheckError](err)
		if !ok {
			return err
		}
		check.Faults = slices.Clone(found.Faults)
	}
	check.Faults = append(check.Faults, a.undescribed(services, check.Faults)...)
	if len(check.Faults) == 0 {
		return nil
	}
	check.Faults = foldInfrastructure(check.Faults)
	return check
}

// learn remembers what the server has registered.
func (a *Authorizer) learn(services map[string]grpc.ServiceInfo) {
	methods := make(map[string]bool)
	var servers []string
	for service, info := range services {
		for _, m := range info.Methods {
			full := "/" + service + "/" + m.Name
			methods[full] = m.IsClientStream || m.IsServerStream
			rule, _ := a.policy.Rule(full)
			for _, scope := range slices.Concat(rule.Alternatives()...) {
				server := scope[:strings.LastIndexByte(scope, '/')]
				if !slices.Contains(servers, server) {
					servers = append(servers, server)
				}
			}
		}
	}
	a.services.Store(&methods)
	if a.ownScopes != nil {
		slices.Sort(servers)
		a.ownScopes.servers.CompareAndSwap(nil, &servers) // what the user named stays
	}
}

// registered reports whether the server has the method, as far as is known.
func (a *Authorizer) registered(method string) bool {
	methods := a.services.Load()
	if methods == nil {
		return true
	}
	_, ok := (*methods)[method]
	return ok
}

// unary reports whether the method is known to be no stream.
func (a *Authorizer) unary(method string) bool {
	methods := a.services.Load()
	if methods == nil {
		return false
	}
	stream, ok := (*methods)[method]
	return ok && !stream
}

// undescribed finds methods that a service was registered with and that its
// descriptor lacks, such as those of a hand-made grpc.ServiceDesc.
func (a *Authorizer) undescribed(services map[string]grpc.ServiceInfo, known []policy.Fault) []policy.Fault {
	var faults []policy.Fault
	for _, service := range slices.Sorted(maps.Keys(services)) {
		if slices.ContainsFunc(known, func(f policy.Fault) bool { return f.Service == service && f.Method == "" }) {
			continue // the service as a whole is at fault already
		}
		for _, m := range services[service].Methods {
			full := "/" + service + "/" + m.Name
			if _, ok := a.policy.Rule(full); ok {
				continue
			}
			faults = append(faults, policy.Fault{
				Service: service,
				Method:  m.Name,
				Problem: "the method is registered, but the service's descriptor does not have it",
				Fix:     fmt.Sprintf("register what the code generator made from the .proto file, or give a rule in Go: policy.WithRule(%q, ...)", full),
			})
		}
	}
	return faults
}

// foldInfrastructure makes one fault of all missing rules of a service that comes
// without annotations: nobody can write into its .proto file.
func foldInfrastructure(faults []policy.Fault) []policy.Fault {
	var folded []policy.Fault
	seen := make(map[string]bool)
	for _, f := range faults {
		if fix := infrastructureFix(f.Service); fix != "" && f.Problem == policy.NoRule {
			if seen[f.Service] {
				continue
			}
			seen[f.Service] = true
			f = policy.Fault{Service: f.Service, Problem: policy.NoRule, Fix: fix}
		}
		folded = append(folded, f)
	}
	return folded
}

// infrastructureFix says what to write for services that come without annotations.
func infrastructureFix(service string) string {
	switch {
	case service == healthpb.Health_ServiceDesc.ServiceName:
		return "add serverauth.PublicHealth()"
	case strings.HasPrefix(service, "grpc."), strings.HasPrefix(service, "envoy."), strings.HasPrefix(service, "xds."):
		return fmt.Sprintf("give it a rule in Go: policy.WithRule(%q, policy.AllOf(\"resource-server/scope\")), or do not register it", service)
	default:
		return ""
	}
}
