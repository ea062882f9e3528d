// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"testing"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

const (
	echoOnce = "/demo.echo.v1.EchoService/Echo"   // echo/call
	repeat   = "/demo.echo.v1.EchoService/Repeat" // echo/stream
	count    = "/demo.echo.v1.EchoService/Count"  // echo/stream
	chat     = "/demo.echo.v1.EchoService/Chat"   // echo/call and echo/stream
)

// echoToken may call every method of the echo service, for an hour less a minute.
func (l *lab) echoToken() string {
	return l.issuer.token(goodHeader, with("scope", `"echo/call echo/stream"`))
}

// The next message after the token's time is over ends the stream.
func TestE10StreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		l := newLab(t, setup{memory: true})
		c := l.dial(t)
		defer c.close()
		c.open(t, chat, bearer(l.echoToken()))
		for range 59 {
			c.send(t, nil)
			if !c.recv(t) {
				t.Fatalf("ended early: %v", c.finish(t))
			}
			time.Sleep(time.Minute)
		}
		time.Sleep(30 * time.Second) // the clock skew
		c.send(t, nil)
		if got := c.finish(t); got.code != u || got.reason != serverauth.ReasonTokenExpired {
			t.Errorf("got %v %s, want UNAUTHENTICATED TOKEN_EXPIRED", got.code, got.reason)
		}
	})
}
