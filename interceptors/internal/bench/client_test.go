// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/oauth"

	filesv1 "github.com/scopeauth/scopeauth/gen/demo/files/v1"
	"github.com/scopeauth/scopeauth/interceptors/clientauth"
)

// BenchmarkFreshToken is what a call costs on the client's side while its token is fresh:
// the source alone, the call credentials that gRPC asks, and all that DialOptions adds,
// credentials included. time.Now is the clock that any cache must read; beyond-now-ns is
// what comes on top of one reading, and for DialOptions on top of gRPC's own Invoke too.
// x-cores is the time a call when as many goroutines ask as there are processors, by the
// time when one asks.
func BenchmarkFreshToken(b *testing.B) {
	l := newLab(b)
	now := func(n int) {
		for range n {
			_ = time.Now()
		}
	}
	tokens := l.credentials(b)
	creds, err := clientauth.PerRPCCredentials(tokens, clientauth.AllClientScopes())
	must(b, err)
	ctx := askedContext(b)
	options, err := clientauth.DialOptions(tokens, clientauth.AllClientScopes())
	must(b, err)
	dialed, bare := toTheTransport(b, options), toTheTransport(b, nil)
	bareAndNow := func(n int) { bare(n); now(n) }
	source := l.oauth2Source(b)
	for _, row := range []struct {
		name       string
		base, call batch
	}{
		{"time.Now", now, now},
		{"Invoke", now, bare},
		{"scopeauth/source", now, repeated(func() error { _, err := tokens.Token(context.Background(), clientauth.Request{}); return err })},
		{"scopeauth/credentials", now, repeated(func() error { _, err := creds.GetRequestMetadata(ctx); return err })},
		{"scopeauth/DialOptions", bareAndNow, dialed},
		{"x-oauth2/source", now, repeated(func() error { _, err := source.Token(); return err })},
		{"x-oauth2/credentials", now, repeated(func() error { // what gRPC's oauth.TokenSource does after its check of the transport
			token, err := source.Token()
			keep = map[string]string{"authorization": token.Type() + " " + token.AccessToken}
			return err
		})},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				row.call(1)
			}
			base, alone := fastest(row.base, row.call)
			b.ReportMetric(alone-base, "beyond-now-ns")
			alone, cores := fastest(row.call, atOnce(row.call))
			b.ReportMetric(cores/alone, "x-cores")
		})
	}
}

// askedContext returns the context in which gRPC asks for a call's credentials. The call
// stays open until the end.
func askedContext(b *testing.B) context.Context {
	b.Helper()
	ask := asking{make(chan context.Context, 1)}
	conn := serve(b, func(srv *grpc.Server) { filesv1.RegisterFileReadServiceServer(srv, files{}) }, nil, nil)
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	_, err := filesv1.NewFileReadServiceClient(conn).ReadFile(ctx, &filesv1.ReadFileRequest{}, grpc.PerRPCCredentials(ask))
	must(b, err)
	return <-ask.asked
}

// asking is credentials that keep the context that they are asked in.
type asking struct{ asked chan context.Context }

func (a asking) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	a.asked <- ctx
	return nil, nil
}

func (asking) RequireTransportSecurity() bool { return true }

// keep is written to, so that what is made is not left out.
var keep map[string]string

// repeated is a batch of calls that must not fail.
func repeated(call func() error) batch {
	return func(n int) {
		for range n {
			if err := call(); err != nil {
				panic(err) // some rows run on goroutines that must not end a benchmark
			}
		}
	}
}

// toTheTransport returns calls with these options as far as the transport: there an
// interceptor does what gRPC does with the credentials of a call, if it has some.
func toTheTransport(b *testing.B, options []grpc.DialOption) batch {
	b.Helper()
	conn := dial(b, "127.0.0.1:1", true, append(slices.Clip(options), grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if len(opts) == 0 {
				return nil
			}
			_, err := opts[0].(grpc.PerRPCCredsCallOption).Creds.GetRequestMetadata(ctx)
			return err
		}))...)
	ctx := context.Background()
	return repeated(func() error { return conn.Invoke(ctx, filesv1.FileReadService_WhoAmI_FullMethodName, nil, nil) })
}

// fastest runs two pieces of work in turns, for about a millisecond each, and returns the
// nanoseconds of each one's fastest turn: noise only adds.
func fastest(a, b batch) (timeA, timeB float64) {
	nA, nB := max(fitting(a)/8, 1), max(fitting(b)/8, 1)
	timeA, timeB = math.Inf(1), math.Inf(1)
	for range sized(10*ratioRounds, 1) {
		timeA = min(timeA, perOp(a, nA))
		timeB = min(timeB, perOp(b, nB))
	}
	return timeA, timeB
}

