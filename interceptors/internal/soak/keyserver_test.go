// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package soak_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/internal/soak/model"
)

// fault is what the key server does to one request.
type fault int

const (
	none      fault = iota
	badStatus       // an answer with another status than 200
	refused         // no connection
	hang            // no answer
	pause           // an answer after a while
	drip            // an answer in pieces
	slowDrip        // an answer in pieces, after a while
	dripOn          // an answer in pieces, without an end
	rejection       // an answer that is no key set
)

// faultPlans are what an endpoint does to a fetch that an unknown key id causes, and to
// the retries that follow it. One is taken after the other. The back-off doubles with
// each failure, so a longer plan takes much more than the 10 s that lie between two.
var faultPlans = [][]fault{
	{badStatus, refused, rejection, slowDrip},
	{slowDrip},
	{refused, rejection, badStatus, refused, slowDrip},
	{badStatus, slowDrip},
	{rejection, badStatus, refused, rejection, slowDrip},
	{hang, rejection, drip},
	{refused, badStatus, rejection, badStatus, slowDrip},
	{badStatus, dripOn, refused, pause},
}

// startPlans are for the fetches that a server starts with.
var startPlans = [][]fault{{badStatus, refused}, {rejection, badStatus}, {}, {refused, rejection}, {slowDrip}}

// endpoint is where one server gets the keys of one issuer, and the line to it: whatever
// happens is measured at the server's end.
type endpoint struct {
	soak   *soak
	path   string
	issuer *issuer
	keys   *model.KeySet
	quiet  bool // nothing fails, and no unknown key id comes

	mu       sync.Mutex
	plan     []fault
	next     int // in faultPlans
	answers  int
	arriving map[string]*model.Fetch // by the marker of the document
}

// exchange is one request under way.
type exchange struct {
	endpoint *endpoint
	fetch    *model.Fetch
	fault    fault

	mu     sync.Mutex
	keys   model.Keys // of the document that is sent
	marker string
}

// keyServer serves the keys of all issuers, over TLS.
type keyServer struct {
	soak      *soak
	server    *http.Server
	done      chan struct{}
	base      string
	transport *http.Transport
	nowhere   string // an address that refuses connections
	held      []io.Closer

	mu        sync.Mutex
	endpoints map[string]*endpoint
	exchanges map[string]*exchange
	count     int
}

func newKeyServer(s *soak, serverTLS *tls.Config, roots *x509.CertPool) (*keyServer, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &keyServer{
		soak: s,
		done: make(chan struct{}),
		base: "https://" + lis.Addr().String(),
		transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true, // a fetch meets what the server is at that moment
		},
		endpoints: make(map[string]*endpoint),
		exchanges: make(map[string]*exchange),
	}
	k.server = &http.Server{Handler: k, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: serverTLS.Clone()}
	go func() {
		defer close(k.done)
		_ = k.server.ServeTLS(lis, "", "")
	}()
	return k, k.takePort()
}

// takePort finds an address that refuses connections and stays so: the near end of a
// connection, where nobody listens and nobody else can.
func (k *keyServer) takePort() error {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	near, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		return err
	}
	k.nowhere = near.LocalAddr().String()
	k.held = []io.Closer{near, lis}
	return nil
}

func (k *keyServer) close() {
	_ = k.server.Close()
	<-k.done
	k.transport.CloseIdleConnections()
	for _, c := range k.held {
		_ = c.Close()
	}
}

// endpoint makes a new one.
func (k *keyServer) endpoint(path string, i *issuer, keys *model.KeySet, quiet bool) *endpoint {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := &endpoint{
		soak: k.soak, path: path, issuer: i, keys: keys, quiet: quiet,
		next: len(k.endpoints), arriving: make(map[string]*model.Fetch),
	}
	if !quiet && k.soak.cfg.faultyStart {
		e.plan = startPlans[len(k.endpoints)%len(startPlans)]
	}
	k.endpoints[path] = e
	return e
}

// RoundTrip implements [http.RoundTripper]: it is the line between all servers and the
// key server.
func (k *keyServer) RoundTrip(req *http.Request) (*http.Response, error) {
	k.mu.Lock()
	e := k.endpoints[req.URL.Path]
	k.count++
	id := strconv.Itoa(k.count)
	k.mu.Unlock()
	x := e.depart(req.Header.Get("Cache-Control") == "no-cache")
	k.mu.Lock()
	k.exchanges[id] = x
	k.mu.Unlock()

	req = req.Clone(req.Context())
	req.Header.Set(exchangeHeader, id)
	if x.fault == refused {
		req.URL.Host = k.nowhere
	}
	resp, err := k.transport.RoundTrip(req)
	if x.fault == refused && errors.Is(err, syscall.ECONNREFUSED) {
		k.soak.events.add(keyServerRefused)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		x.fetch.Fail(time.Now())
		return resp, err
	}
	resp.Body = &watchedBody{ReadCloser: resp.Body, exchange: x}
	return resp, nil
}

