// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package soak_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	echov1 "github.com/scopeauth/scopeauth/gen/demo/echo/v1"
	"github.com/scopeauth/scopeauth/interceptors/internal/soak/model"
)

// attempt is one call and how it ended.
type attempt struct {
	id     string
	server *server
	method string
	token  *token

	// expected is what is right if nothing changes before the call is decided. It is found
	// out before the call is made.
	expected model.Outcomes

	start, opened, end time.Time // opened: the caller knew that the handler runs
	ran                bool      // the handler did
	outcome            model.Outcome
	cut                bool        // ended by CutIdleStreams
	gaveUp             atomic.Bool // nothing ended it for too long
	stopped            bool        // its caller ended it with the soak
	reason             string      // of a refusal, as the server reports it to itself
	wrong              string      // what is wrong with it whatever the world was like
}

// stream is how a stream goes on.
type stream struct {
	messages int           // 0: until something ends it
	every    time.Duration // a message
	idle     bool          // no message after the first
	opened   func()        // called when the handler runs, unless nil
	until    chan struct{} // closed when its caller shall end it, unless nil
}

// over reports whether the caller ends a stream that nothing else ends.
func (a *attempt) over(next stream) bool {
	select {
	case <-next.until:
		return true
	default:
		return !a.server.soak.running()
	}
}

// patience bounds what must happen at all. It is no measure of speed.
const patience = 2 * time.Minute

// call makes one call with the token, of the given method, and keeps it to be judged.
// A stream goes on as s says.
func (s *soak) call(srv *server, method string, t *token, next stream) *attempt {
	a := &attempt{id: strconv.FormatInt(s.calls.Add(1), 10), server: srv, method: method, token: t}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	giveUp := time.AfterFunc(patience, func() { a.gaveUp.Store(true); cancel() })
	defer giveUp.Stop()
	md := metadata.Pairs(callKey, a.id)
	for _, v := range t.values {
		md.Append("authorization", v)
	}
	ctx = metadata.NewOutgoingContext(ctx, md)
	payload, err := json.Marshal(claim{a.id, s.issuerURL(t), t.ClientID, t.TokenID, t.Scopes})
	if err != nil {
		s.violate(err.Error())
	}
	client := echov1.NewEchoServiceClient(srv.conns[rand.IntN(len(srv.conns))])

	now := time.Now()
	t.offered[srv.index].CompareAndSwap(0, int64(now.Sub(s.begin)))
	a.start = now
	a.expected = srv.model.Decide(a.openingAt(model.At(now)))
	var trailer metadata.MD
	switch method {
	case echoMethod:
		err = a.echo(ctx, client, payload)
	case repeatMethod:
		trailer, err = a.repeat(ctx, cancel, client, payload, next)
	case countMethod:
		trailer, err = a.count(ctx, client, payload, next)
	default:
		trailer, err = a.chat(ctx, cancel, client, payload, next)
	}
	a.end = time.Now()
	_, a.ran = s.ran.LoadAndDelete(a.id)
	if found, ok := s.reasons.LoadAndDelete(a.id); ok {
		a.reason, _ = found.(string)
	}
	a.conclude(err, trailer)
	if a.gaveUp.Load() || a.stopped {
		s.late.Store(a.id, true) // its handler may run later
	}
	s.keep(a)
	return a
}

// issuerURL is what a principal of the token has.
func (s *soak) issuerURL(t *token) string {
	if t.Issuer == model.Foreign {
		return ""
	}
	return s.issuers[t.Issuer].url
}

func (a *attempt) echo(ctx context.Context, client echov1.EchoServiceClient, payload []byte) error {
	r, err := client.Echo(ctx, &echov1.EchoRequest{Payload: payload})
	if err == nil && !bytes.Equal(r.GetPayload(), payload) {
		a.wrong = "it got another call's answer"
	}
	return err
}

// begun notes that the handler runs, if it does.
func (a *attempt) begun(s grpc.ClientStream, next stream) {
	header, err := s.Header()
	if err != nil || len(header.Get(openKey)) == 0 {
		return // the status says why
	}
	a.opened = time.Now()
	if next.opened != nil {
		next.opened()
	}
}

func (a *attempt) repeat(ctx context.Context, cancel context.CancelFunc, client echov1.EchoServiceClient, payload []byte, next stream) (metadata.MD, error) {
	s, err := client.Repeat(ctx, &echov1.RepeatRequest{Payload: payload, Times: int64(next.messages)})
	if err != nil {
		return nil, err
	}
	a.begun(s, next)
	for n := 0; ; n++ {
		r, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF):
			if n != next.messages {
				a.wrong = fmt.Sprintf("it ended well after %d messages of %d", n, next.messages)
			}
			return s.Trailer(), nil
		case err != nil:
			return s.Trailer(), err
		case !bytes.Equal(r.GetPayload(), payload):
			a.wrong = "it got another call's message"
		}
		if next.messages == 0 && a.over(next) {
			a.stopped = true
			cancel()
			return nil, nil
		}
	}
}