// processorTimes runs two pieces of work equally often, in turns, and returns what processor
// time both ends of the calls take for b by what they take for a; where the system does not
// tell, it is not a number.
func processorTimes(a, b batch) float64 {
	n, times := fitting(a), [2]time.Duration{}
	for range sized(ratioRounds, 1) {
		for i, work := range []batch{a, b} {
			before, err := cpuTime()
			work(n)
			after, _ := cpuTime()
			if err != nil {
				return math.NaN()
			}
			times[i] += after - before
		}
	}
	return float64(times[1]) / float64(max(times[0], 1))
}

// atOnce is the work divided among as many goroutines as there are processors.
func atOnce(work batch) batch {
	return func(n int) {
		var all sync.WaitGroup
		for i := range runtime.GOMAXPROCS(0) {
			all.Go(func() { work((n + i) / runtime.GOMAXPROCS(0)) })
		}
		all.Wait()
	}
}

func (l *lab) oauth2Source(b *testing.B) oauth2.TokenSource {
	b.Helper()
	app := l.pool.Client(clientID)
	config := clientcredentials.Config{ClientID: app.ID, ClientSecret: app.Secret, TokenURL: l.cognito.TokenURL(), AuthStyle: oauth2.AuthStyleInHeader}
	token, err := config.Token(context.Background())
	must(b, err)
	return oauth2.ReuseTokenSource(token, config.TokenSource(context.Background()))
}

// files answers WhoAmI with nothing, so that only the way there costs.
type files struct {
	filesv1.UnimplementedFileReadServiceServer
}

func (files) WhoAmI(context.Context, *filesv1.WhoAmIRequest) (*filesv1.WhoAmIResponse, error) {
	return &filesv1.WhoAmIResponse{}, nil
}

// BenchmarkUnary is a whole call over TLS, one after the other. The server looks at no
// token, but for the rows "guarded"; x-no-tokens is by a call without one to the same server.
func BenchmarkUnary(b *testing.B) {
	l := newLab(b)
	ours, err := clientauth.DialOptions(l.credentials(b), clientauth.AllClientScopes())
	must(b, err)
	peers := []grpc.DialOption{grpc.WithPerRPCCredentials(oauth.TokenSource{TokenSource: l.oauth2Source(b)})}
	guarded := l.guard(b, "scopeauth").options
	whoAmI := func(server []grpc.ServerOption, client []grpc.DialOption) batch {
		c := filesv1.NewFileReadServiceClient(serve(b, func(srv *grpc.Server) { filesv1.RegisterFileReadServiceServer(srv, files{}) }, server, client))
		return repeated(func() error { _, err := c.WhoAmI(context.Background(), &filesv1.WhoAmIRequest{}); return err })
	}
	without := whoAmI(nil, nil)
	for _, row := range []struct {
		name string
		call batch
	}{
		{"no-tokens", without},
		{"scopeauth", whoAmI(nil, ours)},
		{"x-oauth2", whoAmI(nil, peers)},
		{"guarded/scopeauth", whoAmI(guarded, ours)},
		{"guarded/x-oauth2", whoAmI(guarded, peers)},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				row.call(1)
			}
			base, time := fastest(without, row.call)
			b.ReportMetric(time/base, "x-no-tokens")
		})
	}
}

// BenchmarkTokensOfAConnection is whole calls over one connection with tokens in turn, to a
// server that looks at none. HPACK remembers 4 KiB of headers for a connection, so about
// four tokens: from five on each call sends its token in full, and both sides code it.
func BenchmarkTokensOfAConnection(b *testing.B) {
	l := newLab(b)
	conn := serve(b, registerEcho, nil, nil)
	call := echoing(100)
	inTurn := func(n int) batch {
		contexts := make([]context.Context, n)
		for i, token := range l.mint(b, n) {
			contexts[i] = withToken(context.Background(), token) //nolint:fatcontext // each is of its own
		}
		i := 0
		return repeated(func() error {
			i = (i + 1) % n
			return call(contexts[i], conn)
		})
	}
	one := inTurn(1)
	for _, n := range []int{1, 2, 4, 5, 8, 16} {
		b.Run(fmt.Sprintf("tokens=%d", n), func(b *testing.B) {
			turn := inTurn(n)
			for b.Loop() {
				turn(1)
			}
			base, time := fastest(one, turn)
			b.ReportMetric(time/base, "x-one-token")
			b.ReportMetric(processorTimes(one, turn), "cpu-x-one-token")
		})
	}
}
