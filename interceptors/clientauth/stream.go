// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// clientStream is a stream whose client sends messages. It notes that the server
// refused the token. Messages may have been sent by then, so the stream is not opened
// again here; the next call gets another token.
type clientStream struct {
	grpc.ClientStream

	call *callCarrier
}

// SendMsg implements grpc.ClientStream. Where gRPC has repeated the stream in vain, its
// io.EOF is wrapped; programs compare it with ==, as its documentation says.
func (s *clientStream) SendMsg(m any) error {
	err := s.ClientStream.SendMsg(m)
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return err
}

// RecvMsg implements grpc.ClientStream.
func (s *clientStream) RecvMsg(m any) error {
	err := s.call.receive(s.ClientStream, m)
	s.call.received(err)
	if err != nil {
		s.call.report(err)
	}
	return err
}

// serverStream is a stream whose client sends one message. If its token is refused
// before the caller has got anything of the answer, it is opened once more.
type serverStream struct {
	call *callCarrier // the state of the first stream
	// open opens the second stream, or returns an error if the call has ended.
	open func(second *callCarrier) (grpc.ClientStream, error)
	// over is closed when the call's context ends.
	over <-chan struct{}

	// mu guards the rest. It is not held while anything is waited for.
	mu      sync.Mutex
	current grpc.ClientStream
	// reopening is there once the stream is opened again, and closed when that has ended:
	// until then nobody can be told which of the two it is.
	reopening chan struct{}
	// request is the client's message, as long as it may have to be sent again. ended
	// says that the end of the sending came after it: the caller sends nothing more.
	request any
	ended   bool
	// final says that the caller has got something of the answer.
	final bool
}

// stream returns the stream in use. If final, it stays that one, unless the call has
// ended while it was opened again.
func (s *serverStream) stream(final bool) grpc.ClientStream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reopening := s.reopening; reopening != nil {
		s.mu.Unlock()
		select {
		case <-reopening:
		case <-s.over:
		}
		s.mu.Lock()
	}
	if final {
		s.final, s.request = true, nil
	}
	return s.current
}

// Header implements grpc.ClientStream.
func (s *serverStream) Header() (metadata.MD, error) { return s.stream(true).Header() }

// Trailer implements grpc.ClientStream. It is called when the stream has ended.
func (s *serverStream) Trailer() metadata.MD { return s.stream(false).Trailer() }

// Context implements grpc.ClientStream.
func (s *serverStream) Context() context.Context { return s.stream(true).Context() }

// SendMsg implements grpc.ClientStream. If the call has ended, RecvMsg says how: gRPC
// itself returns nothing then, except where it has repeated the stream in vain.
func (s *serverStream) SendMsg(m any) error {
	err := s.stream(false).SendMsg(m)
	if s.call.lostStatus(err) {
		err = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.request = m
	}
	return err
}

// CloseSend implements grpc.ClientStream.
func (s *serverStream) CloseSend() error {
	err := s.stream(false).CloseSend()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = s.request != nil
	return err
}

// RecvMsg implements grpc.ClientStream.
func (s *serverStream) RecvMsg(m any) error {
	err := s.call.receive(s.stream(false), m)
	if err == nil {
		s.stream(true)
		return nil
	}
	rejected := s.call.rejection(err)
	if rejected.IsZero() {
		return err
	}
	second := s.call.again(rejected)
	again := s.again(second)
	if again == nil {
		return err
	}
	err = second.receive(again, m)
	second.received(err)
	return err
}

// again opens the stream with another token, or returns nil: then what the server said
// stands. If that is because the stream cannot be repeated, the next call gets another
// token.
func (s *serverStream) again(second *callCarrier) grpc.ClientStream {
	request, reopened := s.reopen()
	if reopened == nil {
		s.call.slot.rejected.Store(&second.rejected)
		return nil
	}
	s.call.renewed.Store(true) // so that no refusal comes here again
	stream, err := s.open(second)
	if err != nil {
		reopened(s.current)
		second.received(err)
		return nil
	}
	// What goes wrong here comes out of RecvMsg.
	_ = stream.SendMsg(request)
	_ = stream.CloseSend()
	reopened(stream)
	return stream
}

// reopen returns the message to send again and what to call with the stream that is the
// one in use then, or nothing if the stream cannot be repeated.
func (s *serverStream) reopen() (request any, reopened func(current grpc.ClientStream)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.final || !s.ended {
		return nil, nil
	}
	s.reopening = make(chan struct{})
	return s.request, func(current grpc.ClientStream) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.current, s.request = current, nil
		close(s.reopening)
	}
}
