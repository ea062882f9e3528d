// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package clientauth

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// TestTokenThatComesTooLate is not given out, and costs no hurry: one token for each
// pause.
func TestTokenThatComesTooLate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		after time.Duration
		late  bool
	}{
		"in its last moment": {after: 2700*time.Millisecond - 1},
		"at its end":         {after: 2700 * time.Millisecond, late: true},
		"long after":         {after: 4 * time.Second, late: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				endpoint := &fakeEndpoint{answer: func(n int, _ request) reply {
					r := ok(n, 3)
					r.after = test.after
					return r
				}}
				c := newSource(t, endpoint)
				_, err := c.Token(t.Context(), Request{})
				if !test.late {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				wantReason(t, err, ReasonNetwork, codes.Unavailable)
				wantReason(t, c.Warm(t.Context()), ReasonNetwork, codes.Unavailable)
				wantCount(t, endpoint, 1)
				if got := c.Stats().Tokens; got != 1 {
					t.Errorf("tokens: got %d, want the 1 that was paid for", got)
				}
				wantReason(t, askForAnHour(t, c), ReasonNetwork, codes.Unavailable)
				if got := endpoint.count(); got < 450 || got > 650 {
					t.Errorf("got %d requests, want about 540: one after each pause of 3 to 10 s", got)
				}
			})
		})
	}
}
