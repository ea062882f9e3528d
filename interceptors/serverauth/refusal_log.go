// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/peer"
)

// refusalsPerSecond and refusalsBurst bound how often one reason is logged, so that
// a flood of bad calls is no flood of log lines. What was left out is counted in
// the next line.
const (
	refusalsPerSecond = 1
	refusalsBurst     = 10
)

// refusalLog writes one line for a refused call: the fine reason, the cause, what is
// known of the caller, and what to do. It never writes a token.
type refusalLog struct {
	logger *slog.Logger
	limit  *rateLimit[string] // by the line's text, which is one of a closed set
	queue  lineQueue          // for places that must not wait
}

func newRefusalLog(l *slog.Logger, burst int) *refusalLog {
	return &refusalLog{logger: l, limit: newRateLimit[string](burst)}
}

func (l *refusalLog) refused(ctx context.Context, fullMethod string, e *Error) {
	l.line(ctx, "refused ", fullMethod, e, atOnce)
}

// refusedEarly is refused for a place that must not wait for the log.
func (l *refusalLog) refusedEarly(ctx context.Context, fullMethod string, e *Error) {
	l.line(ctx, "refused ", fullMethod, e, l.queue.add)
}

// waived is for a call that passes because of [ReportOnly] alone.
func (l *refusalLog) waived(ctx context.Context, fullMethod string, e *Error, stage Stage) {
	l.line(ctx, "would refuse ", fullMethod, e, l.queue.at(stage))
}

// line writes a line as put does it, unless there shall be none.
func (l *refusalLog) line(ctx context.Context, verb, fullMethod string, e *Error, put func(write func()) bool) {
	if !l.logger.Enabled(ctx, slog.LevelWarn) {
		return
	}
	text := verb + string(e.reason)
	dropped, ok := l.limit.take(text)
	if !ok {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs, slog.String("method", clip(fullMethod)), slog.String("code", e.Code().String()))
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		attrs = append(attrs, slog.String("peer", p.Addr.String()))
	}
	if e.cause != nil {
		attrs = append(attrs, slog.String("cause", clip(e.cause.Error())))
	}
	if e.lacksScope() {
		attrs = append(attrs,
			slog.String("required", alternatives(e.required, " and ", " or ")),
			slog.String("granted", scopesText(e.granted)))
	}
	hint := hints[e.reason]
	for _, d := range e.details {
		if d.key == "hint" {
			hint = d.value
			continue
		}
		if d.value != "" {
			attrs = append(attrs, slog.String(d.key, d.value))
		}
	}
	if hint != "" {
		attrs = append(attrs, slog.String("hint", hint))
	}
	if dropped > 0 {
		attrs = append(attrs, slog.Int("same_reason_not_logged", dropped))
	}
	line := newRecord(slog.LevelWarn, text, attrs)
	if !put(func() { _ = l.logger.Handler().Handle(ctx, line) }) {
		l.limit.leaveOut(text, dropped)
	}
}

// rateLimit lets one of each key pass a second, after a burst, and counts the others.
// Keys are of a closed set, so it does not grow. It is safe for concurrent use.
type rateLimit[K comparable] struct {
	now   func() time.Time
	burst float64

	mu      sync.Mutex
	buckets map[K]*bucket
}

type bucket struct {
	tokens  float64
	last    time.Time
	dropped int
}

func newRateLimit[K comparable](burst int) *rateLimit[K] {
	return &rateLimit[K]{now: time.Now, burst: float64(burst), buckets: make(map[K]*bucket)}
}

// take reports whether one may pass now, and how many could not since the last.
func (l *rateLimit[K]) take(k K) (dropped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b := l.buckets[k]
	if b == nil {
		b = &bucket{tokens: l.burst, last: now}
		l.buckets[k] = b
	}
	b.tokens = min(l.burst, b.tokens+now.Sub(b.last).Seconds()*refusalsPerSecond)
	b.last = now
	if b.tokens < 1 {
		b.dropped++
		return 0, false
	}
	b.tokens--
	dropped, b.dropped = b.dropped, 0
	return dropped, true
}

// leaveOut counts one that was let pass, and those before it that its line would have
// told, as not passed.
func (l *rateLimit[K]) leaveOut(k K, before int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buckets[k].dropped += before + 1 // the bucket is there since take
}

// hints say what to do about a refusal that is usually a mistake and no attack.
var hints = map[Reason]string{
	ReasonTokenMissing:          "the caller sends no token: does it use clientauth's dial options?",
	ReasonTokenTooLarge:         "if the token is a good one, raise it with MaxTokenBytes",
	ReasonTokenExpired:          "the caller must renew its token earlier, or a clock is wrong",
	ReasonTokenNotYetValid:      "a clock is wrong: this machine's or the issuer's",
	ReasonClientNotAllowed:      "if the client may call, add its id to Clients or NamedClients",
	ReasonInsufficientScope:     "allow the scope in the app client's AllowedOAuthScopes and let the caller ask for it",
	ReasonMethodNotAnnotated:    "write a rule inside the rpc in the .proto file, or give one with policy.WithRule",
	ReasonMethodNotAllowed:      "no registered service has this method, or its descriptor is not linked: give it a rule with policy.WithRule",
	ReasonKeysUnavailable:       "the issuer's keys could not be fetched: see the lines of the key set before this one",
	ReasonTransportInsecure:     "use TLS, or AllowInsecureTransport if something else ends TLS before this server",
	ReasonRevocationUnavailable: "the function of CheckRevoked failed",
	ReasonForeignScope:          "the caller must ask for this server's scopes only: clientauth.ForMethods does",
	ReasonKeyNotFound:           "the token is signed with a key that the issuer does not publish: is it from another pool with a forged issuer?",
}

// maxLoggedBytes bounds values that strangers choose. slog escapes them.
const maxLoggedBytes = 200

func clip(s string) string {
	if len(s) > maxLoggedBytes {
		s = s[:maxLoggedBytes] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
