// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package serverauth_test

import (
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/scopeauth/scopeauth/interceptors/serverauth"
)

// grpcPings sends messages of a good call and returns how often the server asked how far
// away the caller is, which it does to let the connection's window grow.
func grpcPings(t *testing.T, options ...serverauth.Option) int {
	t.Helper()
	l := newLab(t, setup{options: options})
	c := l.dial(t)
	defer c.close()
	c.open(t, writeFile, bearer(l.issuer.token(goodHeader, with("scope", `"demo/write.file"`))))
	for range 3 {
		c.send(t, nil)
	}
	c.closeSend(t)
	if got := c.finish(t); got.code != ok {
		t.Errorf("got %v %s, want OK", got.code, got.message)
	}
	return c.pings
}

// With RefuseBeforeDecoding the window stays as small as HTTP/2 has it at first. Callers
// that are refused on the header frame could fill a larger one before they see it.
func TestTapWindowDoesNotGrow(t *testing.T) {
	t.Parallel()
	if n := grpcPings(t); n == 0 {
		t.Error("without RefuseBeforeDecoding: gRPC does not measure the way any more, so this test shows nothing")
	}
	if n := grpcPings(t, serverauth.RefuseBeforeDecoding()); n != 0 {
		t.Errorf("with RefuseBeforeDecoding: gRPC measured the way %d times, want never", n)
	}
}

// A13 without a tap handle: gRPC takes the whole message of a unary call before the
// interceptors refuse it. That is what RefuseBeforeDecoding is for.
func TestA13InterceptorsComeAfterTheMessage(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		reports := &restReports{}
		l := newLab(t, setup{
			memory: true, insecure: true, options: []serverauth.Option{serverauth.WithReporter(reports)},
			server: []grpc.ServerOption{grpc.MaxRecvMsgSize(8 << 20), grpc.InitialWindowSize(8 << 20), grpc.InitialConnWindowSize(8 << 20)},
		})
		defer l.fetchesNothing(t)()
		c := l.dial(t)
		defer c.close()
		c.open(t, whoAmI)
		message := frame(protowire.AppendBytes(protowire.AppendTag(nil, 100, protowire.BytesType), make([]byte, 4<<20)))
		const part = 16384
		for len(message) > part {
			if err := c.framer.WriteData(1, false, message[:part]); err != nil {
				t.Fatal(err)
			}
			message = message[part:]
			if len(message) <= part {
				synctest.Wait()
				if n := reports.count(); n != 0 {
					t.Errorf("%d decisions before the message was there, want none", n)
				}
			}
		}
		if err := c.framer.WriteData(1, true, message); err != nil {
			t.Fatal(err)
		}
		if got := c.finish(t); got.code != u || got.reason != serverauth.ReasonTokenMissing || l.files.ran.Load() != 0 {
			t.Errorf("got %v %s, and the handler ran %d times, want UNAUTHENTICATED TOKEN_MISSING", got.code, got.reason, l.files.ran.Load())
		}
	})
}