const exchangeHeader = "Soak-Exchange"

// depart notes a request and decides its fate.
func (e *endpoint) depart(forced bool) *exchange {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	x := &exchange{endpoint: e, fetch: e.keys.Depart(now, forced)}
	if e.quiet {
		return x
	}
	if forced {
		e.plan = faultPlans[e.next%len(faultPlans)]
		e.next++
	}
	if len(e.plan) > 0 {
		x.fault, e.plan = e.plan[0], e.plan[1:]
	}
	return x
}

// watchedBody notes when the server has got the whole document, or no more of it.
type watchedBody struct {
	io.ReadCloser

	exchange *exchange
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.exchange.arrived()
	case err != nil:
		b.exchange.fetch.Fail(time.Now())
	}
	return n, err
}

func (x *exchange) arrived() {
	x.mu.Lock()
	keys, marker := x.keys, x.marker
	x.mu.Unlock()
	e := x.endpoint
	if keys == nil { // the body has ended before there was a document in it
		x.fetch.Fail(time.Now())
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.arriving[marker] = x.fetch
	x.fetch.Arrive(time.Now(), keys)
}

// rotated is the server's hook. It is called after the keys are in force.
func (e *endpoint) rotated(added []string) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, kid := range added {
		if !strings.HasPrefix(kid, markerPrefix) {
			continue
		}
		f := e.arriving[kid]
		if f == nil || !f.Publish(now) {
			e.soak.violate(fmt.Sprintf("%s: the keys of a document are in force that has not arrived: %s", e.path, kid))
		}
		delete(e.arriving, kid)
		e.soak.events.add(keysRotated)
	}
}

// started is rotated for the first document, which the hook is not told of.
func (e *endpoint) started() {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for kid, f := range e.arriving {
		f.Publish(now)
		delete(e.arriving, kid)
	}
}

const markerPrefix = "document-"

// ServeHTTP implements [http.Handler].
func (k *keyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	x := k.exchanges[r.Header.Get(exchangeHeader)]
	delete(k.exchanges, r.Header.Get(exchangeHeader))
	k.mu.Unlock()
	ctx, events := r.Context(), k.soak.events
	switch x.fault {
	case badStatus:
		events.add(keyServerStatus)
		w.WriteHeader([]int{500, 500, 503, 404, 302, 429}[rand.IntN(6)])
	case hang:
		events.add(keyServerHung)
		<-ctx.Done()
	case pause:
		events.add(keyServerHung)
		if sleep(ctx, 300*time.Millisecond+rand.N(900*time.Millisecond)) {
			k.answer(ctx, w, x, 1, 0)
		}
	case slowDrip:
		events.add(keyServerHung)
		if sleep(ctx, 300*time.Millisecond+rand.N(600*time.Millisecond)) {
			events.add(keyServerDripped)
			k.answer(ctx, w, x, 10, 40*time.Millisecond)
		}
	case drip:
		events.add(keyServerDripped)
		k.answer(ctx, w, x, 10, 50*time.Millisecond)
	case dripOn:
		events.add(keyServerDripped)
		for sleep(ctx, 100*time.Millisecond) {
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
		}
	case rejection:
		events.add(keyServerRejected)
		_, _ = io.WriteString(w, rejections[rand.IntN(len(rejections))])
	case none, refused:
		k.answer(ctx, w, x, 1, 0)
	}
}

// rejections are answers with status 200 that are no key sets.
var rejections = []string{
	"", "<html>down for maintenance</html>", `{"keys":[]}`, `{"keys":[{"kty":"oct","kid":"stable","k":"AAAA"}]}`, `{"keys":[`, `{"keys":[]}{}`,
}

// answer sends the keys in pieces, with a rest after each.
func (k *keyServer) answer(ctx context.Context, w http.ResponseWriter, x *exchange, pieces int, rest time.Duration) {
	e := x.endpoint
	e.mu.Lock()
	e.answers++
	marker := markerPrefix + strconv.Itoa(e.answers)
	e.mu.Unlock()
	doc, keys, err := e.issuer.document(marker)
	if err != nil {
		k.soak.violate("the key server: " + err.Error())
		return
	}
	x.mu.Lock()
	x.keys, x.marker = keys, marker
	x.mu.Unlock()
	w.Header().Set("Cache-Control", "max-age=1") // too short to be followed
	w.Header().Set("Content-Length", strconv.Itoa(len(doc)))
	for n := range pieces {
		if _, err := w.Write(doc[len(doc)*n/pieces : len(doc)*(n+1)/pieces]); err != nil {
			return
		}
		if n+1 == pieces {
			return
		}
		_ = http.NewResponseController(w).Flush()
		if !sleep(ctx, rest) {
			return
		}
	}
}

// sleep reports whether the time has passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
