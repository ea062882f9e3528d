// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Cause is why a token was fetched.
type Cause string

// The causes.
const (
	// CauseCold: there was no token yet.
	CauseCold Cause = "cold"
	// CauseStale: most of the token's life was over. Calls went on with it.
	CauseStale Cause = "stale"
	// CauseExpired: the token had ended, or was about to.
	CauseExpired Cause = "expired"
	// CauseRejected: a server refused the token, see [Request].
	CauseRejected Cause = "rejected"
	// CauseSuspect: the machine's time of day says that the token has ended, and its
	// other clock does not, as after the sleep of a laptop.
	CauseSuspect Cause = "suspect"
	// CauseWarm: [ClientCredentials.Warm] or [KeepWarm] asked, and no call.
	CauseWarm Cause = "warm"
)

// Fetch is one fetch of a token, with its repetitions, for metrics and audit. It holds
// no token and no secret.
type Fetch struct {
	ClientID string
	// Scopes are what was asked for, sorted; none means all that the client has. It
	// belongs to the reporter.
	Scopes []string
	Cause  Cause
	// Reason is why there is no new token; else "". It is a metric label of bounded
	// cardinality, as Cause is.
	Reason Reason
	// OAuthCode is the OAuth error code of the token endpoint, such as
	// "invalid_client", or "", and APIErrorType the type of the API's error, such as
	// "NotAuthorizedException", or "". HTTPStatus is that of a failure, or 0.
	OAuthCode    string
	APIErrorType string
	HTTPStatus   int
	// Attempts is how many requests were sent: up to three, and one more if a second
	// secret was tried.
	Attempts int
	// Duration is how long it took, pauses between the attempts included.
	Duration time.Duration
	// TokenUsable says whether there is a token: calls go on also after a failure if the
	// old one is good.
	TokenUsable bool
}

// Reporter is told each fetch of a source, once, when it has ended. It is not on the
// path of a call. It is safe for concurrent use: fetches for different scopes end at the
// same time. ctx has no values of any call. A panic in it changes nothing and is logged;
// [ClientCredentials.Close] waits for it.
type Reporter interface {
	Report(ctx context.Context, f Fetch)
}

// WithReporter adds a [Reporter] to a source, which is told each fetch.
func WithReporter(r Reporter) Option {
	return option("WithReporter", forSource, func(cfg *config) error {
		if r == nil {
			return usageError("the reporter is nil: leave the option out")
		}
		cfg.reporters = append(cfg.reporters, r)
		return nil
	})
}

// report tells the reporters of a flight that has landed.
func (c *ClientCredentials) report(set *tokenSet, f *flight) {
	for _, r := range c.cfg.reporters {
		what := Fetch{
			ClientID: c.exchange.clientID, Scopes: slices.Clone(set.scopes), Cause: f.cause,
			Attempts: f.attempts, Duration: max(f.took, 0), TokenUsable: f.err == nil || f.usable,
		}
		if f.err != nil {
			what.Reason, what.OAuthCode, what.APIErrorType, what.HTTPStatus = f.err.reason, f.err.oauthCode, f.err.apiErrorType, f.err.httpStatus
		}
		c.tell(r, what)
	}
}

// tell keeps a panic from ending the program. What it panicked with may hold anything,
// so only the type is told.
func (c *ClientCredentials) tell(r Reporter, f Fetch) {
	defer func() {
		if value := recover(); value != nil {
			defer func() { _ = recover() }() // see writeLog
			c.cfg.log().LogAttrs(context.Background(), slog.LevelError, fmt.Sprintf("clientauth: a Reporter panicked (%T)", value))
		}
	}()
	r.Report(context.Background(), f)
}

// LogFetches returns a [Reporter] that logs each fetch at [slog.LevelInfo]. Failures are
// logged with more detail without it, see [WithLogger].
func LogFetches(l *slog.Logger) Reporter {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return fetchLog{logger: l}
}

type fetchLog struct{ logger *slog.Logger }

// Report implements [Reporter].
func (l fetchLog) Report(ctx context.Context, f Fetch) {
	attrs := []slog.Attr{
		slog.String("client_id", f.ClientID), slog.String("scopes", printable(strings.Join(f.Scopes, " "), 1000)),
		slog.String("cause", string(f.Cause)), slog.Int("attempts", f.Attempts), slog.Duration("duration", f.Duration),
		slog.Bool("token_usable", f.TokenUsable),
	}
	text := "token fetched"
	if f.Reason != "" {
		text = "token not fetched"
		attrs = append(attrs, slog.String("reason", string(f.Reason)))
		if f.OAuthCode != "" {
			attrs = append(attrs, slog.String("oauth_code", f.OAuthCode))
		}
		if f.APIErrorType != "" {
			attrs = append(attrs, slog.String("api_error_type", f.APIErrorType))
		}
		if f.HTTPStatus != 0 {
			attrs = append(attrs, slog.Int("http_status", f.HTTPStatus))
		}
	}
	l.logger.LogAttrs(ctx, slog.LevelInfo, text, attrs...)
}
