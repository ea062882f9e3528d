// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A flood of refusals is no flood of lines, and no line is lost without being counted.
func TestRefusalLogIsRateLimited(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Unix(0, 0)
	l := newRefusalLog(slog.New(slog.NewTextHandler(&out, nil)), refusalsBurst)
	l.limit.now = func() time.Time { return now }
	flood := func(r Reason, n int) int {
		out.Reset()
		for range n {
			l.refused(t.Context(), "/pkg.Svc/Do", NewError(r, nil))
		}
		return strings.Count(out.String(), "\n")
	}
	if got := flood(ReasonTokenMissing, 1000); got != refusalsBurst {
		t.Errorf("a flood: got %d lines, want %d", got, refusalsBurst)
	}
	if got := flood(ReasonTokenExpired, 1); got != 1 {
		t.Errorf("another reason during the flood: got %d lines, want 1", got)
	}
	now = now.Add(3 * time.Second)
	if got := flood(ReasonTokenMissing, 1000); got != 3 {
		t.Errorf("3 s later: got %d lines, want 3", got)
	}
	now = now.Add(time.Hour)
	if got := flood(ReasonTokenExpired, 1000); got != refusalsBurst {
		t.Errorf("a flood after an idle hour: got %d lines, want %d", got, refusalsBurst)
	}
	flood(ReasonTokenMissing, 1)
	if want := "same_reason_not_logged=997"; !strings.Contains(out.String(), want) {
		t.Errorf("the line lacks %s:\n%s", want, out.String())
	}
}

// What strangers choose is bounded and escaped.
func TestRefusalLogEscapes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := newRefusalLog(slog.New(slog.NewTextHandler(&out, nil)), refusalsBurst)
	long := strings.Repeat("x", 5000)
	e := NewError(ReasonIssuerMismatch, errors.New("a\ncause "+long))
	e.details = []detail{{"token_iss(unverified)", clip("a\nlevel=ERROR msg=forged" + strings.Repeat("x", 1000) + "\xff")}}
	l.refused(t.Context(), "/pkg.Svc/Do\nx"+long, e)
	if got := strings.Count(out.String(), "\n"); got != 1 {
		t.Errorf("got %d lines, want 1:\n%s", got, out.String())
	}
	if len(out.String()) > 1200 {
		t.Errorf("got a line of %d bytes", len(out.String()))
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	const pool = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_x"
	for _, row := range []struct{ got, accepts, want string }{
		{"https://issuer-cognito-idp.eu-central-1.amazonaws.com/eu-central-1_x", pool, "use UserPoolUpdated"},
		{pool, "https://issuer-cognito-idp.eu-central-1.amazonaws.com/eu-central-1_x", "use UserPool"},
		{pool + "/", pool, "byte by byte"},
		{strings.ToUpper(pool), pool, "byte by byte"},
		{"https://evil.example", pool, "another user pool"},
	} {
		if hint := issuerHint(row.got, []string{row.accepts}); !strings.HasSuffix(hint, row.want) && !strings.Contains(hint, row.want+" ") && !strings.Contains(hint, row.want+":") {
			t.Errorf("%s against %s: got %q, want %q", row.got, row.accepts, hint, row.want)
		}
	}
}
