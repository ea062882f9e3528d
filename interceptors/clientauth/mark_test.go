// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// markedSlot returns the place of a token whose token 0 was refused on a stream. From then on
// the endpoint answers with answer.
func markedSlot(t *testing.T, answer reply) (*slot, *fakeEndpoint) {
	t.Helper()
	endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
		if n == 0 {
			return ok(0, 3600)
		}
		return answer
	}}
	c, err := newCarrier(newSource(t, endpoint), AllClientScopes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := c.selected.others
	token, err := s.token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.rejected.Store(&token)
	return s, endpoint
}

// TestCallAfterARefusedStream: an innocent call waits 1 s at most, and at most half of
// its time, and takes the old token.
func TestCallAfterARefusedStream(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer   reply
		deadline time.Duration
		want     string
		after    time.Duration
	}{
		"another token":           {answer: ok(1, 3600), want: opaque(1)},
		"endpoint refuses":        {answer: oauthError("invalid_client"), want: opaque(0)},
		"endpoint hangs":          {answer: reply{after: time.Hour}, want: opaque(0), after: time.Second},
		"hangs, long deadline":    {answer: reply{after: time.Hour}, deadline: time.Minute, want: opaque(0), after: time.Second},
		"hangs, short deadline":   {answer: reply{after: time.Hour}, deadline: time.Second, want: opaque(0), after: 500 * time.Millisecond},
		"answers within a second": {answer: reply{after: 900 * time.Millisecond, body: ok(1, 3600).body}, want: opaque(1), after: 900 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, _ := markedSlot(t, test.answer)
				ctx := t.Context()
				if test.deadline > 0 {
					short, cancel := context.WithTimeout(ctx, test.deadline)
					defer cancel()
					ctx = short
				}
				start := time.Now()
				token, err := s.token(ctx)
				if err != nil || token.Value() != test.want || time.Since(start) != test.after {
					t.Errorf("got %q, %v after %v, want %q after %v", token.Value(), err, time.Since(start), test.want, test.after)
				}
				start = time.Now()
				if token, err = s.token(t.Context()); err != nil || token.Value() != test.want || time.Since(start) != 0 {
					t.Errorf("the next call: got %q, %v after %v, want %q at once", token.Value(), err, time.Since(start), test.want)
				}
			})
		})
	}
}

// TestEndedCallLeavesTheMark: a call that ended is no try.
func TestEndedCallLeavesTheMark(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, endpoint := markedSlot(t, ok(1, 3600))
		dead, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.token(dead)
		wantReason(t, err, ReasonContext, codes.Canceled)
		wantCount(t, endpoint, 1)
		token, err := s.token(t.Context())
		if err != nil || token.Value() != opaque(1) {
			t.Errorf("the next call: got %q, %v, want token 1", token.Value(), err)
		}
	})
}

// TestStatusText: what a handler passes on to its caller names no scope, host, client
// or path; the program itself has the full text.
func TestStatusText(t *testing.T) {
	t.Parallel()
	reasons := []Reason{
		ReasonContext, ReasonClosed, ReasonNetwork, ReasonHTTPStatus, ReasonThrottled, ReasonRedirect, ReasonResponse, ReasonSecret, ReasonSource, ReasonRefused,
		ReasonScopeNotGranted, ReasonRejected, ReasonScopes, ReasonScopeSets, ReasonMethod, ReasonPlaintext, ReasonTwice, ReasonExisting, ReasonPanic,
	}
	for _, r := range reasons {
		e := &Error{reason: r, code: codes.Unavailable, text: "SECRET-TEXT", hint: "SECRET-HINT", cause: errReset}
		got := e.GRPCStatus()
		want := "no token for the call: " + plainWords[r] + " (" + string(r) + ")"
		if got.Message() != want || plainWords[r] == "" || got.Code() != codes.Unavailable || len(got.Details()) != 0 {
			t.Errorf("%s: got %v, want %q", r, got, want)
		}
		if !strings.Contains(e.Error(), "SECRET-TEXT: SECRET-HINT") {
			t.Errorf("%s: got the text %q, want all of it", r, e.Error())
		}
	}
	if len(plainWords) != len(reasons) {
		t.Errorf("got %d texts, want %d", len(plainWords), len(reasons))
	}
}

// TestForeignContextCauses: errors.Is must not say that a living caller's context
// ended.
func TestForeignContextCauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, cause := range []error{context.DeadlineExceeded, context.Canceled} {
			_, secretErr := readSecret(t.Context(), func(context.Context) (Secret, error) { return Secret{}, cause })
			for what, err := range map[string]error{"secret": secretErr, "source": sourceError(t.Context(), cause)} {
				if errors.Is(err, cause) || !strings.Contains(err.Error(), cause.Error()) {
					t.Errorf("%s: got %v, want the text of %v and not the error", what, err, cause)
				}
			}
		}
	})
}

// TestTextOfASecretFunction is bounded and stays on its line.
func TestTextOfASecretFunction(t *testing.T) {
	t.Parallel()
	_, err := readSecret(t.Context(), func(context.Context) (Secret, error) {
		return Secret{}, errors.New("sealed\nlevel=INFO msg=forged " + strings.Repeat("x", 10_000))
	})
	if text := err.Error(); strings.Contains(text, "\n") || len(text) > 400 || !strings.Contains(text, "sealed?level") {
		t.Errorf("got %q, want one short line", text)
	}
}
