// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
)

// Many connections come with the same new token at once, as after a client has got one:
// all pass, and there is one entry. With a bad token none passes.
func TestBurstOfCalls(t *testing.T) {
	t.Parallel()
	inEachMode(t, func(t *testing.T, start func(*testing.T, setup) *cacheLab) {
		bubble(t, func(t *testing.T) {
			l := start(t, setup{memory: true, insecure: true})
			good := l.issuer.good()
			another := l.numbered("another")
			bad := good[:strings.LastIndexByte(good, '.')] + another[strings.LastIndexByte(another, '.'):]
			for _, row := range []struct {
				token string
				code  codes.Code
			}{{good, ok}, {bad, u}} {
				calls := make([]*rawCall, 60)
				for i := range calls {
					calls[i] = l.dial(t)
					defer calls[i].close()
				}
				synctest.Wait() // all are connected
				for _, c := range calls {
					c.open(t, readFile, bearer(row.token))
				}
				for _, c := range calls {
					c.send(t, nil)
					c.closeSend(t)
				}
				for _, c := range calls {
					if got := c.finish(t); got.code != row.code {
						t.Errorf("got %v %s, want %v", got.code, got.reason, row.code)
					}
				}
			}
			if s := l.stats(); s.Entries != 1 || s.Stale != 0 || s.Evicted != 0 {
				t.Errorf("got %+v, want one entry", s)
			}
		})
	})
}
