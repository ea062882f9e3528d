// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
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
// what comes on top of one reading, of rounds that take turns. Rows with "cores" are asked
// by as many goroutines as there are processors.
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
	dialed := l.throughDialOptions(b, tokens)
	source := l.oauth2Source(b)
	for _, row := range []struct {
		name string
		call batch
	}{
		{"time.Now", now},
		{"scopeauth/source", repeated(func() error { _, err := tokens.Token(context.Background(), clientauth.Request{}); return err })},
		{"scopeauth/credentials", repeated(func() error { _, err := creds.GetRequestMetadata(ctx); return err })},
		{"scopeauth/DialOptions", dialed},
		{"x-oauth2/source", repeated(func() error { _, err := source.Token(); return err })},
		{"x-oauth2/credentials", repeated(func() error { // what gRPC's oauth.TokenSource does after its check of the transport
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
			b.ReportMetric(beyond(now, row.call), "beyond-now-ns")
		})
		b.Run(row.name+"/cores", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					row.call(1)
				}
			})
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

// throughDialOptions returns calls through what DialOptions makes, as far as the
// transport: there an interceptor does what gRPC does with the credentials of a call.
func (l *lab) throughDialOptions(b *testing.B, tokens *clientauth.ClientCredentials) batch {
	b.Helper()
	options, err := clientauth.DialOptions(tokens, clientauth.AllClientScopes())
	must(b, err)
	conn := dial(b, "127.0.0.1:1", true, append(options, grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			_, err := opts[0].(grpc.PerRPCCredsCallOption).Creds.GetRequestMetadata(ctx)
			return err
		}))...)
	ctx := context.Background()
	return repeated(func() error { return conn.Invoke(ctx, filesv1.FileReadService_WhoAmI_FullMethodName, nil, nil) })
}

// beyond runs both in turns and returns the median of what row takes longer than base, in
// nanoseconds.
func beyond(base, row batch) float64 {
	nBase, nRow := fitting(base), fitting(row)
	more := make([]float64, 0, ratioRounds)
	for range sized(ratioRounds, 1) {
		more = append(more, perOp(row, nRow)-perOp(base, nBase))
	}
	return median(more)
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
			b.ReportMetric(ratio(without, row.call), "x-no-tokens")
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
			b.ReportMetric(ratio(one, turn), "x-one-token")
		})
	}
}
