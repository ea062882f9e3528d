// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package soak_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

const (
	echoMethod   = "/demo.echo.v1.EchoService/Echo"
	repeatMethod = "/demo.echo.v1.EchoService/Repeat"
	countMethod  = "/demo.echo.v1.EchoService/Count"
	chatMethod   = "/demo.echo.v1.EchoService/Chat"
)

var methods = []string{echoMethod, repeatMethod, countMethod, chatMethod}

// needs are the scopes, as the .proto file has them.
var needs = map[string][]string{
	echoMethod: {scopeCall}, repeatMethod: {scopeStream}, countMethod: {scopeStream}, chatMethod: bothScopes,
}

// claim is what a call says of itself in its messages: whose token it carries.
type claim struct {
	Call    string   `json:"call"`
	Issuer  string   `json:"issuer"`
	Client  string   `json:"client"`
	TokenID string   `json:"token_id"`
	Scopes  []string `json:"scopes"`
}

// callKey is the metadata key of a call's number; openKey is the header that a handler
// sends as its first word.
const (
	callKey = "soak-call"
	openKey = "soak-open"
)

// echo verifies that no handler runs without a principal, or with another one than that
// of the token that the call carries.
type echo struct {
	echov1.UnimplementedEchoServiceServer

	soak *soak
}

// running is a handler that runs, for whom, and the call's own number.
type running struct {
	call   string
	caller *serverauth.Principal
}

// enter notes that a handler runs.
func (e echo) enter(ctx context.Context) running {
	call := "unnamed"
	if values := metadata.ValueFromIncomingContext(ctx, callKey); len(values) == 1 {
		call = values[0]
	}
	p, ok := serverauth.PrincipalFromContext(ctx)
	if !ok {
		e.soak.violate("a handler ran without a principal: call " + call)
	}
	if _, twice := e.soak.ran.LoadOrStore(call, true); twice {
		e.soak.violate("two handlers ran for one call: " + call)
	}
	return running{call, p}
}

// verify compares the principal with what the message says.
func (e echo) verify(r running, payload []byte) {
	var c claim
	if err := json.Unmarshal(payload, &c); err != nil {
		e.soak.violate("a handler got a message that nobody sent: " + err.Error())
		return
	}
	p := r.caller
	if r.call != c.Call || p.ClientID() != c.Client || p.Issuer() != c.Issuer || p.TokenID() != c.TokenID || !slices.Equal(p.Scopes(), c.Scopes) {
		e.soak.violate(fmt.Sprintf("a handler ran with another principal: call %s of %+v has that of client %s of %s, token %s, scopes %q",
			r.call, c, p.ClientID(), p.Issuer(), p.TokenID(), p.Scopes()))
	}
}

func (e echo) Echo(ctx context.Context, r *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	e.verify(e.enter(ctx), r.GetPayload())
	return &echov1.EchoResponse{Payload: r.GetPayload()}, nil
}

// open is enter for a stream. It tells the caller.
func (e echo) open(s grpc.ServerStream) running {
	r := e.enter(s.Context())
	_ = s.SendHeader(metadata.Pairs(openKey, "1")) // a stream that has ended already says so by its status
	return r
}

// repeatEvery is the rest between two messages that go on until the call ends.
const repeatEvery = 100 * time.Millisecond

func (e echo) Repeat(r *echov1.RepeatRequest, s grpc.ServerStreamingServer[echov1.RepeatResponse]) error {
	e.verify(e.open(s), r.GetPayload())
	for n := int64(0); n < r.GetTimes() || r.GetTimes() == 0; n++ {
		if err := s.Send(&echov1.RepeatResponse{Payload: r.GetPayload()}); err != nil {
			return e.over(s, err)
		}
		if r.GetTimes() == 0 && !sleep(s.Context(), repeatEvery) {
			return s.Context().Err()
		}
	}
	return nil
}

func (e echo) Count(s grpc.ClientStreamingServer[echov1.CountRequest, echov1.CountResponse]) error {
	who := e.open(s)
	for n := int64(0); ; n++ {
		r, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return s.SendAndClose(&echov1.CountResponse{Count: n})
		case err != nil:
			return e.over(s, err)
		}
		e.verify(who, r.GetPayload())
	}
}

func (e echo) Chat(s grpc.BidiStreamingServer[echov1.ChatRequest, echov1.ChatResponse]) error {
	who := e.open(s)
	for {
		r, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return e.over(s, err)
		}
		e.verify(who, r.GetPayload())
		if err := s.Send(&echov1.ChatResponse{Payload: r.GetPayload()}); err != nil {
			return e.over(s, err)
		}
	}
}

// over verifies that a stream that was refused once is refused for good.
func (e echo) over(s grpc.ServerStream, err error) error {
	if _, refused := errors.AsType[*serverauth.Error](err); !refused {
		return err
	}
	if s.SendMsg(&echov1.ChatResponse{}) == nil {
		e.soak.violate("a stream took a message after it had ended")
	}
	if s.RecvMsg(&echov1.ChatRequest{}) == nil {
		e.soak.violate("a stream delivered a message after it had ended")
	}
	return err
}
