// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc/codes"
)

// Outcome is what was decided about a call.
type Outcome string

// The outcomes.
const (
	// OutcomeAllowed: the handler runs.
	OutcomeAllowed Outcome = "allowed"
	// OutcomeDenied: the call is refused, or the stream ended.
	OutcomeDenied Outcome = "denied"
	// OutcomeWouldDeny: the handler runs, because of [ReportOnly] alone.
	OutcomeWouldDeny Outcome = "would_deny"
)

// Stage is where a decision was made.
type Stage string

// The stages.
const (
	// StageHeader: on the header frame, before the message was read. Only refusals are
	// reported from there; see [RefuseBeforeDecoding].
	StageHeader Stage = "header"
	// StageCall: before the handler.
	StageCall Stage = "call"
	// StageStream: in an open stream, whose call was allowed before.
	StageStream Stage = "stream"
)

// Decision is one decision, for metrics and audit. It holds no token.
type Decision struct {
	// Method is the full method. A stranger can have invented it if it was refused: use
	// it as a metric label only if it is a method of the server.
	Method  string
	Outcome Outcome
	Stage   Stage
	Reason  Reason     // why it was, or would be, denied; else ""
	Code    codes.Code // what the caller gets, or would get; else OK
	// Issuer, ClientID and ClientName tell the caller. They are "" unless the token's
	// signature has proven it. A client's id is a metric label of bounded cardinality only
	// if the clients are named one by one.
	Issuer, ClientID, ClientName string
	// Cached says that the token was remembered from an earlier call.
	Cached bool
	// Latency is what the decision took at that stage, functions of the user's included;
	// 0 for StageStream.
	Latency time.Duration
}

// Reporter is told each decision, once. It is called on the path of the call, so it must
// be fast, and safe for concurrent use; decisions of StageHeader are made on the
// connection's reader, which it must not block. A panic in it changes nothing about the
// decision: it is logged.
type Reporter interface {
	Report(ctx context.Context, d Decision)
}

func (a *Authorizer) allowed(ctx context.Context, call *callContext, how course) {
	a.report(ctx, call, nil, Decision{Outcome: OutcomeAllowed, Stage: StageCall}, how)
}

func (a *Authorizer) denied(ctx context.Context, call *callContext, refusal *Error, stage Stage, how course) {
	a.report(ctx, call, refusal, Decision{Outcome: OutcomeDenied, Stage: stage}, how)
}

// wouldDeny logs and reports a refusal that is waived.
func (a *Authorizer) wouldDeny(ctx context.Context, call *callContext, refusal *Error, stage Stage, how course) {
	a.log.waived(ctx, call.method, refusal, stage)
	a.report(ctx, call, refusal, Decision{Outcome: OutcomeWouldDeny, Stage: stage}, how)
}

// report completes a decision and tells it. refusal is nil if there is none; its caller
// is a proven one also where the call has none.
func (a *Authorizer) report(ctx context.Context, call *callContext, refusal *Error, d Decision, how course) {
	if len(a.reporters) == 0 {
		return
	}
	d.Method, d.Cached = call.method, how.cached
	var caller *Principal
	if refusal != nil {
		d.Reason, d.Code = refusal.reason, refusal.Code()
		caller = refusal.principal
	}
	if call.who != nil {
		caller = call.who.principal
	}
	if caller != nil {
		d.Issuer, d.ClientID, d.ClientName = caller.issuer, caller.clientID, caller.clientName
	}
	if !how.begin.IsZero() {
		d.Latency = time.Since(how.begin)
	}
	for _, r := range a.reporters {
		a.tell(ctx, r, d)
	}
}

// tell keeps a panic from ending more than the report: on a header frame and in the
// timer of a stream it would end the process.
func (a *Authorizer) tell(ctx context.Context, r Reporter, d Decision) {
	defer func() {
		if value := recover(); value != nil {
			a.log.panicked(ctx, "a Reporter", value)
		}
	}()
	r.Report(ctx, d)
}

// maxStackBytes bounds what is logged of a stack.
const maxStackBytes = 4096

// panicked logs that a function of the user's panicked, as seldom as refusals are
// logged. It does not wait for the log, and is for the function that recovers, so that the
// stack shows where it was.
func (l *refusalLog) panicked(ctx context.Context, whose string, value any) {
	text := "scopeauth: " + whose + " panicked"
	if !l.logger.Enabled(ctx, slog.LevelError) {
		return
	}
	dropped, ok := l.limit.take(text)
	if !ok {
		return
	}
	stack := debug.Stack()
	attrs := []slog.Attr{
		slog.String("panic", clip(fmt.Sprint(value))),
		slog.String("stack", string(stack[:min(len(stack), maxStackBytes)])),
	}
	if dropped > 0 {
		attrs = append(attrs, slog.Int("same_not_logged", dropped))
	}
	line := newRecord(slog.LevelError, text, attrs)
	if !l.queue.add(func() { _ = l.logger.Handler().Handle(ctx, line) }) {
		l.limit.leaveOut(text, dropped)
	}
}

// LogDecisions returns a [Reporter] that logs decisions: what was allowed at
// [slog.LevelDebug], the rest at [slog.LevelInfo]. Of one outcome and reason there is
// a line a second on average, after ten at once, and a line says how many were left
// out. A nil logger logs nothing. Decisions of [StageHeader] and [StageStream] never wait
// for the log: 64 lines of them may, and more are left out and counted; those of
// [StageCall] are written before the call goes on. Refusals are logged with more detail
// without it, see [WithLogger].
func LogDecisions(l *slog.Logger) Reporter {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return &decisionLog{logger: l, limit: newRateLimit[decisionKey](refusalsBurst)}
}

type decisionLog struct {
	logger *slog.Logger
	limit  *rateLimit[decisionKey]
	queue  lineQueue
}

// decisionKey is from closed sets, so a flood makes no more of them.
type decisionKey struct {
	outcome Outcome
	reason  Reason
}

// Report implements [Reporter].
func (l *decisionLog) Report(ctx context.Context, d Decision) {
	level := slog.LevelInfo
	if d.Outcome == OutcomeAllowed {
		level = slog.LevelDebug
	}
	if !l.logger.Enabled(ctx, level) {
		return
	}
	key := decisionKey{d.Outcome, d.Reason}
	dropped, ok := l.limit.take(key)
	if !ok {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", clip(d.Method)), slog.String("stage", string(d.Stage)), slog.String("code", d.Code.String()),
		slog.Duration("latency", d.Latency), slog.Bool("cached", d.Cached),
	}
	for _, known := range []detail{
		{"reason", string(d.Reason)}, {"issuer", d.Issuer}, {"client_id", clip(d.ClientID)}, {"client", d.ClientName},
	} {
		if known.value != "" {
			attrs = append(attrs, slog.String(known.key, known.value))
		}
	}
	if dropped > 0 {
		attrs = append(attrs, slog.Int("same_not_logged", dropped))
	}
	line := newRecord(level, string(d.Outcome), attrs)
	if !l.queue.at(d.Stage)(func() { _ = l.logger.Handler().Handle(ctx, line) }) {
		l.limit.leaveOut(key, dropped)
	}
}
