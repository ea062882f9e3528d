// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
)

// slot is the place of one of a connection's tokens: there is one for each different
// set of scopes that the selection asks for.
type slot struct {
	// scopes are sorted; none means all that the client has.
	scopes []string
	source TokenSource
	// own is the source if it is this package's, and set its state of the scopes.
	own *ClientCredentials
	set *tokenSet

	// header is the metadata for the token that was sent last: the same map serves
	// every call until the token changes, since gRPC only reads it.
	header atomic.Pointer[header]
	// rejected is a token that a server refused on a stream, for the next call.
	rejected atomic.Pointer[Token]
}

type header struct {
	token    Token
	metadata map[string]string
}

// bind connects the slot to the source. The source of this package's own is asked
// for room now, so that too many sets are an error at the start.
func (s *slot) bind(source TokenSource) error {
	s.source = source
	own, ok := source.(*ClientCredentials)
	if !ok {
		return nil
	}
	set, err := own.set(s.scopes)
	if err != nil {
		return err
	}
	set.selected.Store(true)
	s.own, s.set = own, set
	return nil
}

// streamPatience is how long the call after a refused stream waits for another token
// before it takes the old one.
const streamPatience = time.Second

// token returns the token for a call.
func (s *slot) token(ctx context.Context) (Token, error) {
	// One call takes the mark; the load spares the others a write.
	if mark := s.rejected.Load(); mark != nil && s.rejected.CompareAndSwap(mark, nil) {
		token, err := s.other(ctx, *mark)
		if err == nil {
			return token, nil
		}
		if ctx.Err() != nil {
			// This call had no time for it, so it is left to the next.
			s.rejected.CompareAndSwap(nil, mark)
			return Token{}, sourceError(ctx, err)
		}
		// There is no other yet; the old one may do for this call.
	}
	return s.ask(ctx, Token{})
}

// other asks for another token than rejected, in a part of the call's time: it is not
// known that the call needs another.
func (s *slot) other(ctx context.Context, rejected Token) (Token, error) {
	patience := streamPatience
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)/2)
	}
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.ask(short, rejected)
}

// ask asks the source.
func (s *slot) ask(ctx context.Context, rejected Token) (token Token, err error) {
	if s.own != nil {
		token, err = s.own.tokenOf(ctx, s.set, rejected)
	} else {
		token, err = s.source.Token(ctx, Request{Scopes: s.scopes, Rejected: rejected})
	}
	if err != nil {
		return Token{}, sourceError(ctx, err)
	}
	return token, nil
}

// metadata returns the metadata that carries token under key.
func (s *slot) metadata(key string, token Token) (map[string]string, error) {
	if h := s.header.Load(); h != nil && h.token == token {
		return h.metadata, nil
	}
	value := token.Value()
	if err := checkToken(value); err != nil {
		return nil, &Error{reason: ReasonSource, code: codes.Unavailable, text: "the token source gave an unusable token: " + err.Error(), cause: err}
	}
	h := &header{token: token, metadata: map[string]string{key: "Bearer " + value}}
	s.header.Store(h)
	return h.metadata, nil
}
