// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// callers is how many ask at the same time, for each processor: a server waits for
// its callers now and then, and the processors must have something to do meanwhile.
const callers = 8

// parallel runs f n times and returns how long that took, and the processor time.
func parallel(n int, f func() error) (cost, error) {
	var (
		left    atomic.Int64
		work    sync.WaitGroup
		failure atomic.Pointer[error]
	)
	left.Store(int64(n))
	begin, used := time.Now(), processorTime()
	for range callers * runtime.GOMAXPROCS(0) {
		work.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					failure.Store(&err)
					return
				}
			}
		})
	}
	work.Wait()
	spent := cost{time.Since(begin), processorTime() - used}
	if err := failure.Load(); err != nil {
		return cost{}, *err
	}
	return spent, nil
}

type cost struct{ wall, processor time.Duration }

func (c *cost) add(d cost) {
	c.wall += d.wall
	c.processor += d.processor
}

// BenchmarkTokenRequest compares token requests with the bare signatures that they
// need (RSA-2048, PKCS #1 v1.5, SHA-256), in turns, because the speed of a shared machine changes from
// second to second. x-bare is the rate of tokens by the rate of signatures: 1 is the limit. x-cpu is
// the same by the processor time of this process, which other work on the machine disturbs less; it holds the caller's part too.
func BenchmarkTokenRequest(b *testing.B) {
	key := testKeys()[0].AccessToken
	digest := sha256.Sum256([]byte(strings.Repeat("x", 500)))
	sign := func() error {
		_, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		return err
	}
	one, network := newServer(b, WithPool(testPool()), WithoutListener()), newServer(b, WithPool(testPool()))
	keepAlive := &http.Transport{MaxIdleConnsPerHost: callers * runtime.GOMAXPROCS(0)}
	b.Cleanup(keepAlive.CloseIdleConnections)
	var next atomic.Int64
	many, clients := manyPools(b, testKeys()[0])
	for _, way := range []struct {
		name  string
		token func() error
	}{
		{"memory", func() error { return postToken(one.Transport(), one.TokenURL(), testID) }},
		{"keep-alive connections", func() error { return postToken(keepAlive, network.TokenURL(), testID) }},
		{"1000 pools, 10000 clients", func() error {
			c := clients[int(next.Add(1))%len(clients)]
			return postToken(many.Transport(), c.url, c.id)
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			const round = 128
			var tokens, bare cost
			for done := 0; done < b.N; done += round {
				n := min(round, b.N-done)
				for _, turn := range []struct {
					f   func() error
					sum *cost
				}{{way.token, &tokens}, {sign, &bare}} {
					spent, err := parallel(n, turn.f)
					if err != nil {
						b.Fatal(err)
					}
					turn.sum.add(spent)
				}
			}
			b.ReportMetric(float64(tokens.wall.Nanoseconds())/float64(b.N), "ns/token")
			b.ReportMetric(float64(bare.wall.Nanoseconds())/float64(b.N), "ns/signature")
			b.ReportMetric(float64(bare.wall)/float64(tokens.wall), "x-bare")
			if tokens.processor > 0 {
				b.ReportMetric(float64(bare.processor)/float64(tokens.processor), "x-cpu")
			}
			b.ReportMetric(0, "ns/op") // both together say nothing
		})
	}
}

type poolClient struct{ url, id string }

// manyPools is a server of Cognito's default quota of pools with ten clients each.
func manyPools(tb testing.TB, keys KeyPair) (*Server, []poolClient) {
	tb.Helper()
	opts := []Option{WithoutListener()}
	var clients []poolClient
	for i := range 1000 {
		p := testPool()
		p.ID, p.Name, p.Domain = fmt.Sprintf("eu-central-1_Pool%d", i), fmt.Sprintf("pool %d", i), fmt.Sprintf("pool-%d", i)
		p.Clients, p.Keys = nil, keys
		for j := range 10 {
			c := Client{ID: fmt.Sprintf("client%dof%d", j, i), Name: fmt.Sprintf("client %d", j), Secrets: []string{testSecret}, AllowedOAuthScopes: []string{"demo/read.file"}}
			p.Clients = append(p.Clients, c)
			clients = append(clients, poolClient{memoryURL + "/" + p.Domain + tokenPath, c.ID})
		}
		opts = append(opts, WithPool(p))
	}
	return newServer(tb, opts...), clients
}

// postToken gets a token and reads it to the end.
func postToken(rt http.RoundTripper, address, id string) error {
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader("grant_type=client_credentials&scope=demo%2Fread.file"))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(id+":"+testSecret)))
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return failf("status %d, want 200", resp.StatusCode)
	}
	return nil
}

// BenchmarkNewServer shows what a test pays for a server of its own, with keys given.
func BenchmarkNewServer(b *testing.B) {
	pair := testKeys()[0]
	for name, opts := range map[string][]Option{
		"listener": {WithKeys(pair)},
		"memory":   {WithKeys(pair), WithoutListener()},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s, err := NewServer(opts...)
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