func (a *attempt) count(ctx context.Context, client echov1.EchoServiceClient, payload []byte, next stream) (metadata.MD, error) {
	s, err := client.Count(ctx)
	if err != nil {
		return nil, err
	}
	a.begun(s, next)
	sent := int64(0)
	for next.messages == 0 || sent < int64(next.messages) {
		if err := s.Send(&echov1.CountRequest{Payload: payload}); err != nil {
			break // the status says why
		}
		sent++
		if next.messages == 0 && a.over(next) {
			break
		}
		a.rest(ctx, next)
	}
	r, err := s.CloseAndRecv()
	if err == nil && r.GetCount() != sent {
		a.wrong = fmt.Sprintf("the handler counted %d messages of %d", r.GetCount(), sent)
	}
	a.stopped = err == nil && next.messages == 0
	return s.Trailer(), err
}

func (a *attempt) chat(ctx context.Context, cancel context.CancelFunc, client echov1.EchoServiceClient, payload []byte, next stream) (metadata.MD, error) {
	s, err := client.Chat(ctx)
	if err != nil {
		return nil, err
	}
	a.begun(s, next)
	for n := 0; next.messages == 0 || n < next.messages; n++ {
		_ = s.Send(&echov1.ChatRequest{Payload: payload}) // the status says why it fails
		r, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF):
			a.wrong = "it ended well before its caller had ended it"
			return s.Trailer(), nil
		case err != nil:
			return s.Trailer(), err
		case !bytes.Equal(r.GetPayload(), payload):
			a.wrong = "it got another call's message"
		}
		if next.idle {
			go a.stopWith(ctx, cancel)
			_, err := s.Recv()
			return s.Trailer(), err
		}
		if next.messages == 0 && a.over(next) {
			a.stopped = true
			break
		}
		a.rest(ctx, next)
	}
	_ = s.CloseSend() // the status says why it fails
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		a.stopped = false
		return s.Trailer(), err
	}
	return s.Trailer(), nil
}

func (a *attempt) rest(ctx context.Context, next stream) {
	if next.every > 0 {
		sleep(ctx, next.every)
	}
}

// stopWith ends an idle stream when the soak ends.
func (a *attempt) stopWith(ctx context.Context, cancel context.CancelFunc) {
	select {
	case <-ctx.Done():
	case <-a.server.soak.stop:
		cancel()
	}
}

// conclude reads the status.
func (a *attempt) conclude(err error, trailer metadata.MD) {
	if err == nil {
		a.outcome = model.Passes
		return
	}
	st := status.Convert(err)
	a.outcome.Code = model.Code(st.Code())
	if reasons := trailer.Get("scopeauth-reason"); st.Code() == codes.Canceled {
		if len(reasons) == 1 {
			a.cut = true
			a.outcome = uncut(reasons[0])
			return
		}
		a.stopped = !a.server.soak.running()
	}
	if a.gaveUp.Load() {
		a.wrong = fmt.Sprintf("nothing ended it within %v", patience)
		return
	}
	info := &errdetails.ErrorInfo{}
	for _, d := range st.Details() {
		if found, ok := d.(*errdetails.ErrorInfo); ok {
			info = found
		}
	}
	a.outcome.Reason = info.GetReason()
	switch {
	case info.GetReason() == "":
		a.outcome.Reason = "without a reason: " + st.Message()
	case info.GetDomain() != "scopeauth.v1":
		a.wrong = "the reason has the domain " + info.GetDomain()
	case info.GetMetadata()["method"] != a.method:
		a.wrong = "the reason names the method " + info.GetMetadata()["method"]
	case a.outcome == model.InsufficientScope && info.GetMetadata()["required"] != strings.Join(needs[a.method], " "):
		a.wrong = "it is said to require " + info.GetMetadata()["required"]
	}
}

// uncut is the outcome that the caller of a stream that was cut would have got with the
// next message.
func uncut(reason string) model.Outcome {
	for _, o := range []model.Outcome{model.TokenExpired, model.TokenRevoked, model.TokenInvalid, model.ClientNotAllowed, model.RevocationUnavailable} {
		if o.Reason == reason {
			return o
		}
	}
	return model.Outcome{Reason: "cut with the reason " + reason}
}

// openingAt is the call for the model, as it was opened within the span.
func (a *attempt) openingAt(s model.Span) model.Call {
	return model.Call{
		Span: s, Method: a.method, Token: &a.token.Token,
		Offered: a.server.soak.begin.Add(time.Duration(a.token.offered[a.server.index].Load())),
	}
}
