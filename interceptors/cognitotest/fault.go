// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Endpoint names what a fault applies to.
type Endpoint string

// The endpoints that can be made to fail.
const (
	TokenEndpoint     Endpoint = "token"
	JWKSEndpoint      Endpoint = "jwks"
	DiscoveryEndpoint Endpoint = "discovery"
)

// Fault is a way to answer wrongly, slowly or not at all. The fields can be
// combined. With Status, Body, Redirect or Hang the request is not looked at:
// no token is issued and no key made.
type Fault struct {
	// Latency passes before the first byte of the answer.
	Latency time.Duration
	// Hang gives no answer until the request's context ends.
	Hang bool
	// Status replaces the answer by one with this status, and with Body. A value
	// outside 200 to 599 is sent as 500.
	Status int
	// Header is added to the answer and replaces headers of the same name, for
	// example Retry-After or Content-Type.
	Header http.Header
	// Body replaces the body; nil leaves it, or is empty if Status is set.
	Body []byte
	// Redirect answers with this Location, with status 307 unless Status is set.
	Redirect string
	// Cut ends the connection half-way through the body.
	Cut bool
	// BytePause passes before each single byte of the body.
	BytePause time.Duration
	// UnknownKeyID issues tokens whose kid is in no JWKS, at the [TokenEndpoint]. The
	// rest of the token is right.
	UnknownKeyID bool
	// StaleKeys answers with the keys from before the last rotation or
	// [UserPool.DropOldKeys], at the [JWKSEndpoint], as a cache in between does.
	StaleKeys bool
	// BodySize fills the body up to so many bytes with spaces, which leaves JSON valid.
	BodySize int64
	// Times is the number of requests that meet this fault. Zero: all.
	Times int
}

// HTMLFault returns a fault that answers with a page of HTML, as a proxy or a
// wrong address does.
func HTMLFault(status int) Fault {
	return Fault{
		Status: status,
		Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}},
		Body:   []byte("<!DOCTYPE html>\n<html><body><h1>It works!</h1></body></html>\n"),
	}
}

// replaces reports whether the request is not looked at.
func (f *Fault) replaces() bool {
	return f.Status != 0 || f.Body != nil || f.Redirect != ""
}

// keyID is the key id that a token names instead of its own.
func (f *Fault) keyID(id string) string {
	if f == nil || !f.UnknownKeyID {
		return id
	}
	other := sha256.Sum256([]byte("unknown " + id))
	return base64.StdEncoding.EncodeToString(other[:])
}

// faultBook holds the faults in force. The zero value has none. It is safe for
// concurrent use.
type faultBook struct {
	mu     sync.Mutex
	faults map[Endpoint][]Fault
}

func (b *faultBook) set(e Endpoint, faults []Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.faults == nil {
		b.faults = make(map[Endpoint][]Fault)
	}
	own := make([]Fault, len(faults))
	for i, f := range faults {
		f.Header, f.Body = f.Header.Clone(), slices.Clone(f.Body)
		own[i] = f
	}
	b.faults[e] = own
}

func (b *faultBook) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = nil
}

// next returns the fault for one request and counts it.
func (b *faultBook) next(e Endpoint) *Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.faults[e]
	if len(list) == 0 {
		return nil
	}
	f := list[0]
	if f.Times > 0 {
		if list[0].Times--; list[0].Times == 0 {
			b.faults[e] = list[1:]
		}
	}
	return &f
}

// around runs produce under the fault. An error means that ctx ended first.
func (f *Fault) around(ctx context.Context, produce func() reply, replaced func(status int)) (reply, error) {
	if f == nil {
		return produce(), nil
	}
	if f.Hang {
		replaced(0)
		<-ctx.Done()
		return reply{}, ctx.Err()
	}
	if err := sleep(ctx, f.Latency); err != nil {
		replaced(0)
		return reply{}, err
	}
	var r reply
	if f.replaces() {
		r = f.answer()
		replaced(r.status)
	} else {
		r = produce()
	}
	maps.Copy(r.header, canonical(f.Header))
	r.cut, r.pause, r.size = f.Cut, f.BytePause, f.BodySize
	return r, nil
}

func (f *Fault) answer() reply {
	status := f.Status
	switch {
	case status == 0 && f.Redirect != "":
		status = http.StatusTemporaryRedirect
	case status == 0:
		status = http.StatusOK
	case status < 200 || status > 599:
		status = http.StatusInternalServerError
	}
	r := reply{status: status, header: http.Header{}, body: f.Body}
	if f.Redirect != "" {
		r.header.Set("Location", f.Redirect)
	}
	if f.Body != nil {
		r.header.Set("Content-Type", "application/json;charset=UTF-8")
	}
	return r
}

func canonical(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		out[http.CanonicalHeaderKey(name)] = values
	}
	return out
}
